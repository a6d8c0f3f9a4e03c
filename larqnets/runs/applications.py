"""Networks of keras.applications built whole, with weights of Keras or of a file that a stranger may have written."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.errors import LarqnetsError, first_line
from larqnets.published.applications import applications
from larqnets.runs.keras_config import check_weights_file
from larqnets.runs.names import KERAS_SUFFIXES


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
