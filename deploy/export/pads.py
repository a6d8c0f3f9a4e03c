"""Zeros around an image, kept where LCE's converter would turn them and the convolution behind them into another one.

The converter makes one SAME convolution of a pad (before, behind) and a VALID convolution when behind is before or one
more, along both axes, and the output has the size that SAME gives, ceil(size / stride). That is right only if SAME pads
as much before the image:

    before = max((ceil(size / stride) - 1) stride + (k - 1) dilation + 1 - size, 0) // 2

Otherwise every window moves by the difference, e.g. for 1 on every side of 8 x 8, kernel 3, stride 2, where SAME pads
nothing before. Such a pad is exported in two steps, what lies behind first: the last step then has more before than
behind, which the converter leaves as it is.
"""

from typing import Any, TypeGuard

import numpy as np
import tensorflow as tf

from deploy.export.links import layers_behind

layers = tf.keras.layers

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
# What is nothing at all in an exported network, so that pad and convolution meet.
_NOTHING = (layers.Dropout, layers.SpatialDropout2D, layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout)
_NOTHING += (layers.ActivityRegularization,)
Sides = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


@tf.keras.utils.register_keras_serializable("larqnets")
class SplitPadding(layers.Layer):
    """Zeros around (N, H, W, C) in two steps: bottom and right, then top and left."""

    def __init__(self, padding: Sides, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs: tf.Tensor, *_: Any, **__: Any) -> tf.Tensor:
        """Pad; further arguments are those of the function that the layer stands for, and known already."""
        (top, bottom), (left, right) = self.padding
        ended = tf.pad(inputs, [[0, 0], [0, bottom], [0, right], [0, 0]])
        return tf.pad(ended, [[0, 0], [top, 0], [left, 0], [0, 0]])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "padding": self.padding}


def pads_to_split(model: tf.keras.Model, binary: set[str]) -> dict[str, Sides]:
    """Return the pads of a functional model, by layer, that the converter would misread; `binary` names 1-bit layers."""
    found = {}
    for layer in model.layers:
        sides = _zeros_around(layer)
        if sides is not None and any(
            _is_misread(sides, layer.get_input_shape_at(place)[1:3], convolution)
            for place in range(len(layer.inbound_nodes))
            for convolution in _convolutions_behind(layer)
            if convolution.name not in binary
        ):
            found[layer.name] = sides
    return found


def _zeros_around(layer: layers.Layer) -> Sides | None:
    """Return how many zeros the layer puts around (N, H, W, C); None for a layer that does something else."""
    if isinstance(layer, layers.ZeroPadding2D):
        return layer.padding if layer.data_format == "channels_last" else None
    symbol = getattr(layer, "symbol", None)
    if symbol not in ("pad", "compat.v1.pad") or len(layer.inbound_nodes) != 1:
        return None
    (node,) = layer.inbound_nodes
    names = ("tensor", "paddings", "mode", "name", "constant_values")
    arguments = {**dict(zip(names, node.call_args, strict=False)), **node.call_kwargs}
    try:
        pads = np.asarray(arguments["paddings"], int)
        plain = arguments.get("mode", "CONSTANT").upper() == "CONSTANT" and not arguments.get("constant_values", 0)
    except (KeyError, TypeError, ValueError):  # paddings that are computed
        return None
    if not plain or pads.shape != (4, 2) or pads[[0, 3]].any():
        return None
    return tuple(pads[1].tolist()), tuple(pads[2].tolist())


def _convolutions_behind(layer: layers.Layer) -> list[layers.Conv2D]:
    found: list[layers.Conv2D] = []
    for behind in layers_behind(layer):
        if _is_valid_convolution(behind):
            found.append(behind)
        elif isinstance(behind, _NOTHING) or _is_linear(behind):
            found += _convolutions_behind(behind)
    return found


def _is_linear(layer: layers.Layer) -> bool:
    return isinstance(layer, layers.Activation) and layer.activation is tf.keras.activations.linear


def _is_valid_convolution(layer: layers.Layer) -> TypeGuard[layers.Conv2D]:
    transposed = isinstance(layer, layers.Conv2DTranspose)
    return isinstance(layer, _CONVOLUTIONS) and not transposed and layer.padding == "valid"


def _is_misread(sides: Sides, size: tuple[int, int], convolution: layers.Conv2D) -> bool:
    geometry = zip(sides, size, convolution.kernel_size, convolution.strides, convolution.dilation_rate, strict=True)
    matched, moved = [], []
    for (before, behind), length, kernel, stride, dilation in geometry:
        reach = (kernel - 1) * dilation + 1
        same = -(-length // stride)
        matched.append(0 <= behind - before <= 1 and (before + length + behind - reach) // stride + 1 == same)
        moved.append(max((same - 1) * stride + reach - length, 0) // 2 != before)
    return all(matched) and any(moved)
