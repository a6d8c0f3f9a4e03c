"""The networks of keras.applications by name."""

import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from larqnets.errors import LarqnetsError, nearest


def applications() -> dict[str, Callable[..., tf.keras.Model]]:
    """Return the functions that build the networks of keras.applications, by name."""
    return {name: build for name, build in vars(tf.keras.applications).items() if inspect.isfunction(build)}


def find_application(name: str) -> Callable[..., tf.keras.Model]:
    """Return the function that builds a network; raises LarqnetsError naming the nearest where there is none."""
    known = applications()
    if name not in known:
        raise LarqnetsError(
            f"keras.applications has no network '{name}'.{nearest(name, known)} Name one of it, such as keras:MobileNetV2."
        )
    return known[name]


def preprocess_of(name: str) -> Callable[[Any], Any]:
    """Return what turns pixels 0..255 into what a network of keras.applications takes: each has its own idea of an image."""
    return sys.modules[applications()[name].__module__].preprocess_input


class PixelFormula(NamedTuple):
    """What prepares the images of a published network: (pixel / 255 - mean) / std for each channel R, G, B.

    `bgr`: the network is given the three of them in the order B, G, R.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False


def pixel_formula(name: str) -> PixelFormula:
    """Return what a network of keras.applications takes.

    It is read off its own preprocessing, by its values for black and for one full channel after the other. Raises
    LarqnetsError where that is no such formula.
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32).reshape(4, 1, 1, 3)
    black, *channels = np.asarray(preprocess_of(name)(probes)).reshape(4, 3)
    rise = np.array(channels) - black
    bgr = np.array_equal(rise != 0, np.eye(3, dtype=bool)[::-1])
    if bgr:
        black, rise = black[::-1], rise[:, ::-1]
    if not np.array_equal(rise != 0, np.eye(3, dtype=bool)):
        raise LarqnetsError(
            f"{name} of keras.applications mixes the colours of an image, which our images cannot do. Name another network."
        )
    std = 1 / np.diag(rise).astype(np.float64)
    return PixelFormula(tuple((-black * std).tolist()), tuple(std.tolist()), bgr)


def normalisation(name: str) -> dict[str, tuple[float, ...]]:
    """Return mean and std of a network of keras.applications as it is; raises LarqnetsError where its channels are BGR."""
    formula = pixel_formula(name)
    if formula.bgr:
        raise LarqnetsError(
            f"{name} of keras.applications mixes the colours of an image (BGR), which our images cannot do. Give a Keras "
            "model file that takes RGB, or leave --dataset out."
        )
    return {"mean": formula.mean, "std": formula.std}
