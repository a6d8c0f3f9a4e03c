"""A folder of one's own images: PATH/train/LABEL/* and PATH/test/LABEL/*, or PATH/LABEL/* alone, which is split by seed.

TFDS's reader of the first layout shuffles with a seed of its own and takes hidden folders for classes, so the folder is
listed here: sorted, checked before training starts, with the orientation that cameras note in EXIF. Whatever is not taken
is remembered with the reason.
"""

import contextlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larqnets.config import DataConfig
from larqnets.data.duplicates import same_files
from larqnets.data.image import GET_HEIF, HEIF, HEIF_SUFFIXES, SUFFIXES, Header, formats, read_header
from larqnets.data.split import held_out
from larqnets.errors import LarqnetsError, printable

TRAIN, TEST, VALIDATION = "train", "test", "validation"
_TEST_NAMES = ("test", "validation", "val", "valid")
_EVERYTHING = ""  # the one split of a folder that has none


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not taken: what it is, such as ".txt", and why."""

    path: Path
    what: str
    why: str


@dataclass(frozen=True)
class FileList:
    """The images of one split below the folder `root`, sorted by label and name; `labels` (N,) int32 are their numbers."""

    root: Path
    paths: tuple[str, ...]
    headers: tuple[Header, ...]
    labels: np.ndarray

    def names(self) -> list[str]:
        """Return the paths below `root`, the same wherever the folder is copied to."""
        return [Path(path).relative_to(self.root).as_posix() for path in self.paths]

    def where(self, mask: np.ndarray) -> "FileList":
        """Return the images at which `mask` (N,) is true."""
        chosen = np.flatnonzero(mask)
        return FileList(
            self.root,
            tuple(self.paths[i] for i in chosen),
            tuple(self.headers[i] for i in chosen),
            self.labels[chosen],
        )


@dataclass(frozen=True)
class Layout:
    """Where the images of a folder lie: for every split the folder of its class folders."""

    path: Path
    labels: tuple[str, ...]
    splits: dict[str, Path]

    @property
    def is_flat(self) -> bool:
        """Whether there are no splits, so that one has to be made."""
        return _EVERYTHING in self.splits


@dataclass(frozen=True)
class ImageFolder:
    """A folder that was looked at. `channels` is 1 when every image is grey, else 3; `damaged` cannot be read."""

    layout: Layout
    channels: int
    splits: dict[str, FileList]
    left_out: tuple[LeftOut, ...]
    damaged: tuple[LeftOut, ...]


def scan_folder(path: Path, config: DataConfig) -> ImageFolder:
    """List `path` as the config says and read the header of every image.

    Raises LarqnetsError for a missing folder or split, a class without images, labels that differ between the splits or
    cannot be told apart, and labels that have too few images to be split.
    """
    layout = find_layout(path, config)
    damaged: list[LeftOut] = []
    with _readable():
        left_out = list(_beside(layout))
        listed = {name: _list_files(folder, layout, left_out, damaged) for name, folder in layout.splits.items()}
    try:
        splits = _divide(listed, layout, config)
    except LarqnetsError as error:
        if not damaged:
            raise
        many = f"{len(damaged):,} files that cannot" if len(damaged) > 1 else "a file that cannot"
        raise LarqnetsError(f"{error} Not counted: {many} be read as an image, such as {damaged[0].path}.") from error
    grey = all(header.grey for files in listed.values() for header in files.headers)
    return ImageFolder(layout, 1 if grey else 3, splits, tuple(left_out), tuple(damaged))


def damage(path: Path, damaged: Sequence[LeftOut]) -> LarqnetsError:
    """Return the error about images of the folder that cannot be read."""
    first, more = damaged[0].path, len(damaged) - 1
    if not more:
        return LarqnetsError(f"{first} cannot be read as an image. Replace or delete it.")
    return LarqnetsError(
        f"{first} cannot be read as an image, nor can {more:,} more. `larqnets data check {path}` lists them: replace or "
        "delete them."
    )


def find_layout(path: Path, config: DataConfig) -> Layout:
    """Return where the images are; raises LarqnetsError as `scan_folder` does, images aside."""
    if not path.is_dir():
        raise LarqnetsError(f"There is no folder {path}. Check the path after 'folder:'.")
    with _readable():
        layout = _find_layout(path)
    if config.own_validation and config.validation:
        raise LarqnetsError("data.own_validation and data.validation exclude each other. Leave one of them out.")
    own = layout.splits.pop(VALIDATION, None)
    if config.own_validation:
        if own is None:
            raise LarqnetsError(
                f"{path} has no folder validation/ (or val/, valid/) beside train/ and test/. "
                "Leave data.own_validation out; data.validation = 0.2 takes a part of the training images."
            )
        layout.splits[VALIDATION] = own
    with _readable():
        for folder in layout.splits.values():
            _check_same_labels(layout, folder)
    return layout


def has_own_validation(path: Path) -> bool:
    """Return whether a folder has validation images beside its test; raises LarqnetsError as `find_layout` does."""
    find_layout(path, DataConfig(""))  # which says what is wrong with the rest of it
    with _readable():
        return VALIDATION in _find_layout(path).splits


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Say in a sentence which folder the block cannot list."""
    try:
        yield
    except OSError as error:
        raise LarqnetsError(f"Cannot read {error.filename}: {error.strerror}. Check its permissions.") from error


def class_names(split: Path) -> tuple[str, ...]:
    """Return the names of the class folders of a split."""
    return tuple(sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _find_layout(path: Path) -> Layout:
    ways = f"Expected are {path}/train/LABEL/*.jpg and {path}/test/LABEL/*.jpg, or {path}/LABEL/*.jpg."
    found = {name: path / name for name in (TRAIN, *_TEST_NAMES) if (path / name).is_dir()}
    names = class_names(path)
    # A folder `train` that holds images and no folders is a class: one of trains.
    if not any(class_names(folder) for folder in found.values()) and set(names) - set(found):
        splits = {_EVERYTHING: path}
    else:
        tests = [folder for name, folder in found.items() if name != TRAIN]
        if TRAIN not in found:
            raise LarqnetsError(f"{path} has no folder train/. {ways}")
        if not tests:
            alone = f" folder:{found[TRAIN]} takes a part of the images there for the test."
            raise LarqnetsError(f"{path} has no folder test/ (or validation/, val/, valid/). {ways}{alone}")
        splits = {TRAIN: found[TRAIN], TEST: tests[0]}
        if tests[0].name == TEST and len(tests) > 1:
            splits[VALIDATION] = tests[1]
        names = class_names(found[TRAIN])
    if len(names) < 2:
        where = splits.get(TRAIN, path)
        raise LarqnetsError(f"{where} has {len(names)} class folders, but at least 2 are needed. {ways}")
    _check_names(names, splits.get(TRAIN, path))
    return Layout(path, names, splits)


def _check_names(names: Sequence[str], where: Path) -> None:
    """Raise LarqnetsError for a name that cannot be written down, and for two that nobody can tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LarqnetsError(
                f"The name of the class folder {printable(str(where / name))} is no UTF-8 text. Rename it."
            ) from error
        composed = unicodedata.normalize("NFC", name)
        if composed in seen:
            raise LarqnetsError(
                f"Two class folders in {where} are called '{composed}', in two forms of Unicode that look the same. "
                "Put their images into one of them."
            )
        seen[composed] = name


def _check_same_labels(layout: Layout, folder: Path) -> None:
    labels, others = layout.labels, class_names(folder)
    train = layout.splits.get(TRAIN, layout.path)
    for label in sorted(set(labels) ^ set(others)):
        (present, absent), theirs = ((train, folder), others) if label in labels else ((folder, train), labels)
        alike = next((name for name in theirs if _folded(name) == _folded(label)), None)
        if alike is None:
            hint = "Both need the same class folders."
        else:
            how = "its form of Unicode" if _nfc(alike) == _nfc(label) else "upper and lower case"
            hint = f"'{alike}' is there, which differs in {how} alone: give both the same name."
        raise LarqnetsError(f"The class '{label}' is in {present} but not in {absent}. {hint}")


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _nfc(name).casefold()


def alike_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of labels that differ in upper and lower case alone, which may be meant."""
    seen: dict[str, str] = {}
    pairs = []
    for label in labels:
        first = seen.setdefault(_folded(label), label)
        if first != label:
            pairs.append((first, label))
    return pairs


def _divide(listed: dict[str, FileList], layout: Layout, config: DataConfig) -> dict[str, FileList]:
    """Return the splits: those that are there, and those that are made by seed."""
    splits = dict(listed)
    if layout.is_flat:
        splits[TRAIN], splits[TEST] = _divided(splits.pop(_EVERYTHING), config.test, config, layout, "a test set")
    if config.validation:
        train, kept = _divided(splits[TRAIN], config.validation, config, layout, "a validation set")
        splits |= {TRAIN: train, VALIDATION: kept}
    return splits


def _divided(files: FileList, share: float, config: DataConfig, layout: Layout, what: str) -> tuple[FileList, FileList]:
    """Return what stays of the files, and the share of every label that is held out; equal files of a label stay together."""
    names = [_nfc(name) for name in files.names()]
    for same in same_files([Path(path) for path in files.paths]):
        for copy in same[1:]:
            names[copy] = names[same[0]]
    out = held_out(files.labels, names, share, config.split_seed, layout.labels, what)
    return files.where(~out), files.where(out)


def _list_files(folder: Path, layout: Layout, left_out: list[LeftOut], damaged: list[LeftOut]) -> FileList:
    """Return the images of a split, and put beside them what is none."""
    paths: list[str] = []
    headers: list[Header] = []
    numbers: list[int] = []
    for number, label in enumerate(layout.labels):
        before = len(left_out)
        files = _images_in(folder / label, left_out)
        if not files:
            why = _counted_words(left_out[before:])
            raise LarqnetsError(
                f"The class folder {folder / label} has no {', '.join(s for some in SUFFIXES.values() for s in some[:1])} "
                f"file{why and f', but {why}'}. Put images into it, or delete it in every split."
            )
        for file in files:
            try:
                header = read_header(file)
            except LarqnetsError as error:
                damaged.append(LeftOut(file, "damaged", str(error)))
                continue
            paths.append(str(file))
            headers.append(header)
            numbers.append(number)
    return FileList(layout.path, tuple(paths), tuple(headers), np.array(numbers, np.int32))


def _images_in(folder: Path, left_out: list[LeftOut]) -> list[Path]:
    """Return the files of a class folder that are meant as images, sorted."""
    images = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            left_out += _nested(entry)
        elif (reason := _reason(entry)) is None:
            images.append(entry)
        else:
            left_out.append(LeftOut(entry, *reason))
    return images


def _reason(entry: Path) -> tuple[str, str] | None:
    """Return what an entry of a class folder is and why it is left out; None for an image."""
    suffix = entry.suffix.lower()
    if entry.name.startswith("."):
        return "hidden", "the name begins with a dot"
    if entry.is_dir():
        return "linking to a folder", "links to folders are not followed within a class"
    if not entry.is_file():
        return ("linking to nothing" if entry.is_symlink() else "device or pipe"), "no file"
    if suffix in HEIF_SUFFIXES and HEIF not in formats():
        return suffix, GET_HEIF
    if suffix in _suffixes():
        return None
    return suffix or "without suffix", f"no image format that is read here ({', '.join(formats())})"


def _suffixes() -> set[str]:
    read = {suffix for some in SUFFIXES.values() for suffix in some}
    return read | set(HEIF_SUFFIXES) if HEIF in formats() else read


def _nested(folder: Path) -> Iterator[LeftOut]:
    """Yield the images that lie deeper than their class; links are not followed, which might lead in circles."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in _suffixes() and not name.startswith("."):
                yield LeftOut(
                    Path(where, name),
                    "in a folder inside a class folder",
                    "images belong directly into the class folder",
                )


def _beside(layout: Layout) -> Iterator[LeftOut]:
    """Yield what lies beside the class folders and beside the splits."""
    taken = {layout.path, *layout.splits.values()}
    for folder in sorted(taken):
        for entry in sorted(folder.iterdir()):
            if entry in taken or (folder in layout.splits.values() and entry.name in layout.labels):
                continue
            if entry.name.startswith("."):
                yield LeftOut(entry, "hidden", "the name begins with a dot")
            elif entry.is_dir():
                own = entry.name in _TEST_NAMES
                yield LeftOut(
                    entry,
                    f"folder {entry.name}/",
                    "data.own_validation = true takes it" if own else "it is no split",
                )
            else:
                yield LeftOut(
                    entry, f"{entry.suffix.lower() or 'without suffix'} beside the class folders", "without a label"
                )


def _counted_words(left_out: Sequence[LeftOut]) -> str:
    """Return "3 .txt, 1 .heic"."""
    kinds = Counter(one.what for one in left_out)
    return ", ".join(f"{count} {what}" for what, count in kinds.items())
