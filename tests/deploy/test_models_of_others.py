"""Keras files of others: how their images are prepared, what their classes are called, what is said when it is wrong.

The network is a linear classifier of the digits, found by least squares, on pixels of 0 to 1; numpy says how often it is right.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larqnets import Classifier
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.runs.run import Run
from larqnets.tasks import Images, get_task
from larqnets.tasks.classification import guessed
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.reading import read_model

layers = tf.keras.layers
TEN = tuple("abcdefghij")


@pytest.fixture(scope="module")
def fitted():
    """Kernel (64, 10), bias (10,), and how many of the test images they get right."""
    data = load_dataset(DataConfig("digits", mean=(0.0,), std=(1.0,)))
    train, test = (data.samples(10_000, split) for split in ("train", "test"))
    rows = [np.c_[each["image"].reshape(len(each["image"]), -1), np.ones(len(each["image"]))] for each in (train, test)]
    solution = np.linalg.lstsq(rows[0], np.eye(10)[train["label"]], rcond=None)[0]
    accuracy = float(np.mean((rows[1] @ solution).argmax(-1) == test["label"]))
    assert accuracy > 0.85
    return solution[:-1], solution[-1], accuracy


@pytest.fixture
def digits(tmp_path, fitted):
    """Write a network that begins with these layers and is right when pixels then are `slope` * (0 to 1) + `offset`."""

    def write(name: str, *first, slope: float = 1, offset: float = 0) -> Path:
        kernel, bias, _ = fitted
        kernel, bias = kernel / slope, bias - kernel.sum(0) * offset / slope
        head = layers.Dense(10)
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), *first, layers.Flatten(), head])
        head.set_weights([kernel, bias])
        model.save(tmp_path / name)
        return tmp_path / name

    return write


def normalising(mean: float, variance: float) -> layers.Normalization:
    layer = layers.Normalization()
    layer.build((None, 8, 8, 1))
    layer.set_weights([np.array([mean]), np.array([variance]), np.array(100)])
    layer.finalize_state()
    return layer


def test_options_prepare_as_the_training_did(cli, digits, fitted):
    digits("net.h5", slope=2, offset=-1)
    options = ["--dataset", "digits", "--mean", "127.5", "--std", "127.5", "--scale", "1", "--labels", ",".join(TEN)]
    done = cli("convert", "net.h5", *options, "--json")
    manifest = json.loads(done.out)
    assert done.code == 0, done.err
    assert manifest["files"]["float"]["test_accuracy"] == fitted[2]
    assert manifest["warnings"] == []
    assert "class 0 is 'a' here and '0' there" in manifest["remarks"][0]
    for arguments in ([], ["--dataset", "digits"]):  # what the file says holds for its images and for others
        found = json.loads(cli("evaluate", "net-arm64/float.tflite", *arguments, "--json").out)
        assert found["accuracy"] == fitted[2]
    assert cli("verify", "net-arm64/float.tflite", "--source", "net.h5", "--dataset", "digits").code == 0


def test_at_chance_is_said(cli, digits, fitted):
    """The same labels in another order, and images that are prepared otherwise."""
    path = digits("net.h5")
    model = tf.keras.models.load_model(path)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.roll(kernel, 1, -1), np.roll(bias, 1)])
    model.save(path)
    said = "is not above chance for 10 classes (10.00%)"
    done = cli("convert", "net.h5", "--dataset", "digits", "--scale", "1/255")
    assert f"on 450 images {said}" in done.out
    assert said in cli("evaluate", "net-arm64/float.tflite").out
    done = cli("import", "net.h5", "--dataset", "digits", "--scale", "1/255")
    assert done.code == 0
    assert said in done.out
    assert said in Run.open(Path("runs/net")).card.document["remarks"][0]
    assert said in json.loads(cli("convert", "runs/net", "--json").out)["warnings"][0]


@pytest.mark.parametrize(
    ("name", "first", "slope", "offset"),
    [
        ("net.h5", lambda: [layers.Rescaling(1 / 255)], 1, 0),
        ("net.keras", lambda: [layers.Rescaling(1 / 127.5, offset=-1)], 2, -1),
        ("net.h5", lambda: [normalising(100, 64**2)], 255 / 64, -100 / 64),
        ("net.keras", lambda: [normalising(100, 64**2)], 255 / 64, -100 / 64),
        ("net.keras", lambda: [normalising(0.25, 0.125**2)], 8, -2),
        ("net.h5", lambda: [layers.Rescaling(1 / 255), normalising(0.25, 0.125**2)], 8, -2),
    ],
)
def test_a_network_that_prepares_images_itself_is_given_pixels(cli, digits, fitted, name, first, slope, offset):
    digits(name, *first(), slope=slope, offset=offset)
    done = cli("convert", name, "--dataset", "digits", "--json")
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert manifest["files"]["float"]["test_accuracy"] == pytest.approx(fitted[2], abs=0.005)
    assert "which prepares its images: it takes pixels of 0 to " in manifest["remarks"][0]
    assert manifest["warnings"] == []
    done = cli("convert", name, "--mean", "0.5", "--std", "0.5")
    assert done.code == 1
    assert "Leave --mean and --std out, or it is done twice." in done.err


def test_a_network_in_16_bits_normalises_as_it_was_adapted(cli, tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = normalising(100, 64**2)
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), layer, layers.Flatten(), layers.Dense(3)])
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    model.save(tmp_path / "net.h5")
    done = cli("convert", "net.h5")
    assert done.code == 0, done.err
    kernel, bias = (weights.astype(np.float64) for weights in model.layers[-1].get_weights())
    Image.fromarray(pixels := np.arange(0, 192, 3, np.uint8).reshape(8, 8)).save(tmp_path / "x.png")
    assert cli("run", "net-arm64/float.tflite", "x.png", "--output", "y.npy").code == 0
    due = (pixels.ravel().astype(np.float64) - 100) / 64 @ kernel + bias
    np.testing.assert_allclose(np.load(tmp_path / "y.npy")[0], due, atol=1e-3)


def test_numbers_that_fit_two_ranges(cli, digits, fitted):
    digits("net.h5", layers.Rescaling(0.7), slope=0.7)
    done = cli("convert", "net.h5", "--dataset", "digits")
    assert "do not tell whether it takes pixels of 0 to 255 or of 0 to 1" in done.out
    done = cli("convert", "net.h5", "--dataset", "digits", "--scale", "1/255", "--json")
    assert json.loads(done.out)["remarks"] == []
    assert json.loads(done.out)["files"]["float"]["test_accuracy"] == fitted[2]


def test_without_a_data_set_the_file_says_what_was_given(cli, digits, tmp_path):
    digits("net.h5")
    assert cli("import", "net.h5", "--scale", "1/255", "--labels", ",".join(TEN)).code == 0
    assert cli("convert", "net.h5", "--scale", "1/255", "--labels", ",".join(TEN)).code == 0
    assert cli("convert", "runs/net").code == 0
    entries = [
        own_metadata(read_model(tmp_path / name / "float.tflite"))["preprocess"]
        for name in ("net-arm64", "runs/net/arm64")
    ]
    assert entries[0] == entries[1]
    assert entries[0] == {
        **{"labels": list(TEN), "image_shape": [8, 8, 1], "mean": [0.0], "std": [1.0], "crop_fraction": 1.0}
    }
    assert Classifier(tmp_path / "runs/net").labels == TEN


def test_a_network_for_any_size_gets_one(cli, tmp_path):
    first = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3, name="c"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    model = tf.keras.Sequential([tf.keras.Input((None, None, 3)), *first])
    model.save(tmp_path / "any.h5")
    done = cli("convert", "any.h5")
    assert "takes images of any size" in done.err
    assert "--image-size HxW" in done.err
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    done = cli("convert", "any.h5", "--image-size", "12x9", "--labels", "labels.txt")
    assert done.code == 0, done.err
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    ranked = json.loads(cli("run", "any-arm64/float.tflite", "x.png", "--json").out)["predictions"][0]
    due = tf.nn.softmax(model(pixels[np.newaxis].astype(np.float32)))[0].numpy()
    for each in ranked:
        assert each["label"] == ("cat", "dog", "bird")[each["class"]]
        assert each["probability"] == pytest.approx(due[each["class"]], abs=1e-5)
    assert cli("verify", "any-arm64/float.tflite", "--source", "any.h5").code == 0
    assert cli("import", "any.h5", "--image-size", "12").code == 0
    assert json.loads((tmp_path / "runs/any/card.json").read_text())["images"]["image_shape"] == [12, 12, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["net.h5", "--labels", "a,b,c"], "There are 3 labels, and the network tells 10 classes apart"),
        (["net.h5", "--labels", ",".join(TEN)], "Labels are of no use while it is not known how images are prepared"),
        (["net.h5", "--image-size", "9"], "is a network for images of 8x8 and cannot take those of 9x9"),
        (["net.h5", "--mean", "1,2,3"], "are 3 numbers each and the images have 1 channels"),
        (["net.h5", "--mean", "x"], "--mean is 'x'. Give numbers with commas"),
        (["values.h5", "--scale", "1"], "takes values of shape (5,) and no grey or RGB images"),
        (["values.h5", "--image-size", "9"], "takes values of shape (5,) and no images"),
    ],
)
def test_options_that_do_not_fit(cli, digits, tmp_path, arguments, sentence):
    digits("net.h5")
    tf.keras.Sequential([tf.keras.Input((5,)), layers.Normalization(mean=3.0, variance=4.0), layers.Dense(2)]).save(
        tmp_path / "values.h5"
    )
    for command in ("convert", "import"):
        done = cli(command, *arguments)
        assert (done.code, sentence in done.err) == (1, True), (command, done)
        assert not (tmp_path / "runs").exists()
    assert cli("convert", "values.h5").code == 0


def test_without_a_measurement_the_images_need_not_be_there(cli, digits, tmp_path, monkeypatch):
    digits("net.h5", layers.Rescaling(1 / 255))
    monkeypatch.setattr("larqnets.runs.subject.load_dataset", None)
    done = cli("import", "net.h5", "--dataset", "cifar10", "--no-evaluate", "--json")
    assert done.code == 0, done.err
    assert "it takes pixels of 0 to 255" in json.loads(done.out)["remarks"][0]


def test_labels_stay_without_a_measurement(cli, digits):
    digits("net.h5")
    done = cli("import", "net.h5", "--dataset", "digits", "--no-evaluate", "--labels", ",".join(TEN))
    assert done.code == 0, done.err
    assert cli("convert", "runs/net").code == 0
    assert Classifier("runs/net").labels == TEN


def test_what_is_known_already_is_not_said_again(cli, digits, tmp_path):
    digits("net.h5")
    assert cli("import", "net.h5", "--dataset", "digits", "--no-evaluate").code == 0
    for option, value in (("--mean", "0.5"), ("--labels", "a,b"), ("--image-size", "9")):
        done = cli("convert", "runs/net", option, value)
        assert "is a run, which knows how its images are prepared" in done.err
    np.savez(tmp_path / "w.npz", x=np.zeros(1))
    done = cli("import", "w.npz", "--network", "resnet56", "--scale", "1")
    assert "It is known how the images of resnet56 are prepared" in done.err


@pytest.mark.parametrize(
    ("hits", "images", "classes", "doubted"),
    [
        (450, 450, 10, False),
        (45, 450, 10, True),
        (0, 450, 10, True),
        (60, 450, 10, True),
        (61, 450, 10, False),
        (10, 10_000, 1000, True),
        (40, 10_000, 1000, False),
        (25_500, 50_000, 2, False),
        (25_100, 50_000, 2, True),
        (3, 3, 2, False),
        (0, 0, 10, False),
        (5, 5, 1, False),
    ],
)
def test_what_chance_is(hits, images, classes, doubted):
    scores = {"accuracy": hits / max(1, images)}
    assert bool(get_task().doubt(scores, images, Images((8, 8, 1), classes))) == doubted


def test_guessing_is_binomial():
    scipy = pytest.importorskip("scipy.stats")
    for hits, images, classes in ((0, 7, 2), (3, 7, 2), (60, 450, 10), (61, 450, 10), (25_250, 50_000, 2), (7, 7, 7)):
        assert guessed(hits, images, classes) == pytest.approx(scipy.binom.sf(hits - 1, images, 1 / classes), rel=1e-6)
