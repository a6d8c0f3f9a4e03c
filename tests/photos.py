"""A folder of small photos, for what a user with images of their own does."""

from pathlib import Path

import numpy as np
from PIL import Image

# A config for 8x8 images of a folder; `more` are further lines of [train], its last table.
CONFIG = """
[model]
method = "real"
backbone = "resnet8"
width = 0.0625
[data]
dataset = "folder:{folder}"
image_size = 8
[train]
epochs = 1
{more}
"""


def photos(folder: Path, mode: str = "RGB", train: int = 8, test: int = 4) -> Path:
    """Images 15x14 of three classes that differ in colour: so many of each to learn from and to test."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for i, label in enumerate("abc"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 120, (15, 14, 3), np.uint8)
                pixels[..., i] += 120
                Image.fromarray(pixels).convert(mode).save(folder / split / label / f"{number}.png")
    return folder
