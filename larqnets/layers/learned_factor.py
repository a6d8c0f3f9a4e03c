"""One number that is learned."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class LearnedFactor(tf.keras.layers.Layer):
    """y = s x with a learned s (), 1 at first: the scale of a level of FCOS (arXiv 1904.01355, section 3.2)."""

    def build(self, input_shape: tf.TensorShape) -> None:
        """Create s."""
        self.factor = self.add_weight(name="factor", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply."""
        return self.factor * inputs

    def reported(self) -> dict[str, tf.Tensor]:
        """s."""
        return {"s": self.factor}
