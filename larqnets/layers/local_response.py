"""Local response normalization, as Caffe has it."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class LocalResponse(tf.keras.layers.Layer):
    """y = x / (1 + alpha/n Σ x²)^beta, the sum over n neighbouring channels: (N, H, W, C) -> (N, H, W, C).

    Source: Krizhevsky et al. 2012, section 3.3, with the mean over the window that Caffe takes and its alpha, 1e-4.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta = size, alpha, beta

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return y."""
        return tf.nn.local_response_normalization(inputs, self.size // 2, 1.0, self.alpha / self.size, self.beta)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "size": self.size, "alpha": self.alpha, "beta": self.beta}
