"""Convolutions whose windows an engine or a converter would misread, rebuilt so that they do not.

SAME windows that end before the image does are not what XNNPACK computes (see `larqnets.tflite.xnnpack`).

The rest of an axis is what lies behind the last window: size - ((outputs - 1) stride + (window - 1) dilation + 1). Where it
is negative nowhere, nothing is padded and VALID is the same op: same size, same values. Where it is negative on one axis
and positive on another, the second is cut by its rest, which no window reads, and SAME then pads it by exactly 0.

A dilation rate is in Keras space to batch, a convolution and batch to space. The converters find the rate in them where
nothing else reads what goes to the batch, and TensorFlow makes one of equal ones: several convolutions with the same rate on
the same input would keep all three ops, and binary ones would be float. So the rate is written as an attribute of the op;
not that of depthwise convolutions, which TensorFlow has on no CPU.
"""

from functools import cache
from typing import Any

import tensorflow as tf

from larqnets.layers.dilated_conv import convolve
from larqnets.shapes import known
from larqnets.tflite.xnnpack import rest

layers = tf.keras.layers

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.SeparableConv1D, layers.SeparableConv2D)
_CONVOLUTIONS += (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose)
_NOT_ORDINARY = (layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose)


def from_config(layer: tf.keras.layers.Layer, config: dict[str, Any]) -> tf.keras.layers.Layer:
    """Return a new layer of the layer's class from `config`, its padding and rate written so that they are read right."""
    kind = _rated(type(layer)) if _has_rate(layer) else type(layer)
    rests = [_rests(layer, shape) for shape in _input_shapes(layer)] if _pads(layer) else []
    if not any(r > 0 for place in rests for r in place):
        return kind.from_config(config)
    if all(r >= 0 for place in rests for r in place):
        return kind.from_config({**config, "padding": "valid"})
    return _cutting(kind).from_config(config)


def _pads(layer: tf.keras.layers.Layer) -> bool:
    """Return whether the layer may be one that XNNPACK misreads: a convolution with SAME and a window of several pixels."""
    if not isinstance(layer, _CONVOLUTIONS) or isinstance(layer, _TRANSPOSED):
        return False
    return layer.padding == "same" and layer.data_format == "channels_last" and max(layer.kernel_size) > 1


def _input_shapes(layer: tf.keras.layers.Layer) -> list[tuple[int | None, ...]]:
    return [layer.get_input_shape_at(place) for place in range(len(layer.inbound_nodes))]


def _rests(layer: tf.keras.layers.Layer, shape: Any) -> list[int]:
    """Return the rest of every axis of an input shape (N, ..., C)."""
    geometry = zip(shape[1:-1], layer.kernel_size, layer.dilation_rate, layer.strides, strict=True)
    return [rest(*axis) for axis in geometry]


def _has_rate(layer: tf.keras.layers.Layer) -> bool:
    """Return whether the layer is an ordinary convolution of images with a dilation rate."""
    if not isinstance(layer, layers.Conv2D) or isinstance(layer, _NOT_ORDINARY):
        return False
    return max(layer.dilation_rate) > 1 and layer.groups == 1 and layer.data_format == "channels_last"


@cache
def _rated(kind: type) -> type:
    """Return a convolution's class whose rate is an attribute of the op."""
    about = f"{kind.__name__} with its rate in the op."
    return type(f"Rated{kind.__name__}", (kind,), {"convolution_op": convolve, "__doc__": about})


@cache
def _cutting(kind: type) -> type:
    """Return a convolution's class that first cuts from each axis of its input what no window reads."""

    def call(self: tf.keras.layers.Layer, inputs: tf.Tensor) -> tf.Tensor:
        kept = (size - max(0, r) for size, r in zip(known(inputs.shape[1:-1]), _rests(self, inputs.shape), strict=True))
        return kind.call(self, inputs[(slice(None), *(slice(size) for size in kept))])

    return type(
        f"Cutting{kind.__name__}", (kind,), {"call": call, "__doc__": f"{kind.__name__} of what its windows reach."}
    )
