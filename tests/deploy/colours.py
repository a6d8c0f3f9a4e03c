"""A file that tells red, green and blue pictures apart, of any size, and what it must answer."""

from functools import cache

import numpy as np
import tensorflow as tf
from PIL import Image

from deploy.export import edit

LABELS = ["red", "green", "blue"]
PURE = {"red": (200, 40, 30), "green": (20, 190, 60), "blue": (10, 60, 220)}
PREPROCESS = {
    "image_shape": [6, 8, 3],
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "labels": LABELS,
    "dataset": "x",
    "crop_fraction": 1.0,
}


@cache
def plain_file() -> bytes:
    """Logits (1, 3), the means of the channels, without a word on images."""
    image = tf.keras.layers.Input((6, 8, 3), batch_size=1)
    model = tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D()(image))
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@cache
def colour_file() -> bytes:
    """The same with how images are prepared and what the labels are."""
    return edit.add_metadata(plain_file(), {"preprocess": PREPROCESS})


def pixel_file(height: int = 6, width: int = 8, output: str = "logits", **metadata) -> bytes:
    """Logits (1, H, W, 3) that are the channels, or the mask (1, H, W): a pixel is of the class that its strongest channel is."""
    colors = [list(PURE[name]) for name in LABELS]
    said = {"task": "segmentation", "classes": LABELS, "colors": colors, "ignore_label": 255, "output": output}
    said = {key: value for key, value in (said | metadata).items() if value is not None}
    return edit.add_metadata(
        _pixels(height, width, output), {"preprocess": PREPROCESS | {"image_shape": [height, width, 3]}, **said}
    )


@cache
def _pixels(height: int, width: int, output: str) -> bytes:
    image = tf.keras.layers.Input((height, width, 3), batch_size=1)
    answer = 2 * image if output == "logits" else tf.cast(tf.argmax(image, -1), tf.uint8)
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, answer)).convert()


def picture(name: str, size: tuple[int, int] = (21, 17)) -> Image.Image:
    """A picture of one colour, (width, height)."""
    return Image.new("RGB", size, PURE[name])


def due(name: str) -> np.ndarray:
    """The probabilities for a picture of one colour."""
    powers = np.exp((np.array(PURE[name]) / 255 - 0.5) / 0.25)
    return powers / powers.sum()
