"""The head of fully convolutional networks (Long et al. 2015, arXiv 1411.4038), as Group-Net's code has it."""

from typing import Any

import tensorflow as tf

from larqnets.backbones import Backbone, Unit
from larqnets.heads import check_pixels
from larqnets.layers.counted_dropout import CountedDropout
from larqnets.methods import Method

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers


def fcn(
    stages: list[Tensor],
    method: Method,
    backbone: Backbone,
    classes: int,
    image_shape: tuple[int, int, int],
    *,
    skip: bool = False,
    dropout: float = 0.1,
) -> Tensor:
    """Return logits (N, H, W, classes): 3x3 to a quarter of the channels, BatchNorm, ReLU, dropout, 1x1, bilinear to H x W.

    All of it is real unless the method's paper says otherwise. `skip` adds the scores of a second 1x1 on the last stage but
    one before they are made larger (FCN-16s). Raises LarqnetsError, see `check_pixels`.
    """
    check_pixels(backbone, image_shape, classes)
    x = method.tail(stages[-1], "head")
    x = method.hidden(x, Unit(max(1, x.shape[-1] // 4)), "head_conv")
    x = CountedDropout(dropout, name="head_dropout")(x)
    x = method.pixel_answer(x, classes, "head_scores")
    if skip:
        y = method.pixel_answer(method.tail(stages[-2], "head_skip"), classes, "head_skip_scores")
        x = layers.Add(name="head_sum")([enlarged(x, y.shape[1:3], "head_larger"), y])
    return enlarged(x, image_shape[:2], "logits")


def enlarged(x: Tensor, size: tuple[int, int], name: str) -> Tensor:
    """Return the map with (height, width) pixels, bilinear with half-pixel centres; one of that size stays as it is."""
    if tuple(x.shape[1:3]) == size:
        return layers.Activation("linear", name=name)(x)
    return layers.Resizing(*size, interpolation="bilinear", name=name)(x)
