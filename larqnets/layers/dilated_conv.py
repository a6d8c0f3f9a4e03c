"""A binary convolution with a dilation rate, trained by the op that has one."""

from functools import cache
from typing import Any

import larq as lq
import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class DilatedConv2D(lq.layers.QuantConv2D):
    """QuantConv2D whose rate is an attribute of the convolution, where TensorFlow has its gradient.

    Keras moves the pixels between which the rate leaves gaps to the batch, convolves and moves them back, which computes
    the same and takes longer.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolve: inputs (N, H, W, C), kernel (kh, kw, C, O)."""
        if self.groups > 1 or self.data_format != "channels_last" or not _has_gradient():
            return super().convolution_op(inputs, kernel)  # pyright: ignore[reportAttributeAccessIssue]  # Larq's
        return convolve(self, inputs, kernel)


def convolve(layer: Any, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve as a Keras layer says, inputs (N, H, W, C) and kernel (kh, kw, C, O), with its rate as an attribute of the op."""
    return tf.nn.conv2d(inputs, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)


@cache
def _has_gradient() -> bool:
    """Return whether this machine has it; TensorFlow's own kernels for CPUs, without oneDNN, have none."""
    with tf.init_scope(), tf.GradientTape() as tape:
        x, kernel = tf.ones([1, 5, 5, 1]), tf.ones([3, 3, 1, 1])
        tape.watch([x, kernel])
        try:
            tape.gradient(tf.nn.conv2d(x, kernel, 1, "VALID", dilations=2), [x, kernel])
        except tf.errors.OpError:
            return False
    return True
