"""What is done to the pixels of a picture, done to all that is known about it: by its kind, which is its name.

    image    (H, W, C) uint8    scaled bilinearly with antialiasing; what moves in is black
    mask     (H, W, 1) uint8    scaled to the nearest pixel; what moves in is OUTSIDE
    boxes    (M, 4) float32     top, left, bottom, right as fractions of height and width; moved, not clipped
    others                      such as a label: as they are

In a batch all has a fixed shape, so rows of `boxes` that are all 0 stand for no box, and stay so.
"""

from typing import NamedTuple

import tensorflow as tf

from larqnets.data.info import BOXES, IMAGE, MASK, OUTSIDE
from larqnets.data.pixels import BoxOf, decode, make_upright, resize, stored_size, swap_upright
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
        example[BOXES] = boxes_or_none(stored[BOXES], moved)
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
        moved[BOXES] = boxes_or_none(
            batch[BOXES], tf.where(geometry.mirror[:, tf.newaxis, tf.newaxis], mirrored, boxes)
        )
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


def boxes_or_none(before: Tensor, after: Tensor) -> Tensor:
    """Return the boxes after, and 0 where there was none before."""
    return tf.where(tf.reduce_any(before != 0, axis=-1, keepdims=True), after, 0.0)
