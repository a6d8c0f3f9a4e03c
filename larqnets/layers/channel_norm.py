"""The normalisation of a map's vectors to a learned length."""

from typing import Any

import tensorflow as tf

from larqnets.shapes import known

LENGTH = 20.0  # at first
_EPSILON = 1e-10


@tf.keras.utils.register_keras_serializable("larqnets")
class ChannelNorm(tf.keras.layers.Layer):
    """y = x / sqrt(Σ_c x² + 1e-10) * scale_c, the sum over the channels of a pixel: (N, H, W, C) -> (N, H, W, C).

    The learned scale (C,) is 20 at first. Source: ParseNet (arXiv 1506.04579), with what SSD (arXiv 1512.02325) begins with:
    it brings an early map, whose numbers are much larger, to the size of the later ones.
    """

    def build(self, input_shape: Any) -> None:
        """Create the scale."""
        initial = tf.keras.initializers.Constant(LENGTH)
        self.scale = self.add_weight(name="scale", shape=known(input_shape[-1:]), initializer=initial)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return y."""
        squares = tf.reduce_sum(inputs * inputs, axis=-1, keepdims=True)
        return inputs * tf.math.rsqrt(squares + _EPSILON) * self.scale
