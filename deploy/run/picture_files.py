"""Where the pictures that are made of photos are written: names that never collide, and never those of files that are there."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.run.image_files import is_folder
from larqnets.errors import LarqnetsError
from larqnets.files import check_folder, check_output

KIND = ".png"
_MAX_STEM_BYTES = 200  # a name has 255 at most

Files = dict[str, Path]  # picture -> its file


def check_place(output: Path, inputs: Sequence[Path], what: str) -> None:
    """Look whether the pictures of inputs could be written to `output`: a .png of one photo, else a folder, made where there is none.

    `what` they are called, in the singular.
    """
    several = len(inputs) > 1 or is_folder(inputs[0])
    if not several and output.suffix and not output.is_dir():
        if output.suffix != KIND:
            raise LarqnetsError(f"{output} names no kind of {what}. Let it end in {KIND}, or name a folder.")
        check_output(output)
        return
    if output.suffix == KIND and not output.is_dir():
        raise LarqnetsError(f"{output} has room for the {what} of one photo. Name a folder.")
    check_folder(output)
    if output.is_dir() and any(is_folder(each) and output.samefile(each) for each in inputs):
        raise LarqnetsError(
            f"The next run would take {what}s in {output} for photos. Name a folder of their own with --output."
        )


def picture_files(output: Path, photos: Sequence[Path], endings: Mapping[str, str]) -> list[Files]:
    """Return the files of every photo: `output` itself where it ends in .png, else STEM.png, STEM-2.png and so on in that folder.

    `endings`: picture -> what follows in the name of its file. Raises LarqnetsError when one is there already.
    """
    if output.suffix == KIND and not output.is_dir():
        files = [_beside(output, endings)]
    else:
        taken: set[str] = set()
        files = [_free(output, photo.stem, endings, taken) for photo in photos]
    for path in (path for each in files for path in each.values()):
        if path.exists():
            raise LarqnetsError(f"{path} exists already. Name another place with --output, or delete it.")
    return files


def _beside(path: Path, endings: Mapping[str, str]) -> Files:
    return {name: path.with_name(f"{path.stem}{ending}{KIND}") for name, ending in endings.items()}


def _free(folder: Path, stem: str, endings: Mapping[str, str], taken: set[str]) -> Files:
    """Return files that no other photo has; file systems exist to which a.png and A.png are one."""
    while len(os.fsencode(stem)) > _MAX_STEM_BYTES:
        stem = stem[:-1]
    number = 1
    while True:
        files = _beside(folder / f"{stem if number == 1 else f'{stem}-{number}'}{KIND}", endings)
        names = {path.name.casefold() for path in files.values()}
        if not names & taken:
            taken |= names
            return files
        number += 1
