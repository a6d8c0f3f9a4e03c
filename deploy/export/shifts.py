"""RPReLU's shifts, folded away: gamma into the BatchNorm before it, zeta into whatever reads its output.

RPReLU is f(u) = prelu(u - gamma) + zeta per channel. The exported network computes tensors that differ from the trained
ones by a constant per channel, the offset: trained = exported + offset.

    RPReLU        wants u with offset gamma: the BatchNorm behind the sum u = BN(conv) + shortcut gives the difference,
                  beta <- beta - (gamma - offset of u). It is then a plain PReLU, whose output has offset zeta.
    RSign         sign(x - alpha), takes it up: alpha <- alpha - offset
    BatchNorm     takes it up: mean <- mean - offset; one that has moved into a convolution (deploy.export.links), in its bias
    dense         takes it up: bias <- bias + W^T offset
    1x1 conv      hands on W^T offset; sums, concatenations and poolings hand it on as it is
    Elastic-Link  hands on gamma T(offset), T being linear but for a squeeze by max

What is left of an RPReLU and RSign on the device is one PRELU and one SUB of a constant. A constant cannot leave through a
sign, a padded convolution, an activation or the network's output; an RPReLU whose zeta would have to stays as it is.
Source: baselines of the field; the converter itself does none of this across an addition.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.links import MovedNorm, is_norm, layers_before, layers_behind
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign

layers = tf.keras.layers

_SAME_OFFSET = (layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)
_SAME_OFFSET += (layers.Dropout,)


def foldable(model: tf.keras.Model) -> dict[str, RPReLU]:
    """Return the RPReLU layers of a functional model, by name, whose two shifts can be folded."""
    return {
        layer.name: layer
        for layer in model.layers
        if isinstance(layer, RPReLU) and _norm_before(layer) is not None and _leaves(layer)
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
        norm = _norm_before(layer)
        assert norm is not None  # `foldable` has seen one
        norm.beta.assign_sub(activation.shift_in.numpy() - given[0])
        layer.alpha.assign(activation.slope.numpy()[np.newaxis, np.newaxis])
        offsets[layer.name] = activation.shift_out.numpy()


def _norm_before(layer: layers.Layer) -> layers.BatchNormalization | MovedNorm | None:
    """Return the BatchNorm whose beta reaches only this layer, directly or through one addition."""
    for candidate in layers_before(layer):
        summands = (
            layers_before(candidate) if isinstance(candidate, layers.Add) and len(layers_behind(candidate)) == 1 else []
        )
        for norm in (candidate, *summands):
            if len(layers_behind(norm)) == 1 and (isinstance(norm, MovedNorm) or (is_norm(norm) and norm.center)):
                return norm
    return None


def _leaves(layer: layers.Layer) -> bool:
    """Return whether a constant on the layer's output is taken up wherever it goes."""
    behind = layers_behind(layer)
    return bool(behind) and all(len(after.inbound_nodes) == 1 and _takes(after) for after in behind)


def _takes(layer: layers.Layer) -> bool:
    """Return whether the layer takes up a constant on its input, or hands it on to layers that do."""
    if isinstance(layer, RSign | RPReLU) or is_norm(layer):
        return True
    if type(layer) is layers.Dense and layer.use_bias:
        return True
    return _hands_on(layer) and _leaves(layer)


def _hands_on(layer: layers.Layer) -> bool:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if isinstance(layer, ChannelMatch):
        return layer.squeeze != "max" or layer.input_shape[-1] <= layer.filters
    if isinstance(layer, layers.Concatenate):
        return layer.axis in (-1, len(layer.output_shape) - 1)
    if type(layer) is layers.Conv2D:
        is_linear = layer.activation in (None, tf.keras.activations.linear)
        return is_linear and layer.kernel_size == (1, 1) and layer.groups == 1
    return isinstance(layer, (*_SAME_OFFSET, LinkScale, layers.Add, layers.Flatten))


def _offset_behind(layer: layers.Layer, given: list[np.ndarray]) -> np.ndarray:
    """Take up the offsets of the layer's inputs, or return the offset (C,) that it hands on."""
    none: Any = np.zeros(1, np.float32)
    if not any(np.any(offset) for offset in given):
        return none
    if isinstance(layer, RSign):
        layer.threshold.assign_sub(given[0])
    elif isinstance(layer, RPReLU):
        layer.shift_in.assign_sub(given[0])
    elif isinstance(layer, layers.BatchNormalization):
        layer.moving_mean.assign_sub(given[0])
    elif isinstance(layer, MovedNorm):
        layer.beta.assign_add(given[0])
    elif isinstance(layer, layers.Dense):
        layer.bias.assign_add(given[0] @ layer.kernel.numpy())
    elif isinstance(layer, layers.Conv2D):
        return given[0] @ layer.kernel.numpy()[0, 0]
    elif isinstance(layer, LinkScale):
        return given[0] * layer.gamma.numpy()
    elif isinstance(layer, ChannelMatch):
        return layer(given[0].reshape(1, 1, 1, -1)).numpy()[0, 0, 0]
    elif isinstance(layer, layers.Add):
        return np.sum(np.broadcast_arrays(*given), axis=0)
    elif isinstance(layer, layers.Concatenate):
        return np.concatenate([np.broadcast_to(o, s[-1:]) for o, s in zip(given, layer.input_shape, strict=True)])
    elif isinstance(layer, layers.Flatten):
        return np.tile(given[0], layer.output_shape[-1] // len(given[0]))
    else:
        return given[0]
    return none
