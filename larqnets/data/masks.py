"""Masks: a picture whose pixels are numbers of classes. The numbers are read, never the colours that a palette has for them.

A stored value stands for a class as `Codes` say; what stands for none is OUTSIDE, which no loss and no score counts.
Without TensorFlow.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from larqnets.data.image import Header, opened, read_header
from larqnets.data.info import OUTSIDE
from larqnets.errors import LarqnetsError, some

VALUES = 256  # that a pixel of a mask can have
_SAVE = "Save masks as PNG of 8 bits, grey or with a palette, whose pixels are the numbers of classes"


@dataclass(frozen=True)
class MaskFile:
    """A file with a mask. `plain`: a grey PNG of 8 bits that lies as its image is stored, for any reader of PNG.

    `turn`: the EXIF orientation of its image where the mask is upright already, else 1.
    """

    path: str
    plain: bool
    turn: int = 1


@dataclass(frozen=True)
class Codes:
    """What every value of a stored mask stands for: the number of a class, OUTSIDE, or nothing (-1); `values` (256,) int."""

    values: tuple[int, ...]
    classes: int

    @classmethod
    def of(cls, values: Sequence[int | None], classes: int, ignored: int) -> "Codes":
        """Return those of which `values` names the class; OUTSIDE and the value `ignored` stand for none.

        `values`: of every stored value from 0 on its class, None: of no class. Those beyond stand for nothing.
        """
        known = [OUTSIDE if value is None else value for value in values]
        table = [*known, *[-1] * (VALUES - len(known))]
        table[OUTSIDE] = table[ignored] = OUTSIDE
        return cls(tuple(table), classes)

    @property
    def table(self) -> np.ndarray:
        """The values as uint8 (256,); one that stands for nothing is OUTSIDE, which `problem` has told of before."""
        found = np.array(self.values)
        return np.where(found < 0, OUTSIDE, found).astype(np.uint8)

    @property
    def changes(self) -> bool:
        """Whether a value that stands for something stands for another number than its own."""
        return any(code not in (-1, value) for value, code in enumerate(self.values))

    def problem(self, counts: np.ndarray) -> str:
        """Return the sentence about a mask whose values were counted, (256,), that has values without a meaning, else ""."""
        bad = [value for value in np.flatnonzero(counts).tolist() if self.values[value] < 0]
        if not bad:
            return ""
        many = "values" if len(bad) > 1 else "the value"
        return (
            f"has pixels of {many} {some([str(value) for value in bad])}, and there are {self.classes} classes, numbered "
            "from 0. Name all classes, or the value of pixels without a class with data.ignore_label."
        )


def mask_file(path: Path, image: Header, image_path: Path) -> MaskFile:
    """Return the mask of an image whose header is given.

    Raises LarqnetsError for a mask of another size, and for a picture that is no mask: in colours, of 16 bits, a JPEG.
    """
    own = read_header(path)
    _check_kind(path, own)
    turn, size = 1, own.size
    if own.orientation != 1 or (image.orientation >= 5 and own.size == image.upright_size != image.size):
        turn, size = image.orientation, own.upright_size
    expected = image.size if turn == 1 else image.upright_size
    if size != expected:
        raise LarqnetsError(
            f"The mask {path} has {_words(size)} pixels and its image {image_path} has {_words(expected)}. Save it in the "
            "size of the image."
        )
    plain = (own.format, own.mode, own.orientation, turn) == ("PNG", "L", 1, 1)
    return MaskFile(str(path), plain, turn)


def read_mask(mask: MaskFile) -> np.ndarray:
    """Return the stored values of a mask as its image is stored, uint8 (H, W).

    Raises LarqnetsError for a file that is missing, damaged or no mask.
    """
    path = Path(mask.path)
    with opened(path) as picture:
        if picture.mode not in ("1", "L", "P"):
            _check_kind(path, read_header(path))
        values = np.asarray(ImageOps.exif_transpose(picture)).astype(np.uint8)
    return _turned_back(values, mask.turn)


def as_grey_png(mask: MaskFile) -> bytes:
    """Return `read_mask` as a grey PNG."""
    content = io.BytesIO()
    Image.fromarray(read_mask(mask)).save(content, "PNG", compress_level=1)
    return content.getvalue()


def count_values(mask: np.ndarray) -> np.ndarray:
    """Return how many pixels of a mask (H, W) have each value, int64 (256,)."""
    return np.bincount(mask.ravel(), minlength=VALUES)


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return an array (H, W) that is stored with an EXIF orientation as it is shown."""
    values = values.T if orientation >= 5 else values
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _check_kind(path: Path, header: Header) -> None:
    if header.mode.startswith("I"):
        raise LarqnetsError(f"The mask {path} has pixels of 16 bits or more. {_SAVE}.")
    if header.mode not in ("1", "L", "P"):
        raise LarqnetsError(f"The mask {path} is a picture in colours ({header.mode}). {_SAVE}.")
    if header.format in ("JPEG", "WEBP"):
        raise LarqnetsError(f"The mask {path} is a {header.format}, which does not keep numbers as they are. {_SAVE}.")


def _turned_back(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return an upright array as it is stored where the EXIF orientation is `orientation`."""
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values.T if orientation >= 5 else values


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
