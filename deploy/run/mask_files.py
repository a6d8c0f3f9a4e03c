"""Where the masks of photos are written: names that never collide, and never those of files that are there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.run.image_files import is_folder
from larqnets.errors import LarqnetsError
from larqnets.files import check_folder, check_output

KIND = ".png"
_MAX_STEM_BYTES = 200  # a name has 255 at most


@dataclass(frozen=True)
class MaskFiles:
    """The mask of a photo, and the photo under it."""

    mask: Path
    overlay: Path

    @classmethod
    def beside(cls, mask: Path) -> "MaskFiles":
        """Return a mask's file and that of its overlay."""
        return cls(mask, mask.with_name(f"{mask.stem}-overlay{KIND}"))


def check_place(output: Path, inputs: Sequence[Path]) -> None:
    """Look whether the masks of inputs could be written to `output`: a .png of one photo, else a folder, made where there is none."""
    several = len(inputs) > 1 or is_folder(inputs[0])
    if not several and output.suffix and not output.is_dir():
        if output.suffix != KIND:
            raise LarqnetsError(f"{output} names no kind of mask. Let it end in {KIND}, or name a folder.")
        check_output(output)
        return
    if output.suffix == KIND and not output.is_dir():
        raise LarqnetsError(f"{output} has room for the mask of one photo. Name a folder.")
    check_folder(output)
    if output.is_dir() and any(is_folder(each) and output.samefile(each) for each in inputs):
        raise LarqnetsError(
            f"The next run would take masks in {output} for photos. Name a folder of their own with --output."
        )


def mask_files(output: Path, photos: Sequence[Path]) -> list[MaskFiles]:
    """Return the files of every photo: `output` itself where it ends in .png, else STEM.png, STEM-2.png and so on in that folder.

    Raises LarqnetsError when one is there already.
    """
    if output.suffix == KIND and not output.is_dir():
        files = [MaskFiles.beside(output)]
    else:
        taken: set[str] = set()
        files = [_free(output, photo.stem, taken) for photo in photos]
    for path in (path for each in files for path in (each.mask, each.overlay)):
        if path.exists():
            raise LarqnetsError(f"{path} exists already. Name another place with --output, or delete it.")
    return files


def _free(folder: Path, stem: str, taken: set[str]) -> MaskFiles:
    """Return files that no other photo has; file systems exist to which a.png and A.png are one."""
    while len(os.fsencode(stem)) > _MAX_STEM_BYTES:
        stem = stem[:-1]
    number = 1
    while True:
        files = MaskFiles.beside(folder / f"{stem if number == 1 else f'{stem}-{number}'}{KIND}")
        names = {path.name.casefold() for path in (files.mask, files.overlay)}
        if not names & taken:
            taken |= names
            return files
        number += 1
