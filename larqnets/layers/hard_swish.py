"""The activations of MobileNetV3 (Howard et al. 2019, arXiv 1905.02244, section 5.2).

    hard-sigmoid(x) = relu6(x + 3) / 6
    hard-swish(x)   = x relu6(x + 3) / 6

Keras' own `hard_sigmoid` is another function, clip(0.2 x + 0.5, 0, 1).
"""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larqnets")
class HardSigmoid(tf.keras.layers.Layer):
    """relu6(x + 3) / 6, elementwise on any shape."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the gate, in [0, 1]."""
        return tf.nn.relu6(inputs + 3.0) * (1 / 6)


@tf.keras.utils.register_keras_serializable("larqnets")
class HardSwish(tf.keras.layers.Layer):
    """x relu6(x + 3) / 6, elementwise on any shape. On a device it is HARD_SWISH."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the input times its gate."""
        return inputs * tf.nn.relu6(inputs + 3.0) * (1 / 6)
