"""The networks that `larqnets summary` can be asked about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.config import apply_override, load_config
from larqnets.data import load_dataset
from larqnets.models import create_model
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.names import KERAS_SUFFIXES, image_shape, looks_like_run
from larqnets.runs.run import Run
from larqnets.runs.weights import build_model, load_trained_model


def model_of(
    subject: str,
    backbone: str | None,
    image: str,
    classes: int,
    stem: str,
    width: float,
    overrides: Sequence[str],
) -> tf.keras.Model:
    """Build the network of a method with its backbone, a run, a config, or load a Keras file; weights do not matter.

    `image`: "HxWxC". `overrides` are options of the method ("reduction=8"), or of a config. Raises LarqnetsError when the
    subject is none of them.
    """
    if backbone is not None:
        options: dict[str, Any] = {}
        for override in overrides:
            apply_override(options, override)
        shape = image_shape(image)
        return create_model(subject, backbone, shape, classes, stem=stem, width=width, **options)  # pyright: ignore[reportArgumentType]  # the command has looked at stem
    path = Path(subject)
    if path.suffix in KERAS_SUFFIXES:
        return load_keras_file(path)
    run = Run.open(path) if path.is_dir() or looks_like_run(path) else None
    if run is not None and run.kind != "trained":
        return load_trained_model(run)
    experiment = load_config(subject, overrides) if run is None else run.experiment
    info = load_dataset(experiment.data).info
    return build_model(experiment, info.image_shape, info.num_classes, experiment.training_stages[-1])
