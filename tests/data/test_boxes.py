"""Boxes through everything that is done to an image: held against loops in NumPy, and against what the image shows."""

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from boxed import picture_of, read_off, things, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info
from larqnets.data.augment import Share
from larqnets.data.boxes import cleaned, padded
from larqnets.data.geometry import boxes_inside, fit
from larqnets.data.image import filled, fitted, in_picture, looked_at, prepare
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, IMAGE
from larqnets.data.pixels import fitted as fitted_in_graph
from larqnets.data.scaling import scaled_part

SIDE = st.floats(-1, 2, width=32, allow_subnormal=False)
ROOM = 6
FINGERPRINT = "c824693504065490a2ad216f901a6e71a6f91c3ddadbeb5d76346c1d1941c312"  # of digit_boxes


def corners(number):
    """A box of four numbers, its ends in order."""
    (a, b), (c, d) = sorted(number[:2]), sorted(number[2:])
    return [a, c, b, d]


BOXES_OF = st.lists(st.tuples(SIDE, SIDE, SIDE, SIDE).map(corners), max_size=ROOM)


def example_of(boxes):
    n = len(boxes)
    free = ROOM - n
    return {
        BOXES: tf.constant([*boxes, *[[0.0] * 4] * free], tf.float32, (ROOM, 4)),
        BOX_LABELS: tf.constant([*range(n), *[-1] * free]),
        BOX_KIND: tf.constant([*(i % 3 for i in range(n)), *[0] * free]),
    }


@settings(deadline=None, max_examples=200)
@given(BOXES_OF)
def test_boxes_whose_centre_leaves_are_dropped_and_the_others_clipped(boxes):
    example = example_of(boxes)
    after = {name: values.numpy() for name, values in boxes_inside(example, example[BOXES]).items()}
    expected = []
    for i, box in enumerate(np.float32(boxes).reshape(-1, 4)):
        top, left, bottom, right = box
        centre = (np.float32(top + bottom), np.float32(left + right))
        clipped = [min(max(side, 0.0), 1.0) for side in box]
        if min(centre) >= 0 and max(centre) <= 2 and clipped[0] < clipped[2] and clipped[1] < clipped[3]:
            expected.append((i, i % 3, clipped))
    n = len(expected)
    assert after[BOX_LABELS].tolist() == [i for i, _, _ in expected] + [-1] * (ROOM - n)
    assert after[BOX_KIND].tolist() == [kind for _, kind, _ in expected] + [0] * (ROOM - n)
    np.testing.assert_array_equal(after[BOXES][:n], np.float32([box for *_, box in expected]).reshape(-1, 4))
    assert not after[BOXES][n:].any()


@settings(deadline=None, max_examples=200)
@given(BOXES_OF)
def test_what_was_done_to_annotations_is_counted(boxes):
    boxes = np.float32([*boxes, *boxes[:1]]).reshape(-1, 4)  # the first one twice
    found = cleaned(boxes, np.zeros(len(boxes)), np.zeros(len(boxes)))
    kept, outside, empty, twice, clipped = [], 0, 0, 0, 0
    for box in boxes.tolist():
        inside = [min(max(side, 0.0), 1.0) for side in box]
        if box[0] >= box[2] or box[1] >= box[3]:
            empty += 1
        elif inside[0] >= inside[2] or inside[1] >= inside[3]:
            outside += 1
        elif inside in kept:
            twice += 1
        else:
            kept.append(inside)
            clipped += max(abs(a - b) for a, b in zip(inside, box, strict=True)) > 1e-4
    assert found.boxes.tolist() == kept
    assert (found.outside, found.empty, found.twice, found.clipped) == (outside, empty, twice, clipped)


@pytest.mark.parametrize(
    ("box", "phrase"), [([0.1, 0.1, np.nan, 0.5], "box 2 .* not finite"), ([0.5, 0.1, 0.2, 0.5], "box 2 ends before")]
)
def test_boxes_that_cannot_be(box, phrase):
    with pytest.raises(ValueError, match=phrase):
        cleaned(np.array([[0, 0, 1, 1], box]), np.zeros(2), np.zeros(2))


def stored_of(picture, some):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    height, width = picture.shape[:2]
    boxes = np.float32([thing[1:] for thing in some]) / np.float32([height, width, height, width])
    boxes, labels, kinds = padded(cleaned(boxes, np.array([t[0] for t in some]), np.zeros(len(some))), ROOM)
    known = {BOXES: tf.constant(boxes), BOX_LABELS: tf.constant(labels), BOX_KIND: tf.constant(kinds)}
    return {IMAGE: tf.constant(content.getvalue()), "orientation": tf.constant(1), **known}


def said(example):
    """The things that the boxes of an example say, sorted, in pixels."""
    height, width = example[IMAGE].shape[:2]
    rows = [
        (int(label), *(np.array(box) * [height, width, height, width]))
        for box, label in zip(example[BOXES].numpy(), example[BOX_LABELS].numpy(), strict=True)
        if label >= 0
    ]
    return sorted(rows)


@pytest.mark.parametrize("size", [(48, 144), (96, 96), (40, 63)])
def test_a_picture_is_fitted_with_its_boxes(size):
    rng = np.random.default_rng(1)
    for _ in range(10):
        some = sorted(things(rng, size))
        picture = picture_of(some, size)
        example = fit(stored_of(picture, some), (96, 144), 3)
        height, width = fitted(*size, 96, 144)
        shown = example[IMAGE].numpy()
        assert (shown[height:] == 114).all()
        assert (shown[:, width:] == 114).all()
        assert min(height / 96, width / 144) <= max(height / 96, width / 144) == 1
        np.testing.assert_allclose(read_off(shown[:height, :width]), said(example), atol=1.5)


@settings(deadline=None)
@given(*[st.integers(1, 3000)] * 2, *[st.integers(4, 600)] * 2)
def test_training_and_device_fit_alike(height, width, rows, columns):
    ours = fitted_in_graph(tf.constant([height, width]), (rows, columns))
    assert tuple(ours.numpy()) == fitted(height, width, rows, columns)


@pytest.mark.parametrize("way", ["crop", "warp", "letterbox"])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_a_part_at_a_scale_has_its_boxes(way, factor):
    rng = np.random.default_rng(2)
    shape = (60, 90, 3)
    for _ in range(12):
        some = things(rng, (64, 64))
        part = scaled_part(
            stored_of(picture_of(some, (64, 64)), some), tf.constant(factor), tf.constant(rng.random(2), tf.float32),
            shape, [0, 0, 0], way,
        )  # fmt: skip
        for label, top, left, bottom, right in said(part):
            inner = part[IMAGE].numpy()[
                int(np.ceil(top + 1)) : int(bottom - 1), int(np.ceil(left + 1)) : int(right - 1), label
            ]
            assert (inner > 100).all()  # the colour of the class
        # Nothing that is seen has no box, but for what remains of those whose centre is outside.
        seen = part[IMAGE].numpy().max(-1) > 127
        for _, top, left, bottom, right in said(part):
            seen[max(0, int(top) - 2) : int(bottom) + 2, max(0, int(left) - 2) : int(right) + 2] = False
        rows, columns = np.nonzero(seen)
        assert len(rows) == 0 or min(rows.min(), columns.min()) == 0 or rows.max() == 59 or columns.max() == 89


@pytest.mark.parametrize("way", ["crop", "warp", "letterbox"])
def test_a_device_sees_what_training_does_and_finds_the_way_back(tmp_path, way):
    written = write_folder(tmp_path, "roboflow", size=(40, 90))
    config = DataConfig(f"folder:{tmp_path}", image_size=48, image_width=64, resize=way)
    dataset = load_dataset(config)
    info = preprocess_info(dataset.info, config)
    assert info["resize"] == way
    (batch,) = dataset.eval_batches("test", 3).as_numpy_iterator()
    for i, path in enumerate(dataset.names("test", range(3))):
        with Image.open(path) as picture:
            ours = prepare(picture.convert("RGB"), info)[0]
            np.testing.assert_allclose(ours, batch[IMAGE][i], atol=2.5 / 127.5)
            there = batch[BOX_LABELS][i] >= 0
            back = in_picture(batch[BOXES][i][there], picture, info)
            top, left, height, width = looked_at(picture, info)
            rows, columns = filled(picture, info)
        assert (rows, columns) == ((28, 64) if way == "letterbox" else (48, 64))
        ends = np.tile([top, left], 2), np.tile([top + height, left + width], 2)
        expected = [np.clip(box, *ends) for _, *box in written[path.rpartition("/")[2].removesuffix(".png")]]
        for box in back:
            assert min(np.abs(box - other).max() for other in expected) < 1.0
        assert way == "crop" or len(back) == len(expected)


def test_without_resize_labels_are_cropped_and_say_nothing_new(data_dir):
    config = DataConfig("cifar10", data_dir=data_dir)
    entry = preprocess_info(load_dataset(config).info, config)
    assert "resize" not in entry


@pytest.fixture(scope="module")
def digits(tfds_dir):
    return str(tfds_dir)


def arrays(batches, count):
    return [{k: v.copy() for k, v in batch.items()} for batch in batches.take(count).as_numpy_iterator()]


@pytest.mark.parametrize(
    "options",
    [
        {"crop_padding": 8, "flip": True},
        {"random_scale": (0.7, 1.4), "flip": True},
        {"random_resized_crop": True, "min_crop_area": 0.3},
        {"augment": "light"},
        {"random_scale": (0.7, 1.4), "resize": "letterbox", "image_width": 96},
    ],
)
def test_batches_follow_from_seed_and_step_for_any_number_of_workers(digits, options):
    dataset = load_dataset(DataConfig("digit_boxes", data_dir=digits, image_size=64, **options))
    whole = arrays(dataset.train_batches(8, 3), 4)
    resumed = arrays(dataset.train_batches(8, 3, start_step=2), 2)
    halves = [arrays(dataset.train_batches(8, 3, share=Share(i, 2)), 2) for i in range(2)]
    for name in (IMAGE, BOXES, BOX_LABELS, BOX_KIND):
        for step in range(2):
            np.testing.assert_array_equal(resumed[step][name], whole[step + 2][name])
            joined = np.concatenate([half[step][name] for half in halves])
            np.testing.assert_array_equal(joined, whole[step][name])
    shapes = {name: values.shape[1:] for name, values in whole[0].items()}
    assert shapes[BOXES] == (100, 4)
    assert any((a[BOX_LABELS] != b[BOX_LABELS]).any() for a, b in itertools.pairwise(whole))
    for batch in whole:
        there = batch[BOX_LABELS] >= 0
        assert (np.diff(there.astype(int), axis=1) <= 0).all()  # nothing behind what is free
        assert (batch[BOXES][~there] == 0).all()
        assert (batch[BOXES][there][:, :2] < batch[BOXES][there][:, 2:]).all()


def test_a_box_lies_on_the_ink_of_its_digit(digits):
    """As long as digits are brighter than the noise around them."""
    dataset = load_dataset(DataConfig("digit_boxes", data_dir=digits, own_validation=True))
    assert (dataset.info.num_train, dataset.info.num_validation, dataset.info.num_test) == (600, 100, 200)
    (batch,) = dataset.eval_batches("train", 600).as_numpy_iterator()
    counts = np.bincount((batch[BOX_LABELS] >= 0).sum(1), minlength=5)
    assert counts[0] == 0
    assert counts[1:5].min() > 60
    brighter = []
    for image, boxes, labels in zip(batch[IMAGE][..., 0], batch[BOXES], batch[BOX_LABELS], strict=True):
        outside = np.ones(image.shape, bool)
        for box in np.round(boxes[labels >= 0] * 64).astype(int):
            outside[box[0] : box[2], box[1] : box[3]] = False
        for box in np.round(boxes[labels >= 0] * 64).astype(int):
            inside = image[box[0] : box[2], box[1] : box[3]]
            brighter.append(inside.max() > image[outside].max())
    assert np.mean(brighter) > 0.9
    assert dataset.fingerprint() == FINGERPRINT
