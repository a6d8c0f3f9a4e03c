"""Blur-pooling (Zhang 2019, arXiv 1904.11486, section 4): a fixed low-pass filter before every second pixel is taken."""

from typing import Any

import tensorflow as tf

from larqnets.quantizers import register
from larqnets.shapes import known

layers = tf.keras.layers


@register
class Binomial(tf.keras.initializers.Initializer):
    """A depthwise kernel (3, 3, C, 1) with b_i b_j / 16 in every channel, b = (1, 2, 1): the values sum to 1."""

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
        """Return the kernel; raises ValueError for one that is not 3x3 with one filter a channel."""
        if (*shape[:2], shape[3]) != (3, 3, 1):
            raise ValueError(f"the blur has kernels (3, 3, C, 1), not {tuple(shape)}")
        row = tf.constant([1, 2, 1], dtype or tf.float32) / 4
        return tf.broadcast_to(tf.reshape(row[:, None] * row, (3, 3, 1, 1)), shape)


def blur_pool(x: tf.Tensor, name: str) -> tf.Tensor:
    """max of 2x2 at stride 1, then the blur at stride 2, which never learns: (N, H, W, C) -> (N, ceil(H/2), ceil(W/2), C).

    x is at least 0, as behind a ReLU. The maximum is VALID and the blur SAME, so that an even size loses the row that the
    maximum has no window for. An odd size gets a row of zeros first, or it would be rounded down.
    """
    odd = [(0, side % 2) for side in known(x.shape[1:3])]
    if any(after for _, after in odd):
        x = layers.ZeroPadding2D(odd, name=f"{name}_pad")(x)
    y = layers.MaxPool2D(2, 1, name=f"{name}_max")(x)
    return layers.DepthwiseConv2D(
        3, 2, "same", use_bias=False, depthwise_initializer=Binomial(), trainable=False, name=f"{name}_blur"
    )(y)
