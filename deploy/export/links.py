"""Elastic-Link's constants, folded by hand: the converter stops at the addition.

Of gamma, the 1/G of a squeeze by mean and, where BatchNorm stands behind the sum, its factor a, one constant is left on
the link; a and the constant b of that BatchNorm go on into the binary convolution's multiplier and bias:

    BN(F + gamma T)  =  a F + (a gamma) T + b,      a = g / sqrt(v + e),  b = beta - a m,   F = conv of the binary kernel

so that both placements of BatchNorm give one graph. A link whose constant is 1 costs no multiplication.
"""

from collections.abc import Collection
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from deploy.export.entry import factor_and_bias, is_norm, layers_before, layers_behind
from deploy.export.stand_ins import MovedNorm
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.link_scale import LinkScale

layers = tf.keras.layers


class Links:
    """What becomes of the links of a trained model: of every LinkScale, squeeze by mean, and BatchNorm behind a sum.

    `binary` names the layers that become 1-bit convolutions.
    """

    def __init__(self, model: tf.keras.Model, binary: Collection[str]) -> None:
        self.moved: dict[str, layers.BatchNormalization] = {}  # convolution -> the BatchNorm that it takes up
        self.constants: dict[str, np.ndarray] = {}  # LinkScale -> what it multiplies by, () or (C,)
        self.norms: set[str] = set()  # those BatchNorms
        self._means: set[str] = set()  # squeezes that become sums
        for layer in model.layers:
            if isinstance(layer, LinkScale):
                self._fold(layer, binary)

    def _fold(self, link: LinkScale, binary: Collection[str]) -> None:
        constant = link.gamma.numpy()
        (before,) = layers_before(link)
        if _squeezes_by_mean(before) and len(layers_behind(before)) == 1:
            constant = constant * (before.filters / before.input_shape[-1])
            self._means.add(before.name)
        found = _norm_behind_sum(link, binary)
        if found is not None:
            convolution, norm = found
            constant = constant * factor_and_bias(norm)[0]
            self.moved[convolution] = norm
            self.norms.add(norm.name)
        self.constants[link.name] = constant.astype(np.float32)

    @property
    def names(self) -> set[str]:
        """The layers whose weights `set_constants` sets."""
        return {*self.moved, *self.constants, *self.norms}

    def stand_in(self, layer: layers.Layer) -> layers.Layer | None:
        """Return the layer that stands for one of a link in the rebuilt model, None for any other layer."""
        if layer.name in self._means:
            return ChannelMatch(layer.filters, "sum", name=layer.name)
        if layer.name in self.norms:
            return MovedNorm(name=layer.name)
        if layer.name not in self.constants:
            return None
        constant = self.constants[layer.name]
        if np.all(constant == 1):
            return layers.Activation("linear", name=layer.name)
        return LinkScale(per_channel=constant.ndim == 1, name=layer.name)

    def set_constants(self, rebuilt: tf.keras.Model, kernels: dict[str, Any]) -> None:
        """Set what the links of the rebuilt model multiply by, and the convolutions that have taken up a BatchNorm.

        `kernels`: convolution -> what has its `signs` and `scale` (deploy.export.binary_layers.BinaryLayer).
        """
        for name, constant in self.constants.items():
            if isinstance(link := rebuilt.get_layer(name), LinkScale):
                link.gamma.assign(constant)
        for name, norm in self.moved.items():
            a, b = factor_and_bias(norm)
            convolution, kernel = rebuilt.get_layer(name), kernels[name]
            convolution.load(kernel.signs, a * kernel.scale, b)
            moved = rebuilt.get_layer(norm.name)
            assert isinstance(moved, MovedNorm)
            moved.beta = convolution.channel_bias


def _squeezes_by_mean(layer: layers.Layer) -> bool:
    return isinstance(layer, ChannelMatch) and layer.squeeze == "mean" and layer.input_shape[-1] > layer.filters


def _norm_behind_sum(link: LinkScale, binary: Collection[str]) -> tuple[str, layers.BatchNormalization] | None:
    """Return the binary convolution beside the link and the BatchNorm behind their sum, if that can move before it.

    Neither of the two nor the sum may have another reader, and nothing may stand between.
    """
    behind = layers_behind(link)
    if len(behind) != 1 or not isinstance(behind[0], layers.Add) or len(layers_behind(behind[0])) != 1:
        return None
    (norm,) = layers_behind(behind[0])
    others = [layer for layer in layers_before(behind[0]) if layer is not link]
    if not is_norm(norm) or len(others) != 1 or others[0].name not in binary or len(layers_behind(others[0])) != 1:
        return None
    convolution = others[0]
    linear = convolution.activation in (None, tf.keras.activations.linear)
    bare = isinstance(convolution, lq.layers.QuantConv2D) and linear and not convolution.use_bias
    return (convolution.name, norm) if bare else None
