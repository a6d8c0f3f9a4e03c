"""Group-Net's gates and means, folded away: only signs, sums and BatchNorms see how large its tensors are.

The exported network computes tensors that are the trained ones times a positive factor: exported = f trained.

    gate          x_k = g h_k + (1 - g)/K s with one g for all branches becomes x_k = h_k + c s, c = (1 - g)/(g K), and f
                  grows by 1/g: K multiplications fewer
    mean          of a sum is the sum, and f grows by K
    sum           wants one f of its summands; BatchNorms among them follow: gamma <- f gamma, beta <- f beta
    sign          hands on 1, whatever it is given
    BatchNorm     takes f up: mean <- f mean, variance + e <- f^2 (variance + e)
    dense         takes f up: W <- W / f
    ReLU, poolings and real convolutions without bias hand it on

Where a factor would reach anything else, the network keeps its gates and means as they are, and so it does one that would
bring f beyond 1e12, such as a closed gate. Source: derived from the formulas of Group-Net, section 3.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.links import is_norm, layers_before, layers_behind
from larqnets.layers.branches import Apart, OneBelowTheOther, SoftGate, WeightedSum

layers = tf.keras.layers

_LARGEST = 1e12
_HAND_ON = (layers.Add, WeightedSum, OneBelowTheOther, Apart, SoftGate, layers.Dropout)
_HAND_ON += (layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.Flatten)


@tf.keras.utils.register_keras_serializable("larqnets")
class AddShare(layers.Layer):
    """x_k = h_k + c s: K tensors h_k and s, all (N, H, W, C) -> K tensors x_k. What is left of a SoftGate."""

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share

    def call(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Multiply once, add K times."""
        *branches, total = inputs
        others = self.share * total
        return [h + others for h in branches]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "share": self.share}


class Factors:
    """What becomes of the gates and means of a trained model. `binary` names the layers that become 1-bit convolutions."""

    def __init__(self, model: tf.keras.Model, binary: Collection[str]) -> None:
        self._binary = binary
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
            layer = rebuilt.get_layer(name)
            if f != 1 and isinstance(layer, layers.Dense):
                layer.kernel.assign(layer.kernel / f)
            elif f != 1:
                layer.moving_mean.assign(f * layer.moving_mean)
                layer.moving_variance.assign(f**2 * (layer.moving_variance + layer.epsilon) - layer.epsilon)
            if self._of[name] != 1:
                layer.gamma.assign(self._of[name] * layer.gamma)
                layer.beta.assign(self._of[name] * layer.beta)

    def _follow(self, layer: layers.Layer) -> bool:
        """Find f behind the layer; return whether it can have one."""
        before = [b for b in layers_before(layer) if b.name in self._of]  # a Sequential does not list its input
        known = {f for b in before if (f := self._of[b.name]) is not None}
        if len(known) > 1 or (len(layer.inbound_nodes) > 1 and layer.name not in self._binary):
            return False
        f = known.pop() if known else 1.0
        self._of |= {b.name: f for b in before if self._of[b.name] is None}
        if layer.name in self._binary:
            self._of[layer.name] = 1.0
        elif is_norm(layer):
            self._taken[layer.name] = f
            follows = layer.scale and layer.center and len(layers_behind(layer)) == 1
            self._of[layer.name] = None if follows else 1.0
        elif type(layer) is layers.Dense:
            self._taken[layer.name] = f
            self._of[layer.name] = 1.0
        else:
            self._of[layer.name] = self._fold(layer, f)
            return f == 1 or _hands_on(layer)
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
    return isinstance(layer, layers.Rescaling) and layer.offset == 0 and isinstance(layers_before(layer)[0], layers.Add)


def _hands_on(layer: layers.Layer) -> bool:
    """Return whether the layer's output grows as its input does."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and layer.threshold == 0
    linear = getattr(layer, "activation", None) in (None, tf.keras.activations.linear)
    if type(layer) is layers.Conv2D:
        return linear and not layer.use_bias
    if isinstance(layer, layers.Rescaling):
        return layer.offset == 0
    return isinstance(layer, (*_HAND_ON, layers.Activation)) and linear
