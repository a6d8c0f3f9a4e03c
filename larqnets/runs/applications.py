"""The networks of keras.applications by name."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.errors import LarqnetsError, first_line
from larqnets.runs.keras_config import check_weights_file
from larqnets.runs.names import KERAS_SUFFIXES


def applications() -> dict[str, Callable[..., tf.keras.Model]]:
    """Return the functions that build the networks of keras.applications, by name."""
    return {name: build for name, build in vars(tf.keras.applications).items() if inspect.isfunction(build)}


def build_application(name: str, refusal: str, remedy: str, **options: Any) -> tf.keras.Model:
    """Return a network of keras.applications with logits; raises LarqnetsError: "`refusal`: reason. `remedy`"."""
    weights = options.get("weights")
    try:
        if isinstance(weights, str) and weights.endswith(KERAS_SUFFIXES):
            check_weights_file(Path(weights))
        return applications()[name](classifier_activation=None, **options)
    except (
        Exception
    ) as error:  # Keras raises a bare Exception when a download fails, ValueError and others for a misfit
        raise LarqnetsError(f"{refusal}: {first_line(error)}. {remedy}") from error


def preprocess_of(name: str) -> Callable[[Any], Any]:
    """Return what turns pixels 0..255 into what a network of keras.applications takes: each has its own idea of an image."""
    return sys.modules[applications()[name].__module__].preprocess_input


def normalisation(name: str) -> dict[str, tuple[float, ...]]:
    """Return mean and std with which (pixel / 255 - mean) / std is what a network of keras.applications takes.

    They are read off its own preprocessing, by its values for black and for one full channel after the other. Raises
    LarqnetsError where that is no such formula, as of networks whose channels are BGR.
    """
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32).reshape(4, 1, 1, 3)
    black, *channels = np.asarray(preprocess_of(name)(probes)).reshape(4, 3)
    rise = np.array(channels) - black
    if not np.array_equal(rise != 0, np.eye(3, dtype=bool)):
        raise LarqnetsError(
            f"{name} of keras.applications mixes the colours of an image (BGR), which our images cannot do. Give a Keras "
            "model file that takes RGB, or leave --dataset out."
        )
    std = 1 / np.diag(rise).astype(np.float64)
    return {"mean": tuple((-black * std).tolist()), "std": tuple(std.tolist())}
