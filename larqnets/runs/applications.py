"""The networks of keras.applications by name."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.errors import LarqnetsError
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LarqnetsError(f"{refusal}: {reason}. {remedy}") from error
