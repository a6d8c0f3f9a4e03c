"""The task segmentation without a training: losses, scores, what is decoded and told, with numbers counted by hand or by numpy."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.config import DataConfig, TaskConfig, TrainConfig
from larqnets.data import load_dataset
from larqnets.data.info import MASK, OUTSIDE, MaskInfo
from larqnets.errors import LarqnetsError
from larqnets.models import body_of, create_model
from larqnets.tasks import Images, add, get_task
from larqnets.tasks.pixel_metric import ConfusionMetric
from larqnets.tasks.pixel_study import PixelStudy, enlarged
from larqnets.tasks.segmentation import Segmentation, masks_of, pixel_loss

CONFIG = TrainConfig(epochs=1)
INFO = MaskInfo("cells", ("back", "cell", "rim"), (8, 8, 3), (0.5,) * 3, (1.0,) * 3, 2, 2, "")


def one_hot(given_classes, classes=3):
    return np.eye(classes, dtype=np.float32)[given_classes] * 5


def score(masks, given_classes, labels=INFO.labels):
    metric = ConfusionMetric(labels)
    partial = metric.partial(
        {"logits": tf.constant(one_hot(given_classes, len(labels)))}, {MASK: tf.constant(masks, tf.int32)}
    )
    return metric.result({name: value.numpy() for name, value in partial.items()} | {"images": len(masks)})


MASKS = np.array([[[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 2], [OUTSIDE, 0, 2, 2]]])  # 9 of 0, 3 of 1, 3 of 2


def test_a_constant_answer_and_a_perfect_one():
    constant = score(MASKS, np.zeros_like(MASKS))
    assert constant["miou"] == pytest.approx(9 / 15 / 3)
    assert constant["pixel_accuracy"] == pytest.approx(9 / 15)
    assert constant["class_accuracy"] == pytest.approx(1 / 3)
    assert (constant["iou_back"], constant["iou_cell"]) == (pytest.approx(9 / 15), 0)
    perfect = score(MASKS, np.where(MASKS == OUTSIDE, 1, MASKS))  # what is said where no class is known does not count
    assert set(perfect.values()) == {1.0}


def test_pixels_without_a_class_alone_and_classes_that_are_absent():
    nothing = score(np.full((1, 2, 2), OUTSIDE), np.ones((1, 2, 2), int))
    assert nothing == {"miou": 0, "pixel_accuracy": 0, "class_accuracy": 0}
    both = score(np.array([[[0, 1]]]), np.array([[[0, 1]]]))  # class 2 in neither: no part of the mean
    assert both["miou"] == 1
    assert "iou_rim" not in both
    answers = score(np.array([[[0, 1]]]), np.array([[[0, 2]]]))  # class 2 in answers alone: its IoU is 0
    assert (answers["miou"], answers["iou_rim"]) == (pytest.approx(1 / 3), 0)
    assert answers["class_accuracy"] == 0.5  # of the classes that masks have


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 5))
def test_the_matrix_is_that_of_numpy_and_adds_up_over_batches(seed, classes, cut):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, classes + 1, (6, 5, 7))
    masks[masks == classes] = OUTSIDE
    logits = rng.integers(0, 3, (6, 5, 7, classes)).astype(np.float32)  # with ties: the lowest class
    metric = ConfusionMetric([str(i) for i in range(classes)])
    total = metric.zero()
    for part in (slice(0, cut), slice(cut, None)):
        found = metric.partial({"x": tf.constant(logits[part])}, {MASK: tf.constant(masks[part], tf.int32)})
        total = add(metric, total, {name: value.numpy() for name, value in found.items()})
    expected = np.zeros((classes, classes), int)
    for true, answer in zip(masks.ravel(), logits.argmax(-1).ravel(), strict=True):
        if true != OUTSIDE:
            expected[true, answer] += 1
    np.testing.assert_array_equal(total["confusion"], expected)
    assert total["confusion"].dtype == np.int64
    study = PixelStudy(metric.labels)
    study.add({"x": logits}, {MASK: masks})
    np.testing.assert_array_equal(study.result().confusion.counts, expected)


def test_the_matrix_adds_up_over_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    metric = ConfusionMetric(INFO.labels)

    def count():
        return metric.partial(
            {"x": tf.constant(one_hot(np.zeros((1, 4, 4), int)))}, {MASK: tf.constant(MASKS, tf.int32)}
        )

    parts = tf.function(lambda: strategy.run(count), autograph=False)()
    found = strategy.reduce("SUM", parts["confusion"], axis=None).numpy()
    np.testing.assert_array_equal(found[:, 0], [9, 3, 3])


def test_counts_beyond_what_a_float32_can_hold():
    """2^24 + 1 is the first integer that it cannot; a test set of 233 images of 360x480 has 40 million pixels."""
    metric = ConfusionMetric(INFO.labels)
    many = np.diag([2**24 + 1, 2**40, 3])
    total = add(metric, {"confusion": many}, {"confusion": np.eye(3, dtype=np.int64)})
    assert total["confusion"].diagonal().tolist() == [2**24 + 2, 2**40 + 1, 4]


def test_the_loss_of_an_image_is_the_mean_over_its_pixels_that_have_a_class():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 4, 3)).astype(np.float32)
    masks = np.concatenate([MASKS, np.full((1, 4, 4), OUTSIDE), np.full((1, 4, 4), 1)])
    masks[2, 0, 0] = OUTSIDE
    weights = (0.5, 2.0, 0.0)
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for given_weights in (None, weights):
        expected = []
        for z, mask in zip(log, masks, strict=True):
            known = [(i, j) for i in range(4) for j in range(4) if mask[i, j] != OUTSIDE]
            each = [-z[i, j, mask[i, j]] * (given_weights[mask[i, j]] if given_weights else 1) for i, j in known]
            expected.append(sum(each) / len(each) if each else 0)
        found = pixel_loss(tf.constant(logits), tf.constant(masks, tf.int32), given_weights)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    x = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(pixel_loss(x, tf.constant(masks, tf.int32)))
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[masks == OUTSIDE].any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_weights": [1.0, 2.0]}, r"task.class_weights has 2 numbers, and there are 3 classes"),
        ({"class_weights": [0.0, 0.0, 0.0]}, r"not all of them 0"),
        (
            {"class_weights": "median"},
            r"'task.class_weights' is 'median', but must be one of 'none', 'median_frequency'",
        ),
        ({"class_weights": [1.0, -1.0, 1.0]}, r"'task.class_weights.1' is -1.0, but must lie between 0 and"),
        ({"head": "unet"}, r"'task.head' is 'unet', but must be one of 'fcn', 'aspp'"),
        ({"output_stride": 4}, r"'task.output_stride' is 4, but must be one of 8, 16, 32"),
        ({"ouput_stride": 8}, r"unknown key 'task.ouput_stride'. Did you mean 'output_stride'\?"),
    ],
)
def test_options_that_make_no_sense(options, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        get_task(TaskConfig("segmentation", options)).loss(CONFIG, INFO)


def test_weights_by_frequency_need_masks():
    task = get_task(TaskConfig("segmentation", {"class_weights": "median_frequency"}))
    for info in (INFO, Images((8, 8, 3), 3)):
        with pytest.raises(
            LarqnetsError, match=r"Give the weights as a list|Give the weights of the classes as a list"
        ):
            task.loss(CONFIG, info)
    listed = get_task(TaskConfig("segmentation", {"class_weights": [1, 2, 0.5]}))
    assert listed.weights(INFO) == (1, 2, 0.5)


def test_another_loss_is_refused():
    with pytest.raises(LarqnetsError, match="learns by the cross entropy of its pixels, not by squared_hinge"):
        Segmentation().loss(TrainConfig(epochs=1, loss="squared_hinge"), INFO)


@pytest.mark.parametrize("head", ["fcn", "aspp"])
@pytest.mark.parametrize("method", ["real", "birealnet", "groupnet"])
def test_a_network_answers_with_logits_in_the_size_of_the_image(method, head):
    model = create_model(method, "resnet18", (40, 56, 3), 5, width=0.125, task=Segmentation(head=head))
    assert model.output_shape == (None, 40, 56, 5)
    assert {layer.name for layer in model.layers} - body_of(model) >= {"head_scores", "logits"}
    images = np.random.default_rng(0).normal(size=(2, 40, 56, 3)).astype(np.float32)
    assert np.isfinite(model(images).numpy()).all()


@pytest.mark.parametrize(
    ("shape", "classes", "options", "sentence"),
    [
        ((15, 64, 3), 3, {}, "Images of 15x64 are too small"),
        ((64, 64, 3), 1, {}, "there must be at least 2"),
        ((64, 64, 3), 256, {}, "A mask has room for 255 classes, and there are 256"),
        ((64, 64, 3), 3, {"class_weights": (1.0,)}, "task.class_weights has 1 numbers, and there are 3 classes"),
        ((64, 64, 3), 3, {"head": "aspp", "aspp_rates": (1, 2)}, "takes three dilation rates"),
    ],
)
def test_images_classes_and_options_that_a_segmenter_cannot_have(shape, classes, options, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        create_model("birealnet", "resnet18", shape, classes, width=0.125, task=Segmentation(**options))


def test_what_is_decoded_is_the_share_of_every_class():
    task = Segmentation()
    facts = json.loads(json.dumps(task.metadata(INFO)))
    assert facts == {
        "classes": ["back", "cell", "rim"],
        "colors": [[0, 0, 0], [128, 0, 0], [0, 128, 0]],
        "ignore_label": 255,
        "resize": "bilinear_half_pixel",
    }
    given_classes = np.array([[[2, 2], [2, 0]], [[1, 1], [1, 1]]])
    logits = one_hot(given_classes)
    facts["labels"] = facts["classes"]
    rim, back = {"label": "rim", "class": 2, "share": 0.75}, {"label": "back", "class": 0, "share": 0.25}
    assert task.decode({"logits": logits}, facts) == [[rim, back], [{"label": "cell", "class": 1, "share": 1.0}]]
    assert task.decode({"logits": logits}, {"labels": ["a", "b"]})[0][0]["label"] == "2"
    assert task.decode({"mask": np.full((1, 2, 2), OUTSIDE, np.uint8)}, facts) == [[]]
    assert task.decode({"mask": given_classes.astype(np.uint8)}, facts) == task.decode({"logits": logits}, facts)
    assert masks_of({"logits": logits})[0].dtype == np.uint8
    assert task.decode({"x": np.zeros((2, 3), np.float32)}, facts) == []
    other = one_hot(np.array([[[2, 2], [2, 1]], [[1, 1], [1, 1]]]))
    assert task.agreement({"a": logits}, {"a": other}) == 7 / 8
    assert task.agreement({"a": logits.argmax(-1)}, {"a": other.argmax(-1)}) == 7 / 8


@pytest.mark.parametrize(("small", "large"), [((3, 4), (12, 16)), ((23, 30), (45, 61)), ((5, 5), (5, 9))])
def test_smaller_logits_are_enlarged_as_the_network_does_it(small, large):
    logits = np.random.default_rng(0).normal(size=(*small, 3)).astype(np.float32)
    np.testing.assert_allclose(enlarged(logits, large), tf.image.resize(logits, large), atol=1e-5)
    mask = np.zeros((1, *large), int)
    metric = ConfusionMetric(INFO.labels)
    found = metric.partial({"x": tf.constant(logits[np.newaxis])}, {MASK: tf.constant(mask, tf.int32)})
    study = PixelStudy(INFO.labels)
    study.add({"x": logits[np.newaxis]}, {MASK: mask})
    assert (
        np.abs(found["confusion"].numpy() - study.result().confusion.counts).sum() <= 2
    )  # of values that are all but equal


def test_a_study_has_every_class_and_the_worst_images_first():
    study = PixelStudy(INFO.labels)
    masks = np.array([[[0, 0], [1, 1]], [[0, 0], [0, 0]], [[1, 1], [1, OUTSIDE]]])
    wrong = study.add({"x": one_hot(np.array([[[0, 0], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [1, 2]]]))}, {MASK: masks})
    np.testing.assert_allclose(wrong, [1 / 4, 0, 2 / 3])
    details = study.result()
    assert [mistake.index for mistake in details.mistakes] == [2, 0]
    back, cell, rim = details.classes
    assert back == {"label": "back", "images": 2, "pixels": 6, "iou": 6 / 9, "accuracy": 1.0}
    assert cell["iou"] == 2 / 5
    assert (rim["iou"], rim["accuracy"]) == (None, None)
    assert details.remarks == ("No mask has a pixel of rim.",)


def test_a_score_that_one_class_for_all_could_have_is_doubted():
    task = Segmentation()
    assert "is not above what one class for every pixel can give (33.33%" in task.doubt({"miou": 1 / 3}, 10, INFO)
    assert task.doubt({"miou": 0.34}, 10, INFO) == ""


def test_data_of_the_other_kind_is_refused():
    with pytest.raises(LarqnetsError, match=r"for segmentation learns from masks.*Leave task.kind out"):
        Segmentation().check_annotation("label", "digits")
    with pytest.raises(LarqnetsError, match=r'for classification learns from labels. Set task.kind = "segmentation"'):
        get_task().check_annotation("mask", "camvid")


@pytest.mark.skipif(
    not os.environ.get("LARQNETS_CAMVID_DIR"), reason="LARQNETS_CAMVID_DIR names no prepared CamVid"
)  # its licence lets nobody hand it on
def test_weights_of_camvid_are_those_that_are_published_for_these_masks():
    data = DataConfig("camvid", data_dir=os.environ["LARQNETS_CAMVID_DIR"], image_size=96, image_width=128)
    weights = load_dataset(data).info.median_frequency()
    expected = [0.2793, 0.2017, 4.7865, 0.1490, 1.0000, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587]
    assert [round(weight, 4) for weight in weights] == expected
