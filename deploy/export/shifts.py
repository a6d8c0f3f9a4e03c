"""RPReLU's shifts, folded away: gamma into the BatchNorm before it, zeta into whatever reads its output.

RPReLU is f(u) = prelu(u - gamma) + zeta per channel. The exported network computes tensors that differ from the trained
ones by a constant per channel, the offset: trained = exported + offset.

    RPReLU        wants u with offset gamma: the BatchNorm behind the sum u = BN(conv) + shortcut gives the difference,
                  beta <- beta - (gamma - offset of u). It is then a plain PReLU, whose output has offset zeta.
    RSign         sign(x - alpha), takes it up: alpha <- alpha - offset
    BatchNorm     takes it up: mean <- mean - offset; one that has moved into a convolution (deploy.export.links), in its bias
    dense         takes it up: bias <- bias + W^T offset
    convolution   hands on W^T offset where it pads no zeros; poolings hand the offset on as it is, sums its sum
    Elastic-Link  hands on gamma T(offset), T being linear but for a squeeze by max

What is left of an RPReLU and RSign on the device is one PRELU and one SUB of a constant. A constant cannot leave through a
sign, a padded convolution, an activation or the network's output; an RPReLU whose zeta would have to stays as it is.
Source: baselines of the field; the converter itself does none of this across an addition.
"""

import numpy as np
import tensorflow as tf

from deploy.export.algebra import entry
from deploy.export.entry import layers_before, layers_behind
from larqnets.layers.rprelu import RPReLU

layers = tf.keras.layers


def foldable(model: tf.keras.Model, unknown: set[str]) -> dict[str, RPReLU]:
    """Return the RPReLU layers of a functional model, by name, whose two shifts can be folded.

    Adds to `unknown` the names of the layers that stand in the way because nothing is known of them.
    """
    return {
        layer.name: layer
        for layer in model.layers
        if isinstance(layer, RPReLU) and norm_before(layer) is not None and _leaves(layer, unknown)
    }


def plain(layer: RPReLU) -> layers.PReLU:
    """Return the PReLU that stands for a folded RPReLU; `fold_shifts` sets its slope."""
    return layers.PReLU(shared_axes=[1, 2], name=layer.name)


def fold_shifts(rebuilt: tf.keras.Model, folded: dict[str, RPReLU]) -> None:
    """Change the weights of the rebuilt model so that its PReLU layers compute what the RPReLU of the same name did."""
    offsets: dict[str, np.ndarray] = {}
    for layer in rebuilt.layers:
        given = [offsets[before.name] for before in layers_before(layer)]
        if layer.name not in folded:
            offsets[layer.name] = _offset_behind(layer, given)
            continue
        activation = folded[layer.name]
        norm = norm_before(activation)
        assert norm is not None  # `foldable` has seen one
        norm = rebuilt.get_layer(norm.name)
        entry(norm).give_offset(norm, given[0] - activation.shift_in.numpy())
        layer.alpha.assign(activation.slope.numpy()[np.newaxis, np.newaxis])
        offsets[layer.name] = activation.shift_out.numpy()


def norm_before(layer: layers.Layer) -> layers.Layer | None:
    """Return the BatchNorm whose beta reaches only this layer, directly or through one addition."""
    for candidate in layers_before(layer):
        summands = (
            layers_before(candidate) if isinstance(candidate, layers.Add) and len(layers_behind(candidate)) == 1 else []
        )
        for norm in (candidate, *summands):
            if len(layers_behind(norm)) == 1 and entry(norm).gives_offset(norm):
                return norm
    return None


def _leaves(layer: layers.Layer, unknown: set[str]) -> bool:
    """Return whether a constant on the layer's output is taken up wherever it goes."""
    behind = layers_behind(layer)
    return bool(behind) and all(len(after.inbound_nodes) == 1 and _takes(after, unknown) for after in behind)


def _takes(layer: layers.Layer, unknown: set[str]) -> bool:
    """Return whether the layer takes up a constant on its input, or hands it on to layers that do."""
    said = entry(layer)
    if not said.known:
        unknown.add(layer.name)
    return said.takes_offset(layer) or (said.hands_on(layer) and _leaves(layer, unknown))


def _offset_behind(layer: layers.Layer, given: list[np.ndarray]) -> np.ndarray:
    """Take up the offsets of the layer's inputs, or return the offset (C,) that it hands on."""
    none = np.zeros(1, np.float32)
    if not any(np.any(offset) for offset in given):
        return none
    said = entry(layer)
    if not said.takes_offset(layer):
        return said.offset(layer, given)
    said.take_offset(layer, given[0])
    return none
