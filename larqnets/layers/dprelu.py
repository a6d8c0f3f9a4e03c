"""PokeBNN's activation: a PReLU with two learned slopes, and a learned shift before and behind it."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class DPReLU(tf.keras.layers.Layer):
    """f(x) = s_c (x - a_c) - b_c with s = p where x >= a, else n: (N, H, W, C) -> (N, H, W, C).

    Learned per channel: `slope_above` p, 1 at first, `slope_below` n, 0.25 at first, `shift_in` a and `shift_out` b, 0 at first.
    Paper: PokeBNN, arXiv 2112.00133; first values as in its released code.
    """

    def build(self, input_shape: Any) -> None:
        """Create slopes and shifts (C,)."""
        shape = (input_shape[-1],)
        self.shift_in = self.add_weight(name="shift_in", shape=shape, initializer="zeros")
        self.slope_above = self.add_weight(name="slope_above", shape=shape, initializer="ones")
        self.slope_below = self.add_weight(
            name="slope_below", shape=shape, initializer=tf.keras.initializers.Constant(0.25)
        )
        self.shift_out = self.add_weight(name="shift_out", shape=shape, initializer="zeros")
        super().build(input_shape)

    @property
    def slopes(self) -> tuple[tf.Variable, tf.Variable]:
        """The slopes above and below the threshold, (C,)."""
        return self.slope_above, self.slope_below

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Shift, two slopes, shift."""
        x = inputs - self.shift_in
        return self.slope_above * tf.nn.relu(x) - self.slope_below * tf.nn.relu(-x) - self.shift_out
