"""Weights taken back from a .tflite file: the network with them computes what the file does, or it is said why not."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_models
from PIL import Image

from deploy.export.edit import add_metadata_bytes
from deploy.run.interpreter import Interpreter
from larqnets.config import TaskConfig, load_config
from larqnets.data import load_dataset
from larqnets.data.info import IMAGE, LABEL, preprocessing
from larqnets.errors import LarqnetsError
from larqnets.runs.card import Ancestor, Transfer
from larqnets.runs.file_weights import weights_of_file
from larqnets.runs.history import history_of_network, history_of_training
from larqnets.runs.model_cards import read_model_card
from larqnets.runs.transfer import start_from
from larqnets.runs.weights import build_model, named_weights
from larqnets.shipped import example_file, list_models, model_file
from larqnets.tflite.reading import read_model
from larqnets.training.norms import measure_norms

LABELS = tuple("0123456789")


def network(name: str) -> tf.keras.Model:
    """The network of a shipped model with random weights."""
    card, images = read_model_card(name), preprocessing(read_model(model_file(name)))
    return build_model(load_config(card.config, card.overrides), tuple(images["image_shape"]), len(images["labels"]))


def images_for(name: str) -> np.ndarray:
    """The example of a model where it has one, and noise."""
    said = preprocessing(read_model(model_file(name)))
    height, width, channels = said["image_shape"]
    noise = np.random.default_rng(0).normal(size=(2, height, width, channels))
    if (example := example_file(name)) is None:
        return noise.astype(np.float32)
    pixels = Image.open(example).convert("L" if channels == 1 else "RGB").resize((width, height))
    pixels = np.asarray(pixels, np.float32).reshape(1, height, width, channels) / 255
    pixels = (pixels - said["mean"]) / said["std"]
    return np.concatenate([pixels, noise]).astype(np.float32)


def started(name: str) -> tuple[tf.keras.Model, Transfer]:
    card, model = read_model_card(name), network(name)
    labels = preprocessing(read_model(model_file(name)))["labels"]
    return model, start_from(f"model:{name}", model, labels, load_config(card.config).task)


def answers(values) -> list[np.ndarray]:
    return [np.asarray(x) for x in (values if isinstance(values, list | tuple) else [values])]


@pytest.mark.parametrize("name", list_models())
def test_the_network_answers_as_the_file_does(name):
    """A value next to 0 may have another sign in one of the two, and what lies around its pixel differs by a little."""
    model, transfer = started(name)
    images, file = images_for(name), Interpreter(model_file(name))
    expected, found = answers(file.predict(images)), answers(model(images, training=False))
    for theirs, ours in zip(expected, found, strict=False):  # a detector's network has further answers, to learn by
        size = np.abs(theirs).max()
        assert size > 0.1
        assert np.abs(theirs - ours).mean() < 2e-3 * size
        same = np.argmax(theirs, -1) == np.argmax(ours, -1)
        assert np.mean(same) > 0.99
        assert np.mean(same[0]) > 0.9995
    assert set(transfer.new) <= {"head_dropout/draws"}
    assert not transfer.unused
    assert any("1-bit kernels the file has the signs" in line for line in transfer.lines())


def test_of_digits_the_accuracy_is_that_of_the_file():
    model, _ = started("digits")
    data = load_dataset(load_config("digits").data).samples(10_000, "test")
    file = np.argmax(Interpreter(model_file("digits")).predict(data[IMAGE]), -1)
    found = np.argmax(model(data[IMAGE], training=False), -1)
    assert len(found) == 450
    assert abs(int(np.sum(found == data[LABEL])) - int(np.sum(file == data[LABEL]))) <= 1
    assert np.mean(found == data[LABEL]) > 0.98


def test_statistics_are_measured_and_the_network_computes_the_same():
    """With its own statistics a BatchNorm does in a training step what it does afterwards."""
    model, transfer = started("digits")
    images = load_dataset(load_config("digits").data).samples(256)[IMAGE]
    before = np.asarray(model(images, training=False))
    far = np.abs(np.asarray(model(images, training=True)) - before).mean()
    model, transfer = started("digits")  # that step has moved them
    assert measure_norms(model, transfer.taken, images) == 9
    after = np.asarray(model(images, training=False))
    assert np.mean(np.argmax(before, -1) == np.argmax(after, -1)) == 1
    np.testing.assert_allclose(before, after, atol=0.02 * np.abs(before).max())
    near = np.abs(np.asarray(model(images, training=True)) - after).mean()
    assert near < 0.05 * far
    assert measure_norms(model, ["classifier/kernel"], images) == 0


def test_thresholds_and_turned_filters_give_the_same_signs():
    """A chain of 1-bit convolutions, whose BatchNorms have gammas of both signs, stands in the file as integers."""
    layers = {"0": "stem", "2": "residual", "5": "chain_1", "7": "chain_2", "8": "last", "10": "head"}
    entry = json.dumps({"layers": layers}).encode()
    file, source = (
        read_model(add_metadata_bytes(tiny_models.binary_tflite(), "larqnets", entry)),
        tiny_models.binary_keras(),
    )
    assert any(op.name == "LceBconv2d" and op.inputs[4] >= 0 for op in file.subgraphs[0].operators)
    model = tf.keras.models.clone_model(source)
    back = weights_of_file(model, file)
    assert back.thresholds == ("chain_1", "chain_2")
    assert "chain_1, chain_2 the file compares sums with integers" in back.sentences()[-1]
    weights = named_weights(model)
    tf.keras.backend.batch_set_value([(weights[name], value) for name, value in back.values.items()])
    images = np.random.default_rng(1).normal(size=(16, *tiny_models.SHAPE)).astype(np.float32)
    expected = np.concatenate([source(image[None], training=False) for image in images])
    found = np.concatenate([model(image[None], training=False) for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width": 1.0}, r"'stem_conv' \(Conv2D\): its kernel is \(3, 3, 1, 32\) in the file and \(3, 3, 1, 16\)"),
        ({"method": "reactnet"}, r"the layer '.*' \(.*\): what it does stands in other ops, which are not told apart"),
        ({"method": "real"}, r"'stage1_block1_conv1' .*: (it is 1-bit in the file and real|no op of the file is its)"),
        ({"backbone": "resnet20"}, r"the layer '.*': no op of the file is its|no op of the file is its"),
    ],
)
def test_a_network_that_is_not_the_file_s_is_refused_by_the_name_of_a_layer(changed, said):
    experiment = load_config("digits")
    model = build_model(
        dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **changed)), (8, 8, 1), 10
    )
    with pytest.raises(LarqnetsError, match=r"The weights of digits.tflite cannot be taken back: .*" + said):
        weights_of_file(model, read_model(model_file("digits")))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            tiny_models.float_tflite,
            r"'up' \(Conv2DTranspose\): its op is TRANSPOSE_CONV, of which nothing is taken back",
        ),
        (tiny_models.int8_tflite, r"'stem' \(Conv2D\): its kernel is stored as int8, which is rounded"),
    ],
)
def test_what_cannot_be_taken_back_is_refused_by_name(content, said):
    with pytest.raises(LarqnetsError, match=said):
        weights_of_file(tf.keras.models.clone_model(tiny_models.real_keras()), read_model(content()))


def test_a_body_is_taken_for_other_classes():
    model = build_model(load_config("digits"), (12, 12, 1), 3)
    transfer = start_from("model:digits", model, ("a", "b", "c"), TaskConfig())
    assert set(transfer.new) == {"classifier/kernel", "classifier/bias"}
    assert len(transfer.taken) == len(model.weights) - 2


def test_a_training_starts_from_it_and_says_so(cli, tmp_path):
    done = cli(
        *("train", "digits", "--name", "on", "--init-from", "model:digits"),
        *("--epochs", 1, "--lr", "1e-5", "--set", "train.warmup_epochs=0"),
    )
    assert done.code == 0, done.err
    assert "Starting from the weights of model:digits." in done.err
    assert "BatchNorms it has what they do, not the statistics, which are measured on training images" in done.err
    assert "The weights descend from digits (CC BY 4.0); model:digits (Apache 2.0);" in done.err
    card = json.loads((tmp_path / "runs/on/card.json").read_text())
    assert card["test_accuracy"] > 0.97  # one epoch from random weights reaches 0.6
    assert (card["init_from"], card["transfer"]["new"]) == ("model:digits", {})
    assert len(card["transfer"]["taken_back"]) == 2
    assert [entry["name"] for entry in card["history"]] == ["digits", "model:digits", "digits"]
    assert card["history"][2]["by"] == "model:digits"


def test_history_has_the_licences_of_file_and_images():
    expected = (
        Ancestor("network", "model:bccd", "Apache 2.0"),
        Ancestor("data set", "bccd", "MIT", by="model:bccd"),
    )
    assert history_of_network("model:bccd") == expected
    assert history_of_training("digits", "model:bccd")[1:] == expected


def test_a_name_that_no_model_has_is_told_before_tensorflow(cli):
    done = cli("train", "digits", "--init-from", "model:digit")
    assert (done.code, done.out) == (1, "")
    assert "No model 'digit' comes with the package. Did you mean 'digits'?" in done.err
