"""What is known about a data set without reading it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from larqnets.config import DataConfig

# What an example consists of, by name.
IMAGE = "image"  # what the network is given
LABEL = "label"  # the number of its class
MASK = "mask"  # the number of every pixel's class
BOXES = "boxes"  # where things are
OUTSIDE = 255  # in a mask: not known, not to be counted

# Evaluation after random resized crops looks at the middle 7/8 of the short side: 224 of 256 pixels.
CENTRAL_CROP_FRACTION = 224 / 256


@dataclass(frozen=True)
class DatasetInfo:
    """A data set as a model sees it: image = (pixel / 255 - mean) / std, float32, one mean and std per channel."""

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]  # H, W, C
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_train: int
    num_test: int
    citation: str

    @property
    def num_classes(self) -> int:
        return len(self.labels)


def crop_fraction(config: DataConfig) -> float:
    """Return the part of the short side that evaluation looks at."""
    return CENTRAL_CROP_FRACTION if config.random_resized_crop else 1.0


def normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (scale, offset), each (C,), with pixel * scale + offset = (pixel / 255 - mean) / std.

    Training and devices use these two numbers, so that they agree to the last bit.
    """
    spread = np.asarray(std, np.float64)
    return (1 / (255 * spread)).astype(np.float32), (-np.asarray(mean, np.float64) / spread).astype(np.float32)


def preprocess_info(info: DatasetInfo, config: DataConfig) -> dict[str, Any]:
    """Return what `read_image` needs to turn a file into the model's input, as JSON types to embed in a model file.

    Keys: dataset, labels, image_shape [H, W, C], mean, std, and crop_fraction, the central part of the short side.
    """
    return {
        "dataset": info.name,
        "labels": list(info.labels),
        "image_shape": list(info.image_shape),
        "mean": list(info.mean),
        "std": list(info.std),
        "crop_fraction": crop_fraction(config),
    }
