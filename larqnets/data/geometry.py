"""What is done to the pixels of a picture, done to all that is known about it: by its kind, which is its name.

    image    (H, W, C) uint8    scaled bilinearly with antialiasing; what moves in is black
    mask     (H, W, 1) uint8    scaled to the nearest pixel; what moves in is OUTSIDE
    boxes    (M, 4) float32     top, left, bottom, right as fractions of height and width; those whose centre leaves the
                                picture are dropped, with their box_labels and box_kind (M,), the others clipped
    others                      such as a label: as they are

In a batch all has a fixed shape: behind the boxes that there are, rows are all 0 and their labels -1.
"""

from typing import NamedTuple

import tensorflow as tf

from larqnets.data.image import GREY
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, IMAGE, MASK, OUTSIDE
from larqnets.data.pixels import BoxOf, decode, fitted, make_upright, resize, stored_size, swap_upright
from larqnets.shapes import known

Tensor = tf.Tensor
Example = dict[str, Tensor]

ORIENTATION = "orientation"  # EXIF's, of the stored picture; no part of an example, which is upright


class Geometry(NamedTuple):
    """How a batch is varied: padded by `padding` pixels on every side, cut back at `offset`, mirrored.

    `offset`: (B, 2) row and column, int32; `mirror`: (B,) bool.
    """

    padding: int
    offset: Tensor
    mirror: Tensor


def cut_and_scale(stored: Example, box_of: BoxOf, size: tuple[int, int], channels: int) -> Example:
    """Decode a stored example: the part of the picture that `box_of` names, upright, as (height, width) = `size`.

    Pictures are stored encoded, with the masks that belong to them, and turned as their EXIF orientation says; `boxes` are
    those of the picture as it is shown. `box_of` must give the same box for the same picture again.
    """
    orientation = stored[ORIENTATION]
    example = {name: value for name, value in stored.items() if name != ORIENTATION}
    example[IMAGE] = resize(make_upright(decode(stored[IMAGE], channels, box_of), orientation), *size)
    if MASK in stored:
        mask = make_upright(decode(stored[MASK], 1, box_of), orientation)
        example[MASK] = resize(mask, *size, nearest=True)
    if BOXES in stored:
        height, width = stored_size(stored[IMAGE], channels)
        box, shown = swap_upright(box_of(height, width), tf.stack([height, width]), orientation)
        (top, left, box_height, box_width), (height, width) = (tf.unstack(tf.cast(v, tf.float32)) for v in (box, shown))
        scale = tf.stack([height / box_height, width / box_width] * 2)
        moved = stored[BOXES] * scale - tf.stack([top / box_height, left / box_width] * 2)
        example |= boxes_inside(stored, moved)
    return example


def fit(stored: Example, size: tuple[int, int], channels: int) -> Example:
    """Decode a stored example, scaled so that all of it fits into (height, width) = `size`; below or on the right of it is GREY."""
    example = {name: value for name, value in stored.items() if name != ORIENTATION}
    for name, count, outside in ((IMAGE, channels, GREY), (MASK, 1, OUTSIDE)):
        if name in stored:
            picture = make_upright(decode(stored[name], count), stored[ORIENTATION])
            small = fitted(tf.shape(picture)[:2], size)
            scaled = resize(picture, small[0], small[1], nearest=name == MASK)
            around = tf.stack([[0, size[0] - small[0]], [0, size[1] - small[1]], [0, 0]])
            example[name] = tf.ensure_shape(tf.pad(scaled, around, constant_values=outside), (*size, count))
    if BOXES in stored:
        height, width = stored_size(stored[IMAGE], channels)
        shown = tf.where(stored[ORIENTATION] >= 5, [width, height], [height, width])
        scale = tf.cast(fitted(shown, size), tf.float32) / tf.constant(size, tf.float32)
        example |= boxes_inside(stored, stored[BOXES] * tf.tile(scale, [2]))
    return example


def decode_as_stored(stored: Example, shape: tuple[int, int, int]) -> Example:
    """Decode an example whose pictures are PNG, upright and of `shape` (H, W, C) already."""
    example = {name: value for name, value in stored.items() if name != ORIENTATION}
    for name, channels in ((IMAGE, shape[2]), (MASK, 1)):
        if name in stored:
            example[name] = tf.ensure_shape(tf.io.decode_png(stored[name], channels), (*shape[:2], channels))
    return example


def move(batch: Example, geometry: Geometry) -> Example:
    """Vary a batch of decoded examples (B, ...)."""
    moved = dict(batch)
    moved[IMAGE] = cut_and_mirror(batch[IMAGE], geometry)
    if MASK in batch:
        moved[MASK] = cut_and_mirror(batch[MASK], geometry, OUTSIDE)
    if BOXES in batch:
        height, width = known(batch[IMAGE].shape[1:3])
        shift = tf.cast(geometry.padding - geometry.offset, tf.float32) / tf.constant([height, width], tf.float32)
        boxes = batch[BOXES] + tf.tile(shift, [1, 2])[:, tf.newaxis]
        top, left, bottom, right = tf.unstack(boxes, axis=-1)
        mirrored = tf.stack([top, 1 - right, bottom, 1 - left], axis=-1)
        boxes = tf.where(geometry.mirror[:, tf.newaxis, tf.newaxis], mirrored, boxes)
        moved |= boxes_inside(batch, boxes)
    return moved


def cut_and_mirror(images: Tensor, geometry: Geometry, outside: int = 0) -> Tensor:
    """Pad images (B, H, W, C) with pixels of the value `outside`, cut them back to their size, mirror where asked.

    One gather of whole pixels for the batch: no interpolation, so the result is exact, and about twice as fast here as
    a projective transform.
    """
    padding, offsets, mirrored = geometry
    height, width, channels = known(images.shape[1:])
    around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    padded = tf.pad(images, around, constant_values=outside)
    rows = tf.range(height) + offsets[:, :1]
    columns = tf.where(mirrored[:, tf.newaxis], tf.range(width - 1, -1, -1), tf.range(width)) + offsets[:, 1:]
    padded_height, padded_width = height + 2 * padding, width + 2 * padding
    first_row = tf.range(tf.shape(images)[0]) * padded_height
    rows += first_row[:, tf.newaxis]
    pixels = rows[:, :, tf.newaxis] * padded_width + columns[:, tf.newaxis, :]
    return tf.gather(tf.reshape(padded, [-1, channels]), pixels)


def boxes_inside(example: Example, moved: Tensor) -> Example:
    """Return `boxes`, `box_labels` and `box_kind` of an example or a batch whose boxes moved to (..., M, 4).

    Those whose centre is not in the picture are dropped, the others clipped to it; they keep their order, and what is free
    then stands behind them.
    """
    clipped = tf.clip_by_value(moved, 0.0, 1.0)
    (begin, end), (first, last) = (tf.split(boxes, 2, axis=-1) for boxes in (moved, clipped))
    inside = tf.reduce_all((begin + end >= 0) & (begin + end <= 2) & (last > first), axis=-1)
    stays = inside & (example[BOX_LABELS] >= 0)
    order = tf.argsort(tf.cast(~stays, tf.int32), axis=-1, stable=True)
    kept = {
        BOXES: tf.where(stays[..., tf.newaxis], clipped, 0.0),
        BOX_LABELS: tf.where(stays, example[BOX_LABELS], -1),
        BOX_KIND: tf.where(stays, example[BOX_KIND], 0),
    }
    return {
        name: tf.ensure_shape(tf.gather(v, order, batch_dims=order.shape.rank - 1), v.shape) for name, v in kept.items()
    }
