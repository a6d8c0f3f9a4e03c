"""A detector whose answers are known: of pictures of red, green and blue it tells where on a grid of cells which colour is."""

from functools import cache

import tensorflow as tf
from colours import LABELS, PREPROCESS

from deploy.export import edit

HEIGHT, WIDTH, CELL = 16, 24, 8  # pixels of the network's images and of a cell: 2x3 cells
NMS = {"iou": 0.5, "per_class": True, "score": 0.3, "max_per_class": 100, "max": 100}


def box_file(resize: str | None = "warp", **metadata) -> bytes:
    """Boxes (1, 6, 4), the cells from left to right and from the top, and scores (1, 6, 3), how much of each colour is in them.

    A cell that a colour of `colours` fills has a score of 0.6 to 0.7 for it, and a grey one none.
    """
    preprocess = PREPROCESS | {"image_shape": [HEIGHT, WIDTH, 3], "mean": [0.0] * 3, "std": [1.0] * 3}
    if resize is not None:
        preprocess["resize"] = resize
    said = {"task": "detection", "classes": LABELS, "boxes": "ymin_xmin_ymax_xmax_relative", "nms": NMS}
    said = {key: value for key, value in (said | metadata).items() if value is not None}
    return edit.add_metadata(_boxes(), {"preprocess": preprocess, **said})


@cache
def _boxes() -> bytes:
    image = tf.keras.layers.Input((HEIGHT, WIDTH, 3), batch_size=1)
    rows, columns = HEIGHT // CELL, WIDTH // CELL
    mean = tf.reshape(tf.nn.avg_pool2d(image, CELL, CELL, "VALID"), [1, rows * columns, 3])
    strongest = mean - tf.reduce_mean(mean, axis=-1, keepdims=True)
    cells = [[i / rows, j / columns, (i + 1) / rows, (j + 1) / columns] for i in range(rows) for j in range(columns)]
    boxes = tf.constant([cells], tf.float32) + 0 * mean[..., :1]
    named = [
        tf.keras.layers.Activation("linear", name="boxes")(boxes),
        tf.keras.layers.ReLU(name="scores")(1.5 * strongest),
    ]
    model = tf.keras.Model(image, named)
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()
