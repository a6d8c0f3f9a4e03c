"""mAP: by hand, by what must hold, and against pycocotools."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, PLAIN
from larqnets.errors import LarqnetsError
from larqnets.tasks import add
from larqnets.tasks.box_answers import SCORES, Nms
from larqnets.tasks.box_metric import (
    ALARM,
    HIT,
    IGNORED,
    MAP,
    MAP50,
    BoxMetric,
    average_precision,
    coco_map,
    judged,
    precisions_of_classes,
)

LABELS = ("cat", "dog", "bird")


def found(*rows):
    """[y0, x0, y1, x1, score, class], the best first."""
    return np.array(sorted(rows, key=lambda row: -row[4]), np.float64).reshape(-1, 6)


def true(*rows):
    """[y0, x0, y1, x1, class, kind]."""
    return np.array(rows, np.float64).reshape(-1, 6)


def test_average_precision_of_three_answers_by_hand():
    """Right, wrong, right, of two objects: precision 1 up to a recall of 1/2, then 2/3."""
    hits = np.array([True, False, True])
    assert average_precision(hits, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(hits, 2, points=11) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert average_precision(hits, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert average_precision(np.array([], bool), 4) == average_precision(np.array([], bool), 4, 11) == 0


def test_an_object_is_hit_once_and_the_surest_answer_hits_it():
    """A second answer for the same is an alarm, although it covers it better."""
    outcomes, hits = judged(found([0, 0, 1, 0.9, 0.8, 0], [0, 0, 1, 1, 0.7, 0]), true([0, 0, 1, 1, 0, PLAIN]))
    assert (outcomes.tolist(), hits.tolist()) == ([HIT, ALARM], [0, -1])


def test_an_answer_hits_what_it_covers_best():
    outcomes, hits = judged(
        found([0, 0, 1, 0.9, 0.8, 0], [0, 0, 1, 1, 0.7, 0]), true([0, 0, 1, 1, 0, PLAIN], [0, 0, 1, 0.85, 0, PLAIN])
    )
    assert (outcomes.tolist(), hits.tolist()) == ([HIT, HIT], [1, 0])


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ([0, 0, 1, 0.5, 0.9, 0], HIT),  # IoU of just 0.5
        ([0, 0, 1, 0.49, 0.9, 0], ALARM),
        ([0, 0, 1, 1, 0.9, 1], ALARM),  # another class
    ],
)
def test_a_hit_has_the_class_and_half_of_the_place(row, outcome):
    assert judged(found(row), true([0, 0, 1, 1, 0, PLAIN]))[0].tolist() == [outcome]


def test_answers_on_difficult_objects_and_in_crowds_are_neither_hits_nor_alarms():
    answers = found(
        [0, 0, 0.4, 0.4, 0.9, 0], [0, 0, 0.4, 0.39, 0.8, 0], [0.5, 0.5, 0.6, 0.6, 0.7, 0], [0.5, 0.4, 0.6, 0.5, 0.6, 0]
    )
    objects = true([0, 0, 0.4, 0.4, 0, DIFFICULT], [0.5, 0.5, 1, 1, 0, CROWD])
    assert judged(answers, objects)[0].tolist() == [IGNORED, IGNORED, IGNORED, ALARM]
    of_other_class = objects + np.array([0, 0, 0, 0, 1, 0])
    assert judged(answers, of_other_class)[0].tolist() == [ALARM] * 4


def test_a_plain_object_goes_before_a_difficult_one():
    objects = true([0, 0, 1, 1, 0, DIFFICULT], [0, 0, 1, 0.8, 0, PLAIN])
    assert judged(found([0, 0, 1, 1, 0.9, 0]), objects)[0].tolist() == [HIT]


def test_a_class_without_objects_has_no_average_precision():
    aps = precisions_of_classes(
        [found([0, 0, 1, 1, 0.9, 1])], [true([0, 0, 1, 1, 0, PLAIN], [0, 0, 1, 1, 2, DIFFICULT])], 3
    )
    assert aps == [0, None, None]


@st.composite
def images(draw, kinds=(PLAIN, CROWD)):
    """Answers and objects of a few images, on a coarse grid and of few scores, so that much overlaps and is equal."""
    edge, extent = st.integers(0, 6), st.integers(1, 4)
    box = st.tuples(edge, edge, extent, extent).map(
        lambda b: [b[0] / 8, b[1] / 8, (b[0] + b[2]) / 8, (b[1] + b[3]) / 8]
    )
    row = st.tuples(box, st.integers(1, 9).map(lambda n: n / 10), st.integers(0, 1))
    thing = st.tuples(box, st.integers(0, 1), st.sampled_from(kinds))
    some = draw(st.lists(st.tuples(st.lists(row, max_size=6), st.lists(thing, max_size=4)), min_size=1, max_size=4))
    answers = [found(*([*b, score, number] for b, score, number in rows)) for rows, _ in some]
    return answers, [true(*([*b, number, kind] for b, number, kind in things)) for _, things in some]


def mean(aps):
    known = [ap for ap in aps if ap is not None]
    return sum(known) / max(1, len(known))


@given(images())
@settings(max_examples=200, deadline=None)
def test_with_101_points_it_is_what_pycocotools_counts(data):
    answers, objects = data
    assert mean(precisions_of_classes(answers, objects, 2, points=101)) == pytest.approx(
        coco_map(answers, objects, ious=[0.5]), abs=1e-12
    )


def test_so_it_is_of_as_many_images_as_a_test_has():
    """Objects that are found, moved, taken for others and missed, a hundred images of them."""
    random = np.random.default_rng(3)
    answers, objects = [], []
    for _ in range(100):
        corner, size = random.random((8, 2)) * 0.7, 0.05 + random.random((8, 2)) * 0.25
        boxes, classes = np.concatenate([corner, corner + size], axis=1), random.integers(0, 3, 8)
        objects.append(
            np.column_stack([boxes, classes, random.choice([PLAIN, PLAIN, PLAIN, CROWD], 8)]).astype(np.float32)
        )
        moved = boxes + np.tile(random.normal(0, 0.02, (8, 2)), 2)
        wrong = np.where(random.random(8) < 0.2, (classes + 1) % 3, classes)
        rows = np.column_stack([moved, random.random(8), wrong])[random.random(8) < 0.8].astype(np.float32)
        answers.append(rows[np.argsort(-rows[:, 4])].astype(np.float64))
    objects = [rows.astype(np.float64) for rows in objects]
    ours = mean(precisions_of_classes(answers, objects, 3, points=101))
    assert 0.1 < ours < 0.9
    assert ours == pytest.approx(coco_map(answers, objects, ious=[0.5]), abs=1e-12)


def test_pycocotools_leaves_a_difficult_object_out_of_its_count_too():
    answers = [found([0, 0, 1, 1, 0.9, 0], [0.5, 0.5, 1, 1, 0.8, 0])]
    plain, difficult = true([0.5, 0.5, 1, 1, 0, PLAIN]), true([0, 0, 1, 1, 0, DIFFICULT])
    assert coco_map(answers, [np.concatenate([plain, difficult])]) == pytest.approx(1)
    assert coco_map(answers, [plain]) == pytest.approx(0.5)


def targets(objects, places=5):
    """Objects of images as a batch has them: padded, with a label of -1."""
    padded = np.tile(np.array([0, 0, 0, 0, -1, 0], np.float32), (len(objects), places, 1))
    for i, rows in enumerate(objects):
        padded[i, : len(rows)] = true(*rows)
    return {
        BOXES: padded[..., :4],
        BOX_LABELS: padded[..., 4].astype(np.int32),
        BOX_KIND: padded[..., 5].astype(np.int32),
    }


def outputs(boxes, scores):
    return {
        BOXES: np.array(boxes, np.float32),
        SCORES: np.array(scores, np.float32),
        "raw_more": np.zeros((len(boxes), 1)),
    }


def scored(metric, *batches):
    """Scores by the metric as an evaluation uses it: in a graph, batch by batch."""
    partial = tf.function(metric.partial)
    total, images = metric.zero(), 0
    for given_outputs, given_targets in batches:
        part = partial(
            *({name: tf.constant(value) for name, value in tree.items()} for tree in (given_outputs, given_targets))
        )
        assert {name: (value.dtype, value.shape[1:]) for name, value in total.items()} == {
            name: (value.numpy().dtype, tuple(value.shape[1:])) for name, value in part.items()
        }
        total = add(metric, total, {name: value.numpy() for name, value in part.items()})
        images += len(given_outputs[BOXES])
    return metric.result(total | {"images": images})


OBJECTS = [
    [[0, 0, 0.5, 0.5, 0, PLAIN], [0.5, 0.5, 1, 1, 1, PLAIN]],
    [],
    [[0.1, 0.1, 0.9, 0.9, 1, PLAIN]],
]
PLACES = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.1, 0.1, 0.9, 0.9]]
PERFECT = outputs(
    [PLACES] * 3, [[[0.9, 0, 0], [0, 0.8, 0], [0, 0, 0]], np.zeros((3, 3)), [[0, 0, 0], [0, 0, 0], [0, 0.9, 0]]]
)


def test_perfect_answers_score_1_and_none_0():
    perfect = scored(BoxMetric(LABELS, Nms()), (PERFECT, targets(OBJECTS)))
    assert perfect == pytest.approx({MAP50: 1, MAP: 1, "ap50_cat": 1, "ap50_dog": 1})
    empty = scored(BoxMetric(LABELS, Nms()), ({**PERFECT, SCORES: 0 * PERFECT[SCORES]}, targets(OBJECTS)))
    assert empty == {MAP50: 0, MAP: 0, "ap50_cat": 0, "ap50_dog": 0}


def test_batches_of_any_size_give_the_scores_of_one():
    metric = BoxMetric(LABELS, Nms())
    worse = {**PERFECT, SCORES: np.linspace(0.9, 0.1, 27, dtype=np.float32).reshape(3, 3, 3)}
    parts = [
        (
            {name: value[i:j] for name, value in worse.items()},
            {name: value[i:j] for name, value in targets(OBJECTS).items()},
        )
        for i, j in ((0, 1), (1, 1), (1, 3))
    ]
    whole = scored(metric, (worse, targets(OBJECTS)))
    assert 0 < whole[MAP50] < 1
    assert scored(metric, *parts) == whole


def test_a_second_answer_for_an_object_is_an_alarm():
    """Surer than the answers for the other image, it halves their precision."""
    metric = BoxMetric(("cat",), Nms())
    objects = [[[0, 0, 0.5, 0.5, 0, PLAIN]], [[0, 0, 0.5, 0.5, 0, PLAIN]]]
    twice = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.28]]  # IoU 0.56: not suppressed at 0.6
    one = scored(metric, (outputs([twice] * 2, [[[0.9], [0]], [[0.8], [0]]]), targets(objects)))
    both = scored(metric, (outputs([twice] * 2, [[[0.9], [0.85]], [[0.8], [0]]]), targets(objects)))
    assert (one[MAP50], both[MAP50]) == (1, pytest.approx(0.5 + 0.5 * 2 / 3))


def test_difficult_objects_and_crowds_change_nothing():
    objects = [[*rows, [0, 0.5, 0.5, 1, 0, DIFFICULT], [0.5, 0, 1, 0.5, 1, CROWD]] for rows in OBJECTS]
    metric = BoxMetric(LABELS, Nms())
    assert scored(metric, (PERFECT, targets(objects))) == pytest.approx(
        {MAP50: 1, MAP: 1, "ap50_cat": 1, "ap50_dog": 1}
    )
    more = outputs(
        [[*PLACES, [0, 0.5, 0.5, 1], [0.6, 0.1, 0.7, 0.2]]] * 3,
        [[*rows, [0.95, 0, 0], [0, 0.95, 0]] for rows in PERFECT[SCORES].tolist()],
    )
    assert scored(metric, (more, targets(objects)))[MAP50] == 1
    assert scored(metric, (more, targets(OBJECTS)))[MAP50] < 1


def test_a_network_that_diverged_scores_0():
    broken = {**PERFECT, BOXES: PERFECT[BOXES] * np.nan}
    assert scored(BoxMetric(LABELS, Nms()), (broken, targets(OBJECTS)))[MAP50] == 0


def test_of_images_without_any_object_there_is_nothing_to_score():
    assert scored(BoxMetric(LABELS, Nms()), (PERFECT, targets([[], [], []]))) == {MAP50: 0, MAP: 0}


def test_without_pycocotools_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(LarqnetsError, match=r"larqnets\[detection\]"):
        BoxMetric(LABELS, Nms())


def test_pycocotools_says_nothing(capfd):
    scored(BoxMetric(LABELS, Nms()), (PERFECT, targets(OBJECTS)))
    assert capfd.readouterr().out == ""
