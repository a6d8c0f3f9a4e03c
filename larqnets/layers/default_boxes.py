"""SSD's default boxes: where they are, and what a network answers with relative to them.

Source: SSD, arXiv 1512.02325, section 2.2, and its released code, from which the order and the variances are.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

VARIANCES = (0.1, 0.1, 0.2, 0.2)  # of what is learned: centre y, centre x, height, width
_SMALLEST = 1e-6  # side of a box, of which a logarithm is taken
_LARGEST = math.log(
    1000 / 16
)  # logarithm of how many times larger than its default box a box can be: larger than any image


def default_boxes(
    image: Sequence[int],
    maps: Sequence[Sequence[int]],
    steps: Sequence[Sequence[float]],
    sizes: Sequence[float],
    ratios: Sequence[Sequence[float]],
) -> np.ndarray:
    """Return the default boxes (A, 4) float32 of maps (height, width), [centre y, centre x, height, width] relative to the image.

    The boxes of cell (i, j) of map k have their centre at ((i + 0.5) step_y, (j + 0.5) step_x) pixels of the image (height,
    width). With s and s' the sizes k and k + 1, relative to the shorter side, they are in this order squares of side s and
    sqrt(s s'), and for each ratio r one of s sqrt(r) by s / sqrt(r) that lies and one that stands. They are not clipped.
    """
    height, width = image
    shorter = min(height, width)
    found = []
    for (rows, columns), (step_y, step_x), size, larger, of_map in zip(
        maps, steps, sizes[:-1], sizes[1:], ratios, strict=True
    ):
        shapes = [(size, size), ((size * larger) ** 0.5,) * 2]  # height, width
        for ratio in of_map:
            shapes += [(size / ratio**0.5, size * ratio**0.5), (size * ratio**0.5, size / ratio**0.5)]
        boxes = np.empty((rows, columns, len(shapes), 4))
        boxes[..., 0] = ((np.arange(rows) + 0.5) * step_y / height)[:, None, None]
        boxes[..., 1] = ((np.arange(columns) + 0.5) * step_x / width)[None, :, None]
        boxes[..., 2:] = np.array(shapes) * (shorter / np.array([height, width]))
        found.append(boxes.reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def encoded(boxes: tf.Tensor, priors: tf.Tensor) -> tf.Tensor:
    """Return what a network should say of boxes (..., 4), [ymin, xmin, ymax, xmax], relative to default boxes (..., 4).

    t = ((c - c_a) / (0.1 size_a), log(size / size_a) / 0.2), c the centre and size the height and the width.
    """
    low, high = tf.split(boxes, 2, axis=-1)
    centres, sides = tf.split(priors, 2, axis=-1)
    moved = ((low + high) / 2 - centres) / sides / VARIANCES[:2]
    grown = tf.math.log(tf.maximum(high - low, _SMALLEST) / sides) / VARIANCES[2:]
    return tf.concat([moved, grown], -1)


@tf.keras.utils.register_keras_serializable("larqnets")
class DefaultBoxes(tf.keras.layers.Layer):
    """Boxes [ymin, xmin, ymax, xmax] of encodings, and the default boxes themselves: (N, A, 4) -> (N, A, 4) twice.

    centre = 0.1 t size_a + c_a, size = exp(min(0.2 t, log(1000/16))) size_a: what `encoded` makes, undone. The limit is no
    part of SSD; without it an image unlike all others makes boxes without end, of which the last digit of t changes all.
    Boxes may reach out of the image. The second output are the `default_boxes` of the arguments, once for every image; a loss
    compares with them.
    """

    def __init__(
        self,
        image: Sequence[int],
        maps: Sequence[Sequence[int]],
        steps: Sequence[Sequence[float]],
        sizes: Sequence[float],
        ratios: Sequence[Sequence[float]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image, self.maps, self.steps, self.sizes, self.ratios = image, maps, steps, sizes, ratios
        self.priors = default_boxes(image, maps, steps, sizes, ratios)

    def call(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        """Return boxes and default boxes."""
        moved, grown = tf.split(inputs, 2, axis=-1)
        centres = moved * (self.priors[:, 2:] * VARIANCES[:2]) + self.priors[:, :2]
        halves = tf.exp(tf.minimum(grown * VARIANCES[2:], _LARGEST)) * (self.priors[:, 2:] / 2)
        boxes = tf.concat([centres - halves, centres + halves], -1)
        return [boxes, tf.broadcast_to(self.priors, tf.shape(inputs))]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        lists = {name: [list(row) for row in getattr(self, name)] for name in ("maps", "steps", "ratios")}
        return {**super().get_config(), "image": list(self.image), "sizes": list(self.sizes), **lists}


@tf.keras.utils.register_keras_serializable("larqnets")
class Foreground(tf.keras.layers.Layer):
    """Probabilities of the classes without the background, which comes first: logits (N, A, C + 1) -> (N, A, C)."""

    symbol = "softmax"  # by which `larqnets.endings` knows the function, as it does a function of TensorFlow as a layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Softmax, and all but the first."""
        return tf.nn.softmax(inputs)[:, :, 1:]
