"""The images of a folder as a list, and what of it is not taken, with the reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larqnets.data.image import GET_HEIF, HEIF, HEIF_SUFFIXES, SUFFIXES, Header, formats, read_header
from larqnets.errors import LarqnetsError

TRAIN, TEST, VALIDATION = "train", "test", "validation"
TEST_NAMES = (TEST, VALIDATION, "val", "valid")  # what people call images that are not trained on
EVERYTHING = ""  # the one split of a folder that has none
TAKE_VALIDATION = "data.own_validation = true takes it"
DAMAGED, MISSING = "damaged", "missing"
HIDDEN = ("hidden", "the name begins with a dot")  # what an entry of a folder is, and why it is left out


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not taken: what it is, such as ".txt", and why."""

    path: Path
    what: str
    why: str


@dataclass(frozen=True)
class FileList:
    """The images of one split below the folder `root`, sorted by label and name; `labels` (N,) int32 are their numbers.

    `classes`: what the label of each is called, where its folder does not say it; else ().
    """

    root: Path
    paths: tuple[str, ...]
    headers: tuple[Header, ...]
    labels: np.ndarray
    classes: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return the paths below `root`, the same wherever the folder is copied to."""
        return [Path(path).relative_to(self.root).as_posix() for path in self.paths]

    def labelled_names(self) -> list[str]:
        """Return names that are others when a label is another."""
        names = self.names()
        return [f"{label}\0{name}" for label, name in zip(self.classes, names, strict=True)] if self.classes else names

    def where(self, mask: np.ndarray) -> "FileList":
        """Return the images at which `mask` (N,) is true."""
        chosen = np.flatnonzero(mask)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in chosen),
            headers=tuple(self.headers[i] for i in chosen),
            labels=self.labels[chosen],
            classes=tuple(self.classes[i] for i in chosen) if self.classes else (),
        )


class Listing:
    """A FileList that grows. What cannot be read is put into `damaged`."""

    def __init__(self, root: Path, damaged: list[LeftOut]) -> None:
        self._root, self._damaged = root, damaged
        self._images: list[tuple[str, Header, int]] = []

    def add(self, file: Path, label: int) -> None:
        """Read the header of an image and take it in."""
        try:
            self._images.append((str(file), read_header(file), label))
        except LarqnetsError as error:
            self._damaged.append(LeftOut(file, DAMAGED, str(error)))

    def files(self, classes: Sequence[str] = ()) -> FileList:
        """Return what is in it; `classes` are the names of the labels where folders do not say them."""
        return FileList(
            self._root,
            tuple(path for path, _, _ in self._images),
            tuple(header for _, header, _ in self._images),
            np.array([label for _, _, label in self._images], np.int32),
            tuple(classes[label] for _, _, label in self._images) if classes else (),
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
