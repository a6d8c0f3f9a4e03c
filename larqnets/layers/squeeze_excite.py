"""Squeeze-and-excite (Hu et al. 2018, arXiv 1709.01507, section 3) with the gate of MobileNetV3 (arXiv 1905.02244, section 5.3)."""

from typing import Any

import tensorflow as tf

from larqnets.layers.hard_swish import HardSigmoid

layers = tf.keras.layers


def excitation(x: Any, channels: int, filters: int, name: str) -> Any:
    """Return hard-sigmoid(W2 relu(W1 mean_HW(x) + b1) + b2), (N, 1, 1, filters), for a Keras tensor x (N, H, W, C).

    W1 is (C, channels), W2 (channels, filters). Built of ordinary layers, which export as ordinary ops: MEAN, two 1x1 CONV_2D,
    the gate.
    """
    options = {"kernel_size": 1, "kernel_initializer": "he_normal"}
    z = layers.GlobalAvgPool2D(keepdims=True, name=f"{name}_mean")(x)
    z = layers.Conv2D(channels, activation="relu", name=f"{name}_reduce", **options)(z)
    z = layers.Conv2D(filters, name=f"{name}_expand", **options)(z)
    return HardSigmoid(name=f"{name}_gate")(z)


def squeeze_excite(x: Any, channels: int, name: str) -> Any:
    """Return x times its `excitation` of as many filters, for a Keras tensor x (N, H, W, C): every channel by one factor."""
    return layers.Multiply(name=name)([x, excitation(x, channels, x.shape[-1], name)])
