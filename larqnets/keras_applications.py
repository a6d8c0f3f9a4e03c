"""The networks of keras.applications by name."""

import inspect
from collections.abc import Callable

import tensorflow as tf


def applications() -> dict[str, Callable[..., tf.keras.Model]]:
    """Return the functions that build the networks of keras.applications, by name."""
    return {name: build for name, build in vars(tf.keras.applications).items() if inspect.isfunction(build)}
