import numpy as np
import pytest
import tensorflow as tf

from larqnets.data.augment import Purpose, draw, random_box, stateless_seed
from larqnets.data.geometry import Geometry, cut_and_mirror
from larqnets.data.pixels import resize

SHAPE = (64, 9, 7, 3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 256, SHAPE).astype(np.uint8)


def varied(images, padding, flip, seed, step):
    return cut_and_mirror(tf.constant(images), draw(len(images), padding, flip, seed, tf.constant(step)))


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_and_flip_moves_pixels_exactly(images, padding):
    rng = np.random.default_rng(1)
    offsets = rng.integers(0, 2 * padding + 1, (64, 2)).astype(np.int32)
    mirrored = rng.random(64) < 0.5
    expected = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    expected = np.stack([x[row : row + 9, col : col + 7] for x, (row, col) in zip(expected, offsets, strict=True)])
    expected[mirrored] = expected[mirrored][:, :, ::-1]
    result = cut_and_mirror(tf.constant(images), Geometry(padding, tf.constant(offsets), tf.constant(mirrored)))
    assert result.dtype == tf.uint8
    assert (result.numpy() == expected).all()


def test_all_offsets_occur_and_the_border_is_black(images):
    seen = set()
    for step in range(4):
        moved = varied(images, 2, False, 0, step).numpy()
        for before, after in zip(images, moved, strict=True):
            rows, columns = np.nonzero(after.any(-1).any(1))[0], np.nonzero(after.any(-1).any(0))[0]
            assert (after[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0).all()
            places = [
                (r, c)
                for r in range(5)
                for c in range(5)
                if (np.pad(before, [(2, 2), (2, 2), (0, 0)])[r : r + 9, c : c + 7] == after).all()
            ]
            assert len(places) == 1
            seen.add(places[0])
    assert len(seen) == 25


def test_half_of_the_images_are_mirrored(images):
    mirrored = 0
    for step in range(40):
        result = varied(images, 0, True, 7, step).numpy()
        is_mirrored = (result == images[:, :, ::-1]).all((1, 2, 3))
        assert (is_mirrored | (result == images).all((1, 2, 3))).all()
        mirrored += is_mirrored.sum()
    # 2,560 fair coins: five standard deviations are 0.05.
    assert abs(mirrored / 2560 - 0.5) < 0.05


def test_without_settings_nothing_changes(images):
    assert (varied(images, 0, False, 0, 0).numpy() == images).all()


def test_random_boxes_have_the_asked_area_and_aspect():
    boxes = np.array([random_box(tf.constant(300), tf.constant(400), 0.08, 0, tf.constant(i)) for i in range(300)])
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 300).all()
    assert (left + width <= 400).all()
    area, aspect = height * width / 120_000, width / height
    assert 0.07 < area.min() < 0.2
    assert 0.8 < area.max() <= 1
    assert aspect.min() > 0.73
    assert aspect.max() < 1.37


def test_seeds_of_purposes_and_counters_differ():
    seeds = {tuple(stateless_seed(s, p, c).numpy()) for s in (0, 1, 2**31 - 1) for p in Purpose for c in range(3)}
    assert len(seeds) == 3 * len(Purpose) * 3


def test_resizing_to_the_same_size_changes_nothing(images):
    same_size = tf.function(lambda x: resize(x, 9, 7), input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    assert (same_size(images[0]).numpy() == images[0]).all()
