"""ReActNet's learned threshold in front of a sign."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class RSign(tf.keras.layers.Layer):
    """x - alpha_c with a learned threshold alpha_c per channel, 0 at first: (N, H, W, C) -> (N, H, W, C).

    With the sign of the convolution behind it this is RSign: +1 where x >= alpha_c, else -1. The sign stays the
    convolution's own, so that its estimator sees the shifted value: dL/dalpha_c = -sum g(x - alpha_c) dL/dsign over N, H, W.
    Paper: ReActNet, section 4.2 (there > instead of >=, which differs at the threshold itself).
    """

    def build(self, input_shape: Any) -> None:
        """Create the thresholds (C,)."""
        self.threshold = self.add_weight(name="threshold", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Subtract the thresholds."""
        return inputs - self.threshold
