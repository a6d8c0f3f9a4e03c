"""Boxes and scores become what was found: against the definition of suppression, written out slowly."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from larqnets.errors import LarqnetsError
from larqnets.tasks.box_answers import SURE, Nms, agreement, decode, detections, ious, nms_of


def slow_iou(a, b):
    """By the definition, for two boxes, in float32 as the fast one."""
    high = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = np.float32(max(high[0], 0)) * np.float32(max(high[1], 0))
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either > 0 else np.float32(0)


def slow_detections(boxes, scores, nms):
    """Class by class: the best box is kept, and every other one is, unless it overlaps one that was kept."""
    found = []
    for number in range(scores.shape[1]):
        kept = []
        for place in sorted(range(len(boxes)), key=lambda i: -scores[i, number]):  # a stable sort
            box = np.clip(boxes[place], 0, 1)
            if not scores[place, number] > np.float32(nms.score) or not (box[2] > box[0] and box[3] > box[1]):
                continue
            if len(kept) < nms.max_per_class and all(slow_iou(box, other) <= np.float32(nms.iou) for _, other in kept):
                kept.append((place, box))
        found += [(scores[place, number], place, number, box) for place, box in kept]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    rows = [[*box, score, number] for score, _, number, box in found[: nms.max]]
    return np.array(rows, np.float32).reshape(-1, 6)


@st.composite
def answers(draw):
    """Boxes on a coarse grid, so that many overlap, some inverted or outside; few different scores, so that many are equal."""
    count, classes = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    grid = st.integers(-2, 10).map(lambda n: np.float32(n / 8))
    boxes = draw(arrays(np.float32, (count, 4), elements=grid))
    scores = draw(arrays(np.float32, (count, classes), elements=st.integers(0, 10).map(lambda n: np.float32(n / 10))))
    return boxes, scores


@given(
    answers(),
    st.builds(
        Nms,
        st.sampled_from([0.1, 0.45, 0.5, 0.6]),
        st.sampled_from([0.05, 0.3, 0.5]),
        st.integers(1, 5),
        st.integers(1, 8),
    ),
)
@settings(max_examples=300)
def test_detections_are_those_of_the_definition(answer, nms):
    np.testing.assert_array_equal(detections(*answer, nms), slow_detections(*answer, nms))


def test_of_a_crowd_of_real_numbers_they_are_those_too():
    random = np.random.default_rng(0)
    middle, size = random.random((300, 2)), random.random((300, 2)) * 0.4
    boxes = np.concatenate([middle - size, middle + size], axis=1).astype(np.float32)
    scores = random.random((300, 4)).astype(np.float32) ** 3
    for nms in (Nms(), Nms(0.45, 0.01, 400, 200), Nms(0.3, 0.1, 3, 5)):
        np.testing.assert_array_equal(detections(boxes, scores, nms), slow_detections(boxes, scores, nms))


def test_boxes_are_dropped_within_their_class_alone():
    boxes = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.49], [0.6, 0.6, 0.9, 0.9]], np.float32)
    scores = np.array([[0.9, 0.8], [0.8, 0.1], [0.7, 0.0]], np.float32)
    found = detections(boxes, scores, Nms())
    assert [(round(float(score), 1), int(number)) for *_, score, number in found] == [(0.9, 0), (0.8, 1), (0.7, 0)]


def test_an_overlap_of_just_the_threshold_is_kept_and_a_score_of_just_the_threshold_is_not():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1]], np.float32)  # IoU 0.5
    scores = np.array([[0.75], [0.5]], np.float32)
    assert len(detections(boxes, scores, Nms(iou=0.5))) == 2
    assert len(detections(boxes, scores, Nms(iou=0.49))) == 1
    assert len(detections(boxes, scores, Nms(iou=0.5, score=0.5))) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_no_candidates(bad):
    boxes = np.array([[0, 0, 1, 1], [0, bad, 1, 1], [0, 0, 0.2, 0.2]], np.float32)
    scores = np.array([[bad, 0.5], [0.9, 0.9], [0.4, 0.0]], np.float32)
    found = detections(boxes, scores, Nms())
    np.testing.assert_allclose(found, [[0, 0, 1, 1, 0.5, 1], [0, 0, 0.2, 0.2, 0.4, 0]], rtol=1e-6)


def test_what_hangs_over_the_edge_is_cut_off_and_what_lies_outside_is_nothing():
    boxes = np.array([[-0.5, 0.5, 0.5, 1.5], [1.1, 0, 1.5, 1], [0.5, 0.5, 0.5, 0.7], [0.5, 0.7, 0.2, 0.9]], np.float32)
    found = detections(boxes, np.full((4, 1), 0.9, np.float32), Nms())
    np.testing.assert_array_equal(found[:, :4], [[0, 0.5, 0.5, 1]])


@pytest.mark.parametrize("above", [0.001, 1.0], ids=["as a network answers", "all above the threshold"])
def test_8732_boxes_of_20_classes_take_no_second(above):
    random = np.random.default_rng(1)
    middle, size = random.random((8732, 2)), random.random((8732, 2)) * 0.2
    boxes = np.concatenate([middle - size, middle + size], axis=1).astype(np.float32)
    scores = np.where(random.random((8732, 20)) < above, 0.1 + 0.9 * random.random((8732, 20)), 0.001).astype(
        np.float32
    )
    start = time.process_time()
    assert len(detections(boxes, scores, Nms(0.45, 0.01, 400, 200))) > 20
    assert time.process_time() - start < (0.2 if above < 1 else 8)


@given(st.data())
def test_iou_is_one_for_equal_boxes_symmetric_and_within_0_and_1(data):
    corner = arrays(np.float64, (4, 2), elements=st.floats(0, 1, width=16))
    low, high = data.draw(corner), data.draw(corner)
    boxes = np.concatenate([np.minimum(low, high), np.maximum(low, high)], axis=1)
    found = ious(boxes, boxes)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(-1)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found.diagonal(), has_area.astype(float))
    assert found.min() >= 0
    assert found.max() <= 1


BOX = np.array([[[0.1, 0.2, 0.5, 0.6], [0.5, 0.5, 0.9, 0.9]]], np.float32)
SCORE = np.array([[[0.9, 0.0], [0.0, 0.4]]], np.float32)


def test_decoded_boxes_have_labels_and_corners_x_first():
    (found,) = decode({"scores": SCORE, "boxes": BOX}, {"labels": ["cat", "dog"]})
    assert [(one["label"], one["class"]) for one in found] == [("cat", 0), ("dog", 1)]
    np.testing.assert_allclose(found[0]["box"], [0.2, 0.1, 0.6, 0.5], rtol=1e-6)
    np.testing.assert_allclose([one["score"] for one in found], [0.9, 0.4], rtol=1e-6)


def test_decoding_obeys_the_metadata_of_the_file():
    (found,) = decode({"boxes": BOX, "scores": SCORE}, {"labels": ["one"], "nms": {"score": 0.5}})
    assert [one["label"] for one in found] == ["0"]  # one name for two classes names none


@pytest.mark.parametrize(
    "outputs",
    [
        {"boxes": BOX},
        {"boxes": BOX, "scores": SCORE, "more": SCORE},
        {"logits": SCORE, "boxes": BOX},
        {"boxes": BOX[..., :3], "scores": SCORE},
        {"boxes": BOX, "scores": SCORE[:, :1]},
        {"boxes": BOX[0], "scores": SCORE[0]},
        {"boxes": BOX.astype(np.int32), "scores": SCORE},
        {"boxes": BOX, "scores": SCORE[..., :0]},
    ],
)
def test_outputs_of_no_detector_are_not_decoded(outputs):
    assert decode(outputs, {}) == []


def test_an_empty_image_has_an_empty_answer():
    assert decode({"boxes": BOX, "scores": 0 * SCORE}, {}) == [[]]


@pytest.mark.parametrize(
    "said",
    [
        *([{name: value}] for name in ("iou", "score") for value in (0, 1, -0.1, 1.5, float("nan"), "0.5", True, None)),
        *([{name: value}] for name in ("max", "max_per_class") for value in (0, -1, 1.5, 10**9, "a", True, None)),
        [{"per_class": False}],
        [{"sigma": 0.5}],
        [[0.5]],
        ["fast"],
        [None],
    ],
)
def test_nonsense_about_suppression_is_refused_in_a_sentence(said):
    with pytest.raises(LarqnetsError, match="is nonsense"):
        nms_of({"nms": said[0]})


def test_metadata_of_suppression_are_read_back():
    nms = Nms(0.45, 0.01, 400, 200)
    assert nms_of({"nms": nms.to_json()}) == nms
    assert nms_of({}) == Nms()


def moved(rows, by):
    return (rows + np.float32(by)).astype(np.float32)


def test_networks_that_find_the_same_agree():
    one = {"boxes": BOX, "scores": SCORE, "raw_classes": SCORE}
    assert agreement(one, one, Nms()) == 1
    assert agreement(one, {"boxes": moved(BOX, 0.005), "scores": moved(SCORE, 0.01)}, Nms()) == 1


@pytest.mark.parametrize(
    ("boxes", "scores", "expected"),
    [
        (moved(BOX, 0.1), SCORE, 0),  # elsewhere
        (BOX, SCORE[..., ::-1], 0),  # other classes
        (BOX, SCORE * np.float32(0.96), 0.5),  # 0.4 -> 0.384 is as sure, 0.9 -> 0.864 is not
        (BOX, SCORE * np.array([[1], [0]], np.float32), 2 / 3),  # one of two was found: 1 + 1 of 2 + 1
        (BOX, 0 * SCORE, 0),
    ],
)
def test_agreement_is_the_share_that_both_found(boxes, scores, expected):
    mine, other = {"boxes": BOX, "scores": SCORE}, {"boxes": boxes, "scores": scores}
    assert agreement(mine, other, Nms()) == pytest.approx(expected)
    assert agreement(other, mine, Nms()) == pytest.approx(expected)


def test_answers_of_little_score_are_not_counted_and_none_at_all_is_the_same():
    unsure = {"boxes": BOX, "scores": SCORE * np.float32((SURE - 0.01) / 0.9)}
    assert agreement(unsure, {"boxes": moved(BOX, 0.1), "scores": 0 * SCORE}, Nms()) == 1


def test_a_partner_just_below_the_count_is_a_partner():
    one, two = (SCORE * np.float32(sure / 0.9) * np.array([[1], [0]], np.float32) for sure in (0.305, 0.295))
    assert agreement({"boxes": BOX, "scores": one}, {"boxes": BOX, "scores": two}, Nms()) == 1


def test_outputs_of_no_detector_have_no_agreement():
    assert agreement({"logits": SCORE}, {"logits": SCORE}, Nms()) is None
