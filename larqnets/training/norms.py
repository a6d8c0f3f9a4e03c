"""The statistics of BatchNorms whose weights came without any, as those of a file do: measured on training images.

A file tells gain and shift of a BatchNorm, y = g x + s, and not what mean and variance its inputs had. While it learns a
BatchNorm normalises with those of the batch, so gamma and beta have to be those that go with them:

    gamma = g sqrt(var + epsilon),  beta = s + g mean,  moving mean and variance: mean and var of the inputs

With them the network computes what it did, and begins to learn from there.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

IMAGES = 256  # as many inputs tell mean and variance of a filter to a few per cent
_BATCH = 16


def measure_norms(model: tf.keras.Model, taken: Iterable[str], images: np.ndarray) -> int:
    """Give the BatchNorms whose gamma is among the weights `taken`, by name, the statistics of images (N, H, W, C).

    Returns how many BatchNorms these are. What the network computes stays as it is, but for rounding.
    """
    names = set(taken)
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, tf.keras.layers.BatchNormalization) and f"{layer.name}/gamma" in names
    ]
    if not norms:
        return 0
    given = [[norm.get_input_at(place) for place in range(len(norm.inbound_nodes))] for norm in norms]
    probe = tf.keras.Model(model.inputs, given)
    sums: list[np.ndarray] = [np.zeros((3, norm.gamma.shape[0])) for norm in norms]  # of 1, x and x²
    for begin in range(0, len(images), _BATCH):
        for total, inputs in zip(sums, probe(images[begin : begin + _BATCH], training=False), strict=True):
            for x in tf.nest.flatten(inputs):
                values = np.asarray(x, np.float64).reshape(-1, total.shape[1])
                total += np.stack([np.full(total.shape[1], len(values)), values.sum(0), np.square(values).sum(0)])
    for norm, (count, first, second) in zip(norms, sums, strict=True):
        mean = first / count
        variance = np.maximum(second / count - mean**2, 0)
        gamma, beta, moving_mean, moving_variance = (np.asarray(weight, np.float64) for weight in norm.get_weights())
        gain = gamma / np.sqrt(moving_variance + norm.epsilon)
        shift = beta - gain * moving_mean
        norm.set_weights([gain * np.sqrt(variance + norm.epsilon), shift + gain * mean, mean, variance])
    return len(norms)
