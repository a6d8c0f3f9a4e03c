"""Random variations of training images, each a pure function of (seed, counter)."""

import enum
from dataclasses import dataclass

import tensorflow as tf

from larqnets.data.geometry import Geometry

Tensor = tf.Tensor


class Purpose(enum.IntEnum):
    """What random numbers are for: each purpose has a stream of its own."""

    ORDER = 0
    SAMPLES = 1
    SHARDS = 2
    CROP = 3
    FLIP = 4
    RESIZED_CROP = 5
    COLOUR = 6
    MIX = 7
    SCALE = 8


@dataclass(frozen=True)
class Share:
    """The part of every batch that one process of several takes: number `index` of `count` equal ones in a row."""

    index: int = 0
    count: int = 1


WHOLE = Share()


def stateless_seed(seed: int, purpose: Purpose, counter: Tensor | int) -> Tensor:
    """Return the (2,) int64 seed of a purpose at a step, epoch or position; `seed` is below 2**31."""
    return tf.stack([tf.constant(seed + (int(purpose) << 32), tf.int64), tf.cast(counter, tf.int64)])


def draw(size: Tensor, padding: int, flip: bool, seed: int, step: Tensor, share: Share = WHOLE) -> Geometry:
    """Return how `size` images are moved by up to `padding` pixels, and with `flip` half of them mirrored.

    They are the share of a batch; each is treated as it would be in the whole batch.
    """
    batch, mine = size * share.count, slice(share.index * size, (share.index + 1) * size)
    offsets = tf.zeros([batch, 2], tf.int32)
    mirrored = tf.zeros([batch], tf.bool)
    if padding:
        crop_seed = stateless_seed(seed, Purpose.CROP, step)
        offsets = tf.random.stateless_uniform(
            tf.stack([batch, 2]), crop_seed, 0, 2 * padding + 1, tf.int32, alg="philox"
        )
    if flip:
        mirrored = (
            tf.random.stateless_uniform(tf.stack([batch]), stateless_seed(seed, Purpose.FLIP, step), alg="philox") < 0.5
        )
    return Geometry(padding, offsets[mine], mirrored[mine])


def random_box(
    height: Tensor, width: Tensor, min_area: float, seed: int, position: Tensor, aspect: float = 1.0
) -> Tensor:
    """Return (top, left, height, width) of a random part: area in [min_area, 1], width : height in `aspect` * [3/4, 4/3].

    The whole image where 100 draws do not fit into it.
    """
    whole_image = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.stack([height, width, 3]),
        whole_image,
        stateless_seed(seed, Purpose.RESIZED_CROP, position),
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4 * aspect, 4 / 3 * aspect),
        area_range=(min_area, 1.0),
        max_attempts=100,
    )
    # A size of -1 stands for everything.
    size = tf.where(size[:2] < 0, tf.stack([height, width]), size[:2])
    return tf.concat([begin[:2], size], 0)
