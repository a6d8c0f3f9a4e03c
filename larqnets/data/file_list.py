"""The images of a folder as a list, and what of it is not taken, with the reason."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from larqnets.data.boxes import Boxes
from larqnets.data.image import GET_HEIF, HEIF, HEIF_SUFFIXES, SUFFIXES, Header, formats, read_header
from larqnets.data.masks import MaskFile, mask_file
from larqnets.errors import LarqnetsError

TRAIN, TEST, VALIDATION = "train", "test", "validation"
TEST_NAMES = (TEST, VALIDATION, "val", "valid")  # what people call images that are not trained on
EVERYTHING = ""  # the one split of a folder that has none
TAKE_VALIDATION = "data.own_validation = true takes it"
DAMAGED, MISSING = "damaged", "missing"
UNFIT = "unfit"  # what a file is that can be read, and does not fit to others
Found = TypeVar("Found")
HIDDEN = ("hidden", "the name begins with a dot")  # what an entry of a folder is, and why it is left out


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not taken: what it is, such as ".txt", and why."""

    path: Path
    what: str
    why: str


def named_splits(found: Mapping[str, Found]) -> dict[str, Found]:
    """Return what is train, test and perhaps validation of places by what they are called: TRAIN, or one of TEST_NAMES.

    The test is the first of TEST_NAMES that is there; what there is beside a TEST is VALIDATION. Without TRAIN or a test it is
    missing here, too.
    """
    tests = [name for name in TEST_NAMES if name in found]
    splits = {TRAIN: found[TRAIN]} if TRAIN in found else {}
    splits |= {TEST: found[tests[0]]} if tests else {}
    return splits | ({VALIDATION: found[tests[1]]} if tests[:1] == [TEST] and len(tests) > 1 else {})


@dataclass(frozen=True)
class FileList:
    """The images of one split below the folder `root`, sorted by label and name; `labels` (N,) int32 are their numbers.

    `classes`: what the label of each is called, where its folder does not say it; else ().

    Where every pixel has a class instead, `masks` are the files that say it; where things have boxes, `boxes` are those of each
    image and `annotations` the files that say them. All labels are 0 then.
    """

    root: Path
    paths: tuple[str, ...]
    headers: tuple[Header, ...]
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    masks: tuple[MaskFile, ...] = ()
    boxes: tuple[Boxes, ...] = ()
    annotations: tuple[Path, ...] = ()

    def names(self) -> list[str]:
        """Return the paths below `root`, the same wherever the folder is copied to."""
        return [Path(path).relative_to(self.root).as_posix() for path in self.paths]

    def files(self) -> dict[str, Path]:
        """Return every file by its path below `root`; the names are others when a label is another."""
        names = self.names()
        if self.classes:
            names = [f"{label}\0{name}" for label, name in zip(self.classes, names, strict=True)]
        beside = [*(Path(mask.path) for mask in self.masks), *self.annotations]
        images = dict(zip(names, map(Path, self.paths), strict=True))
        return images | {file.relative_to(self.root).as_posix(): file for file in beside}

    def where(self, mask: np.ndarray) -> "FileList":
        """Return the images at which `mask` (N,) is true."""
        chosen = np.flatnonzero(mask)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in chosen),
            headers=tuple(self.headers[i] for i in chosen),
            labels=self.labels[chosen],
            classes=tuple(self.classes[i] for i in chosen if self.classes),
            masks=tuple(self.masks[i] for i in chosen if self.masks),
            boxes=tuple(self.boxes[i] for i in chosen if self.boxes),
        )


class Listing:
    """A FileList that grows. What cannot be read, or does not fit, is put into `damaged`."""

    def __init__(self, root: Path, damaged: list[LeftOut]) -> None:
        self._root, self._damaged = root, damaged
        self._images: list[tuple[str, Header, int]] = []
        self._masks: list[MaskFile] = []
        self._boxes: list[Boxes] = []

    def add(
        self, file: Path, label: int, mask: Path | None = None, boxes: Callable[[Header], Boxes] | None = None
    ) -> None:
        """Read the headers of an image, and of its mask where every image has one, and take it in; `boxes` makes its boxes."""
        try:
            header = read_header(file)
        except LarqnetsError as error:
            self._damaged.append(LeftOut(file, DAMAGED, str(error)))
            return
        try:
            self._masks += [] if mask is None else [mask_file(mask, header, file)]
            self._boxes += [] if boxes is None else [boxes(header)]
        except LarqnetsError as error:
            self._damaged.append(LeftOut(mask or file, UNFIT, str(error)))
            return
        self._images.append((str(file), header, label))

    def files(self, classes: Sequence[str] = (), annotations: Sequence[Path] = ()) -> FileList:
        """Return what is in it; `classes` are the names of the labels where folders do not say them; `annotations`: see FileList."""
        return FileList(
            self._root,
            tuple(path for path, _, _ in self._images),
            tuple(header for _, header, _ in self._images),
            np.array([label for _, _, label in self._images], np.int32),
            tuple(classes[label] for _, _, label in self._images) if classes else (),
            tuple(self._masks),
            tuple(self._boxes),
            tuple(annotations),
        )


def by_stem(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return files by their name without suffix."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[file.stem].append(file)
    return found


def images_in(folder: Path, left_out: list[LeftOut]) -> list[Path]:
    """Return the files of a class folder that are meant as images, sorted."""
    images = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            left_out.append(LeftOut(entry, *HIDDEN))
        elif entry.is_dir() and not entry.is_symlink():
            left_out += _nested(entry)
        elif entry.is_dir():
            why = "links to folders are not followed within a class"
            left_out.append(LeftOut(entry, "linking to a folder", why))
        elif (reason := why_not(entry)) is None:
            images.append(entry)
        else:
            left_out.append(LeftOut(entry, *reason))
    return images


def _nested(folder: Path) -> Iterator[LeftOut]:
    """Yield the images that lie deeper than their class; links are not followed, which might lead in circles."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in image_suffixes() and not name.startswith("."):
                yield LeftOut(
                    Path(where, name),
                    "in a folder inside a class folder",
                    "images belong directly into the class folder",
                )


def why_not(entry: Path) -> tuple[str, str] | None:
    """Return what a file is and why it is left out; None for what is meant as an image of a format that is read here."""
    suffix = entry.suffix.lower()
    if not entry.is_file():
        return ("linking to nothing" if entry.is_symlink() else "device or pipe"), "no file"
    if suffix in HEIF_SUFFIXES and HEIF not in formats():
        return suffix, GET_HEIF
    if suffix in image_suffixes():
        return None
    return suffix or "without suffix", f"no image format that is read here ({', '.join(formats())})"


def image_suffixes() -> set[str]:
    """Return the suffixes of the formats that are read here."""
    read = {suffix for some in SUFFIXES.values() for suffix in some}
    return read | set(HEIF_SUFFIXES) if HEIF in formats() else read


def counted_words(left_out: Sequence[LeftOut]) -> str:
    """Return "3 .txt, 1 .heic"."""
    kinds = Counter(one.what for one in left_out)
    return ", ".join(f"{count} {what}" for what, count in kinds.items())
