"""`larqnets.Detector`: what is where in a picture, in its own pixels."""

import json

import numpy as np
import pytest
from box_files import CELL, HEIGHT, NMS, WIDTH, box_file
from colours import LABELS, PREPROCESS, PURE, colour_file, pixel_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deploy.export import edit
from larqnets import Classifier, Detector, LarqnetsError, Segmenter
from larqnets.data.image import central_box
from larqnets.legend import Legend

GREY = (120, 120, 120)
_LOADED: dict[str, Detector] = {}


def detector(**said) -> Detector:
    return _LOADED.setdefault(json.dumps(said), Detector(box_file(**said)))


def canvas(width: int, height: int, **boxes: tuple[float, float, float, float]) -> Image.Image:
    """Grey, with boxes (x0, y0, x1, y1) of colours."""
    shown = Image.new("RGB", (width, height), GREY)
    for name, box in boxes.items():
        shown.paste(PURE[name], tuple(round(edge) for edge in box))
    return shown


def test_things_are_told_in_pixels_of_the_picture_the_surest_first():
    found = detector()(canvas(240, 160, red=(80, 80, 160, 160), blue=(0, 0, 80, 80)))
    assert [(thing["label"], thing["class"], thing["box"]) for thing in found.things] == [
        ("blue", 2, [0, 0, 80, 80]),
        ("red", 0, [80, 80, 160, 160]),
    ]
    # 1.5 times how much stronger a channel is than the mean
    due = [1.5 * (max(PURE[name]) - np.mean(PURE[name])) / 255 for name in ("blue", "red")]
    assert [thing["score"] for thing in found.things] == pytest.approx(due, abs=0.04)  # edges are smoothed
    assert (found.labels, found.counts()) == (tuple(LABELS), {"blue": 1, "red": 1})
    json.dumps(found.things)


SIDES = st.integers(3 * CELL, 200)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.sampled_from(["warp", "letterbox", "crop"]), st.integers(0, 1), st.integers(0, 2))
def test_a_box_is_where_its_thing_is_however_the_picture_was_resized(width, height, resize, row, column):
    """The pixels of the picture that a cell is made of, by the definition of each way."""
    if resize == "warp":
        top, left, unit_y, unit_x = 0.0, 0.0, height / HEIGHT, width / WIDTH
    elif resize == "letterbox":
        top, left = 0.0, 0.0
        unit_y = unit_x = max(height / HEIGHT, width / WIDTH)
    else:
        top, left, seen_height, seen_width = central_box(height, width, HEIGHT, WIDTH, 1.0)
        unit_y, unit_x = seen_height / HEIGHT, seen_width / WIDTH
    x0, y0 = left + column * CELL * unit_x, top + row * CELL * unit_y
    box = [x0, y0, min(x0 + CELL * unit_x, width), min(y0 + CELL * unit_y, height)]
    there = (
        box[0] < width - 0.6 * CELL * unit_x and box[1] < height - 0.6 * CELL * unit_y
    )  # most of the cell is picture
    found = detector(resize=resize)(canvas(width, height, red=box)).things
    assert len(found) <= 1
    assert found or not there
    for thing in found:
        # what remains of rounding to whole pixels, in the picture and in what the network sees of it
        np.testing.assert_allclose(thing["box"], box, atol=0.03 * max(width, height) + 1)


def test_nothing_is_told_of_what_is_beside_the_picture():
    """The grey beside a high picture is as red for this network as what it is shown."""
    content = box_file("letterbox", nms={**NMS, "score": 0.001})
    found = Detector(content)(Image.new("RGB", (40, 160), PURE["red"])).things
    assert all(0 <= x0 < x1 <= 40 and 0 <= y0 < y1 <= 160 for x0, y0, x1, y1 in (thing["box"] for thing in found))


def test_a_file_that_does_not_say_how_pictures_are_resized_looks_at_the_middle():
    found = detector(resize=None)(canvas(600, 160, red=(180, 0, 260, 80))).things
    np.testing.assert_allclose(found[0]["box"], [180, 0, 260, 80], atol=1)


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_upright_however_they_come(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    canvas(240, 160, red=(80, 80, 160, 160), blue=(0, 0, 80, 80)).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as stored:
        upright = ImageOps.exif_transpose(stored)
        answers = [detector()(form).things for form in (tmp_path / "x.png", str(tmp_path / "x.png"), stored, upright)]
    answers.append(detector()(np.asarray(upright)).things)
    assert answers[0]
    assert all(answer == answers[0] for answer in answers)


def test_thresholds_are_those_of_the_file_unless_others_are_given():
    shown = canvas(240, 160, red=(80, 80, 160, 160), blue=(0, 0, 80, 80))
    sure = Detector(box_file(), score=0.65)(shown).things
    assert [thing["label"] for thing in sure] == ["blue"]
    assert not Detector(box_file(nms={**NMS, "score": 0.9}))(shown).things
    assert len(Detector(box_file(nms={**NMS, "score": 0.9}), score=0.3)(shown).things) == 2
    assert len(Detector(box_file(nms={**NMS, "max": 1}))(shown).things) == 1
    assert (
        len(Detector(box_file(nms={**NMS, "max": 1}), score=0.3, iou=0.4)(shown).things) == 1
    )  # the rest stays the file's
    assert len(Detector(box_file(nms=None))(shown).things) == 2


@pytest.mark.parametrize("name", ["score", "iou"])
@pytest.mark.parametrize("value", [0, 1, -0.5, 1.5, float("nan"), float("inf")])
def test_thresholds_that_make_no_sense(name, value):
    with pytest.raises(LarqnetsError, match=rf"between 0 and 1, and {name} is"):
        Detector(box_file(), **{name: value})


@pytest.mark.parametrize("said", [{"iou": 2}, {"score": "high"}, {"per_class": False}, {"sigma": 1}, [], "fast", 3])
def test_what_a_file_says_of_its_boxes_may_be_nonsense(said):
    with pytest.raises(LarqnetsError, match="how boxes are thinned out is nonsense"):
        Detector(box_file(nms=said))


def test_files_of_other_tasks_and_other_programs_for_detectors():
    with pytest.raises(
        LarqnetsError, match=r"is no detector of things in images: its task is classification.*Interpreter"
    ):
        Detector(colour_file())
    with pytest.raises(LarqnetsError, match="is no detector of things in images: its task is segmentation"):
        Detector(pixel_file())
    for other in (Classifier, Segmenter):
        with pytest.raises(LarqnetsError, match=r"is no .* of images: its task is detection"):
            other(box_file())


@pytest.mark.parametrize("content", [colour_file, pixel_file], ids=["one output", "an output of pixels"])
def test_a_file_that_only_says_it_was_a_detector(content):
    with pytest.raises(LarqnetsError, match="is no detector of things in images"):
        Detector(edit.add_metadata(content(), {"preprocess": PREPROCESS, "task": "detection", "nms": NMS}))


@pytest.mark.parametrize("names", [("boxes", "scores", "more"), ("boxes", "logits"), ("boxes",)])
def test_outputs_that_are_not_boxes_and_scores(names):
    with pytest.raises(
        LarqnetsError, match=r"is no detector of things in images: .* of NAME_nms\.tflite the file NAME\.tflite"
    ):
        Detector(box_file(names=names))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("output", [0, 1])
def test_answers_that_are_not_finite_are_an_error_that_names_the_picture(tmp_path, monkeypatch, output, bad):
    canvas(240, 160, red=(80, 80, 160, 160)).save(tmp_path / "x.png")
    mine = Detector(box_file())
    answers = [np.zeros((1, 6, 4), np.float32), np.zeros((1, 6, 3), np.float32)]
    answers[output][0, 5, 2] = bad
    monkeypatch.setattr("deploy.run.picture_model.RealInterpreter.predict", lambda self, x: answers)
    with pytest.raises(LarqnetsError, match=r"outputs for .*x\.png are NaN or infinite"):
        mine(tmp_path / "x.png")


def test_a_picture_is_drawn_in_its_own_size_with_boxes_in_colours_of_their_classes():
    found = detector()(canvas(240, 160, red=(80, 80, 160, 160), blue=(0, 0, 80, 80)))
    shown = np.asarray(found.drawn())
    assert shown.shape == (160, 240, 3)
    changed = (shown != np.asarray(found.picture)).any(-1)
    assert changed[159, 80:160].all()
    assert changed[80:160, 80].all()
    assert not changed[100:150, 90:150].any()
    assert tuple(shown[159, 100]) != tuple(shown[0, 79])


def test_an_empty_picture_is_drawn_as_it_is():
    found = detector()(canvas(50, 40))
    assert (found.things, found.counts()) == ([], {})
    np.testing.assert_array_equal(np.asarray(found.drawn()), np.asarray(found.picture))


def test_labels_that_the_font_lacks_are_told():
    preprocess = PREPROCESS | {"image_shape": [HEIGHT, WIDTH, 3], "mean": [0.0] * 3, "std": [1.0] * 3, "resize": "warp"}
    content = edit.add_metadata(
        box_file(), {"preprocess": {**preprocess, "labels": ["赤", "緑", "青"]}, "task": "detection"}
    )
    legend = Legend()
    Detector(content)(canvas(240, 160, red=(80, 80, 160, 160))).drawn(legend)
    assert legend.lines() == ["#1 is 赤"]
