"""What a file with a rewritten stem computes beside its network."""

from math import prod

import tensorflow as tf

from deploy.export.stem import find_stem
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model


def zeros_multiplied(file: Model, model: tf.keras.Model) -> int:
    """The multiplications by zeros in the kernel of a rewritten stem, on images of even sizes; none in other files."""
    if own_metadata(file).get("stem") != "rewritten":
        return 0
    stem = find_stem(model)
    (kernel, _), (stride, _) = stem.kernel_size, stem.strides
    side = -(-kernel // stride) * stride
    return prod(stem.output_shape[1:]) * (side**2 - kernel**2) * stem.input_shape[-1]
