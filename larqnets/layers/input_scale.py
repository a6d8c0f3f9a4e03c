"""XNOR-Net's map of input magnitudes."""

from typing import Any

import tensorflow as tf

from larqnets.shapes import known


@tf.keras.utils.register_keras_serializable("larqnets")
class InputScale(tf.keras.layers.Layer):
    """K = (mean over channels of |x|) * box, box = 1/k^2 everywhere: (N, H, W, C) -> (N, H', W', 1).

    It covers the same windows as a SAME k x k convolution with the given strides or dilation; outside the image |x| is 0.
    Paper: XNOR-Net, section 3.2, eq. 11.
    """

    def __init__(self, kernel_size: int, strides: int = 1, dilation: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.strides, self.dilation = kernel_size, strides, dilation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return K."""
        magnitude = tf.reduce_mean(tf.abs(inputs), axis=-1, keepdims=True)
        if self.kernel_size == self.strides == 1:
            return magnitude
        pads = [self._padding(size) for size in known(inputs.shape[1:3])]
        padded = tf.pad(magnitude, [[0, 0], *pads, [0, 0]])
        if self.dilation > 1:  # no pooling has a rate
            height, width = known(inputs.shape[1:3])
            shifts = range(0, self.kernel_size * self.dilation, self.dilation)
            return (
                tf.add_n([padded[:, i : i + height, j : j + width] for i in shifts for j in shifts]) / len(shifts) ** 2
            )
        return tf.nn.avg_pool2d(padded, self.kernel_size, self.strides, "VALID")

    def _padding(self, size: int) -> list[int]:
        """TensorFlow's SAME padding, before and after; an average pool of its own would not count the border."""
        reach = (self.kernel_size - 1) * self.dilation + 1
        total = max(0, (-(-size // self.strides) - 1) * self.strides + reach - size)
        return [total // 2, total - total // 2]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        geometry = {"kernel_size": self.kernel_size, "strides": self.strides, "dilation": self.dilation}
        return {**super().get_config(), **geometry}
