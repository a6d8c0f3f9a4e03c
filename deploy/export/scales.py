"""The scale of a binary kernel, moved into the BatchNorm behind it.

With the kernel a_o s_o, s_o = +-1, and BatchNorm g (x - m) / sqrt(v + e) + b behind it,

    g (a z - m) / sqrt(v + e) + b  =  (a g) (z - m / a) / sqrt(v + e) + b,      z = conv(sign x, s)

so gamma becomes a g and the moving mean m / a. Between them may stand what commutes with a > 0, such as ReLU and poolings.
"""

import numpy as np
import tensorflow as tf

from deploy.export.algebra import HOMOGENEOUS, entry
from deploy.export.entry import is_norm, layers_behind

layers = tf.keras.layers


def norm_behind(layer: layers.Layer, unknown: set[str]) -> layers.BatchNormalization | None:
    """Return the BatchNorm that takes the scale of a binary layer; None where something between does not commute with it.

    Adds to `unknown` the name of a layer that stands in the way because nothing is known of it.
    """
    if layer.use_bias or layer.activation not in HOMOGENEOUS:
        return None
    while True:
        behind = layers_behind(layer)
        if len(behind) != 1 or len(behind[0].inbound_nodes) != 1:
            return None
        (layer,) = behind
        if is_norm(layer):
            return layer
        said = entry(layer)
        if not said.known:
            unknown.add(layer.name)
        if not said.commutes(layer):
            return None


def fold_scale(norm: layers.BatchNormalization, scale: np.ndarray) -> None:
    """Move the factor `scale` >= 0 (C,) on the input of `norm` into its parameters.

    A filter of scale 0 has a constant output; with gamma 0 its BatchNorm becomes that constant.
    """
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    dead = scale == 0
    safe = np.where(dead, 1, scale)
    if not norm.scale or not norm.center:
        # without gamma or beta the scale goes where BatchNorm always has room: mean and variance
        norm.moving_mean.assign(mean / safe)
        norm.moving_variance.assign((variance + norm.epsilon) / safe**2 - norm.epsilon)
        return
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    norm.beta.assign(np.where(dead, beta - gamma * mean / np.sqrt(variance + norm.epsilon), beta))
    norm.gamma.assign(np.where(dead, 0, gamma * scale))
    norm.moving_mean.assign(np.where(dead, 0, mean / safe))
