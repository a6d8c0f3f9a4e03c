"""Dropout that a resumed run repeats."""

from typing import Any

import tensorflow as tf

from larqnets.shapes import known


@tf.keras.utils.register_keras_serializable("larqnets")
class CountedDropout(tf.keras.layers.Layer):
    """While training set a share `rate` of (N, ...) to 0 and divide the rest by 1 - rate; the identity otherwise.

    The draw of a step follows from `seed` and a counter, which a checkpoint holds. It is one for all images of the batch, so
    that a batch that several devices share is dropped as one that a single device has.
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def build(self, input_shape: Any) -> None:
        """Create the counter at 0."""
        self.draws = self.add_weight(
            name="draws",
            shape=(),
            dtype=tf.int64,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # pyright: ignore[reportArgumentType]  # Keras 2's
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Drop when training."""
        if not training or not self.rate:
            return inputs
        seed = tf.stack([tf.constant(self.seed, tf.int64), self.draws])
        kept = tf.random.stateless_uniform([1, *known(inputs.shape[1:])], seed) >= self.rate
        self.draws.assign_add(1)
        return inputs * (tf.cast(kept, inputs.dtype) / (1 - self.rate))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
