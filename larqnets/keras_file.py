"""Keras 2 model files: read without running any code in them, written whole or not at all."""

import io
from pathlib import Path

from larqnets import require_keras_2

require_keras_2()

import h5py  # noqa: E402
import larq as lq  # noqa: E402, F401 - registers its layers for loading
import tensorflow as tf  # noqa: E402
from tf_keras.src.saving.legacy import hdf5_format  # noqa: E402
from tf_keras.src.saving.serialization_lib import SafeModeScope  # noqa: E402

import larqnets.layers.input_scale  # noqa: E402
import larqnets.quantizers  # noqa: E402, F401 - registers ours
from larqnets.errors import LarqnetsError  # noqa: E402

SUFFIXES = (".keras", ".h5", ".hdf5")


def load_keras_file(path: Path) -> tf.keras.Model:
    """Load a Keras 2 model file of one input, of a fixed size, and one output; Lambda layers, which carry code, are refused."""
    if not path.exists():
        raise LarqnetsError(f"There is no file or run at {path}. Give runs/<name>, or a Keras model file.")
    if path.suffix not in SUFFIXES:
        raise LarqnetsError(f"{path} is neither a run folder nor a Keras model file (.keras, .h5).")
    try:
        with SafeModeScope(True):
            model = tf.keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises whatever its parsers do: zip, HDF5, JSON, missing classes, refused code.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if "Lambda" in reason:
            raise LarqnetsError(
                f"{path} has a Lambda layer, which is code that would run here. Save the model with a layer of Keras or "
                "Larq in its place."
            ) from error
        raise LarqnetsError(
            f"{path} cannot be loaded as a Keras 2 model: {reason}. Layers must be Keras', Larq's or larqnets' own."
        ) from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise LarqnetsError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs. Save a model with one of each."
        )
    if None in model.input_shape[1:]:
        raise LarqnetsError(
            f"{path} takes images of any size, {model.input_shape[1:]}. Save it with the size that the device will see."
        )
    return model


def keras_file_content(model: tf.keras.Model) -> bytes:
    """Return graph and weights of a model as the bytes of an .h5 file, to be written whole."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        hdf5_format.save_model_to_hdf5(model, file, include_optimizer=False)
    return content.getvalue()
