"""Unpooling by the places of the maxima, of ops that every TensorFlow Lite has."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from larqnets.shapes import known

Form = Literal["ceil", "chain"]


@tf.keras.utils.register_keras_serializable("larqnets")
class MaxUnpool2D(tf.keras.layers.Layer):
    """Puts every z where x has the maximum of its 2x2 window, zeros elsewhere.

    (N, H, W, C), (N, ceil(H/2), ceil(W/2), C) -> (N, H, W, C); x is the map before the pooling and at least 0, as behind a
    ReLU, so that the zeros which fill up an odd size never win. Of equal values the first in rows counts, as in Caffe,
    PyTorch and `tf.nn.max_pool_with_argmax`. Ties are common, zeros of a ReLU, and what is placed is z: a mask of all
    that equal the maximum would place it up to four times.

    With a, b, c, d the four places of all windows and p = max(a, b, c, d), each a map (N, ceil(H/2), ceil(W/2), C):

        ceil   n_v = ceil(min(p - v, 1)), 0 where v is the maximum, else 1
               r1 = n_a z, out_a = z - r1;  r2 = n_b r1, out_b = r1 - r2;  r3 = n_c r2, out_c = r2 - r3;  out_d = r3
        chain  i_a = a >= p: out_a = i_a ? z : 0, r = i_a ? 0 : z;  i_b = b >= p, and so on with what is left

    Both give the same bits in float32. In int8 only "chain" is exact, since p - v would be rounded to a scale of its own;
    it executes more instructions. Its p is a max-pool of x, in a file the one that the encoder has anyway: of maxima of a, b, c
    and d alone the quantiser would take the scale of all of x from some of them, and leave convolutions behind the pooling
    float. No gradient reaches x through the places, as in Caffe.

    `forced`, where it is set, gives the map by which the places are chosen in the stead of x: for the proof that a file is
    equal, as a quantizer that gives the signs of a file.

    Source: SegNet, arXiv 1511.00561, section 3. The forms are ours.
    """

    forced: Callable[[tf.Tensor], tf.Tensor] | None = None

    def __init__(self, form: Form = "ceil", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.form = form

    def build(self, input_shape: Sequence[Any]) -> None:
        """Raise ValueError where z is not half as large as x."""
        before, pooled = (known(shape[1:]) for shape in input_shape)
        halved = (-(-before[0] // 2), -(-before[1] // 2), before[2])
        if pooled != halved:
            raise ValueError(f"unpooling to {before} takes {halved}, not {pooled}")
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the unpooled z."""
        x, z = inputs
        x = x if self.forced is None else self.forced(x)
        height, width = known(x.shape[1:3])
        pooled = tf.nn.max_pool2d(x, 2, 2, "SAME") if self.form == "chain" else None
        if height % 2 or width % 2:
            x = tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]])
        places = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        placed = _by_ceil(places, z) if pooled is None else _by_chain(places, pooled, z)
        return tf.nn.depth_to_space(tf.concat(placed, -1), 2)[:, :height, :width]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "form": self.form}


def _by_ceil(places: Sequence[tf.Tensor], z: tf.Tensor) -> list[tf.Tensor]:
    a, b, c, d = places
    largest = tf.maximum(tf.maximum(a, b), tf.maximum(c, d))
    placed, left = [], z
    for values in (a, b, c):
        further = tf.math.ceil(tf.minimum(largest - values, 1.0)) * left
        placed.append(left - further)
        left = further
    return [*placed, left]


def _by_chain(places: Sequence[tf.Tensor], largest: tf.Tensor, z: tf.Tensor) -> list[tf.Tensor]:
    placed, left = [], z
    for values in places[:3]:
        here = values >= largest
        placed.append(tf.where(here, left, 0.0))  # one zero: a map of them would be float32 in a file of integers
        left = tf.where(here, 0.0, left)
    return [*placed, left]
