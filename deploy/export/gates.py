"""A BatchNorm behind a gated map, folded into the gate: as many multiplications fewer as the map has numbers.

    BN(g y)  =  (a g) y + b,      BN(g y r)  =  (a g) y r + b,      a = gamma / sqrt(v + e),  b = beta - a m

y and r are maps (N, H, W, C), the gate g is (N, 1, 1, C). BNext has such a BatchNorm in every unit. What is left of it is the
addition of b.
"""

import tensorflow as tf

from deploy.export.entry import Layer, factor_and_bias, is_norm, layers_before, layers_behind
from deploy.export.stand_ins import GatedProduct, Shift

layers = tf.keras.layers


class Gates:
    """What becomes of the gates of a trained model: of every product with one, and the BatchNorm behind it.

    Layers that are `taken` are left alone: another pass has them.
    """

    def __init__(self, model: tf.keras.Model, taken: set[str]) -> None:
        self._norms: dict[str, layers.BatchNormalization] = {}  # product -> the BatchNorm that its gate takes up
        for layer in model.layers:
            if layer.name in taken or not is_gated(layer):
                continue
            if (norm := _norm_behind(layer)) is not None and norm.name not in taken:
                self._norms[layer.name] = norm

    @property
    def norms(self) -> set[str]:
        """The BatchNorms that are folded, whose weights `set_constants` sets."""
        return {norm.name for norm in self._norms.values()}

    def stand_in(self, layer: Layer) -> Layer | None:
        """Return the layer that stands for a product or a BatchNorm in the rebuilt model, None for any other layer."""
        if layer.name in self._norms:
            return GatedProduct(name=layer.name)
        return Shift(name=layer.name) if layer.name in self.norms else None

    def set_constants(self, rebuilt: tf.keras.Model) -> None:
        """Set a and b in the rebuilt model."""
        for name, norm in self._norms.items():
            a, b = factor_and_bias(norm)
            rebuilt.get_layer(name).factor.assign(a)
            rebuilt.get_layer(norm.name).beta.assign(b)


def is_gated(layer: Layer) -> bool:
    """Return whether the layer is a map times a gate, in this order."""
    if not isinstance(layer, layers.Multiply) or len(layer.inbound_nodes) != 1:
        return False
    shapes = layer.input_shape
    return len(shapes) == 2 and len(shapes[0]) == 4 and shapes[1][1:] == (1, 1, shapes[0][-1])


def _norm_behind(layer: Layer) -> layers.BatchNormalization | None:
    """Return the BatchNorm that alone reads the product, or its product with other maps."""
    while len(behind := layers_behind(layer)) == 1 and len(behind[0].inbound_nodes) == 1:
        (layer,) = behind
        if is_norm(layer):
            return layer
        if not isinstance(layer, layers.Multiply) or len(layers_before(layer)) != 2:
            return None
    return None
