"""The errors of a detector by their kinds, what was taken for what, the worst images, and their pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, PLAIN
from larqnets.tasks.box_answers import SCORES, Nms
from larqnets.tasks.box_study import ERRORS, BoxStudy, box_pictures

LABELS = ("cat", "dog")
CAT, DOG = 0, 1


def batch(*images):
    """Outputs and targets of images, each a list of answers (box, score, class) and one of objects (box, class, kind)."""
    places = max([1, *(len(answers) for answers, _ in images)])
    boxes, scores = np.zeros((len(images), places, 4), np.float32), np.zeros((len(images), places, 2), np.float32)
    known = {
        BOXES: np.zeros((len(images), 5, 4), np.float32),
        BOX_LABELS: np.full((len(images), 5), -1, np.int32),
        BOX_KIND: np.zeros((len(images), 5), np.int32),
    }
    for i, (answers, objects) in enumerate(images):
        for j, (box, score, number) in enumerate(answers):
            boxes[i, j], scores[i, j, number] = box, score
        for j, (box, number, kind) in enumerate(objects):
            known[BOXES][i, j], known[BOX_LABELS][i, j], known[BOX_KIND][i, j] = box, number, kind
    return {BOXES: boxes, SCORES: scores, "raw_more": np.zeros((len(images), 1))}, known


def study_of(*images):
    study = BoxStudy(LABELS, Nms())
    wrong = study.add(*batch(*images))
    return wrong, study.result()


def errors(details):
    return {kind: sum(row[kind] for row in details.classes) for kind in ERRORS}


HERE = [0.1, 0.1, 0.5, 0.5]
OBJECT = (HERE, CAT, PLAIN)


@pytest.mark.parametrize(
    ("answers", "kinds"),
    [
        ([(HERE, 0.9, CAT)], {}),
        ([], {"missed": 1}),
        ([(HERE, 0.29, CAT)], {"missed": 1}),  # not sure enough to be counted
        ([(HERE, 0.9, DOG)], {"missed": 1, "wrong_class": 1}),
        ([([0.1, 0.1, 0.5, 0.29], 0.9, CAT)], {"missed": 1, "badly_placed": 1}),  # IoU 0.475
        ([([0.1, 0.1, 0.5, 0.29], 0.9, DOG)], {"missed": 1, "background": 1}),
        ([([0.6, 0.6, 0.9, 0.9], 0.9, CAT)], {"missed": 1, "background": 1}),
        ([([0.46, 0.1, 0.86, 0.5], 0.9, CAT)], {"missed": 1, "background": 1}),  # IoU 0.05
        ([(HERE, 0.9, CAT), ([0.1, 0.1, 0.5, 0.32], 0.8, CAT)], {"duplicate": 1}),  # IoU 0.55
        ([(HERE, 0.9, CAT), (HERE, 0.8, DOG)], {"wrong_class": 1}),
    ],
)
def test_every_error_has_its_kind(answers, kinds):
    wrong, details = study_of((answers, [OBJECT]))
    assert errors(details) == dict.fromkeys(ERRORS, 0) | kinds
    assert (wrong[0] > 0) == bool(kinds) == bool(details.mistakes)


def test_difficult_objects_and_crowds_are_no_errors():
    objects = [OBJECT, ([0.5, 0.5, 0.6, 0.6], CAT, DIFFICULT), ([0.6, 0.6, 1, 1], DOG, CROWD)]
    answers = [(HERE, 0.9, CAT), ([0.5, 0.5, 0.6, 0.6], 0.8, CAT), ([0.7, 0.7, 0.8, 0.8], 0.7, DOG)]
    for given_answers in (answers, answers[:1]):
        wrong, details = study_of((given_answers, objects))
        assert (wrong.tolist(), errors(details)) == ([0], dict.fromkeys(ERRORS, 0))
        assert details.scores == {"precision": 1, "recall": 1}
        assert [row["objects"] for row in details.classes] == [1, 0]


IMAGES = (
    ([(HERE, 0.9, CAT)], [OBJECT]),
    ([(HERE, 0.9, DOG), ([0.6, 0.6, 0.9, 0.9], 0.8, DOG)], [OBJECT, ([0.6, 0.6, 0.9, 0.9], DOG, PLAIN)]),
    ([([0.6, 0.6, 0.9, 0.9], 0.8, DOG)], [OBJECT]),
    ([], []),
)


def test_what_was_found_of_every_class_and_what_was_taken_for_what():
    wrong, details = study_of(*IMAGES)
    assert wrong.tolist() == [0, pytest.approx(2 / 3), 1, 0]
    cat, dog = details.classes
    counted = {"missed": 2, "wrong_class": 0, "badly_placed": 0, "duplicate": 0, "background": 0}
    assert cat == {"label": "cat", "images": 3, "objects": 3, **counted, "ap50": pytest.approx(1 / 3)}
    assert (dog["objects"], dog["missed"], dog["wrong_class"], dog["background"]) == (1, 0, 1, 1)
    assert dog["ap50"] == pytest.approx(1 / 2)  # the surest of three answers is wrong, the next one right
    assert details.scores == {"precision": 2 / 4, "recall": 2 / 4}
    confusion = details.confusion
    assert (confusion.labels, confusion.of, details.unit) == (("cat", "dog", "nothing"), "objects", "objects")
    assert confusion.counts.tolist() == [[1, 1, 1], [0, 1, 0], [0, 1, 0]]
    assert [(mistake.index, mistake.answer["missed"]) for mistake in details.mistakes] == [(2, 1), (1, 1)]
    assert details.mistakes[1].caption == ("2 objects", "1 missed", "1 of a wrong class")
    assert details.columns == ("objects", *ERRORS)
    assert details.remarks == (
        "Of 4 objects and the answers with a score of at least 30%: 2 missed, 1 of a wrong class, 0 badly placed, 0 given "
        "twice, 1 on background.",
    )


def test_images_in_batches_are_those_of_one():
    whole, study = study_of(*IMAGES)[1], BoxStudy(LABELS, Nms())
    for image in IMAGES:
        study.add(*batch(image))
    found = study.result()
    assert (found.classes, found.scores, found.mistakes) == (whole.classes, whole.scores, whole.mistakes)


def test_a_class_without_objects_is_named():
    _, details = study_of(IMAGES[0])
    assert details.classes[1]["ap50"] is None
    assert "No image has a box of dog." in details.remarks


@given(st.data())
def test_every_object_is_hit_or_missed_and_every_sure_answer_has_one_place(data):
    edge, extent = st.integers(0, 6), st.integers(1, 4)
    box = st.tuples(edge, edge, extent, extent).map(
        lambda b: [b[0] / 8, b[1] / 8, (b[0] + b[2]) / 8, (b[1] + b[3]) / 8]
    )
    answer, thing = (
        st.tuples(box, st.floats(0.375, 1, width=16), st.integers(0, 1)),
        st.tuples(box, st.integers(0, 1), st.just(PLAIN)),
    )
    image = st.tuples(st.lists(answer, max_size=5), st.lists(thing, max_size=4))
    images = data.draw(st.lists(image, min_size=1, max_size=3))
    wrong, details = study_of(*images)
    objects = sum(len(things) for _, things in images)
    total = errors(details)
    hits = round(details.scores["recall"] * objects)
    assert hits + total["missed"] == objects == sum(row["objects"] for row in details.classes)
    given_answers = hits + sum(total.values()) - total["missed"]
    assert details.confusion.counts[:, :2].sum() == given_answers
    assert details.confusion.counts.diagonal().sum() == hits
    assert ((wrong >= 0) & (wrong <= 1)).all()


@pytest.mark.parametrize("shape", [(60, 90, 3), (60, 90), (500, 450, 3)])
def test_pictures_show_objects_answers_and_errors_large_enough_to_be_read(shape):
    outputs, targets = batch(
        ([(HERE, 0.9, CAT), ([0.6, 0.6, 0.9, 0.9], 0.8, DOG)], [OBJECT, ([0.5, 0.5, 0.6, 0.6], DOG, CROWD)])
    )
    mine, known = ({name: values[0] for name, values in tree.items()} for tree in (outputs, targets))
    pictures = box_pictures(np.zeros(shape, np.uint8), mine, known, LABELS, Nms())
    assert list(pictures) == ["truth", "answer", "errors"]
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        assert max(picture.shape[:2]) >= 400
        assert picture.shape[0] * shape[1] == picture.shape[1] * shape[0]
        assert picture.any()
    assert not pictures["errors"][: pictures["errors"].shape[0] // 2].any()  # the hit is none
