"""A random part of a picture at a random scale, of the size that the network takes: `data.random_scale`.

Factor 1 is the scale of evaluation: with CROP the picture just covers that size, with LETTERBOX it just fits into it, with WARP
each of its sides is as long. What is missing of a smaller one is filled: an image with
the mean of the data set or LETTERBOX's grey, a mask with OUTSIDE. One geometry for the picture and all that is known about it.
"""

from collections.abc import Sequence

import tensorflow as tf

from larqnets.data.augment import Purpose, stateless_seed
from larqnets.data.geometry import ORIENTATION, Example, boxes_inside
from larqnets.data.image import GREY
from larqnets.data.info import BOXES, CROP, IMAGE, LETTERBOX, MASK, OUTSIDE
from larqnets.data.pixels import decode, make_upright, resize

Tensor = tf.Tensor


def draw_part(scale: tuple[float, float], seed: int, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return a factor () uniform in `scale`, and where the part lies, (2,) in [0, 1): a function of (seed, position)."""
    numbers = tf.random.stateless_uniform([3], stateless_seed(seed, Purpose.SCALE, position), alg="philox")
    low, high = scale
    return low + (high - low) * numbers[0], numbers[1:]


def filling(mean: Sequence[float], way: str) -> list[int]:
    """Return the pixel values of what is no picture: the mean, (C,) of pixels / 255, or where evaluation fills, its grey."""
    return [GREY if way == LETTERBOX else min(max(0, round(255 * part)), 255) for part in mean]


def scaled_part(
    stored: Example, factor: Tensor, place: Tensor, shape: tuple[int, int, int], fill: Sequence[int], way: str = CROP
) -> Example:
    """Decode a stored example, scale it by `factor` and take a part of `shape` (H, W, C) at `place`; see `draw_part`.

    `way`: how evaluation resizes. `fill` is a pixel value for each channel, where there is no picture.
    """
    *target, channels = shape
    example = {name: value for name, value in stored.items() if name != ORIENTATION}
    pictures = {
        name: make_upright(decode(stored[name], count), stored[ORIENTATION])
        for name, count in ((IMAGE, channels), (MASK, 1))
        if name in stored
    }
    size, want = tf.shape(pictures[IMAGE])[:2], tf.constant(target)
    ratios = tf.cast(want, tf.float32) / tf.cast(size, tf.float32)
    unvaried = {CROP: tf.reduce_max(ratios), LETTERBOX: tf.reduce_min(ratios)}.get(way, ratios)
    scaled = tf.maximum(1, tf.cast(tf.round(factor * unvaried * tf.cast(size, tf.float32)), tf.int32))
    # Where the part begins in the scaled picture: below 0 where the picture is the smaller one.
    start = tf.cast(tf.floor(place * tf.cast(tf.abs(scaled - want) + 1, tf.float32)), tf.int32)
    start = tf.where(scaled >= want, start, -start)
    shown = tf.minimum(scaled, want)  # how much of the part is picture
    # The same in stored pixels, whole ones, so that image and mask show the same.
    ratio = tf.cast(size, tf.float32) / tf.cast(scaled, tf.float32)
    first = tf.minimum(tf.cast(tf.round(tf.cast(tf.maximum(start, 0), tf.float32) * ratio), tf.int32), size - 1)
    count = tf.clip_by_value(tf.cast(tf.round(tf.cast(shown, tf.float32) * ratio), tf.int32), 1, size - first)
    before = tf.maximum(-start, 0)
    around = tf.concat([tf.stack([before, want - shown - before], axis=1), [[0, 0]]], axis=0)
    for name, picture in pictures.items():
        part = tf.slice(picture, tf.concat([first, [0]], 0), tf.concat([count, [-1]], 0))
        part = resize(part, shown[0], shown[1], nearest=name == MASK)
        example[name] = tf.ensure_shape(
            _padded(part, around, (OUTSIDE,) if name == MASK else fill), (*target, picture.shape[2])
        )
    if BOXES in stored:
        whole = tf.tile(tf.cast(scaled, tf.float32), [2])
        moved = (stored[BOXES] * whole - tf.tile(tf.cast(start, tf.float32), [2])) / tf.tile(
            tf.cast(want, tf.float32), [2]
        )
        example |= boxes_inside(stored, moved)
    return example


def _padded(picture: Tensor, around: Tensor, fill: Sequence[int]) -> Tensor:
    """Return a uint8 picture with pixels of the value `fill` around it."""
    color = tf.constant(fill, tf.uint8)
    return tf.pad(picture - color, around) + color  # uint8 wraps around, there and back
