"""Masks as pictures: in the colours of the classes, and laid over their images. Without TensorFlow."""

import numpy as np
from PIL import Image

from larqnets.data.contact_sheet import Tile
from larqnets.data.info import OUTSIDE
from larqnets.data.palette import Colors

NO_CLASS = (235, 235, 235)
_SHARE = 0.5  # of the colour in an overlay


def colored(mask: np.ndarray, colors: Colors) -> Image.Image:
    """Return a mask (H, W) in the colours of its classes."""
    return Image.fromarray(_table(colors)[mask])


def with_palette(mask: np.ndarray, colors: Colors) -> Image.Image:
    """Return a mask uint8 (H, W) as a picture whose pixels are the numbers of the classes, shown in their colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(_table(colors).tobytes())  # all 256: of fewer Pillow would store fewer bits than 8
    return picture


def overlay(picture: Image.Image, mask: np.ndarray, colors: Colors) -> Image.Image:
    """Return a picture under its mask, of the same size.

    It stays as it is where there is no class, and where the class is black: as a rule the background, which would be darkened.
    """
    image, shown = picture.convert("RGB"), colored(mask, colors)
    bare = (mask == OUTSIDE) | ~np.asarray(shown).any(axis=-1)
    return Image.composite(image, Image.blend(image, shown, _SHARE), Image.fromarray(bare))


def _table(colors: Colors) -> np.ndarray:
    """Return the colour of every value of a mask, uint8 (256, 3)."""
    table = np.full((OUTSIDE + 1, 3), NO_CLASS, np.uint8)
    table[: len(colors)] = colors
    return table


def wrong_pixels(picture: Image.Image, true: np.ndarray, given: np.ndarray) -> Image.Image:
    """Return a picture in pale grey, on which pixels of another class than theirs are red."""
    grey = np.asarray(picture.convert("L"), np.float32)[..., np.newaxis].repeat(3, -1)
    pale = 255 - (255 - grey) / 2
    wrong = (true != given) & (true != OUTSIDE)
    return Image.fromarray(np.where(wrong[..., np.newaxis], (200, 30, 30), pale).astype(np.uint8))


def color_key(labels: tuple[str, ...], colors: Colors, width: int = 4) -> list[Tile]:
    """Return a tile in the colour of every class, so many times as wide as high, its name below."""
    return [
        Tile(Image.new("RGB", (width, 1), color), (label,), whole=True)
        for label, color in zip(labels, colors, strict=True)
    ]
