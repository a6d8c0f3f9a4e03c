"""ReActNet's activation: a PReLU with a learned shift before and behind it."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class RPReLU(tf.keras.layers.Layer):
    """f(x) = x - gamma_c + zeta_c where x > gamma_c, else beta_c (x - gamma_c) + zeta_c: (N, H, W, C) -> (N, H, W, C).

    Learned per channel: `shift_in` gamma and `shift_out` zeta, 0 at first, `slope` beta, 0.25 at first.
    Paper: ReActNet, section 4.2.
    """

    def build(self, input_shape: Any) -> None:
        """Create shifts and slopes (C,)."""
        shape = (input_shape[-1],)
        self.shift_in = self.add_weight(name="shift_in", shape=shape, initializer="zeros")
        self.slope = self.add_weight(name="slope", shape=shape, initializer=tf.keras.initializers.Constant(0.25))
        self.shift_out = self.add_weight(name="shift_out", shape=shape, initializer="zeros")
        super().build(input_shape)

    @property
    def slopes(self) -> tuple[Any, Any]:
        """The slopes above and below the threshold, () or (C,)."""
        return 1.0, self.slope

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Shift, PReLU, shift."""
        x = inputs - self.shift_in
        # written with two ReLUs, the form that the converter turns into one PRELU
        return tf.nn.relu(x) - self.slope * tf.nn.relu(-x) + self.shift_out
