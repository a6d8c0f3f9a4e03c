"""Keras 2 model files: read without running any code in them, written whole or not at all."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import h5py  # noqa: E402
import tensorflow as tf  # noqa: E402
from tf_keras.src.saving import saving_lib  # noqa: E402
from tf_keras.src.saving.legacy import hdf5_format  # noqa: E402

from larqnets.errors import LarqnetsError, keras_reason  # noqa: E402
from larqnets.runs.keras_config import KerasFile, RefusedError, open_keras_file  # noqa: E402
from larqnets.runs.keras_layers import build_network  # noqa: E402
from larqnets.runs.names import check_is_keras_file  # noqa: E402

# Numbers that a network may need beyond those in its file: states of random layers.
_SPARE = 1_000_000


def load_keras_file(path: Path, size: tuple[int, int] | None = None) -> tf.keras.Model:
    """Load a Keras 2 model file of one input, of a fixed size, and one output; with a `size`, for images (height, width).

    Nothing that the file names is looked up but what `larqnets.runs.keras_layers` lists. Raises LarqnetsError for anything else.
    """
    check_is_keras_file(path)
    try:
        with open_keras_file(path) as file:
            model = _load(file)
    except RefusedError as error:
        raise LarqnetsError(f"{path} {error}.") from error
    except Exception as error:
        # Whatever zip, HDF5 and JSON readers raise on torn files, and Keras on options that do not fit together.
        raise LarqnetsError(
            f"{path} cannot be loaded as a Keras 2 model: {keras_reason(error)}. Save it again with model.save in Keras 2."
        ) from error
    if not model.inputs or not model.outputs:
        raise LarqnetsError(
            f"{path} does not say how large its images are. Begin the model with tf.keras.Input(shape)."
        )
    if len(model.inputs) != 1:
        raise LarqnetsError(f"{path} has {len(model.inputs)} inputs. Save a model with one.")
    if isinstance(model.output, dict):
        raise LarqnetsError(
            f"{path} answers with a dictionary. Let it answer with a list, made by layers that are called as its keys are."
        )
    shape = model.input_shape
    if size is not None:
        model = _of_size(model, size, path)
    elif shape is None or None in shape[1:]:
        raise LarqnetsError(
            f"{path} takes images of any size, {shape and shape[1:]}. Save it with the size that the device will see, or name "
            "that in convert or import: --image-size HxW."
        )
    return model


def _of_size(model: tf.keras.Model, size: tuple[int, int], path: Path) -> tf.keras.Model:
    """Return the model with its weights for images (height, width); itself where it is."""
    shape = model.input_shape[1:]
    if len(shape) != 3 or shape[2] is None:
        raise LarqnetsError(f"{path} takes values of shape {shape} and no images. Leave --image-size out.")
    if shape[:2] == size:
        return model
    try:
        with tf.variable_creator_scope(_at_most(model.count_params() + _SPARE)):
            clone = tf.keras.models.clone_model(model, tf.keras.Input((*size, shape[2]), name=model.input_names[0]))
        clone.set_weights(model.get_weights())
    except Exception as error:  # Keras raises ValueError and others for layers that only one size fits
        height, width = size
        raise LarqnetsError(
            f"{path} is a network for images of {shape[0]}x{shape[1]} and cannot take those of {height}x{width}: "
            f"{keras_reason(error)}. Leave --image-size out."
        ) from error
    return clone


def _load(file: KerasFile) -> tf.keras.Model:
    """Return the network with the weights of the file."""
    with tf.variable_creator_scope(_at_most(file.elements + _SPARE)), _without_advice_on_training():
        model = build_network(file.config)
    if file.layout == "h5":
        hdf5_format.load_weights_from_hdf5_group(file.weights, model)
    else:
        saving_lib._load_state(model, _Weights(file.weights), None, inner_path="", visited_trackables=set())
    return model


def _at_most(elements: int) -> Callable[..., Any]:
    """Return a creator of variables that refuses a network with more weights than its file holds, before it has them."""
    left = elements

    def create(create_next: Callable[..., Any], **options: Any) -> Any:
        nonlocal left
        shape = options.get("shape")
        left -= tf.TensorShape(shape).num_elements() or 0 if shape is not None else 0
        if left < 0:
            raise RefusedError(
                "describes a network with more weights than are in it. Save the model again with model.save"
            )
        return create_next(**options)

    return create


@contextlib.contextmanager
def _without_advice_on_training() -> Iterator[None]:
    """Keep Larq from warning of every binary kernel whose constraint, which only training needs, was left out."""
    log = logging.getLogger("larq.layers_base")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


class _Weights:
    """The weights of a .keras file as Keras asks for them: by the path of a layer."""

    def __init__(self, file: h5py.Group) -> None:
        self.file = file

    def get(self, path: str) -> Any:
        """Return the arrays of the layer at `path`, called "0", "1", …"""
        return self.file.get(f"{path}/vars" if path else "vars", {})


def keras_file_content(model: tf.keras.Model) -> bytes:
    """Return graph and weights of a model as the bytes of an .h5 file, to be written whole."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        hdf5_format.save_model_to_hdf5(model, file, include_optimizer=False)
    return content.getvalue()
