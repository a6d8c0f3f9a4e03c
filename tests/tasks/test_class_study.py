"""What a classifier's answers teach, held against TensorFlow's own counts and against the definitions, written out."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.tasks import Images, get_task
from larqnets.tasks.class_study import ClassStudy, calibrate


def studied(outputs, labels, kind="logits", names=None, parts=1):
    names = names or tuple(f"n{i}" for i in range(outputs.shape[1]))
    study = ClassStudy(names, kind)
    wrong = [
        study.add({"y": y}, {"label": z})
        for y, z in zip(np.array_split(outputs, parts), np.array_split(labels, parts), strict=True)
    ]
    return study.result(), np.concatenate(wrong)


CASES = st.tuples(st.integers(1, 40), st.integers(2, 14), st.integers(0, 2**32 - 1), st.booleans())


@settings(max_examples=25, deadline=None)
@given(CASES)
def test_counts_are_tensorflows(case):
    images, classes, seed, ties = case
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(images, classes)).astype(np.float32)
    outputs = np.round(outputs) if ties else outputs
    labels = rng.integers(0, classes, images)
    details, wrong = studied(outputs, labels, parts=min(3, images))
    chosen = tf.argmax(outputs, axis=-1)
    assert (details.confusion.counts == tf.math.confusion_matrix(labels, chosen, classes).numpy()).all()
    hits = get_task().metric(Images((1, 1, 1), classes)).partial({"y": outputs}, {"label": labels})["correct"]
    assert sum(row["correct"] for row in details.classes) == int(hits) == images - len(details.mistakes)
    assert [row["images"] for row in details.classes] == np.bincount(labels, minlength=classes).tolist()
    assert ((wrong > 0) == (chosen.numpy() != labels)).all()
    probabilities = tf.nn.softmax(outputs).numpy()
    for mistake in details.mistakes:
        true, picked = labels[mistake.index], int(chosen[mistake.index])
        assert (mistake.answer["true"], mistake.answer["given"]) == (f"n{true}", f"n{picked}")
        assert mistake.answer["confidence"] == pytest.approx(probabilities[mistake.index, picked], rel=1e-5)
    sure = [mistake.answer["confidence"] for mistake in details.mistakes]
    assert sure == sorted(sure, reverse=True)
    if not ties:  # where TensorFlow counts all that are equal in
        top = np.mean(tf.math.in_top_k(labels, outputs, 5))
        assert details.scores == ({"top5_accuracy": pytest.approx(float(top))} if classes > 10 else {})


def test_of_equal_outputs_the_lower_classes_come_first():
    outputs = np.zeros((12, 12), np.float32)
    details, _ = studied(outputs, np.arange(12))
    assert details.scores == {"top5_accuracy": pytest.approx(5 / 12)}
    assert details.confusion.counts[:, 0].tolist() == [1] * 12


def ece_by_definition(confidence, right, bins=15):
    """Guo et al. (2017), eq. 3: every bin looked for by comparing with its two edges."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [
            i
            for i, c in enumerate(confidence)
            if ((m - 1) / bins < c <= m / bins) or (m == 1 and c == 0) or (m == bins and c > 1)
        ]
        if inside:
            accuracy = sum(bool(right[i]) for i in inside) / len(inside)
            mean = sum(float(confidence[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.one_of(st.floats(0, 1), st.integers(0, 15).map(lambda m: m / 15)), st.booleans()), min_size=1)
)
def test_the_calibration_error_is_that_of_the_paper(answers):
    confidence, right = (np.array(column) for column in zip(*answers, strict=True))
    found = calibrate(confidence, right)
    assert found.ece == pytest.approx(ece_by_definition(confidence, right), abs=1e-12)
    assert (len(found.bins), sum(one.images for one in found.bins)) == (15, len(answers))
    assert all((one.accuracy is None) == (one.confidence is None) == (one.images == 0) for one in found.bins)


def test_a_network_that_is_as_sure_as_it_is_right_has_no_error_and_a_boaster_has():
    right = np.arange(100) < 70
    assert calibrate(np.full(100, 0.7), right).ece == pytest.approx(0)
    assert calibrate(np.full(100, 1.0), right).ece == pytest.approx(0.3)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_probabilities_are_taken_as_they_are(kind):
    outputs = np.array([[0.1, 0.6], [0.9, 0.1]], np.float32)
    details, _ = studied(outputs, np.array([0, 0]), kind)
    (mistake,) = details.mistakes
    assert mistake.answer == {"true": "n0", "given": "n1", "confidence": pytest.approx(0.6)}
    assert mistake.caption == ("given: n1", "60.0% sure")


def test_what_is_not_finite_is_left_out_of_the_calibration_and_said():
    outputs = np.array([[np.nan, np.nan], [np.inf, 0], [0, 4]], np.float32)
    details, wrong = studied(outputs, np.array([1, 0, 1]))
    assert sum(one.images for one in details.calibration.bins) == 1
    assert details.remarks == ("2 answers are not finite and are left out of the calibration.",)
    assert [m.answer["confidence"] for m in details.mistakes] == [None]
    assert [row["correct"] for row in details.classes] == [1, 1]
    assert wrong[0] > 0
    hits = get_task().metric(Images((1, 1, 1), 2)).partial({"y": outputs}, {"label": np.array([1, 0, 1])})["correct"]
    assert int(hits) == 2


def test_integers_are_no_probabilities():
    details, _ = studied(np.array([[1, 200], [9, 3]], np.uint8), np.array([0, 0]))
    assert details.calibration is None
    assert "are uint8, no probabilities" in details.remarks[0]
    assert [mistake.caption for mistake in details.mistakes] == [("given: n1",)]


def test_a_network_of_more_classes_than_the_data_set_has_gives_them_by_number():
    details, _ = studied(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1]), names=("cat", "dog"))
    assert [m.answer["given"] for m in details.mistakes] == ["2", "3"]
    assert details.confusion.labels == ("cat", "dog", "2", "3")
    assert [(row["label"], row["images"]) for row in details.classes] == [("cat", 2), ("dog", 2)]
    unseen, _ = studied(np.eye(3, dtype=np.float32)[:2], np.array([0, 1]))
    assert [row["accuracy"] for row in unseen.classes] == [1.0, 1.0, None]
    assert not unseen.mistakes
    assert dataclasses.asdict(unseen)["columns"] == ("true", "given", "confidence")
