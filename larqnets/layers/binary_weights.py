"""Layers with a binary kernel on real input, said to be so: what a w1a32 method is made of."""

import larq as lq
import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class BinaryWeightConv2D(lq.layers.QuantConv2D):
    """y = x * q(w) with real x: (N, H, W, C) -> (N, H', W', filters).

    No device has a 1-bit op for it. By its class the export knows that this is meant, where a QuantConv2D without input
    quantizer is taken for a mistake.
    """


@tf.keras.utils.register_keras_serializable("larqnets")
class BinaryWeightDepthwiseConv2D(lq.layers.QuantDepthwiseConv2D):
    """y_c = x_c * q(w_c) with real x, one filter a channel: (N, H, W, C) -> (N, H', W', C)."""


@tf.keras.utils.register_keras_serializable("larqnets")
class BinaryWeightDense(lq.layers.QuantDense):
    """y = x q(w) with real x: (N, features) -> (N, units)."""
