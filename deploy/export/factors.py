"""Group-Net's gates and means, folded away: only signs, sums and BatchNorms see how large its tensors are.

The exported network computes tensors that are the trained ones times a positive factor: exported = f trained.

    gate          x_k = g h_k + (1 - g)/K s with one g for all branches becomes x_k = h_k + c s, c = (1 - g)/(g K), and f
                  grows by 1/g: K multiplications fewer
    mean          of a sum is the sum, and f grows by K
    sum           wants one f of its summands; BatchNorms among them follow: gamma <- f gamma, beta <- f beta
    sign          hands on 1, whatever it is given
    BatchNorm     takes f up: mean <- f mean, variance + e <- f^2 (variance + e)
    dense         takes f up: W <- W / f, and so does a real convolution with a bias
    a x + b       of numbers, such as the 1/2 - x of a head: a <- a / f
    ReLU, poolings and real convolutions without bias hand it on

Where a factor would reach anything else, the network keeps its gates and means as they are, and so it does one that would
bring f beyond 1e12, such as a closed gate. Source: derived from the formulas of Group-Net, section 3.
"""

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from deploy.export.algebra import entry
from deploy.export.entry import layers_before, layers_behind
from deploy.export.stand_ins import AddShare
from larqnets.layers.branches import SoftGate

layers = tf.keras.layers

_LARGEST = 1e12


class Factors:
    """What becomes of the gates and means of a trained model.

    `binary` names the layers that become 1-bit convolutions, `moved` the BatchNorms that one of them takes up. Adds to
    `unknown` the layer that stands in the way because nothing is known of it.
    """

    def __init__(
        self, model: tf.keras.Model, binary: Collection[str], moved: Collection[str], unknown: set[str]
    ) -> None:
        self._model, self._binary, self._moved, self._unknown = model, binary, moved, unknown
        self._of: dict[str, float | None] = {}  # layer -> f of its outputs; None: a BatchNorm that follows a sum
        self._taken: dict[str, float] = {}  # BatchNorm or dense -> f of its input
        self._shares: dict[str, float] = {}  # gate -> c
        self._means: set[str] = set()
        if not all(self._follow(layer) for layer in model.layers) or self._of[model.output_names[0]] != 1:
            self._of, self._taken, self._shares, self._means = {}, {}, {}, set()

    @property
    def names(self) -> set[str]:
        """The folded gates and means, which have no weights any more."""
        return {*self._shares, *self._means}

    def stand_in(self, layer: layers.Layer) -> layers.Layer | None:
        """Return the layer that stands for a folded gate or mean in the rebuilt model, None for any other layer."""
        if layer.name in self._means:
            return layers.Activation("linear", name=layer.name)
        return AddShare(self._shares[layer.name], name=layer.name) if layer.name in self._shares else None

    def fold(self, rebuilt: tf.keras.Model) -> None:
        """Change BatchNorms and dense kernels of the rebuilt model, which has the trained weights."""
        for name, f in self._taken.items():
            layer, said = (
                rebuilt.get_layer(name),
                entry(self._model.get_layer(name)),
            )  # it may be rebuilt as another class
            if f != 1:
                said.take_factor(layer, f)
            given = self._of[name]
            assert given is not None  # the whole network has been followed
            if given != 1:
                said.give_factor(layer, given)

    def _follow(self, layer: layers.Layer) -> bool:
        """Find f behind the layer; return whether it can have one."""
        before = [b for b in layers_before(layer) if b.name in self._of]  # a Sequential does not list its input
        known = {f for b in before if (f := self._of[b.name]) is not None}
        if len(known) > 1 or (len(layer.inbound_nodes) > 1 and layer.name not in self._binary):
            return False
        f = known.pop() if known else 1.0
        self._of |= {b.name: f for b in before if self._of[b.name] is None}
        said = entry(layer)
        if layer.name in self._binary:
            self._of[layer.name] = 1.0
        elif said.takes_factor(layer):
            self._taken[layer.name] = f
            follows = said.gives_factor(layer) and len(layers_behind(layer)) == 1 and layer.name not in self._moved
            self._of[layer.name] = None if follows else 1.0
        else:
            self._of[layer.name] = self._fold(layer, f)
            if f != 1 and not said.known:
                self._unknown.add(layer.name)
            return f == 1 or said.scales(layer)
        return True

    def _fold(self, layer: layers.Layer, f: float) -> float:
        """Return f behind a gate or a mean that can be folded, which is then noted; behind another layer as before it."""
        if isinstance(layer, SoftGate) and not layer.per_branch:
            g = float(1 / (1 + np.exp(-layer.theta.numpy().astype(np.float64))))
            if f <= _LARGEST * g:
                self._shares[layer.name] = (1 - g) * layer.scale / g
                return f / g
        if _is_mean(layer) and f <= _LARGEST * layer.scale:
            self._means.add(layer.name)
            return f / layer.scale
        return f


def _is_mean(layer: layers.Layer) -> bool:
    """Return whether the layer only divides a sum."""
    if not isinstance(layer, layers.Rescaling) or np.ndim(layer.scale) or np.any(layer.offset):
        return False
    return isinstance(layers_before(layer)[0], layers.Add)
