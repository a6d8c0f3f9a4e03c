"""The activation of IR-Net and SD-BNN on CIFAR."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class HardTanh(tf.keras.layers.Layer):
    """clip(x, -1, 1), elementwise on any shape. On a device it is the RELU_N1_TO_1 of the op before."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the clipped input."""
        return tf.clip_by_value(inputs, -1, 1)
