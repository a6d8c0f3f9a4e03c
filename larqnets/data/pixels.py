"""Decode an encoded image and bring a part of it to the model's size, in the graph of tf.data."""

from collections.abc import Callable

import tensorflow as tf

Tensor = tf.Tensor
BoxOf = Callable[[Tensor, Tensor], Tensor]  # (height, width) of the stored image -> (top, left, height, width)


def decode(encoded: Tensor, channels: int, box_of: BoxOf | None = None) -> Tensor:
    """Return uint8 (h, w, channels) of a PNG or JPEG, or only the part that `box_of` names.

    JPEG uses the accurate inverse DCT, as Pillow does, so that a device sees the same pixels.
    """

    def jpeg() -> Tensor:
        if box_of is None:
            return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE")
        shape = tf.io.extract_jpeg_shape(encoded)
        box = box_of(shape[0], shape[1])
        return tf.io.decode_and_crop_jpeg(encoded, box, channels, dct_method="INTEGER_ACCURATE")

    def png() -> Tensor:
        image = tf.io.decode_png(encoded, channels)
        if box_of is None:
            return image
        shape = tf.shape(image)
        top, left, height, width = tf.unstack(box_of(shape[0], shape[1]))
        return image[top : top + height, left : left + width]

    return tf.ensure_shape(tf.cond(tf.io.is_jpeg(encoded), jpeg, png), [None, None, channels])


def make_upright(image: Tensor, orientation: Tensor) -> Tensor:
    """Apply an EXIF orientation: 2..4 mirror and turn, 5..8 also swap rows and columns."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    image = tf.cond(upside_down, lambda: image[::-1], lambda: image)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    return tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)


def central_square(fraction: float) -> BoxOf:
    """Return the box function of the central square with `fraction` of the short side."""

    def box_of(height: Tensor, width: Tensor) -> Tensor:
        short = tf.cast(tf.minimum(height, width), tf.float64)
        side = tf.maximum(1, tf.cast(tf.floor(short * fraction + 0.5), tf.int32))
        return tf.stack([(height - side) // 2, (width - side) // 2, side, side])

    return box_of


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return uint8 (height, width, C): bilinear with antialiasing, as Pillow and torchvision do it, then rounded."""
    resized = tf.image.resize(image, [height, width], method="bilinear", antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)
