"""What BNext's gate looks at: the means of a unit's input and of its branch, mixed."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class UnitRange(tf.keras.constraints.Constraint):
    """Clip to [0, 1]."""

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Return the weights within their range."""
        return tf.clip_by_value(w, 0, 1)


@tf.keras.utils.register_keras_serializable("larqnets")
class MixedMean(tf.keras.layers.Layer):
    """s a + (1 - s) b for means a, b (N, 1, 1, C), s (C,) learned in [0, 1] and 1/2 at first: -> (N, 1, 1, C).

    The global mean is linear, so of a = mean(x) and b = mean(y) it is the mean of the map s x + (1 - s) y, which BNext writes
    down and nobody needs.
    """

    def build(self, input_shape: Any) -> None:
        """Create s."""
        self.share = self.add_weight(
            name="share",
            shape=(input_shape[0][-1],),
            initializer=tf.keras.initializers.Constant(0.5),
            constraint=UnitRange(),
        )
        super().build(input_shape)

    @property
    def branch_weights(self) -> tf.Tensor:
        """What the two means are multiplied by, (2, C)."""
        return tf.stack([self.share, 1 - self.share])

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Mix."""
        a, b = inputs
        return self.share * a + (1 - self.share) * b
