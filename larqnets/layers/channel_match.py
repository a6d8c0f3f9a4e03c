"""Elastic-Link's squeeze and expand: a tensor with another number of channels, without weights."""

from typing import Any, Literal

import tensorflow as tf

from larqnets.errors import LarqnetsError
from larqnets.shapes import known

Squeeze = Literal["mean", "sum", "max"]
Expand = Literal["tile", "pad"]


def check_link(channels: int, filters: int) -> None:
    """Raise LarqnetsError unless one of the two counts is a multiple of the other."""
    if max(channels, filters) % min(channels, filters):
        raise LarqnetsError(
            f"elasticlink links channel counts of which one divides the other, and cannot link {channels} to {filters}. "
            "Use another width or backbone."
        )


@tf.keras.utils.register_keras_serializable("larqnets")
class ChannelMatch(tf.keras.layers.Layer):
    """C channels to `filters`: (N, H, W, C) -> (N, H, W, filters).

        C = filters    y = x
        C > filters    squeeze: y[j] = mean, sum or max over g of x[g filters + j], g = 0 .. C / filters - 1
        C < filters    expand: "tile" y[r C + i] = x[i], r = 0 .. filters / C - 1; "pad" x and then zeros

    The squeezed mean of a tile is the tensor itself, and but for "max" all are linear.
    Raises LarqnetsError where neither count is a multiple of the other. Reconstructed: the paper's operators were not at
    hand.
    """

    def __init__(self, filters: int, squeeze: Squeeze = "mean", expand: Expand = "tile", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.squeeze, self.expand = filters, squeeze, expand

    def build(self, input_shape: Any) -> None:
        """Compare the two counts."""
        check_link(input_shape[-1], self.filters)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Squeeze or expand."""
        (channels,) = known(inputs.shape[-1:])
        if channels == self.filters:
            return inputs
        if channels < self.filters:
            if self.expand == "tile":
                return tf.concat([inputs] * (self.filters // channels), axis=-1)
            return tf.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, self.filters - channels]])
        y, *others = tf.split(inputs, channels // self.filters, axis=-1)
        for other in others:
            y = tf.maximum(y, other) if self.squeeze == "max" else y + other
        return y * (self.filters / channels) if self.squeeze == "mean" else y

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        arguments = {"filters": self.filters, "squeeze": self.squeeze, "expand": self.expand}
        return {**super().get_config(), **arguments}
