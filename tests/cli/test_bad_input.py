"""Mistakes that users make: each ends with exit code 1 and one sentence that names the thing and the remedy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.run.shipped import example_of

TINY = ("--set", "train.epochs=1", "--set", "model.width=0.25")


def fails(outcome, *patterns):
    """Check that a command failed with one sentence on stderr that matches all patterns; return the sentence."""
    assert outcome.code == 1
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    *progress, sentence = outcome.err.splitlines()
    assert sentence.startswith("larqnets: ")
    assert sentence.endswith((".", "?"))
    assert not any(line.startswith("larqnets: ") for line in progress)
    for pattern in patterns:
        assert re.search(pattern, sentence), f"{pattern!r} is not in {sentence!r}"
    return sentence


@pytest.mark.parametrize(
    ("setting", "patterns"),
    [
        ("train.epoch=3", [r"unknown key 'train\.epoch'", "Did you mean 'epochs'"]),
        ("model.methd=real", [r"unknown key 'model\.methd'", "Did you mean 'method'"]),
        ("train.epochs=0", [r"'train\.epochs' is 0", "between 1 and"]),
        ("train.epochs=many", [r"'train\.epochs' must be of type int, not 'many'"]),
        ("train.optimizer=adan", ["'adan'", "Did you mean 'adam'"]),
        ("nonsense", ["--set 'nonsense' is not of the form key=value"]),
        ("model.method=birealnt", ["no method 'birealnt'", "Did you mean 'birealnet'", "larqnets list methods"]),
        ("model.backbone=resnet88", ["no backbone 'resnet88'", "Did you mean 'resnet8'", "larqnets list backbones"]),
        ("data.dataset=digit", ["no data set 'digit'", "Did you mean 'digits'", "larqnets list datasets"]),
        ("data.dataset=folder:absent", ["no folder absent", "Check the path"]),
        ("model.backbone=vgg_small", ["birealnet puts a shortcut", "'vgg_small'", "Use a resnet"]),
        ("train.batch_size=5000", ["batch of 5,000", "1,347 training images", r"Set train\.batch_size to 1\.\.1347"]),
        ("data.data_dir=file", ["digits cannot be prepared in file", "Set data.data_dir or TFDS_DATA_DIR"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings(cli, tmp_path, setting, patterns):
    (tmp_path / "file").write_text("")
    fails(cli("train", "digits", "--set", setting), *patterns)
    assert not (tmp_path / "runs").exists()


def test_images_too_small_for_the_backbone(cli):
    pair = ("--set", "model.method=binarynet", "--set", "model.backbone=vgg_small")
    fails(cli("train", "digits", *pair, "--set", "data.image_size=4"), "4x4 are too small for vgg_small", "image_size")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [(b"epochs = = 3", "is not valid TOML.*line 1"), (b"\xff\xfe", "is not a TOML file"), (None, "Cannot read config")],
)
def test_config_files(cli, tmp_path, content, pattern):
    if content is not None:
        (tmp_path / "mine.toml").write_bytes(content)
    fails(cli("train", "mine.toml"), r"mine\.toml", pattern)


def test_names_that_do_not_exist(cli):
    fails(cli("train", "digts"), "no config 'digts'", "Did you mean 'digits'", "larqnets list configs")
    fails(cli("train", "--resume", "runs/absent"), "no run at runs/absent", "larqnets list runs")
    fails(cli("convert", "runs/absent"), "no file or run at runs/absent", "Give runs/<name>")
    fails(cli("summary", "runs/absent"), "no run at runs/absent", "larqnets list runs")
    fails(cli("summary", "birealnet"), "'birealnet' is a method", "--backbone resnet18")
    fails(cli("run", "digit"), "no file 'digit'", "Did you mean 'digits'", "shipped model")
    fails(cli("evaluate", "absent.tflite"), "absent.tflite cannot be read", "Check the path")
    fails(cli("list", "method"), "'method' cannot be listed", "Did you mean 'methods'")


@pytest.mark.parametrize(
    ("arguments", "patterns"),
    [
        (["convert", "RUN", "--target", "arm65"], ["no target 'arm65'", "Did you mean 'arm64'"]),
        (["evaluate", "RUN", "--split", "tets"], ["no split 'tets'", "test, train or validation"]),
        (["evaluate", "RUN", "--dataset", "digit"], ["no data set 'digit'"]),
        (["summary", "birealnet", "--backbone", "resnet8", "--image", "8x8"], ["'8x8' is no image shape", "224x224x3"]),
        (
            ["summary", "sdbnn", "--backbone", "resnet8", "--set", "reducton=8"],
            ["has no option 'reducton'", "'reduction'"],
        ),
        (["summary", "sdbnn", "--backbone", "resnet8", "--set", "width=2"], ["has no option 'width'"]),
        (["summary", "birealnet", "--backbone", "resnet8", "--stem", "big"], ["'imagenet' or 'small', not 'big'"]),
        (["train", "digits", "--runs", "RUNS", "--name", "demo"], ["already exists", "--name", "--resume"]),
        (
            ["train", "digits", "--runs", "RUNS", "--name", "demo", "--resume"],
            ["not the one that", "--resume", "--name"],
        ),
        (["train", "RUN"], ["is a run folder", "--resume"]),
        (["train", "RUN", "--resume", "--seed", "1"], ["keeps its config, seed", "Leave out"]),
        (["train", "digits", "--name", "a/b"], ["'a/b' cannot name a run", "plain folder name"]),
        (["convert", "RUN", "--twin-run", "RUN"], ["method 'birealnet'", "a run of method 'real'"]),
        (["inspect", "RUNS"], ["holds no converted model", "larqnets convert"]),
        (["run", "BINARY"], ["comes with no example", "Give an image"]),
        (["verify", "RUN/arm64/float.tflite"], ["is the float twin", "larqnets evaluate"]),
    ],
    ids=lambda value: " ".join(value) if value[0].islower() else "",
)
def test_arguments(demo, cli, arguments, patterns):
    places = {"RUNS": demo.run.parent, "RUN": demo.run, "BINARY": demo.binary}
    for name, path in places.items():
        arguments = [re.sub(rf"^{name}\b", str(path), argument) for argument in arguments]
    fails(cli(*arguments), *patterns)


@pytest.mark.parametrize("verb", ["convert", "evaluate", "summary"])
def test_folders_that_are_no_whole_run(demo, cli, tmp_path, verb):
    (tmp_path / "empty").mkdir()
    fails(cli(verb, "empty"), "empty is not a run folder", "Give runs/<name>")

    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(demo.run / "config.toml", run)
    for content, patterns in (
        ("{", ["card.json is damaged", "Restore it"]),
        ("[]", ["card.json is damaged", "Restore it"]),
        ('{"format_version": 99}', ["run format 99", "reads format 1", "Update larqnets"]),
        ('{"format_version": 0}', ["run format 0", "reads format 1", "the version of larqnets that wrote it"]),
        ("{}", ["run format None"]),
    ):
        (run / "card.json").write_text(content)
        fails(cli(verb, "run"), *patterns)


def test_a_run_without_checkpoints(demo, cli, tmp_path):
    shutil.copytree(demo.run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    fails(cli("convert", "run"), "run")
    fails(cli("evaluate", "run"), "run")


def test_data_sets_that_are_not_prepared(cli, tmp_path):
    cifar10 = ("train", "digits", "--set", "data.dataset=cifar10", "--set")
    fails(cli(*cifar10, "data.data_dir=data"), "cifar10 is not prepared in data", "Get it with `.*cifar10.*`")
    (tmp_path / "data" / "cifar10" / "incomplete.ABC_3.0.2").mkdir(parents=True)
    fails(cli(*cifar10, "data.data_dir=data"), "interrupted", "Delete that folder", "`.*cifar10.*`")
    (tmp_path / "data" / "cifar10" / "3.0.2").mkdir()
    fails(cli(*cifar10, "data.data_dir=data"), r"3\.0\.2 is not complete", "missing", "Delete that folder")


def test_images_of_another_shape_than_the_model(demo, cli, tmp_path):
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "1.png")
    other = ("--dataset", "folder:images")
    for verb in ("convert", "evaluate"):
        fails(cli(verb, demo.run, *other), r"\(8, 8, 3\) and the model takes \(8, 8, 1\)", "Name the data set")
    fails(cli("verify", demo.binary, *other), r"\(8, 8, 3\)", "Name the data set")
    fails(cli("evaluate", demo.binary, *other, "--limit", "2"), r"takes \(8, 8, 1\)", "Name the data set")


def test_a_loss_that_explodes(cli, tmp_path):
    settings = ["model.method=real", "train.optimizer=sgd", "train.learning_rate=1000", "train.epochs=1"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    fails(
        cli("train", "digits", "--name", "wild", *arguments, "--set", "model.width=0.25"),
        "no longer finite at step",
        r"train\.learning_rate",
    )
    assert json.loads((tmp_path / "runs/wild/card.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("verb", ["inspect", "run", "evaluate", "verify"])
def test_damaged_model_files(demo, cli, tmp_path, verb):
    example = [Path(__file__)] if verb == "run" else []
    for content, pattern in (
        (demo.binary.read_bytes()[:1000], "is cut off or damaged"),
        (b"", "is empty"),
        (b"no flatbuffer at all", "is not a .tflite file"),
    ):
        (tmp_path / "bad.tflite").write_bytes(content)
        fails(cli(verb, "bad.tflite", *example), r"bad\.tflite", pattern, "Copy or convert it again|Check the path")


def test_a_model_with_an_op_that_nobody_knows(demo, cli, tmp_path):
    (tmp_path / "new.tflite").write_bytes(_rename_op(demo.binary.read_bytes(), b"LceBconv2d", b"FancyConv"))
    assert json.loads(cli("inspect", "new.tflite", "--json").out)["unknown_ops"] == ["CUSTOM:FancyConv"]
    for arguments in (
        ["run", "new.tflite", example_of("digits")],
        ["evaluate", "new.tflite"],
        ["verify", "new.tflite"],
    ):
        fails(cli(*arguments), "unknown op CUSTOM:FancyConv", "Convert it again")


def _rename_op(content, old, new):
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for code in model.operatorCodes:
        if code.customCode == old:
            code.customCode = new
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_places_that_cannot_be_written(demo, cli, tmp_path):
    (tmp_path / "file").write_text("")
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8, 1), np.float32))
    fails(cli("train", "digits", *TINY, "--runs", "file/runs"), "Cannot write file/runs", "file is no folder")
    fails(cli("convert", demo.run, "--output", "file/out"), "Cannot write file/out", "file is no folder")
    fails(cli("run", demo.binary, "x.npy", "--output", "file/y.npy"), "Cannot write file/y.npy", "no folder file")


def test_images_that_are_none(demo, cli, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    fails(cli("run", demo.binary, "text.png"), "text.png is not an image", "PNG or JPEG")
    fails(cli("run", demo.binary, "absent.png"), "no image at absent.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    fails(cli("run", demo.binary, "cut.png"), "cut.png", "truncated or damaged")


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (np.zeros((2, 9, 8, 1), np.float32), r"takes \(1, 8, 8, 1\), .* not \(2, 9, 8, 1\)"),
        (np.zeros((8, 8, 1), np.float32), r"not \(8, 8, 1\)"),
        (np.zeros((1, 8, 8, 1), np.float64), "takes float32 values, not float64"),
        (np.zeros((0, 8, 8, 1), np.float32), "no sample"),
        (np.array([{}], object), r"cannot be read as a \.npy array.*numpy\.save"),
    ],
    ids=["shape", "rank", "type", "none", "pickled"],
)
def test_arrays_that_do_not_fit(demo, cli, tmp_path, values, pattern):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    fails(cli("run", demo.binary, "x.npy", "--output", "y.npy"), pattern)
    assert not (tmp_path / "y.npy").exists()


def test_arrays_that_are_none(demo, cli, tmp_path):
    (tmp_path / "text.npy").write_text("no array")
    fails(cli("run", demo.binary, "text.npy"), "text.npy cannot be read", r"numpy\.save")
    fails(cli("run", demo.binary, "absent.npy"), "absent.npy cannot be read")


def test_numbers_that_are_none(demo, cli, tmp_path, monkeypatch):
    np.save(tmp_path / "bad.npy", np.full((1, 8, 8, 1), np.inf, np.float32))
    fails(cli("run", demo.binary, "bad.npy"), "bad.npy holds NaN or infinite values")
    np.save(tmp_path / "good.npy", np.zeros((1, 8, 8, 1), np.float32))
    nan = np.full((1, 10), np.nan, np.float32)
    monkeypatch.setattr("deploy.run.classify.RealInterpreter.predict", lambda self, x: nan)
    fails(cli("run", demo.binary, "good.npy", "--json"), "outputs for good.npy are NaN or infinite")


def test_twins_of_another_network(demo, cli):
    real = ("--set", "model.method=real")
    assert cli("train", "digits", "--name", "narrow", *TINY, *real).code == 0
    sentence = fails(cli("convert", demo.run, "--twin-run", "runs/narrow"), "Train the twin on the same backbone")
    assert "width 0.25" in sentence
    assert "width 1.0" in sentence


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")  # Keras calls the format legacy
@pytest.mark.parametrize("name", ["code.keras", "code.h5"])
def test_keras_files_with_code_are_refused_and_not_run(cli, tmp_path, name):
    import tensorflow as tf

    mark = tmp_path / "the-code-ran"
    layers = tf.keras.layers
    image = layers.Input((8, 8, 1))
    x = layers.Lambda(lambda x, mark=str(mark): (open(mark, "w"), x)[1])(image)  # noqa: PTH123, SIM115
    tf.keras.Model(image, layers.Dense(10)(layers.Flatten()(x))).save(tmp_path / name)
    mark.unlink()
    for verb in ("convert", "summary"):
        fails(cli(verb, name), f"{name} has a Lambda layer", "Save the model with a layer")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["x.keras", "x.h5", "x.txt"])
def test_keras_files_that_are_none(cli, tmp_path, name):
    (tmp_path / name).write_text("no model")
    fails(cli("convert", name), f"{name} (cannot be loaded as|is neither a run folder nor) a Keras")


def test_keras_models_that_are_no_classifiers(cli, tmp_path):
    import tensorflow as tf

    layers = tf.keras.layers
    left, right, any_size = layers.Input((8, 8, 1)), layers.Input((8, 8, 1)), layers.Input((None, None, 1))
    x = layers.Flatten()(layers.Add()([left, right]))
    tf.keras.Model([left, right], layers.Dense(10)(x)).save(tmp_path / "two.keras")
    x = layers.Flatten()(left)
    tf.keras.Model(left, [layers.Dense(10)(x), layers.Dense(3)(x)]).save(tmp_path / "answers.keras")
    tf.keras.Model(left, {"ten": layers.Dense(10)(x), "three": layers.Dense(3)(x)}).save(tmp_path / "named.keras")
    tf.keras.Model(left, layers.Dense(3)(x)).save(tmp_path / "three.keras")
    tf.keras.Model(any_size, layers.Dense(10)(layers.GlobalAvgPool2D()(any_size))).save(tmp_path / "free.keras")
    for verb in ("convert", "summary"):
        fails(cli(verb, "two.keras"), "two.keras has 2 inputs", "Save a model with one")
        fails(cli(verb, "named.keras"), "named.keras answers with a dictionary", "Let it answer with a list")
        assert cli(verb, "answers.keras").code == 0, "several outputs are converted, and proven each by itself"
        fails(cli(verb, "free.keras"), "takes images of any size", "Save it with the size")
    fails(cli("convert", "answers.keras", "--dataset", "digits"), "A classifier has one output, and the model has 2")
    fails(cli("convert", "three.keras", "--dataset", "digits"), "digits has 10 classes and the model tells 3 apart")
    fails(cli("convert", "three.keras", "--twins"), "Twins need a run")


@pytest.mark.parametrize("first", ["import tensorflow as tf; tf.keras.Model", "import keras"])
def test_keras_3_in_the_process(tmp_path, first):
    code = (
        f"{first}; import larqnets\n"
        "try: larqnets.create_model('birealnet', 'resnet8', (8, 8, 1), 10)\n"
        "except larqnets.LarqnetsError as error: print(error)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert re.fullmatch(r"Keras 3 is already active.* Import larqnets before keras.*\n", done.stdout), done.stderr


def test_keras_3_in_the_environment(demo, cli, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    fails(cli("convert", demo.run), "Keras 3 is already active", "TF_USE_LEGACY_KERAS=1")
