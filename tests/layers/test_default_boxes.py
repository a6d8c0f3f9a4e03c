"""Default boxes by value, and boxes that are encoded and decoded again."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.layers.default_boxes import DefaultBoxes, Foreground, default_boxes, encoded

SMALL = ((60, 90), [(2, 3), (1, 1)], [(30, 30), (60.0, 90.0)], (0.2, 0.5, 0.9), [(2,), (2, 3)])


def one_by_one(image, maps, steps, sizes, ratios):
    """The boxes by the words of the paper, one at a time, in pixels."""
    found = []
    for k, (rows, columns) in enumerate(maps):
        small, large = (sizes[k + i] * min(image) for i in (0, 1))
        for i in range(rows):
            for j in range(columns):
                centre = ((i + 0.5) * steps[k][0], (j + 0.5) * steps[k][1])
                found.append([*centre, small, small])
                found.append([*centre, (small * large) ** 0.5, (small * large) ** 0.5])
                for ratio in ratios[k]:
                    wide, low = small * ratio**0.5, small / ratio**0.5
                    found += [[*centre, low, wide], [*centre, wide, low]]
    return np.array(found) / [*image, *image]


def test_default_boxes_stand_in_the_order_of_the_paper():
    found = default_boxes(*SMALL)
    assert (found.shape, found.dtype) == ((2 * 3 * 4 + 6, 4), np.float32)
    np.testing.assert_allclose(found, one_by_one(*SMALL), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), thin=st.floats(1e-4, 1))
def test_what_is_encoded_is_decoded_to_the_same_box(seed, thin):
    rng = np.random.default_rng(seed)
    layer = DefaultBoxes(*SMALL)
    count = len(layer.priors)
    low = rng.uniform(-0.2, 0.9, (2, count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1e-4, 1, (2, count, 2)) * [1, thin]], -1).astype(np.float32)
    decoded, priors = layer(encoded(tf.constant(boxes), layer.priors))
    np.testing.assert_allclose(decoded, boxes, atol=1e-5)
    np.testing.assert_array_equal(priors, np.broadcast_to(layer.priors, (2, count, 4)))


def test_the_encoding_is_the_one_of_the_paper():
    priors = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)  # centre y, centre x, height, width
    box = np.array([[0.42, 0.3, 0.62, 0.5]], np.float32)
    np.testing.assert_allclose(encoded(box, priors), [[0.02 / 0.02, 0, 0, np.log(2) / 0.2]], atol=1e-5)
    no_area = encoded(np.array([[0.5, 0.5, 0.5, 0.5]], np.float32), priors)
    assert np.all(np.isfinite(no_area))


def test_boxes_have_an_end():
    layer = DefaultBoxes(*SMALL)
    boxes, _ = layer(tf.fill([1, len(layer.priors), 4], 1e30))
    assert np.all(np.isfinite(boxes))
    grown, _ = layer(np.float32([[[0, 0, 50, -50]]]) * np.ones((1, len(layer.priors), 1), np.float32))
    sides = grown[0, :, 2:] - grown[0, :, :2]
    np.testing.assert_allclose(sides, layer.priors[:, 2:] * [62.5, np.exp(-10)], rtol=1e-2)


def test_layers_come_back_from_a_file(tmp_path):
    image = tf.keras.Input((30, 4))
    boxes, priors = DefaultBoxes(*SMALL, name="decoded")(image)
    model = tf.keras.Model(image, [boxes, priors, Foreground(name="classes")(image)])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(2, 30, 4)).astype(np.float32)
    for ours, again in zip(model(x), tf.keras.models.load_model(tmp_path / "m.keras")(x), strict=True):
        np.testing.assert_array_equal(ours, again)


def test_probabilities_leave_the_background_out():
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    due = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    np.testing.assert_allclose(Foreground()(x), due[..., 1:], rtol=1e-5)


def test_maps_and_sizes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="argument"):
        default_boxes((8, 8), [(1, 1)], [(8, 8)], (0.5, 0.9, 1.0), [(2,)])
