"""Which images a command is given: files as they are named, folders with all that is in them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from larqnets.data.image import FORMATS


@dataclass
class Found:
    """Images in the order in which they are named, those of a folder by name.

    `left_out`: how many files of folders have a suffix that no image has, by suffix; `wrong`: folder -> why none of its
    images is here.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    wrong: dict[Path, str] = field(default_factory=dict)


def suffixes() -> frozenset[str]:
    """Return the suffixes, such as .jpg, of the kinds of image that are read here."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)


def is_folder(path: Path) -> bool:
    """Return whether a path names a folder that can be looked at; what reads a path that cannot says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def find_images(inputs: Sequence[Path], without: Path | None = None) -> Found:
    """Look into every folder of `inputs` and the folders in it, once into each however it is linked, and not into `without`.

    Hidden files and folders are left out. What is no folder is taken for an image, whatever it is called.
    """
    found, known = Found(), suffixes()
    for given in inputs:
        if not is_folder(given):
            found.paths.append(given)
            continue
        before, problems = len(found.paths), len(found.wrong)
        for path in _files_in(given, found.wrong, without):
            if path.suffix.lower() in known:
                found.paths.append(path)
            else:
                found.left_out[path.suffix.lower()] += 1
        if len(found.paths) == before and len(found.wrong) == problems:
            found.wrong[given] = f"{given} holds no image ({', '.join(sorted(known))}). Check the path."
    return found


def _files_in(folder: Path, wrong: dict[Path, str], without: Path | None) -> Iterator[Path]:
    """Yield the files of a folder, then those of the folders in it; `wrong` gets those that cannot be read."""
    waiting, seen = [folder], set()
    if without is not None and is_folder(without):
        seen.add(_identity(without))
    while waiting:
        here = waiting.pop()
        try:
            if (key := _identity(here)) in seen:
                continue
            seen.add(key)
            listed = sorted(path for path in here.iterdir() if not path.name.startswith("."))
        except OSError as error:
            wrong[here] = f"{here} cannot be read: {error.strerror or error}. Check its permissions."
            continue
        folders: list[Path] = []
        for path in listed:
            if is_folder(path):
                folders.append(path)
            else:
                yield path
        waiting += reversed(folders)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
