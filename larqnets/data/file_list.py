"""Files that are images, listed: what is taken of a folder, and what is not with the reason."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larqnets.data.image import GET_HEIF, HEIF, HEIF_SUFFIXES, SUFFIXES, Header, formats
from larqnets.data.masks import Codes, MaskFile
from larqnets.errors import LarqnetsError

TRAIN, TEST, VALIDATION = "train", "test", "validation"
TEST_NAMES = ("test", "validation", "val", "valid")
EVERYTHING = ""  # the one split of a folder that has none
UNFIT = "unfit"  # what a file is that can be read, and does not fit to others


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not taken: what it is, such as ".txt", and why."""

    path: Path
    what: str
    why: str


@dataclass(frozen=True)
class FileList:
    """The images of one split below the folder `root`, sorted by label and name; `labels` (N,) int32 are their numbers.

    Where every pixel has a class instead, `masks` are the files that say it, and all labels are 0.
    """

    root: Path
    paths: tuple[str, ...]
    headers: tuple[Header, ...]
    labels: np.ndarray
    masks: tuple[MaskFile, ...] = ()

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
            tuple(self.masks[i] for i in chosen if self.masks),
        )

    def files(self) -> dict[str, Path]:
        """Return every file by its path below `root`."""
        everything = map(Path, (*self.paths, *(mask.path for mask in self.masks)))
        return {path.relative_to(self.root).as_posix(): path for path in everything}


@dataclass(frozen=True)
class Layout:
    """Where the images of a folder lie: for every split the folder of its class folders."""

    path: Path
    labels: tuple[str, ...]
    splits: dict[str, Path]

    @property
    def is_flat(self) -> bool:
        """Whether there are no splits, so that one has to be made."""
        return EVERYTHING in self.splits


@dataclass(frozen=True)
class ImageFolder:
    """A folder that was looked at. `channels` is 1 when every image is grey, else 3; `damaged` cannot be used.

    `codes`: where pixels have classes, what each value of a stored mask stands for, see `larqnets.data.masks`.
    """

    layout: Layout
    channels: int
    splits: dict[str, FileList]
    left_out: tuple[LeftOut, ...]
    damaged: tuple[LeftOut, ...]
    codes: Codes | None = None


def damage(path: Path, damaged: Sequence[LeftOut]) -> LarqnetsError:
    """Return the error about files of the folder that cannot be used: not read as an image, or unfit for what is said."""
    first, more = damaged[0], len(damaged) - 1
    if first.what == UNFIT:
        others = f" So it is with {more:,} more files; `larqnets data check {path}` lists all." if more else ""
        return LarqnetsError(first.why + others)
    if not more:
        return LarqnetsError(f"{first.path} cannot be read as an image. Replace or delete it.")
    return LarqnetsError(
        f"{first.path} cannot be read as an image, nor can {more:,} more. `larqnets data check {path}` lists them: replace or "
        "delete them."
    )


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Say in a sentence which folder the block cannot list."""
    try:
        yield
    except OSError as error:
        raise LarqnetsError(f"Cannot read {error.filename}: {error.strerror}. Check its permissions.") from error


def images_in(folder: Path, left_out: list[LeftOut]) -> list[Path]:
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


def counted_words(left_out: Sequence[LeftOut]) -> str:
    """Return "3 .txt, 1 .heic"."""
    kinds = Counter(one.what for one in left_out)
    return ", ".join(f"{count} {what}" for what, count in kinds.items())
