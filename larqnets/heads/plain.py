"""The head of SegNet (Badrinarayanan et al. 2015, arXiv 1511.00561): the convolution that the decoder ends with."""

from typing import Any

import tensorflow as tf

from larqnets.backbones import Backbone
from larqnets.errors import LarqnetsError
from larqnets.heads import check_classes
from larqnets.methods import Method

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)


def plain(
    stages: list[Tensor], method: Method, backbone: Backbone, classes: int, image_shape: tuple[int, int, int]
) -> Tensor:
    """Return logits (N, H, W, classes): a real 3x3 convolution with a bias on the last stage, which is as large as the image.

    Raises LarqnetsError for less than 2 classes, and for a last map that is smaller than the image.
    """
    check_classes(classes)
    x = stages[-1]
    height, width, _ = image_shape
    if tuple(x.shape[1:3]) != (height, width):
        raise LarqnetsError(
            f"The head plain labels the pixels of a map as large as the image, and the last one of {method.name} on "
            f"'{backbone.name}' has {x.shape[1]}x{x.shape[2]} of {height}x{width}. Use the head fcn, or the method segnet."
        )
    return tf.keras.layers.Conv2D(classes, 3, padding="same", name="logits")(method.tail(x, "head"))
