"""The body of a published network under a new head: what is taken, how images come to it, and every way back to its weights.

The network here is a small one that stands in keras.applications for the time of a test; of the real ones the formulas of
their images are compared, and Larq Zoo's are in tests/runs/test_zoo_weights.py.
"""

import dataclasses
import json
import sys
import tomllib

import numpy as np
import pytest
import tensorflow as tf
from photos import photos
from recorder import Recorder

from deploy.convert.sources import convert_source
from larqnets.data import load_dataset
from larqnets.errors import LarqnetsError
from larqnets.models import create_model
from larqnets.published.applications import applications, pixel_formula, preprocess_of
from larqnets.published.bodies import build_body
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.card import Transfer
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.weights import load_trained_model, named_weights
from larqnets.studies.sweep_plan import plan
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.reading import read_model
from larqnets.training.launch import launch

from .test_loop import same_bits

NAME = "keras:Tiny"
SIZE = 12
layers = tf.keras.layers
published = {}  # the file that `weights="imagenet"` stands for, and how often it was asked for


def preprocess_input(x):
    """BGR, as for Keras' VGG and ResNet."""
    return tf.keras.applications.vgg16.preprocess_input(x)


def Tiny(include_top=True, weights="imagenet", input_shape=None, classes=1000, classifier_activation="softmax"):  # noqa: N802
    if input_shape is not None and min(input_shape[:2]) < 8:
        raise ValueError(f"Input size must be at least 8x8; Received: input_shape={input_shape}")
    given = layers.Input(input_shape or (None, None, 3))
    x = layers.ZeroPadding2D(1)(given)
    small = input_shape is not None and min(input_shape[:2]) < 10  # as Larq Zoo's DenseNets below 50 pixels
    x = layers.Conv2D(8, 2 if small else 3, strides=2, name="conv1")(x)
    x = layers.Dropout(0.5)(layers.ReLU()(layers.BatchNormalization(momentum=0.999)(x)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False)(x)))
    if include_top:
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(
            layers.GlobalAveragePooling2D()(x)
        )
    model = tf.keras.Model(given, x, name="tiny")
    if weights == "imagenet":
        published["asked"] = published.get("asked", 0) + 1
        if "file" not in published:
            raise Exception("URL fetch failure on https://example.org: None -- no network here")
        model.load_weights(published["file"])
    return model


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(tf.keras.applications, "Tiny", Tiny, raising=False)
    published.clear()


def trained(model):
    """Weights that no network begins with."""
    random = np.random.default_rng(1)
    model.set_weights(
        [random.uniform(0.1, 0.5, w.shape) * random.choice([-1, 1]) ** (w.ndim > 1) for w in model.get_weights()]
    )
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The body that was published, and the files of its weights, with the head and without."""
    folder = tmp_path_factory.mktemp("weights")
    tf.keras.backend.reset_uids()
    whole = trained(Tiny(weights=None))
    tf.keras.backend.reset_uids()
    body = Tiny(include_top=False, weights=None)
    body.set_weights(whole.get_weights()[:-2])
    body.save_weights(folder / "body.h5")
    whole.save_weights(folder / "whole.h5")
    whole.save_weights(folder / "whole.weights.h5")
    return body, folder / "body.h5", folder / "whole.h5", folder / "whole.weights.h5"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos") / "own")


def config(folder, images, backbone=NAME, method="published", more="", **train):
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01} | train
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    path = folder / "own.toml"
    path.write_text(
        f'[model]\nmethod = "{method}"\nbackbone = "{backbone}"\n{more}\n[data]\ndataset = "folder:{images}"\n'
        f"image_size = {SIZE}\n[train]\n{lines}"
    )
    return str(path)


def begun(folder, images, name="run", reporter=SILENT, init_from=NAME, init_weights=None, **train):
    order = Order(config(folder, images, **train), name, folder, init_from=init_from, init_weights=init_weights)
    return launch(order, reporter)


def kept(model):
    return {name.removesuffix(":0"): weight.numpy() for name, weight in named_weights(model).items()}


@pytest.mark.parametrize("which", [1, 2, 3], ids=["body", "whole", "newer"])
def test_a_frozen_body_answers_as_the_published_one_does_on_the_same_pixels(files, images, tmp_path, which):
    recorder = Recorder()
    run = begun(tmp_path, images, reporter=recorder, init_weights=str(files[which]), freeze=True, epochs=1)
    model = load_trained_model(run)
    body = tf.keras.Model(model.input, model.get_layer("head_pool").input)
    (batch,) = load_dataset(run.experiment.data).eval_batches("test", 99).as_numpy_iterator()
    raw = dataclasses.replace(run.experiment.data, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    (pixels,) = load_dataset(raw).eval_batches("test", 99).as_numpy_iterator()
    np.testing.assert_allclose(
        body(batch["image"]), files[0](preprocess_input(pixels["image"].copy())), rtol=1e-4, atol=1e-3
    )
    transfer = run.card.transfer
    assert {*transfer.taken} == kept(body).keys()
    assert (transfer.turned, transfer.unused, transfer.of_other_shape) == (("conv1/kernel",), (), ())
    reason = "a published network gives its body alone"
    assert transfer.new == dict.fromkeys(("classifier/kernel", "classifier/bias"), f"the head is new, for {reason}")
    lines = recorder.lines
    assert f"Starting from the weights of {NAME} in {files[which]}." in lines
    assert f"{len(transfer.taken)} of {len(transfer.taken) + 2} weights are taken from there." in lines
    assert f"Not taken: classifier/kernel, classifier/bias (the head is new, for {reason})." in lines
    assert "Turned round for images in RGB, where it was trained on BGR: conv1/kernel." in lines
    assert (
        f"Images are prepared as {NAME} was trained with: (pixel / 255 - mean) / std with mean (0.485, 0.458, 0.4076) and "
        "std (0.003922, 0.003922, 0.003922)."
    ) in lines
    stored = tomllib.loads((run.path / "config.toml").read_text())
    assert stored["data"]["mean"] == pytest.approx([123.68 / 255, 116.779 / 255, 103.939 / 255])
    assert run.card.document["init_weights"] == str(files[which])


class Stopped(Exception):  # noqa: N818
    """What a killed process is here."""


class KilledAt(Reporter):
    """That of a process that dies at a step."""

    def __init__(self, step):
        self.step = step

    def count(self, done, total=None, what=""):
        if done >= self.step:
            raise Stopped


def test_a_resumed_run_ends_with_the_same_bits_and_never_asks_for_the_weights_again(files, images, tmp_path):
    published["file"] = files[1]
    whole = begun(tmp_path, images, "whole", body_rate=0.5)
    assert published.pop("asked") == 1
    for name, step in (("at0", 0), ("at4", 4)):  # before the first checkpoint, and in the second epoch
        published["file"] = files[1]
        with pytest.raises(Stopped):
            begun(tmp_path, images, name, reporter=KilledAt(step), body_rate=0.5)
        published.clear()
        recorder = Recorder()
        # The same command as at first, whose config leaves the preparation of the images open.
        order = Order(config(tmp_path, images, body_rate=0.5), name, tmp_path, init_from=NAME, resume=True)
        run = launch(order, recorder)
        assert same_bits(load_trained_model(run), load_trained_model(whole))
        assert ("Starting from the weights of keras:Tiny." in recorder.lines) == (step == 0)
        assert run.card.transfer == whole.card.transfer
    assert not published


def test_a_run_says_from_its_first_moment_what_it_begins_with(files, images, tmp_path, monkeypatch):
    """A process that dies before it writes anything more leaves no run that would begin with random weights."""

    def die(self, **facts):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Run, "update_card", die)
        with pytest.raises(Stopped):
            begun(tmp_path, images, init_weights=str(files[1]))
    card = Run.open(tmp_path / "run").card
    assert (card.init_from, card.document["init_weights"]) == (NAME, str(files[1]))
    assert card.transfer.turned == ("conv1/kernel",)


def test_a_run_converts_with_int8_twin_and_its_file_says_how_images_are_prepared(files, images, tmp_path):
    run = begun(tmp_path, images, init_weights=str(files[1]), epochs=1)
    manifest = convert_source(run.path, "arm64", twins=True, arm64_proof=False)
    assert set(manifest["files"]) == {"float", "int8"}
    said = own_metadata(read_model(run.path / "arm64/float.tflite"))["preprocess"]
    assert (said["mean"], said["std"]) == (list(run.experiment.data.mean), list(run.experiment.data.std))
    assert (said["labels"], said["image_shape"]) == (["a", "b", "c"], [SIZE, SIZE, 3])
    assert Run.open(run.path).card.converted_score == pytest.approx(run.card.score)
    # the float twin of a binary run on the same images, which prepares them in its own way
    binary = launch(Order(config(tmp_path, images, "resnet5", "birealnet", epochs=1), "bnn", tmp_path), SILENT)
    manifest = convert_source(binary.path, "arm64", twin_run=run.path, arm64_proof=False)
    assert set(manifest["files"]) == {"binary", "float", "int8"}
    twin = own_metadata(read_model(binary.path / "arm64/float.tflite"))
    assert twin["preprocess"]["mean"] == said["mean"]
    assert twin["run"]["backbone"] == NAME
    other = launch(
        Order(config(tmp_path, images, "resnet5", "birealnet", epochs=1), "other", tmp_path, ["data.image_size=16"]),
        SILENT,
    )
    with pytest.raises(LarqnetsError, match="was trained on images of another size"):
        convert_source(other.path, "arm64", twin_run=run.path)


def test_a_body_is_trained_as_every_network_here(files):
    body = build_body(NAME, (12, 12, 3))
    norms = [layer for layer in body.layers if isinstance(layer, layers.BatchNormalization)]
    assert {(layer.momentum, layer.synchronized) for layer in norms} == {(0.9, False)}
    x = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_array_equal(body(x, training=True), body(x, training=True))  # nothing is dropped


def test_several_replicas_share_the_statistics_of_a_batch(monkeypatch):
    two = type("TwoReplicas", (), {"num_replicas_in_sync": 2})
    with monkeypatch.context() as patch:
        patch.setattr("larqnets.published.bodies.tf.distribute.get_strategy", two)
        body = build_body(NAME, (12, 12, 3))
    norms = [layer for layer in body.layers if isinstance(layer, layers.BatchNormalization)]
    assert {(layer.synchronized, layer.fused) for layer in norms} == {(True, False)}


@pytest.mark.parametrize(
    "name", ["MobileNetV2", "ResNet50", "VGG16", "DenseNet121", "EfficientNetB0", "MobileNetV3Small"]
)
def test_the_formula_of_a_published_network_is_its_own_preprocessing(name):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.float32)
    formula = pixel_formula(name)
    ours = (pixels / 255 - formula.mean) / formula.std
    theirs = preprocess_of(name)(pixels.copy())
    np.testing.assert_allclose(ours[..., ::-1] if formula.bgr else ours, theirs, rtol=1e-4, atol=1e-3)
    assert formula.bgr == (name in ("ResNet50", "VGG16"))


def refused(words, folder, images, init_from=NAME, init_weights=None, overrides=(), **options):
    order = Order(config(folder, images, **options), "run", folder / "runs", overrides, init_from, init_weights)
    with pytest.raises(LarqnetsError, match=words):
        launch(order, SILENT)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (r"no network 'Tyni'\. Did you mean 'Tiny'\?", {"backbone": "keras:Tyni", "init_from": "keras:Tyni"}),
        (
            r'a body of its own, and the config has birealnet on resnet5\. Put method = "published" and backbone = "keras:Tiny"',
            {"backbone": "resnet5", "method": "birealnet"},
        ),
        (r'no method is applied to it\. Set model\.method = "published"', {"method": "birealnet"}),
        (
            r"'published' is for bodies that others published, and 'resnet5' is none",
            {"backbone": "resnet5", "init_from": None},
        ),
        (r"has its own first layer and width\. Leave model\.stem and model\.width out", {"more": "width = 2.0"}),
        (r"Method 'published' has no option 'k'", {"more": "options = {k = 2}"}),
        (
            r"cannot be built for images of 6x6: Input size must be at least 8x8; .*Set a larger data\.image_size",
            {"overrides": ["data.image_size=6"]},
        ),
        (
            r"weights of keras:Tiny cannot be had: URL fetch failure .* name a file of its weights with --init-weights",
            {},
        ),
        (r"no file absent\.h5 for --init-weights", {"init_weights": "absent.h5"}),
        (
            r"--init-weights names a file of the weights of --init-from keras:NAME",
            {"init_from": None, "init_weights": "w.h5"},
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_what_does_not_go_together_is_said_and_leaves_no_run(images, tmp_path, words, options):
    refused(words, tmp_path, images, **options)


def test_files_that_are_not_its_weights_are_refused(files, images, tmp_path):
    cut, other, text = tmp_path / "cut.h5", tmp_path / "other.h5", tmp_path / "w.npz"
    cut.write_bytes(files[1].read_bytes()[:-900])
    tf.keras.Sequential([layers.Input((4,)), layers.Dense(2)]).save_weights(other)
    text.write_bytes(b"")
    for path, words in (
        (cut, r"cut\.h5 cannot be read as weights of Keras: .* Save them again"),
        (
            other,
            r"The weights of keras:Tiny cannot be had: .* Name a file that model\.save_weights wrote of this network",
        ),
        (text, r"w\.npz is no file of Keras' weights \(\.keras, \.h5, \.hdf5\)"),
    ):
        refused(words, tmp_path, images, init_weights=str(path))


def test_a_body_that_is_another_one_for_small_images_is_refused(files, images, tmp_path):
    words = r"cannot be taken whole for images of 9x9: conv1/kernel is \(3, 3, 3, 8\) there and \(2, 2, 3, 8\) here\. Set data"
    refused(words, tmp_path, images, init_weights=str(files[1]), overrides=["data.image_size=9"])


def test_grey_images_are_no_images_for_it(tmp_path):
    refused("takes images in colour, and those of folder:grey are grey", tmp_path, photos(tmp_path / "grey", "L"))


def test_a_task_that_needs_stages_is_refused():
    from tasks.test_second_task import ShineAndColour

    with pytest.raises(
        LarqnetsError, match="shine_and_colour needs the stages of a backbone of ours, and keras:Tiny tells of none"
    ):
        create_model("published", NAME, (12, 12, 3), 3, task=ShineAndColour())


def test_layers_that_no_file_could_give_back_are_refused(monkeypatch):
    kind = type("LayerScale", (layers.Layer,), {"__module__": "tf_keras.src.applications.convnext"})

    def Own(**options):  # noqa: N802
        given = layers.Input((12, 12, 3))
        return tf.keras.Model(given, kind()(given))

    monkeypatch.setattr(tf.keras.applications, "Own", Own, raising=False)
    with pytest.raises(LarqnetsError, match="keras:Own has layers that only its own code knows, LayerScale"):
        build_body("keras:Own", (12, 12, 3))


def test_images_that_are_prepared_otherwise_are_said(files, images, tmp_path):
    recorder = Recorder()
    order = Order(
        config(tmp_path, images, epochs=1), "run", tmp_path, ["data.mean=[0.5, 0.5, 0.5]"], NAME, str(files[1])
    )
    run = launch(order, recorder)
    assert run.experiment.data.mean == (0.5, 0.5, 0.5)
    assert any(
        line.startswith(f"careful: the weights of {NAME} were trained with mean (0.485, 0.458,")
        for line in recorder.lines
    )


def test_reasons_are_grouped_by_what_they_are_and_not_by_their_words():
    transfer = Transfer(
        ("a",), {"b": "new here and there and everywhere", "c": "(1,) there and (2,) here"}, of_other_shape=("c",)
    )
    assert transfer.lines()[1:] == [
        "Not taken: b (new here and there and everywhere).",
        "Not taken: c is (1,) there and (2,) here.",
    ]


def test_the_small_network_is_found_as_those_of_keras_are():
    assert applications()["Tiny"] is Tiny
    assert preprocess_of("Tiny") is sys.modules[__name__].preprocess_input


def test_its_bits_and_macs_are_counted_before_training(cli):
    counted = cli("summary", "published", "--backbone", NAME, "--image", "12x12x3", "--classes", "3", "--json")
    assert counted.code == 0, counted.err
    kernels = 3 * 3 * 3 * 8 + 8 + 3 * 3 * 8 * 6 + 6 * 3 + 3
    assert json.loads(counted.out)["totals"]["real_weights"] >= kernels
    assert cli("summary", "published", "--backbone", NAME, "--stem", "imagenet").err == (
        f"larqnets: {NAME} has its own first layer and width. Leave model.stem and model.width out.\n"
    )


def test_a_sweep_knows_a_run_again_that_began_with_a_random_body(images, tmp_path):
    path = config(tmp_path, images, epochs=1)
    run = launch(Order(path, runs=tmp_path), SILENT)
    assert (run.card.init_from, run.card.transfer, run.body_file.is_file()) == (None, None, True)
    assert [planned.run for planned in plan([path], None, (), tmp_path)] == [run.path]
    with pytest.raises(LarqnetsError, match="was started with another config than this sweep gives it"):
        plan([path], None, ("data.mean=[0.5, 0.5, 0.5]",), tmp_path)
