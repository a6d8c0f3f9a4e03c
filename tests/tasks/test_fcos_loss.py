"""What FCOS should answer, on a picture made by hand, and its loss against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.config import TaskConfig
from larqnets.layers.fcos_answers import locations
from larqnets.tasks import Images, get_task
from larqnets.tasks.fcos_loss import due, fcos_loss, focal_loss, giou, limits, unseen

SIZE, STRIDES = (128, 128), (8, 16)
SIZES = [[16, 16], [8, 8]]
PLACES = locations(SIZES, SIZE)


def wanted(boxes, labels, kinds=None, ranges=(32.0,)):
    reach = limits(STRIDES, ranges)[np.searchsorted(STRIDES, PLACES[:, 2])]
    targets = {
        "boxes": tf.constant([np.array(boxes) / 128], tf.float32),
        "box_labels": tf.constant([labels], tf.int32),
        "box_kind": tf.constant([kinds or [0] * len(labels)], tf.int32),
    }
    found = due(targets, PLACES, reach, SIZE)
    classes = found.classes[0].numpy()
    return (classes[:256].reshape(16, 16), classes[256:].reshape(8, 8), *(part[0].numpy() for part in found[1:3]))


def test_the_smaller_of_two_boxes_the_border_and_the_range_of_every_level():
    # y0 x0 y1 x1: 40 pixels wide around (44, 44), and 16 inside of it; the location (44, 44) is in both.
    fine, coarse, distances, centerness = wanted([[24, 24, 64, 64], [36, 36, 52, 52]], [0, 1])
    assert fine[5, 5] == 1  # (44, 44)
    assert fine[4, 4] == fine[5, 6] == 0  # (36, 36) and (44, 52) are on the border of the small box
    assert fine[3, 3] == -1  # (28, 28) is 16 from the middle, more than 1.5 strides
    np.testing.assert_allclose(distances[5 * 16 + 5], [1, 1, 1, 1])
    assert centerness[5 * 16 + 5] == 1
    # A limit belongs to both levels: (40, 56), (56, 40) and (56, 56) are 32 from a side, (40, 40) is 24.
    assert sorted(zip(*(part.tolist() for part in np.nonzero(coarse == 0)), strict=True)) == [(2, 3), (3, 2), (3, 3)]
    _, coarse, distances, _ = wanted([[8, 8, 104, 104]], [2])
    assert coarse[3, 3] == 2  # (56, 56): 48 to every side
    np.testing.assert_allclose(distances[256 + 3 * 8 + 3], [3, 3, 3, 3])
    assert coarse[1, 1] == -1  # (24, 24) is 32 from the middle, more than 1.5 strides
    assert (coarse == 2).sum() == 9


def test_equal_areas_are_the_first_ones_and_crowds_and_padding_nobodys():
    one, other = [40, 40, 60, 64], [40, 40, 64, 60]
    for boxes in ([one, other], [other, one]):
        fine, *_ = wanted(boxes, [0, 1])
        assert fine[5, 5] == fine[6, 6] == 0  # (44, 44) and (52, 52), in both
    fine, *_ = wanted([one, other, [0, 0, 0, 0]], [0, 1, -1], [2, 1, 0])
    assert set(fine[fine >= 0]) == {1}
    assert set(np.unique(wanted([[0, 0, 0, 0]], [-1])[0])) == {-1}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_targets_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.integers(0, 128, (4, 2, 2)), axis=1).reshape(4, 4).astype(np.float64)
    boxes[:, 2:] += 1
    labels = rng.integers(-1, 3, 4).tolist()
    fine, coarse, distances, centerness = wanted(boxes, labels)
    classes = np.concatenate([fine.ravel(), coarse.ravel()])
    for i, (y, x, stride) in enumerate(PLACES):
        low, high = (0, 32) if stride == 8 else (32, np.inf)
        best = None
        for (y0, x0, y1, x1), label in zip(boxes, labels, strict=True):
            t, left, b, r = y - y0, x - x0, y1 - y, x1 - x
            inside = min(t, left, b, r) > 0 and max(abs(y - (y0 + y1) / 2), abs(x - (x0 + x1) / 2)) < 1.5 * stride
            area = (y1 - y0) * (x1 - x0)
            if label >= 0 and inside and low <= max(t, left, b, r) <= high and (best is None or area < best[0]):
                best = (area, label, np.array([t, left, b, r]))
        assert classes[i] == (-1 if best is None else best[1])
        if best is not None:
            t, left, b, r = best[2]
            np.testing.assert_allclose(distances[i], best[2] / stride, rtol=1e-4)
            central = np.sqrt(min(left, r) / max(left, r) * min(t, b) / max(t, b))
            np.testing.assert_allclose(centerness[i], central, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_giou_is_at_most_1_and_more_than_minus_1(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 10, (2, 20, 4)).astype(np.float32)
    values = giou(tf.constant(a), tf.constant(b)).numpy()
    assert (values <= 1).all()
    assert (values > -1).all()
    np.testing.assert_allclose(giou(tf.constant(a), tf.constant(a)), 1, atol=1e-5)
    with tf.GradientTape() as tape:
        zero = tf.Variable(tf.zeros([1, 4]))
        value = giou(zero, tf.zeros([1, 4]))
    assert np.isfinite(tape.gradient(value, zero).numpy()).all()


def test_focal_loss_without_focus_is_half_the_cross_entropy():
    logits, hits = tf.constant([-30.0, -1.0, 0.5, 40.0]), tf.constant([0.0, 1.0, 0.0, 0.0])
    crossed = tf.nn.sigmoid_cross_entropy_with_logits(labels=hits, logits=logits)
    np.testing.assert_allclose(focal_loss(logits, hits, 0.5, 0.0), crossed / 2, rtol=1e-5)
    p = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(focal_loss(logits, hits)[1], 0.25 * (1 - p) ** 2 * -np.log(p), rtol=1e-5)


def numpy_loss(outputs, found):
    """The formula, term by term."""
    logits, distances, central = (outputs[f"raw_{name}"] for name in ("classes", "distances", "centerness"))
    positive = found.classes.numpy() >= 0
    n, weight = max(1, positive.sum()), max(1e-6, (positive * found.centerness.numpy()).sum())
    total = 0.0
    for index in np.ndindex(positive.shape):
        p = 1 / (1 + np.exp(-logits[index]))
        hit = np.arange(len(p)) == found.classes[index].numpy()
        total += np.where(hit, -0.25 * (1 - p) ** 2 * np.log(p), -0.75 * p**2 * np.log(1 - p)).sum() / n
        if positive[index]:
            c = float(found.centerness[index])
            q = 1 / (1 + np.exp(-central[index][0]))
            total += -(c * np.log(q) + (1 - c) * np.log(1 - q)) / n
            total += c * (1 - float(giou(tf.constant(distances[index]), found.distances[index]))) / weight
    return total


@pytest.mark.parametrize("labels", [[[0, 1], [2, -1]], [[-1, -1], [-1, -1]]])
def test_the_mean_loss_is_the_formula(labels):
    rng = np.random.default_rng(0)
    boxes = np.array([[[24, 24, 64, 64], [36, 36, 52, 52]], [[8, 8, 104, 104], [0, 0, 0, 0]]]) / 128
    targets = {
        "boxes": tf.constant(boxes, tf.float32),
        "box_labels": tf.constant(labels, tf.int32),
        "box_kind": tf.zeros([2, 2], tf.int32),
    }
    reach = limits(STRIDES, ())[np.searchsorted(STRIDES, PLACES[:, 2])]
    found = due(targets, PLACES, reach, SIZE)
    shapes = {"raw_classes": 3, "raw_distances": 4, "raw_centerness": 1}
    outputs = {name: rng.normal(size=(2, len(PLACES), n)).astype(np.float32) for name, n in shapes.items()}
    outputs["raw_distances"] = np.abs(outputs["raw_distances"])
    loss = fcos_loss({name: tf.constant(value) for name, value in outputs.items()}, found)
    np.testing.assert_allclose(np.mean(loss), numpy_loss(outputs, found), rtol=1e-4)
    assert (loss.numpy() > 0).all()


def test_the_ranges_are_the_papers():
    assert limits((8, 16, 32, 64, 128), ()).T.tolist() == [[0, 64, 128, 256, 512], [64, 128, 256, 512, np.inf]]


def test_boxes_without_a_location_are_counted():
    """One of 4 pixels between the centres of the cells, one that a smaller box of the same place hides, a crowd, one that is seen."""
    boxes = np.array([[1, 5, 3, 9], [40, 40, 64, 64], [38, 38, 66, 66], [80, 80, 120, 120], [80, 10, 110, 50]]) / 128
    targets = {
        "boxes": tf.constant(boxes[None], tf.float32),
        "box_labels": tf.constant([[0, 1, 1, 2, 0]]),
        "box_kind": tf.constant([[0, 0, 0, 2, 1]]),
    }
    reach = limits(STRIDES, (1000.0,))[np.searchsorted(STRIDES, PLACES[:, 2])]
    found = due(targets, PLACES, reach, SIZE)
    assert [int(number) for number in unseen(targets, found)] == [4, 2]
    images = Images((*SIZE, 3), 3)
    (line,) = get_task(TaskConfig("detection", {"levels": 2})).remarks(lambda: [targets], images)
    assert line.startswith("careful: 2 of 4 boxes in 1 training images belong to no location")
    assert get_task(TaskConfig("detection", {"detector": "ssd"})).remarks(lambda: [targets], images) == []
