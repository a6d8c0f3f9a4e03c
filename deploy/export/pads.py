"""Zeros around an image, kept where LCE's converter would turn them and the convolution behind them into another one.

The converter makes one SAME convolution of a pad (before, behind) and a VALID convolution when behind is before or one
more, along both axes, and the output has the size that SAME gives, ceil(size / stride). That is right only if SAME pads
as much before the image:

    before = max((ceil(size / stride) - 1) stride + (k - 1) dilation + 1 - size, 0) // 2

Otherwise every window moves by the difference, e.g. for 1 on every side of 8 x 8, kernel 3, stride 2, where SAME pads
nothing before. Such a pad is exported in two steps, what lies behind first: the last step then has more before than
behind, which the converter leaves as it is.
"""

from typing import TypeGuard

import numpy as np
import tensorflow as tf

from deploy.export.algebra import entry
from deploy.export.entry import layers_behind
from deploy.export.stand_ins import Sides

layers = tf.keras.layers

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


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
        elif entry(behind).is_identity(behind):  # nothing of it is left, so that pad and convolution meet
            found += _convolutions_behind(behind)
    return found


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
