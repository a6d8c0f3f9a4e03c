"""Folders of images with masks, in which the mask can be read off the image: its red is 20 times the class."""

from pathlib import Path

import numpy as np
from PIL import Image

STEP = 20
NAMES = ("ground", "house", "tree")


def blocks(rng, size, classes=3, block=4):
    """A mask of square blocks, uint8 (H, W), with every class in it."""
    rows, columns = -(-size[0] // block), -(-size[1] // block)
    small = rng.permutation(np.arange(rows * columns) % classes).reshape(rows, columns)
    return small.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]].astype(np.uint8)


def image_of(mask):
    """The image that shows a mask, uint8 (H, W, 3); OUTSIDE is white."""
    red = np.where(mask == 255, 255, STEP * np.minimum(mask, 12)).astype(np.uint8)
    return np.stack([red, np.full_like(red, 60), 255 - red], axis=-1)


def save(path: Path, pixels, palette=None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path, **options)
    return path


def write_pair(folder: Path, name: str, mask, image=None) -> None:
    save(folder / "images" / f"{name}.png", image_of(mask) if image is None else image)
    save(folder / "masks" / f"{name}.png", mask)


def write_folder(root: Path, splits=(("train", 6), ("test", 3)), size=(16, 24), names=NAMES, ignore=True) -> Path:
    """Write images/ and masks/ of every split, that of "" in `root` itself; the last row has no class."""
    rng = np.random.default_rng(0)
    for split, count in splits:
        for number in range(count):
            mask = blocks(rng, size, len(names))
            if ignore:
                mask[-1] = 255
            write_pair(root / split, f"{split or 'all'}{number}", mask)
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    return root
