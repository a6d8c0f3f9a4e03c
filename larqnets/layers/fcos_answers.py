"""What FCOS (arXiv 1904.01355) answers with, of what its convolutions give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def locations(sizes: Sequence[Sequence[int]], image_size: Sequence[int]) -> np.ndarray:
    """Return of every location of maps (height, width) its centre y and x and its stride, in pixels of the image, float64 (A, 3).

    The cell (i, j) stands for ((i + 1/2) s, (j + 1/2) s). The stride of a map is the power of two that makes its size, rounded
    up, of the image's.
    """
    found = []
    for height, width in sizes:
        stride = 1
        while -(-image_size[0] // stride) > height or -(-image_size[1] // stride) > width:
            stride *= 2
        rows, columns = np.mgrid[:height, :width]
        centres = (np.stack([rows.ravel(), columns.ravel()], 1) + 0.5) * stride
        found.append(np.concatenate([centres, np.full((height * width, 1), float(stride))], 1))
    return np.concatenate(found)


@tf.keras.utils.register_keras_serializable("larqnets")
class FcosBoxes(tf.keras.layers.Layer):
    """Boxes (N, A, 4), [ymin, xmin, ymax, xmax] relative to the image, of distances (N, A, 4) in strides.

    The distances are those of a location to the top, left, bottom and right of its box: side = centre -+ distance · stride /
    size. `sizes`: (height, width) of the maps whose locations these are, `image_size` that of the image.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], image_size: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sizes, self.image_size = [list(size) for size in sizes], list(image_size)
        places = locations(self.sizes, self.image_size)
        relative = 1 / np.array(self.image_size, np.float64)
        centres, reach = places[:, :2] * relative, places[:, 2:] * relative
        self._centres = np.tile(centres, 2).astype(np.float32)
        self._reach = np.concatenate([-reach, reach], 1).astype(np.float32)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Decode."""
        return inputs * tf.cast(self._reach, inputs.dtype) + tf.cast(self._centres, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "sizes": self.sizes, "image_size": self.image_size}


@tf.keras.utils.register_keras_serializable("larqnets")
class FcosScores(tf.keras.layers.Layer):
    """sqrt(sigmoid(classes) · sigmoid(centerness)), (N, A, C), of logits (N, A, C) and (N, A, 1)."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Join."""
        classes, centerness = inputs
        return tf.sqrt(tf.sigmoid(classes) * tf.sigmoid(centerness))
