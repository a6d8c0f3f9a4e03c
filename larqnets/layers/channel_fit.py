"""PokeBNN's shortcut without parameters: a tensor with another number of channels."""

from typing import Any, Literal

import tensorflow as tf

from larqnets.shapes import known


@tf.keras.utils.register_keras_serializable("larqnets")
class ChannelFit(tf.keras.layers.Layer):
    """C channels to `filters`: (N, H, W, C) -> (N, H, W, filters).

        C = filters    y = x
        C > filters    y[j] = mean over g < G of x[G j + g], G = C // filters: adjacent channels; what is left over is dropped
        C < filters    "pad" x and then zeros; "tile" y[r C + i] = x[i], of the last r as many as fit

    On a device TRANSPOSE and MEAN, PAD or CONCATENATION.
    Paper: PokeBNN, arXiv 2112.00133. Its released code tiles whole multiples only.
    """

    def __init__(self, filters: int, expand: Literal["pad", "tile"] = "pad", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.expand = filters, expand

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Average, pad or tile."""
        height, width, channels = known(inputs.shape[1:])
        if channels == self.filters:
            return inputs
        if channels < self.filters and self.expand == "pad":
            return tf.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, self.filters - channels]])
        if channels < self.filters:
            whole, rest = divmod(self.filters, channels)
            return tf.concat([inputs] * whole + ([inputs[:, :, :, :rest]] if rest else []), axis=-1)
        group = channels // self.filters
        used = inputs if group * self.filters == channels else inputs[:, :, :, : group * self.filters]
        if group == 1:
            return used
        # what is added up comes one below the other: a MEAN over adjacent values takes seven times the instructions on ARM64
        apart = tf.transpose(tf.reshape(used, (-1, height * width * self.filters, group)), (0, 2, 1))
        mean = tf.reduce_mean(tf.reshape(apart, (-1, group, height * width, self.filters)), axis=1)
        return tf.reshape(mean, (-1, height, width, self.filters))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "filters": self.filters, "expand": self.expand}
