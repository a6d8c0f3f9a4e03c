"""`larqnets.Classifier`: whatever way a picture comes, it gets the labels that `larqnets run` gives its file."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from colours import LABELS, PREPROCESS, colour_file, due, picture, plain_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deploy.export import edit
from deploy.run.classify import classify
from deploy.run.shipped import example_of, find_model
from larqnets import Classifier, LarqnetsError


@pytest.fixture(scope="module")
def colours() -> Classifier:
    return Classifier(colour_file())


@pytest.fixture(scope="module", autouse=True)
def in_process():
    """TensorFlow is loaded here already, and test_child.py has the child process of `classify`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploy.run.classify.CHILD", None)
        yield


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("name", LABELS)
def test_a_picture_of_one_colour_has_its_label_however_it_comes(colours, tmp_path, name):
    shown = picture(name)
    shown.save(tmp_path / "x.png")
    pixels = np.asarray(shown)
    with Image.open(tmp_path / "x.png") as opened:
        forms = [tmp_path / "x.png", str(tmp_path / "x.png"), pixels, shown, opened, pixels[::-1, ::-1]]
        forms += [np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)]  # transparency is dropped
        answers = [colours.classify(form) for form in forms]
    assert all(answer == answers[0] for answer in answers)
    found = {each["label"]: each["probability"] for each in answers[0]}
    assert max(found, key=found.__getitem__) == name
    np.testing.assert_allclose([found[label] for label in LABELS], due(name), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40), st.sampled_from([(), (1,), (3,), (4,)]))
def test_pixels_are_what_their_file_is(tmp_path_factory, seed, height, width, channels):
    file = tmp_path_factory.getbasetemp() / "pixels.png"
    pixels = noise(seed, height, width, *channels)
    Image.fromarray(pixels[..., 0] if channels == (1,) else pixels).save(file)
    model = tmp_path_factory.getbasetemp() / "colours.tflite"
    model.write_bytes(colour_file())
    classifier = shared(model)
    (due_labels,) = classify(model, file)["predictions"]
    assert classifier.classify(pixels) == classifier.classify(file) == due_labels


_SHARED: dict[Path, Classifier] = {}


def shared(model: Path) -> Classifier:
    return _SHARED.setdefault(model, Classifier(model))


def test_pictures_are_turned_upright(tmp_path):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned
    Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif, quality=100)
    classifier = Classifier("digits")
    with Image.open(tmp_path / "x.jpg") as stored:
        turned = ImageOps.exif_transpose(stored)
        assert classifier.classify(stored) == classifier.classify(tmp_path / "x.jpg") == classifier.classify(turned)
        assert classifier.classify(np.asarray(stored)) != classifier.classify(stored)


def test_several_pictures(colours):
    pictures = [picture("blue"), np.asarray(picture("red"))]
    alone = [colours.classify(each, top=2) for each in pictures]
    assert [len(labels) for labels in alone] == [2, 2]
    assert colours.classify_all(pictures, top=2) == alone
    assert colours.classify_all(iter(pictures), top=2) == alone
    assert colours.classify_all(np.stack([np.asarray(each) for each in pictures]), top=2) == alone
    assert colours.classify_all([]) == []


@pytest.mark.parametrize("origin", ["name", "path", "run"])
def test_where_the_file_may_be(tmp_path, origin):
    (tmp_path / "run" / "arm64").mkdir(parents=True)
    (tmp_path / "run" / "arm64" / "binary.tflite").write_bytes(find_model("digits").read_bytes())
    given_as = {"name": "digits", "path": find_model("digits"), "run": tmp_path / "run"}[origin]
    classifier = Classifier(given_as)
    assert classifier.labels == tuple("0123456789")
    assert classifier.image_shape == (8, 8, 1)
    assert classifier.classify(example_of("digits"))[0].items() >= {"label": "7", "class": 7}.items()


def test_its_repr_is_a_line(tmp_path):
    (tmp_path / "a\nb\x1b[31m.tflite").write_bytes(colour_file())
    shown = repr(Classifier(tmp_path / "a\nb\x1b[31m.tflite"))
    assert shown.isprintable()
    assert "3 labels, images 6x8x3, TensorFlow Lite on x86-64" in shown


@pytest.mark.parametrize("labels", [[], ["a", "b"], list("abcd")])
def test_labels_that_do_not_fit_are_numbers(labels):
    content = edit.add_metadata(plain_file(), {"preprocess": PREPROCESS | {"labels": labels}})
    assert Classifier(content).labels == ("0", "1", "2")


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 3, 1), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        7,
        None,
        b"png",
    ],
    ids=str,
)
def test_what_is_no_picture(colours, wrong):
    with pytest.raises(LarqnetsError, match="is no picture"):
        colours.classify(wrong)


def test_other_arguments_that_do_not_fit(colours, tmp_path):
    for several in ("x.png", Path("x.png"), picture("red"), np.asarray(picture("red"))):
        with pytest.raises(LarqnetsError, match="classify_all takes several pictures"):
            colours.classify_all(several)
    with pytest.raises(LarqnetsError, match="top must be at least 1"):
        colours.classify(picture("red"), top=0)
    with pytest.raises(LarqnetsError, match=r"no image at .*absent\.png"):
        colours.classify(tmp_path / "absent.png")
    picture("red").save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    with Image.open(tmp_path / "x.png") as cut, pytest.raises(LarqnetsError, match="cannot be decoded"):
        colours.classify(cut)


def network(make) -> bytes:
    image = tf.keras.layers.Input((6, 8, 3), batch_size=1)
    return tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, make(image))).convert()


NO_CLASSIFIERS = {
    "a map": lambda x: 2 * x,
    "two outputs": lambda x: [tf.keras.layers.GlobalAveragePooling2D()(x), tf.keras.layers.Flatten()(x)],
    "one value": lambda x: tf.reduce_mean(x, axis=[1, 2, 3], keepdims=False)[:, tf.newaxis],
    "whole numbers": lambda x: tf.cast(tf.keras.layers.GlobalAveragePooling2D()(x), tf.int32),
}


@pytest.mark.parametrize("kind", NO_CLASSIFIERS)
def test_files_that_are_no_classifiers(kind):
    content = edit.add_metadata(network(NO_CLASSIFIERS[kind]), {"preprocess": PREPROCESS})
    with pytest.raises(LarqnetsError, match="is no classifier of images: its task is classification"):
        Classifier(content)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(LarqnetsError, match="does not say how its images were preprocessed"):
        Classifier(plain_file())
    with pytest.raises(LarqnetsError, match="There is no file 'absent'"):
        Classifier("absent")
    (tmp_path / "x.tflite").write_bytes(colour_file()[:900])
    with pytest.raises(LarqnetsError, match="not a valid TFLite model"):
        Classifier(tmp_path / "x.tflite")


def test_answers_that_are_no_numbers(colours, monkeypatch):
    monkeypatch.setattr(colours._interpreter, "predict", lambda x: np.full((1, 3), np.inf, np.float32))
    with pytest.raises(LarqnetsError, match="outputs for the picture are NaN or infinite"):
        colours.classify(picture("red"))


def test_a_child_process_answers_the_same(colours):
    child = Classifier(colour_file(), device="child")
    assert child.classify(picture("blue")) == colours.classify(picture("blue"))
