"""PokeBNN's activation, gate and BatchNorm as three ops: PRELU, MUL, ADD.

With u before a DPReLU of the slopes p, n and the shifts a, b, a gate z (N, 1, 1, C) behind it and BatchNorm BN(x) = s x + c,

    BN(z DPReLU(u))  =  z s (p prelu(u - a) - b) + c  =  prelu(u - a) (z s p) + (c - z s b),      prelu of the slope n / p

where both brackets are as small as the gate. a goes into the BatchNorm whose beta reaches u alone, as in `shifts`. A DPReLU
without a gate is p prelu(u - a) - b. One with p = 0 in a channel, or nearly, stays as it is.
Source: derived from the formulas; the converters write a DPReLU as seven ops and fold none of its constants.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deploy.export.entry import factor_and_bias, is_norm, layers_before, layers_behind
from deploy.export.shifts import norm_before
from deploy.export.stand_ins import GatedNorm, ScaledPReLU
from larqnets.layers.dprelu import DPReLU

layers = tf.keras.layers

_STEEPEST = 1e6  # of n / p


class _Gated(NamedTuple):
    """What stands around a DPReLU that can be folded: the BatchNorm before it, the product behind it, the BatchNorm behind that."""

    before: layers.Layer
    product: layers.Multiply
    norm: layers.BatchNormalization


class DPReLUs:
    """What becomes of the DPReLU layers of a trained model, and of gates and BatchNorms behind them."""

    def __init__(self, model: tf.keras.Model) -> None:
        self._written = {layer.name: layer for layer in model.layers if isinstance(layer, DPReLU) and _divides(layer)}
        found = {name: gated for name, layer in self._written.items() if (gated := _gated(layer)) is not None}
        behind = {gated.norm.name for gated in found.values()}  # these are gone
        self._gated = {name: gated for name, gated in found.items() if gated.before.name not in behind}
        self._products = {gated.product.name for gated in self._gated.values()}
        self._norms = {gated.norm.name for gated in self._gated.values()}

    @property
    def names(self) -> set[str]:
        """The layers whose weights `fold` sets, or which have none any more."""
        return {*self._written, *self._products, *self._norms}

    def stand_in(self, layer: layers.Layer) -> layers.Layer | None:
        """Return the layer that stands for one of these in the rebuilt model, None for any other layer."""
        if layer.name in self._gated:
            return layers.PReLU(shared_axes=[1, 2], name=layer.name)
        if layer.name in self._written:
            return ScaledPReLU(name=layer.name)
        if layer.name in self._products:
            return GatedNorm(name=layer.name)
        return layers.Activation("linear", name=layer.name) if layer.name in self._norms else None

    def fold(self, rebuilt: tf.keras.Model) -> None:
        """Set the weights of the rebuilt model, whose other weights are set."""
        for name, layer in self._written.items():
            a, p, n, b = (w.numpy() for w in (layer.shift_in, layer.slope_above, layer.slope_below, layer.shift_out))
            stand_in, slope = rebuilt.get_layer(name), (n / p)[np.newaxis, np.newaxis]
            if name not in self._gated:
                stand_in.set_weights([a, slope, p, b])
                continue
            gated = self._gated[name]
            rebuilt.get_layer(gated.before.name).beta.assign_sub(a)
            stand_in.set_weights([slope])
            s, c = factor_and_bias(gated.norm)
            rebuilt.get_layer(gated.product.name).set_weights([s * p, s * b, c])


def _divides(layer: DPReLU) -> bool:
    p, n = layer.slope_above.numpy(), layer.slope_below.numpy()
    return bool(np.all(np.abs(n) <= _STEEPEST * np.abs(p)) and np.all(p))


def _gated(layer: DPReLU) -> _Gated | None:
    """Return what stands around the layer where nothing else reads what lies between."""
    before = norm_before(layer)
    behind = layers_behind(layer)
    if before is None or len(behind) != 1 or not isinstance(product := behind[0], layers.Multiply):
        return None
    gate = next((other for other in layers_before(product) if other is not layer), None)
    norms = layers_behind(product)
    if gate is None or len(norms) != 1 or not is_norm(norms[0]) or len(product.inbound_nodes) > 1:
        return None
    small = len(gate.output_shape) == 4 and gate.output_shape[1:3] == (1, 1) and len(layers_before(product)) == 2
    return _Gated(before, product, norms[0]) if small else None
