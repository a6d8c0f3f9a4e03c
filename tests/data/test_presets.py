"""Presets of augmentation: the same as Pillow's own operations, a function of seed and step, mixed as they say."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.augment import Share
from larqnets.data.info import IMAGE
from larqnets.data.presets import (
    OPERATIONS,
    OTHER,
    OWN_SHARE,
    PRESETS,
    Preset,
    autocontrast,
    brightness,
    contrast,
    mix,
    posterize,
    recolour,
    saturation,
    sharpness,
    solarize,
)
from larqnets.errors import LarqnetsError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(20, 230, (11, 9, 3)).astype(np.uint8)


def as_bytes(image):
    return np.clip(np.round(np.asarray(image)), 0, 255).astype(int)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3])
@pytest.mark.parametrize(
    ("ours", "pillows"),
    [
        (brightness, ImageEnhance.Brightness),
        (contrast, ImageEnhance.Contrast),
        (saturation, ImageEnhance.Color),
        (sharpness, ImageEnhance.Sharpness),
    ],
)
def test_factors_are_those_of_pillow(ours, pillows, factor):
    expected = np.asarray(pillows(Image.fromarray(PICTURE)).enhance(factor)).astype(int)
    found = as_bytes(ours(tf.constant(PICTURE, tf.float32), tf.constant(factor)))
    assert np.abs(found - expected).max() <= 2  # Pillow rounds in between


def test_the_others_too():
    image, picture = tf.constant(PICTURE, tf.float32), Image.fromarray(PICTURE)
    assert np.abs(as_bytes(autocontrast(image)) - np.asarray(ImageOps.autocontrast(picture)).astype(int)).max() <= 1
    assert (as_bytes(posterize(image, tf.constant(16.0))) == np.asarray(ImageOps.posterize(picture, 4))).all()
    assert (as_bytes(solarize(image, tf.constant(128.0))) == np.asarray(ImageOps.solarize(picture, 128))).all()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 5, 1), (2, 7, 3)])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_every_operation_takes_every_image(name, shape, value):
    for amount in (-1.0, 0.0, 0.999):
        result = OPERATIONS[name](tf.fill(shape, float(value)), tf.constant(amount))
        assert result.shape == shape
        assert np.isfinite(result.numpy()).all()


def test_colours_follow_from_seed_and_position():
    example, preset = {IMAGE: tf.constant(PICTURE), "label": tf.constant(3)}, PRESETS["photos"]
    first, again, later, other = (
        recolour(example, preset, seed, tf.constant(position))[IMAGE].numpy()
        for seed, position in ((0, 5), (0, 5), (0, 6), (1, 5))
    )
    assert (first == again).all()
    assert (first != later).any()
    assert (first != other).any()
    assert first.dtype == np.uint8
    still = recolour(example, Preset(min_area=1, jitter=0.0), 0, tf.constant(0))
    assert (still[IMAGE].numpy() == PICTURE).all()


def batch_of(size, height=6, width=8):
    images = RNG.normal(size=(size, height, width, 3)).astype(np.float32)
    return {IMAGE: tf.constant(images), "label": tf.range(size)}


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_a_mixed_image_is_two_by_its_own_share(size):
    """CutMix: whole pixels of either; mixup: all pixels alike; the share is what the pixels say."""
    kinds = set()
    for step in range(12):
        batch = batch_of(size)
        mixed = mix(batch, PRESETS["photos"], 3, tf.constant(step))
        partner = np.minimum(np.arange(size) ^ 1, size - 1)
        if size % 2:
            partner[-1] = size - 1
        assert (mixed[OTHER]["label"].numpy() == partner).all()
        assert IMAGE not in mixed[OTHER]
        own, other = batch[IMAGE].numpy(), batch[IMAGE].numpy()[partner]
        share = mixed[OWN_SHARE].numpy()
        assert ((share >= 0.5 - 1e-6) & (share <= 1 + 1e-6)).all()
        for i in range(size):
            found = mixed[IMAGE].numpy()[i]
            is_own, is_other = (np.isclose(found, x[i]).all(-1) for x in (own, other))
            if (is_own | is_other).all():
                kinds.add("cut" if not is_own.all() else "none")
                if partner[i] != i:
                    assert share[i] == pytest.approx(is_own.mean(), abs=1e-5)
            else:
                kinds.add("blended")
                np.testing.assert_allclose(found, share[i] * own[i] + (1 - share[i]) * other[i], atol=1e-5)
    assert kinds == ({"none"} if size == 1 else {"cut", "none", "blended"})


def test_a_share_of_a_batch_is_mixed_as_in_the_whole_one():
    batch, preset, step = batch_of(8), PRESETS["photos"], tf.constant(4)
    whole = mix(batch, preset, 0, step)
    for index in range(2):
        part = slice(4 * index, 4 * index + 4)
        mine = mix({k: v[part] for k, v in batch.items()}, preset, 0, step, Share(index, 2))
        for key in (IMAGE, OWN_SHARE):
            np.testing.assert_array_equal(mine[key].numpy(), whole[key].numpy()[part])


@pytest.mark.parametrize("augment", PRESETS)
def test_batches_go_on_at_any_step(image_folder, augment):
    dataset = load_dataset(DataConfig(f"folder:{image_folder}", image_size=10, augment=augment))
    batches = list(itertools.islice(dataset.train_batches(4, seed=2).as_numpy_iterator(), 5))
    later = next(dataset.train_batches(4, seed=2, start_step=3).as_numpy_iterator())
    tf.nest.map_structure(np.testing.assert_array_equal, later, batches[3])
    assert not np.array_equal(batches[0][IMAGE], batches[1][IMAGE])
    assert (OTHER in later) == bool(PRESETS[augment].mixed)
    plain = load_dataset(DataConfig(f"folder:{image_folder}", image_size=10))
    for split in ("train", "test"):  # what is measured is as it was
        for ours, theirs in zip(dataset.eval_batches(split), plain.eval_batches(split), strict=True):
            np.testing.assert_array_equal(ours[IMAGE], theirs[IMAGE])


@pytest.mark.parametrize("key", [{"flip": True}, {"crop_padding": 1}, {"random_resized_crop": True}])
def test_a_preset_has_its_own_crops(image_folder, key):
    with pytest.raises(LarqnetsError, match=r'data\.augment = "light" .* excludes data\.'):
        load_dataset(DataConfig(f"folder:{image_folder}", image_size=10, augment="light", **key))
