"""XNOR-Net's map of input magnitudes."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class InputScale(tf.keras.layers.Layer):
    """K = (mean over channels of |x|) * box, box = 1/k^2 everywhere: (N, H, W, C) -> (N, H', W', 1).

    It covers the same windows as the k x k convolution with the given strides and dilation; outside the image |x| is 0.
    Paper: XNOR-Net, section 3.2, eq. 11.
    """

    def __init__(self, kernel_size: int, strides: int = 1, dilation: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.strides, self.dilation = kernel_size, strides, dilation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return K."""
        k = self.kernel_size
        magnitude = tf.reduce_mean(tf.abs(inputs), axis=-1, keepdims=True)
        box = tf.fill([k, k, 1, 1], tf.constant(1 / k**2, inputs.dtype))
        return tf.nn.conv2d(magnitude, box, strides=self.strides, padding="SAME", dilations=self.dilation)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
        }
