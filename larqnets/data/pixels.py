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


def swap_upright(box: Tensor, size: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a box (top, left, height, width) of a stored picture of (height, width) is in the upright one, and its size."""
    swapped = orientation >= 5
    box = tf.where(swapped, tf.gather(box, [1, 0, 3, 2]), box)
    size = tf.where(swapped, size[::-1], size)
    opposite = size - box[:2] - box[2:]
    turned = tf.stack([tf.reduce_any(orientation == numbers) for numbers in ([3, 4, 7, 8], [2, 3, 6, 7])])
    return tf.concat([tf.where(turned, opposite, box[:2]), box[2:]], 0), size


def stored_size(encoded: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return height and width of a stored PNG or JPEG."""
    shape = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded),
        lambda: tf.shape(tf.io.decode_png(encoded, channels)),
    )
    return shape[0], shape[1]


def central_part(fraction: float, target_height: Tensor | float, target_width: Tensor | float) -> BoxOf:
    """Return the box function of the largest central part of the target's aspect ratio, times `fraction`.

    The same numbers as `larqnets.data.image.central_box`, in the same order of operations.
    """

    def box_of(height: Tensor, width: Tensor) -> Tensor:
        h, w = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
        sides = (tf.minimum(h, w * target_height / target_width), tf.minimum(w, h * target_width / target_height))
        rows, columns = (tf.maximum(1, tf.cast(tf.floor(side * fraction + 0.5), tf.int32)) for side in sides)
        return tf.stack([(height - rows) // 2, (width - columns) // 2, rows, columns])

    return box_of


def whole_picture(height: Tensor, width: Tensor) -> Tensor:
    """The box function of all of a picture."""
    return tf.stack([0, 0, height, width])


def fitted(size: Tensor, target: tuple[int, int]) -> Tensor:
    """Return (2,) int32, the height and width of a picture of `size` (2,) that is scaled to fit into the target.

    The same numbers as `larqnets.data.image.fitted`.
    """
    h, w = tf.unstack(tf.cast(size, tf.float64))
    height, width = target
    sides = tf.stack([tf.minimum(h * width / w, height), tf.minimum(w * height / h, width)])
    return tf.maximum(1, tf.cast(tf.floor(sides + 0.5), tf.int32))


def resize(image: Tensor, height: int | Tensor, width: int | Tensor, *, nearest: bool = False) -> Tensor:
    """Return uint8 (height, width, C): bilinear with antialiasing, as Pillow and torchvision do it, then rounded.

    `nearest`: every pixel is that one of the image in which its centre lies.
    """
    if nearest:
        return tf.image.resize(image, [height, width], method="nearest")
    resized = tf.image.resize(image, [height, width], method="bilinear", antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)
