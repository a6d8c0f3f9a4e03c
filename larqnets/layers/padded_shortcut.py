"""The shortcut without parameters where the shape changes."""

from typing import Any

import tensorflow as tf

from larqnets.shapes import known


@tf.keras.utils.register_keras_serializable("larqnets")
class PaddedShortcut(tf.keras.layers.Layer):
    """Every `strides`-th pixel, then zero channels on both sides: (N, H, W, C) -> (N, H/strides, W/strides, filters).

    Sizes are rounded up; of an odd number of new channels the last side gets one more.
    Source: option A of the CIFAR networks of He et al. 2015 (arXiv 1512.03385, section 4.2); the channels are placed as in
    the released code of SD-BNN.
    """

    def __init__(self, filters: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.strides = filters, strides

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the thinned and padded input."""
        missing = self.filters - known(inputs.shape[-1:])[0]
        thinned = inputs[:, :: self.strides, :: self.strides]
        return tf.pad(thinned, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}
