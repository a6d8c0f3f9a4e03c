"""Elastic-Link's balance between what a link preserves and what the convolution beside it makes of it."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class LinkScale(tf.keras.layers.Layer):
    """gamma x with a learned gamma, one number or one per channel, `initial` at first: (N, H, W, C) -> (N, H, W, C).

    dL/dgamma = sum x dL/dy over N, H, W, and over C for one number. Weight decay, which acts on kernels, spares it.
    Reconstructed: shape and initial value of the paper's gamma were not at hand.
    """

    def __init__(self, per_channel: bool = False, initial: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_channel, self.initial = per_channel, initial

    def build(self, input_shape: Any) -> None:
        """Create gamma, () or (C,)."""
        shape = (input_shape[-1],) if self.per_channel else ()
        self.gamma = self.add_weight(
            name="gamma", shape=shape, initializer=tf.keras.initializers.Constant(self.initial)
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply."""
        return inputs * self.gamma

    def reported(self) -> dict[str, tf.Tensor]:
        """gamma, or the mean over the channels."""
        return {"gamma_mean": tf.reduce_mean(self.gamma)} if self.per_channel else {"gamma": self.gamma}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "per_channel": self.per_channel, "initial": self.initial}
