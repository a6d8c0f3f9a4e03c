"""Matching, mining and the loss of SSD against a plain reading of the paper, one box at a time."""

import os

import numpy as np
import pytest
import tensorflow as tf
from forked import Forked
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, PLAIN
from larqnets.layers.default_boxes import default_boxes, encoded
from larqnets.tasks.ssd_targets import BACKGROUND, mined, own_priors, ssd_loss, ssd_targets

PRIORS = default_boxes((32, 32), [(4, 4), (2, 2)], [(8, 8), (16, 16)], (0.2, 0.5, 0.9), [(2,), (2,)])
# As they come from a network, many overlap a small box alike to the last digit; these do not.
APART = (PRIORS * np.random.default_rng(9).uniform(0.9, 1.1, PRIORS.shape)).astype(np.float32)
CLASSES = 3


def example(*images, most=4):
    """Examples of images that are lists of (box, class, kind)."""
    boxes = np.zeros((len(images), most, 4), np.float32)
    labels, kinds = np.full((len(images), most), -1, np.int32), np.zeros((len(images), most), np.int32)
    for i, image in enumerate(images):
        for j, (box, label, kind) in enumerate(image):
            boxes[i, j], labels[i, j], kinds[i, j] = box, label, kind
    return {BOXES: boxes, BOX_LABELS: labels, BOX_KIND: kinds}


def random_images(rng, count, most):
    for _ in range(count):
        low = rng.uniform(0, 0.8, (rng.integers(0, most + 1), 2))
        high = np.minimum(low + rng.uniform(0.02, 0.7, low.shape), 1)
        kinds = rng.choice([PLAIN, DIFFICULT, CROWD], len(low), p=[0.6, 0.2, 0.2])
        yield [
            ([*a, *b], rng.integers(CLASSES), kind) for a, b, kind in zip(low, high, kinds, strict=True)
        ]  # fmt: skip


def corners(priors):
    return np.concatenate([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], -1)


def intersection(a, b):
    return np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))


def area(box):
    return np.prod(box[2:] - box[:2])


def iou(a, b):
    return intersection(a, b) / (area(a) + area(b) - intersection(a, b))


def greedy(overlaps):
    """The number of the default box of every box, by taking the best pair again and again."""
    left, found = overlaps.copy(), np.full(len(overlaps), -1)
    while left.size and left.max() > 0:
        box, prior = np.unravel_index(np.argmax(left), left.shape)
        found[box] = prior
        left[box], left[:, prior] = 0, 0
    return found


def by_the_paper(image, priors):
    """Classes and encodings of all default boxes of an image."""
    places = corners(priors.astype(np.float64))
    true = [(np.float32(box).astype(np.float64), label) for box, label, kind in image if kind != CROWD]
    crowds = [np.float32(box) for box, _, kind in image if kind == CROWD]
    overlaps = np.array([[iou(box, place) for place in places] for box, _ in true]).reshape(len(true), len(places))
    own = greedy(overlaps)
    classes, encodings = np.zeros(len(priors), int), np.zeros((len(priors), 4))
    for a, place in enumerate(places):
        best = overlaps[:, a].max(initial=0)
        which = np.flatnonzero(own == a)[0] if a in own else overlaps[:, a].argmax() if best > 0.5 else None
        if which is not None:
            box, label = true[which]
            classes[a] = label + 1
            centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            moved = (centre - priors[a, :2]) / (0.1 * priors[a, 2:])
            encodings[a] = [*moved, *(np.log(size / priors[a, 2:]) / 0.2)]
        elif best >= 0.5 or any(intersection(crowd, place) > 0.5 * area(place) for crowd in crowds):
            classes[a] = -1
    return classes, encodings


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_default_boxes_are_matched_as_the_paper_says(seed):
    images = list(random_images(np.random.default_rng(seed), 3, 4))
    found = ssd_targets(example(*images), APART)
    for i, image in enumerate(images):
        classes, encodings = by_the_paper(image, APART)
        np.testing.assert_array_equal(found["classes"][i], classes)
        np.testing.assert_allclose(found["encodings"][i], encodings, atol=2e-3)  # of boxes much smaller than theirs


def test_every_box_has_a_default_box_however_small_it_is():
    (image,) = [[([0.41, 0.41, 0.42, 0.43], 1, PLAIN)]]
    found = ssd_targets(example(image), PRIORS)["classes"][0].numpy()
    (place,) = np.flatnonzero(found > 0)
    assert found[place] == 2
    best = max(iou(np.array(image[0][0]), one) for one in corners(PRIORS))
    assert best < 0.01
    assert np.all(np.delete(found, place) == BACKGROUND)


def test_two_boxes_with_one_best_default_box_get_two():
    centre, size = PRIORS[20, :2], PRIORS[20, 2:]
    same = [*(centre - size / 2), *(centre + size / 2)]
    near = [*(centre - size / 2 + 0.001), *(centre + size / 2)]
    found = ssd_targets(example([(near, 0, PLAIN), (same, 1, PLAIN)]), PRIORS)
    classes = found["classes"][0].numpy()
    assert classes[20] == 2  # whose overlap is the larger one
    assert (classes == 1).sum() >= 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), boxes=st.integers(1, 6), count=st.integers(1, 9), levels=st.integers(1, 4))
def test_own_default_boxes_are_the_greedy_ones_also_where_many_are_equal(seed, boxes, count, levels):
    """Few different overlaps, so that many are the same; more boxes than default boxes, and none at all."""
    overlaps = (np.random.default_rng(seed).integers(0, levels + 1, (2, boxes, count)) / levels).astype(np.float32)
    found = own_priors(tf.constant(overlaps)).numpy()
    np.testing.assert_array_equal(found, [greedy(one) for one in overlaps])
    for one in found:
        used = one[one >= 0]
        assert len(set(used)) == len(used)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), positives=st.integers(0, 8), ignored=st.integers(0, 12))
def test_three_negatives_are_mined_for_each_positive(seed, positives, ignored):
    """Exactly, unless there are fewer; the ones of the largest loss; one where there is no positive."""
    rng = np.random.default_rng(seed)
    classes = np.zeros((2, 24), np.int32)
    order = rng.permutation(24)
    classes[0, order[:positives]] = rng.integers(1, 4, positives)
    classes[0, order[positives : positives + ignored]] = -1
    entropy = rng.choice([0.0, 0.5, 1.0, 2.0], (2, 24)).astype(np.float32)
    found = mined(tf.constant(entropy), tf.constant(classes)).numpy()
    negatives = np.count_nonzero(classes[0] == 0)
    assert found[0].sum() == min(max(3 * positives, 1), negatives)
    assert found[1].sum() == 1
    assert not found[classes != 0].any()
    for i in range(2):
        left = (classes[i] == 0) & ~found[i]
        if left.any() and found[i].any():
            assert entropy[i][found[i]].min() >= entropy[i][left].max()


def outputs(rng, images):
    shape = (images, len(PRIORS))
    return {
        "raw_encodings": tf.constant(rng.normal(size=(*shape, 4)).astype(np.float32)),
        "raw_logits": tf.constant(rng.normal(size=(*shape, CLASSES + 1)).astype(np.float32)),
        "raw_priors": tf.constant(np.broadcast_to(APART, (*shape, 4))),
    }


def loss_by_the_paper(given, images):
    total, positives = np.zeros(len(images)), 0
    for i, image in enumerate(images):
        classes, encodings = by_the_paper(image, APART)
        logits = given["raw_logits"][i].numpy().astype(np.float64)
        entropy = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(classes)), np.maximum(classes, 0)]
        here = np.flatnonzero(classes > 0)
        hardest = sorted(np.flatnonzero(classes == 0), key=lambda a: -entropy[a])[: max(1, 3 * len(here))]
        distance = np.abs(given["raw_encodings"][i].numpy() - encodings)[here]
        smooth = np.where(distance < 1, distance**2 / 2, distance - 0.5).sum()
        total[i] = entropy[here].sum() + entropy[hardest].sum() + smooth
        positives += len(here)
    return total.sum() / max(1, positives)


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_loss_is_the_sum_of_the_batch_by_its_positives(seed):
    rng = np.random.default_rng(seed)
    images = [*random_images(rng, 3, 4), []]
    given = outputs(rng, len(images))
    found = tf.function(ssd_loss, autograph=False)(given, example(*images))
    assert found.shape == (4,)
    assert float(tf.reduce_mean(found)) == pytest.approx(loss_by_the_paper(given, images), rel=1e-4)


def test_of_a_batch_without_boxes_one_background_of_each_image_is_learned():
    given = outputs(np.random.default_rng(0), 2)
    with tf.GradientTape() as tape:
        tape.watch(given["raw_logits"])
        loss = tf.reduce_mean(ssd_loss(given, example([], [])))
    gradient = tape.gradient(loss, given["raw_logits"]).numpy()
    assert [np.count_nonzero(np.abs(one).sum(-1)) for one in gradient] == [1, 1]
    assert float(loss) == pytest.approx(loss_by_the_paper(given, [[], []]), rel=1e-4)


def test_a_crowd_is_neither_learned_nor_background():
    whole = ([0.0, 0.0, 1.0, 0.5], 1, CROWD)
    classes = ssd_targets(example([whole]), PRIORS)["classes"][0].numpy()
    assert set(classes) == {-1, 0}
    assert np.all(classes[(PRIORS[:, 1] < 0.3) & (PRIORS[:, 3] < 0.3)] == -1)
    assert np.all(classes[PRIORS[:, 1] > 0.8] == 0)


def test_a_difficult_box_is_learned():
    box = [0.1, 0.1, 0.4, 0.4]
    plain, difficult = (ssd_targets(example([(box, 1, kind)]), PRIORS) for kind in (PLAIN, DIFFICULT))
    np.testing.assert_array_equal(plain["classes"], difficult["classes"])
    assert np.any(plain["classes"] == 2)


def share_a_batch() -> None:
    """Make two devices of the CPU; the mean over both is that of the batch on one."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    rng = np.random.default_rng(0)
    images = [*random_images(rng, 3, 4), []]
    given, target = outputs(rng, 4), example(*images)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def part(context):
        rows = slice(2 * context.replica_id_in_sync_group, 2 * context.replica_id_in_sync_group + 2)
        return tf.nest.map_structure(lambda value: value[rows], (given, target))

    parts = strategy.experimental_distribute_values_from_function(part)
    values = strategy.run(tf.function(lambda pair: ssd_loss(*pair), autograph=False), (parts,))
    together = tf.concat(strategy.experimental_local_results(values), 0)
    assert together.shape == (4,)
    assert float(tf.reduce_mean(together)) == pytest.approx(loss_by_the_paper(given, images), rel=1e-4)


def test_replicas_share_the_positives_of_the_whole_batch(tmp_path):
    process = Forked("--version", cwd=tmp_path, environment=dict(os.environ), prepare=share_a_batch)
    done = process.wait(120)
    assert done.code == 0, done.err


def test_no_default_box_is_needed_to_encode_none():
    assert encoded(np.zeros((0, 4), np.float32), PRIORS[:0]).shape == (0, 4)
