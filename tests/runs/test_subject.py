"""What a command works on: every kind is opened in one place, and what costs time is loaded when it is asked for."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from calls import counted

from deploy.export.edit import add_metadata
from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info
from larqnets.errors import LarqnetsError
from larqnets.runs.keras_file import keras_file_content, load_keras_file
from larqnets.runs.names import run_of
from larqnets.runs.run import MODEL_FILE, Run
from larqnets.runs.subject import open_subject
from larqnets.runs.weights import load_trained_model

layers = tf.keras.layers
IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """A classifier of the digits, with random weights."""
    image = tf.keras.Input((8, 8, 1))
    return tf.keras.Model(image, layers.Dense(10)(layers.Flatten()(image)), name="small")


@pytest.fixture(scope="module")
def content(model):
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.fixture(autouse=True)
def data(monkeypatch, tfds_dir):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))


@pytest.fixture
def run(tmp_path, model):
    """An imported run of the digits, flipped so that its images can be told from those of a bare name."""
    card = {"kind": "imported", "method": "real", "backbone": "small", "dataset": "digits", "seconds": 0.0}
    data = DataConfig("digits", crop_padding=1)
    card |= {"test_accuracy": 0.5}
    return Run.create_with_model(tmp_path / "runs", "net", data, card, {MODEL_FILE: keras_file_content(model)})


@pytest.mark.parametrize("kind", ["run", "net.h5", "net.keras"])
def test_the_network_computes_what_it_did_and_is_loaded_when_asked_for(kind, run, model, tmp_path, monkeypatch):
    if kind == "net.h5":
        (tmp_path / kind).write_bytes(keras_file_content(model))
    elif kind == "net.keras":
        model.save(tmp_path / kind)
    counts = counted(monkeypatch, load_keras_file, load_trained_model, load_dataset)
    opened = open_subject(run.path if kind == "run" else tmp_path / kind)
    assert (opened.name, opened.file) == ("small" if kind == "run" else "net", None)
    assert not counts
    np.testing.assert_array_equal(opened.model(IMAGES), model(IMAGES))
    assert opened.model is opened.model
    assert opened.takes == (8, 8, 1)
    assert opened.images is opened.images
    assert counts == (
        {"load_trained_model": 1, "load_keras_file": 1, "load_dataset": 1} if kind == "run" else {"load_keras_file": 1}
    )
    assert (opened.images is None) == (kind != "run")


def test_a_network_of_keras_applications_is_a_name_and_no_path():
    opened = open_subject("MobileNet", weights="none", image=(32, 32, 3), classes=7, dataset="digits")
    assert (opened.name, opened.run, opened.takes, opened.model.output_shape) == (
        "MobileNet",
        None,
        (32, 32, 3),
        (None, 7),
    )
    assert opened.data == DataConfig("digits", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3)  # [-1, 1]
    with pytest.raises(LarqnetsError, match="There is no file or run at MobileNet"):
        _ = open_subject(Path("MobileNet")).model
    with pytest.raises(LarqnetsError, match=r"'MobilNet' is no run folder, .* Did you mean 'MobileNet'"):
        open_subject("MobilNet")
    with pytest.raises(LarqnetsError, match=r"net is no network of keras\.applications, whose --weights"):
        open_subject("net", classes=7)


@pytest.mark.parametrize("where", ["alone", "silent", "in a run"])
@pytest.mark.parametrize("dataset", [None, "digits", "other"])
def test_which_images_a_file_is_for(where, dataset, content, run, tmp_path):
    """Those of its run, else those that its metadata name, else those asked for, which come before both.

    They are prepared as the run or else the metadata say, whichever images they are.
    """
    info = load_dataset(DataConfig("digits")).info
    said = {"preprocess": preprocess_info(info, DataConfig("digits"))} if where == "alone" else {}
    path = (run.path / "arm64" if where == "in a run" else tmp_path) / "net.tflite"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(add_metadata(content, said))
    own = {
        "alone": DataConfig("digits", image_size=8, mean=info.mean, std=info.std),
        "silent": None,
        "in a run": DataConfig("digits", crop_padding=1),
    }
    due = own[where]
    if dataset is not None and (due is None or due.dataset != dataset):
        due = dataclasses.replace(due or DataConfig(dataset), dataset=dataset, image_size=8)
    opened = open_subject(path, dataset=dataset)
    assert opened.data == due
    assert opened.file.content == path.read_bytes()
    assert run_of(path) == (run.path.resolve() if where == "in a run" else None)
    if where == "in a run" and dataset is None:
        assert opened.images.info.num_classes == 10


@pytest.mark.parametrize("dataset", [None, "digits", "mnist"])
def test_other_images_have_the_size_that_a_run_takes_and_it_no_accuracy_on_them(dataset, run):
    opened = open_subject(run.path, dataset=dataset, data_dir="elsewhere")
    own = DataConfig("digits", crop_padding=1, data_dir="elsewhere")
    others = DataConfig("mnist", crop_padding=1, data_dir="elsewhere", image_size=8)
    assert (opened.data, opened.score) == ((others, None) if dataset == "mnist" else (own, 0.5))


@pytest.mark.parametrize(
    ("shape", "classes", "sentence"),
    [
        ((6, 6, 1), 10, r"Images of digits are \(8, 8, 1\) and {} takes \(6, 6, 1\)\. Name the data set"),
        ((8, 8, 1), 9, r"digits has 10 classes and {} tells 9 apart\. Name the data set"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, classes, sentence, tmp_path):
    image = tf.keras.Input(shape)
    model = tf.keras.Model(image, layers.Dense(classes)(layers.Flatten()(image)))
    card = {"kind": "imported", "method": "real", "backbone": "x", "dataset": "digits", "seconds": 0.0}
    run = Run.create_with_model(tmp_path, "run", DataConfig("digits"), card, {MODEL_FILE: keras_file_content(model)})
    with pytest.raises(LarqnetsError, match=sentence.format("the model")):
        _ = open_subject(run.path).images
    path = run.path / "net.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(LarqnetsError, match=sentence.format(r".*net\.tflite")):
        _ = open_subject(path).images


def test_what_is_no_network_says_what_it_is_when_its_network_is_asked_for(tmp_path, content):
    (tmp_path / "net.tflite").write_bytes(content)
    (tmp_path / "net.pt").write_bytes(b"")
    (tmp_path / "torn.h5").write_bytes(b"\x89HDF")
    (tmp_path / "notes.json").write_text(json.dumps({}))
    for name, sentence in {
        "net.tflite": "is converted already",
        "net.pt": "is a PyTorch checkpoint",
        "torn.h5": "cannot be loaded as a Keras 2 model",
        "notes.json": "is a graph without weights",
        "absent.h5": "There is no file or run at",
    }.items():
        opened = open_subject(str(tmp_path / name))
        with pytest.raises(LarqnetsError, match=sentence):
            _ = opened.model
    with pytest.raises(LarqnetsError, match="is not a run folder"):
        open_subject(tmp_path)
    with pytest.raises(LarqnetsError, match=r"net\.pt is empty"):
        _ = open_subject(tmp_path / "net.pt").file
