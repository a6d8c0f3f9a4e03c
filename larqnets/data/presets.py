"""Presets of augmentation for photos, `data.augment`: how pixels are varied beyond crops and mirror images.

    crop         a random part of the stored picture, of `min_area` or more of it
    mirror       half of the images
    jitter       brightness, contrast and saturation by factors in [1 - jitter, 1 + jitter], in this order
    operations   so many of OPERATIONS in a row, each drawn for itself, as in RandAugment; none of them moves a pixel, so
                 masks and boxes stay right
    mixed        this share of the images is mixed with the neighbour in the batch: half of them by mixup, half by CutMix

All is a pure function of (seed, position in the order of all images), mixing of (seed, step): a resumed run goes on with the
same pixels. Pixels are float32 in [0, 255] here, (H, W, C), and rounded at the end.

Papers: Cubuk et al., "RandAugment" (2020); Zhang et al., "mixup" (2018); Yun et al., "CutMix" (2019).
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from larqnets.config import DataConfig
from larqnets.data.augment import WHOLE, Purpose, Share, stateless_seed
from larqnets.data.geometry import Example
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError
from larqnets.shapes import known

Tensor = tf.Tensor

# What a mixed batch has beside its examples: those that they are mixed with, and how much of the image is its own.
OTHER, OWN_SHARE = "other", "own_share"
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as Pillow's mode L


@dataclass(frozen=True)
class Preset:
    """See above; fractions but for `operations`."""

    min_area: float
    jitter: float
    operations: int = 0
    mixed: float = 0.0


PRESETS = {
    "light": Preset(min_area=0.6, jitter=0.2),
    "photos": Preset(min_area=0.3, jitter=0.4, operations=2, mixed=0.5),
}


def preset_of(config: DataConfig) -> Preset | None:
    """Return the preset of a config, None for "none"; raises LarqnetsError for settings that it contains."""
    preset = PRESETS.get(config.augment)
    for key in ("random_resized_crop", "crop_padding", "random_scale", "flip"):
        if preset is not None and getattr(config, key):
            raise LarqnetsError(
                f'data.augment = "{config.augment}" cuts and mirrors by itself, so it excludes data.{key}. Leave one of '
                "them out."
            )
    return preset


def grey(image: Tensor) -> Tensor:
    """Return the brightness of every pixel, (H, W, 1)."""
    if image.shape[-1] == 1:
        return image
    return tf.reduce_sum(image * tf.constant(_LUMA), axis=-1, keepdims=True)


def brightness(image: Tensor, factor: Tensor) -> Tensor:
    """Towards black, or away from it."""
    return image * factor


def contrast(image: Tensor, factor: Tensor) -> Tensor:
    """Towards the mean brightness of the image, or away from it."""
    mean = tf.reduce_mean(grey(image))
    return mean + factor * (image - mean)


def saturation(image: Tensor, factor: Tensor) -> Tensor:
    """Towards grey, or away from it."""
    towards = grey(image)
    return towards + factor * (image - towards)


def sharpness(image: Tensor, factor: Tensor) -> Tensor:
    """Towards the image smoothed by 1 1 1, 1 5 1, 1 1 1 over 13, or away from it; the border stays."""
    height, width, channels = known(image.shape)
    if min(height, width) < 3:
        return image
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    filters = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], [1, 1, channels, 1])
    inner = tf.nn.depthwise_conv2d(image[tf.newaxis], filters, [1, 1, 1, 1], "VALID")[0]
    inside = tf.pad(tf.ones([height - 2, width - 2, 1]), [[1, 1], [1, 1], [0, 0]])
    smooth = tf.where(inside > 0, tf.pad(inner, [[1, 1], [1, 1], [0, 0]]), image)
    return smooth + factor * (image - smooth)


def autocontrast(image: Tensor) -> Tensor:
    """Stretch every channel from black to white; one of a single value stays."""
    low, high = (reduce(image, axis=[0, 1], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    return tf.where(high > low, (image - low) * 255 / tf.maximum(high - low, 1), image)


def posterize(image: Tensor, step: Tensor) -> Tensor:
    """Round values down to multiples of `step`."""
    return tf.floor(image / step) * step


def solarize(image: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is as bright as the threshold or brighter."""
    return tf.where(image < threshold, image, 255 - image)


# Each takes an image and a number in [-1, 1], 0 for none or the weakest effect where there is one.
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda image, amount: image,
    "autocontrast": lambda image, amount: autocontrast(image),
    "posterize": lambda image, amount: posterize(image, 2.0 ** tf.floor(1 + 3.999 * tf.abs(amount))),
    "solarize": lambda image, amount: solarize(image, 255.0 - 127.0 * tf.abs(amount)),
    "brightness": lambda image, amount: brightness(image, 1 + 0.5 * amount),
    "contrast": lambda image, amount: contrast(image, 1 + 0.5 * amount),
    "saturation": lambda image, amount: saturation(image, 1 + 0.9 * amount),
    "sharpness": lambda image, amount: sharpness(image, 1 + 0.9 * amount),
}


def recolour(example: Example, preset: Preset, seed: int, position: Tensor) -> Example:
    """Vary the colours of an example; its image is uint8 (H, W, C) before and after."""
    shape = example[IMAGE].shape
    draws = tf.random.stateless_uniform(
        [3 + 2 * preset.operations], stateless_seed(seed, Purpose.COLOUR, position), -1.0, 1.0, alg="philox"
    )
    image = tf.cast(example[IMAGE], tf.float32)
    for i, vary in enumerate((brightness, contrast, saturation)):
        image = tf.clip_by_value(vary(image, 1 + preset.jitter * draws[i]), 0, 255)
    for i in range(3, 3 + 2 * preset.operations, 2):
        image = tf.clip_by_value(_chosen(image, draws[i], draws[i + 1]), 0, 255)
    return example | {IMAGE: tf.ensure_shape(tf.cast(tf.round(image), tf.uint8), shape)}


def _chosen(image: Tensor, which: Tensor, amount: Tensor) -> Tensor:
    """Apply one of OPERATIONS, chosen by a number in [-1, 1)."""
    count = len(OPERATIONS)
    index = tf.minimum(count - 1, tf.cast(tf.floor((which + 1) / 2 * count), tf.int32))
    return tf.switch_case(index, [lambda f=f: f(image, amount) for f in OPERATIONS.values()])


def mix(batch: Example, preset: Preset, seed: int, step: Tensor, share: Share = WHOLE) -> Example:
    """Mix images (B, H, W, C) float32 with the neighbour: 0 with 1, 2 with 3, ...; the last of an odd number stays alone.

    The batch is the share of a whole one. It gets OTHER, the examples that they are mixed with, and OWN_SHARE (B,), the
    part of an image that is its own, half or more: mixup's λ, uniform in [1/2, 1], or what CutMix leaves beside a box.
    """
    size, (height, width, _) = tf.shape(batch[IMAGE])[0], known(batch[IMAGE].shape[1:])
    mine = slice(share.index * size, (share.index + 1) * size)
    seed_of_step = stateless_seed(seed, Purpose.MIX, step)
    draws = tf.random.stateless_uniform(tf.stack([size * share.count, 4]), seed_of_step, alg="philox")[mine]
    kind, own, row, column = tf.unstack(draws, axis=1)
    own = 0.5 + own / 2
    partner = tf.bitwise.bitwise_xor(tf.range(size), 1)
    alone = partner >= size
    partner = tf.where(alone, tf.range(size), partner)
    # a box of the image's aspect that takes 1 - own of it
    side = tf.sqrt(1 - own)
    box_height, box_width = (tf.floor(side * n) for n in (height, width))
    top, left = tf.floor(row * (height + 1 - box_height)), tf.floor(column * (width + 1 - box_width))
    rows, columns = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
    in_rows = (rows >= top[:, tf.newaxis]) & (rows < (top + box_height)[:, tf.newaxis])
    in_columns = (columns >= left[:, tf.newaxis]) & (columns < (left + box_width)[:, tf.newaxis])
    in_box = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis, :]
    is_cut, is_blended = kind < preset.mixed / 2, (kind >= preset.mixed / 2) & (kind < preset.mixed)
    cut = tf.where(is_cut[:, tf.newaxis, tf.newaxis] & in_box, 0.0, 1.0)
    weight = tf.expand_dims(cut * tf.where(is_blended, own, 1.0)[:, tf.newaxis, tf.newaxis], -1)  # of the image itself
    other = {name: tf.gather(values, partner) for name, values in batch.items()}
    image = weight * batch[IMAGE] + (1 - weight) * other.pop(IMAGE)
    return batch | {IMAGE: image, OTHER: other, OWN_SHARE: tf.reduce_mean(weight, axis=[1, 2, 3])}
