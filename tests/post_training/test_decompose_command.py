"""`larqnets decompose`: what the run holds, what the other commands make of it, mistakes, a full disk."""

import errno
import json
import os
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from small_networks import digits_network

from larqnets import LarqnetsError, create_model
from larqnets.cli.tables import networks as network_tables
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.decompose import Settings, decompose_kernel
from larqnets.post_training import network as net
from larqnets.post_training import steps
from larqnets.post_training.decomposed_run import decompose_network, layer_row, read_codes
from larqnets.post_training.judge import Judge, as_hard_as_unseen
from larqnets.post_training.sensitivity import sensitivities
from larqnets.post_training.steps import Search, find_settings
from larqnets.published.applications import applications, normalisation
from larqnets.runs.keras_file import keras_file_content, load_keras_file
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.studies.decompose_compare import compare_methods, points
from larqnets.tasks import get_task
from larqnets.training import load_trained_model


@pytest.fixture
def source(tmp_path):
    """A Keras file in the folder where the commands run."""
    (tmp_path / "small.h5").write_bytes(keras_file_content(digits_network()))
    return tmp_path / "small.h5"


@pytest.mark.parametrize(
    ("shape", "settings", "stored"),
    [
        ((3, 3, 64, 64), Settings(step=1.0), "1 dense, 2 rice"),
        ((3, 3, 1, 32), Settings(method="uniform", bits=8), "int8"),  # seven planes and a sign take more
        ((3, 3, 64, 64), Settings(method="sketch"), ""),
    ],
)
def test_a_row_says_how_a_layer_is_stored(shape, settings, stored):
    rng = np.random.default_rng(0)
    kernel = (rng.uniform(-1, 1, shape) if settings.method == "uniform" else rng.normal(size=shape)).astype(np.float32)
    settings = replace(settings, protect_small=False)
    assert layer_row(decompose_kernel(kernel, settings))["codes"] == stored


def test_the_run_holds_what_the_settings_say(cli, source):
    """Sound mode by hand: step f std, rounded; then every command that takes a run."""
    options = ("--step", "0.4", "--no-protect-small", "--dataset", "digits", "--name", "small-cbd")
    done = cli("decompose", "small.h5", *options, "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    run = Run.open(source.parent / "runs/small-cbd")
    was, now = digits_network(), load_trained_model(run)
    codes = read_codes(run)
    for kernel, old in zip(net.find_kernels(now), net.float_values(net.find_kernels(was)).values(), strict=True):
        step = 0.4 * old.std(dtype=np.float64)
        by_hand = np.rint(old / np.float32(step))
        np.testing.assert_array_equal(codes[kernel.name][0], by_hand)
        np.testing.assert_allclose(kernel.weight, by_hand * step, rtol=1e-6)
    for layer in was.layers:  # all else is as it was
        rest = [w.name for w in layer.weights if "kernel" not in w.name]
        for name, a, b in zip(rest, *(_rest(m.get_layer(layer.name)) for m in (was, now)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert [row["layer"] for row in card["layers"]] == ["stem", "depthwise", "conv", "dense", "head"]
    assert card["source"] == "small.h5"
    assert card["settings"]["step"] == 0.4
    report = json.loads((run.path / "layers.json").read_text())
    assert [row["file_bytes"] for row in report["layers"]] == [row["file_bytes"] for row in card["layers"]]
    assert (run.path / "layers.png").read_bytes().startswith(b"\x89PNG")
    parameters_outside = card["parameters"] - card["weights"]
    assert card["file_bytes"] == sum(row["file_bytes"] for row in card["layers"]) + 4 * parameters_outside

    evaluated = cli("evaluate", "runs/small-cbd", "--json")
    assert json.loads(evaluated.out)["accuracy"] == card["test_accuracy"]
    assert cli("summary", "runs/small-cbd").code == 0
    assert "cbd on small, digits, decomposed, test accuracy" in cli("list", "runs").out
    shown = cli("decompose", "small.h5", *options[:-1], "again")
    assert shown.code == 0, shown.err
    for row in card["layers"]:
        (line,) = (line for line in shown.out.splitlines() if line.startswith(row["layer"]))
        assert f"{row['bits_per_weight']:.2f}" in line
    recommended = next(line for line in shown.out.splitlines() if line.startswith("Recommended"))
    following = shlex.split(recommended.partition(": ")[2])
    assert following[:5] == ["larqnets", "decompose", "small.h5", "--dataset", "digits"]
    searched = cli(*following[1:], "--calibration", "64", "--json")
    assert searched.code == 0, searched.err
    assert set(json.loads(searched.out)["search"]["steps"]) == set(codes)
    shown = cli("decompose", "small.h5", *options)
    assert shown.code == 1
    assert "runs/small-cbd already exists, decomposed. Choose another name with --name" in shown.err


def test_layers_are_kept_as_float_or_at_int8(cli, source):
    """A step for every other one; both sums are said, and the command for the same network keeps the same layers."""
    kept = ("--keep-int8", "head", "--keep-float", "d*")
    done = cli("decompose", "small.h5", "--step", "0.4", "--no-protect-small", "--no-evaluate", *kept, "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    was, now = digits_network(), load_trained_model(Run.open(source.parent / "runs/small-cbd"))
    assert (card["kept_at_int8"], card["kept_as_float"]) == (["head"], ["depthwise", "dense"])
    rows = {row["layer"]: row for row in card["layers"]}
    assert list(rows) == ["stem", "conv", "head"]
    values = [net.float_values(net.find_kernels(model)) for model in (was, now)]
    for name in ("depthwise", "dense"):
        np.testing.assert_array_equal(values[0][name], values[1][name])
    steps = np.abs(values[0]["head"]).max(axis=0) / 127
    np.testing.assert_allclose(values[1]["head"], np.rint(values[0]["head"] / steps) * steps, atol=1e-6)
    weights = {name: value.size for name, value in values[0].items()}
    assert card["weights"] == weights["stem"] + weights["conv"]
    bits = rows["stem"]["bits_per_weight"] * weights["stem"] + rows["conv"]["bits_per_weight"] * weights["conv"]
    assert card["bits_per_weight"] == pytest.approx(bits / card["weights"])
    floats = card["parameters"] - sum(weights[name] for name in rows)
    assert card["file_bytes"] == sum(row["file_bytes"] for row in rows.values()) + 4 * floats
    assert card["file_bits_per_weight"] == pytest.approx(8 * card["file_bytes"] / sum(weights.values()))
    shown = cli("decompose", "small.h5", "--no-evaluate", *kept, "--dataset", "digits", "--name", "shown")
    assert shown.code == 0, shown.err
    facts = [line.split() for line in shown.out.splitlines()]
    assert ["kept", "at", "int8", "head"] in facts
    assert ["kept", "as", "float", "depthwise,", "dense"] in facts
    assert f"{card['weights']:,} weights in 2 kernels" in shown.out
    recommended = next(line for line in shown.out.splitlines() if line.startswith("Recommended"))
    assert recommended.count(" --keep-int8 head") == recommended.count(" --keep-float 'd*'") == 1
    searched = cli(*shlex.split(recommended.partition(": ")[2])[1:], "--calibration", "16", "--no-evaluate", "--json")
    assert searched.code == 0, searched.err
    assert set(json.loads(searched.out)["search"]["steps"]) == {"stem", "conv"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--keep-float", "mbox*"), "No kernel is called 'mbox*'. They are called stem, depthwise, conv and so on"),
        (("--keep-float", "head", "--keep-int8", "h*"), "Layer 'head' cannot stay float and be at int8. Name it once"),
        (("--keep-int8", "*"), "No kernel is left to decompose. Keep fewer"),
    ],
)
def test_layers_that_cannot_be_kept(cli, source, options, words):
    done = cli("decompose", "small.h5", "--no-evaluate", *options)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert not (source.parent / "runs").exists()


def _rest(layer):
    return [w.numpy() for w in layer.weights if "kernel" not in w.name]


def test_mistakes(cli, source):
    for arguments, words in (
        (("decompose", "mobilnet"), "no run folder, Keras model file or network of keras.applications"),
        (("decompose", "small.h5", "--method", "cdb"), "'method' is 'cdb', but must be one of 'cbd'"),
        (("decompose", "small.h5", "--target-bits", "5"), "needs images to calibrate with. Name them with --dataset"),
        (("decompose", "small.h5", "--target-bits", "99", "--dataset", "digits"), "between 1 and 8"),
        (("decompose", "small.h5", "--target-bits", "5", "--max-drop", "1"), "not both"),
        (("decompose", "small.h5", "--method", "uniform", "--max-drop", "1"), "Only the sound mode of cbd has steps"),
        (("decompose", "small.h5", "--classes", "10"), "small.h5 is no network of keras.applications"),
        (("decompose", "small.h5", "--mode", "paper", "--planes", "8"), "7 or less, or allow any integers"),
        (("decompose", "MobileNet", "--weights", "none", "--image", "wide"), "'wide' is no image shape"),
        (("decompose", "MobileNet", "--weights", "none", "--image", "8x8x3"), "cannot be made"),
    ):
        done = cli(*arguments)
        assert (done.code, done.out) == (1, ""), arguments
        assert words in done.err, arguments
    for arguments in (
        ("--planes", "4"),
        ("--dense-planes", "4"),
        ("--bits", "4"),
        ("--method", "uniform", "--step", "0.3"),
        ("--bases", "3"),
        ("--method", "sketch", "--granularity", "channel"),
        ("--method", "int8", "--no-protect-small"),
        ("--method", "uniform", "--any-integers"),
    ):
        done = cli("decompose", "small.h5", *arguments)
        assert done.code == 2, arguments
        assert "is an option of method" in done.err
    assert "--calibration is for a search" in cli("decompose", "small.h5", "--calibration", "99").err
    both = cli("decompose", "small.h5", "--mode", "paper", "--planes", "4", "--dense-planes", "4")
    assert both.code == 2
    assert "--planes and --dense-planes exclude each other" in both.err
    assert not (source.parent / "runs").exists()


def test_fixed_dense_planes(cli, source):
    """Every layer has as many planes below plane 0 as asked, or says why not."""
    options = ("--mode", "paper", "--dense-planes", "4", "--no-evaluate", "--name", "dense", "--json")
    done = cli("decompose", "small.h5", *options)
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert card["settings"]["dense_planes"] == 4
    layers = json.loads((source.parent / "runs/dense/layers.json").read_text())["layers"]
    decomposed = [layer for layer in layers if "bottom" in layer["knobs"]]
    assert decomposed
    for layer in decomposed:
        assert layer["knobs"]["bottom"] == -4
        assert layer["knobs"]["planes"] == layer["knobs"]["top"] + 5 <= 7
    assert all(layer["note"].endswith(": int8.") for layer in layers if layer not in decomposed)


def test_a_full_disk_leaves_no_run(source, monkeypatch):
    """Room ends at the first, the second, ... of all synchronisations of files and folders that a run takes."""
    subject, runs, whole = open_subject(str(source)), source.parent / "runs", os.fsync
    done, room = 0, 1000

    def fsync(descriptor):
        nonlocal done
        done += 1
        if done > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    decompose_network(subject, Settings(), name="whole", runs=runs)
    assert done > 5
    for room in range(done):  # noqa: B007  fsync reads it
        done = 0
        with pytest.raises(LarqnetsError, match=r"No space left on device\. Free some space"):
            decompose_network(subject, Settings(), runs=runs)
        assert [run.name for run in runs.iterdir()] == ["whole"]


@pytest.mark.parametrize(
    ("settings", "with_codes"),
    [
        (Settings(mode="paper", planes=5), True),
        (Settings(method="uniform", bits=4, granularity="channel"), True),
        (Settings(method="sketch", bases=3), False),
        (Settings(method="abc", bases=3), False),
        (Settings(), True),  # all of this network is protected: int8
    ],
    ids=["paper", "uniform", "sketch", "abc", "protected"],
)
def test_every_method(source, settings, with_codes):
    subject = open_subject(str(source))
    run = decompose_network(subject, settings, name="x", runs=source.parent / "runs", measure=False)
    again = load_keras_file(run.model_file)
    codes = read_codes(Run.open(run.path))
    assert bool(codes) == with_codes
    for kernel in net.find_kernels(again):
        if with_codes:
            integers, scale = codes[kernel.name]
            shaped = scale.reshape(kernel.weight.shape[2:]) if kernel.depthwise and scale.ndim else scale
            np.testing.assert_allclose(kernel.weight, integers * shaped, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("granularity", "target"), [("layer", 4.5), ("channel", 7.0)])
def test_search_reaches_size(source, tfds_dir, monkeypatch, granularity, target):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    subject = open_subject(str(source), dataset="digits")
    settings = Settings(granularity=granularity, int8_payload=True)
    options = {"runs": source.parent / "runs", "measure": False}
    search = Search(target_bits=target, images=64)
    run = decompose_network(subject, settings, name="size", search=search, **options)
    found, layers = run.card.document["search"], run.card.document["layers"]
    assert set(found["steps"]) == {row["layer"] for row in layers}
    assert len(set(found["steps"].values())) > 1
    bits = 8 * sum(row["file_bytes"] for row in layers) / run.card.document["weights"]
    assert abs(bits - target) < 0.05  # records of so small layers come in jumps
    assert run.card.document["settings"]["protect_small"] is False
    protected = open_subject(str(source), dataset="digits")
    with pytest.raises(LarqnetsError, match=r"The layers at int8 alone take .* leave --protect-small out"):
        decompose_network(
            protected, Settings(protect_small=True), name="no", search=Search(target_bits=1, images=16), **options
        )
    with pytest.raises(LarqnetsError, match=r"Every layer is kept at int8, .* Leave --protect-small out"):
        find_settings(protected, net.find_kernels(protected.model)[:1], Settings(), Search(target_bits=4, images=16))


def nearest_mean(images, labels):
    """A classifier of the digits in two layers, a rotation and the means of the classes; images (N, 8, 8, 1)."""
    layers = tf.keras.layers
    means = np.stack([images[labels == label].mean(0).ravel() for label in range(10)])
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(64), layers.Dense(10)])
    model.set_weights([rotation, np.zeros(64), rotation.T @ means.T, -(means**2).sum(1) / 2])
    return model


def test_search_keeps_accuracy(tmp_path, tfds_dir, monkeypatch):
    """The coarsest steps of all that were tried and lose no more than was allowed."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    digits = load_dataset(DataConfig("digits", image_size=8))
    examples = digits.samples(600, "train")
    images, labels = examples.values()
    (tmp_path / "means.h5").write_bytes(keras_file_content(nearest_mean(images, labels)))
    subject = open_subject(str(tmp_path / "means.h5"), dataset="digits")
    search = Search(max_drop=2, images=600)
    run = decompose_network(subject, Settings(int8_payload=True), runs=tmp_path, search=search)
    found, layers = run.card.document["search"], run.card.document["layers"]
    assert found["mixed"] == 0  # nobody said how accurate it is on test images
    assert {trial["drop"] <= 2 for trial in found["trials"]} == {False, True}
    kept = max((trial for trial in found["trials"] if trial["drop"] <= 2), key=lambda trial: trial["factor"])
    bits = 8 * sum(row["file_bytes"] for row in layers) / run.card.document["weights"]
    assert abs(bits - kept["record_bits_per_weight"]) < 1e-9
    accuracy = Judge(load_trained_model(run), get_task(), digits.info).score(examples)
    assert abs(100 * (found["calibration_accuracy"] - accuracy) - kept["drop"]) < 1e-9
    words = network_tables._search_words(found, "accuracy")
    assert words == f"they lose {kept['drop']:.2f} of at most 2 points of accuracy on 600 training images"
    monkeypatch.setattr(steps, "FACTORS", (15.0, 16.0))
    again = open_subject(str(tmp_path / "means.h5"), dataset="digits")
    with pytest.raises(LarqnetsError, match=r"Even steps .* lose .* Allow a larger --max-drop"):
        find_settings(again, net.find_kernels(again.model), Settings(protect_small=False), search)


def test_sensitivity_is_the_squared_jacobian_times_the_variance_of_the_weights():
    model = digits_network()
    kernels = net.find_kernels(model)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = model(images, training=False)
    jacobians = tape.jacobian(logits, [kernel.weight for kernel in kernels])
    for per_channel in (False, True):
        many = np.tile(images, (128, 1, 1, 1))  # 2,048 random signs an image
        estimated = sensitivities(model, kernels, many, per_channel)
        for kernel, jacobian in zip(kernels, jacobians, strict=True):
            w = kernel.weight.numpy()
            own = (0, 1) if kernel.depthwise else tuple(range(w.ndim - 1))
            variance = w.var(axis=own, keepdims=True) if per_channel else w.var()
            exact = float(np.sum(jacobian.numpy() ** 2 * variance)) / len(images)
            # the standard deviation of a squared projection is up to 1.4 times its mean: 3 % of the mean of 2,048
            assert abs(estimated[kernel.name] / exact - 1) < 0.12, (kernel.name, per_channel)


def test_calibration_images_become_as_hard_as_unseen_ones(tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    digits = load_dataset(DataConfig("digits"))
    examples = digits.samples(600, "train")
    images, labels = examples.values()
    judge = Judge(nearest_mean(images, labels), get_task(), digits.info)
    own = judge.score(examples)
    assert own > 0.85
    for accuracy in (None, own, 1.0):
        same, share = as_hard_as_unseen(judge, examples, accuracy)
        assert share == 0
        assert same is examples
    shares = []
    for accuracy in (0.8, 0.6):
        mixed, share = as_hard_as_unseen(judge, examples, accuracy)
        assert abs(judge.score(mixed) - accuracy) < 0.04
        assert mixed["label"] is labels
        shares.append(share)
    assert 0 < shares[0] < shares[1] < 0.5


def test_table_of_methods_goes_on_where_it_was(cli, source, monkeypatch):
    assert cli("import", "small.h5", "--dataset", "digits", "--no-evaluate").code == 0
    first = cli("decompose", "compare", "runs/small", "--csv", "t.csv", "--only", "uniform layer * 4 bits")
    assert first.code == 0, first.err
    table = source.parent / "t.csv"
    header, *lines = table.read_text().splitlines()
    assert header == (
        "network,method,setting,bits_per_weight,file_bits_per_weight,deflate_bytes,container_bytes,"
        "test_accuracy,float_accuracy,seconds"
    )
    assert [line.split(",")[:3] for line in lines] == [
        ["small", "uniform", "layer max 4 bits"],
        ["small", "uniform", "layer mse 4 bits"],
    ]
    marked = table.read_text().replace(lines[0], lines[0].rsplit(",", 1)[0] + ",123.0")
    table.write_text(marked)
    assert "picture: t.png" in first.out
    assert "not beaten" in first.out
    second = compare_methods([str(source.parent / "runs/small")], table, "uniform * m* 4 bits")
    assert (source.parent / "t.png").read_bytes().startswith(b"\x89PNG")
    assert len(second["rows"]) == 4
    assert table.read_text().startswith(marked)  # not measured again
    by_key = {(row["method"], row["setting"]): row for row in second["rows"]}
    assert by_key["uniform", "layer max 4 bits"]["bits_per_weight"] == 4
    assert cli("import", "small.h5", "--dataset", "digits", "--no-evaluate", "--name", "twin").code == 0
    both = cli("decompose", "compare", "runs/small", "runs/twin", "--csv", "t.csv", "--only", "int8*")
    assert both.code == 0, both.err
    assert [line.split(",")[0] for line in table.read_text().splitlines()[-2:]] == ["small", "twin"]
    with pytest.raises(LarqnetsError, match="have the same name"):
        compare_methods(["runs/small", "other/small"], table)
    with pytest.raises(LarqnetsError, match="Nothing that is compared is called 'unifrm'"):
        compare_methods(["runs/small"], table, "unifrm")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(LarqnetsError, match="is not a table of this command"):
        compare_methods(["runs/small"], table)


def test_points_are_distinct_settings():
    assert len(set(map(repr, points().values()))) == len(points())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MobileNet", Settings(protect_small=False)),
        ("DenseNet121", Settings(protect_small=False)),
        ("DenseNet121", Settings(mode="paper", planes=5)),
        ("VGG16", Settings(protect_small=False)),
        ("Xception", Settings()),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_networks_of_keras_applications(name, settings):
    """With random weights and a small image: every kernel within its bound, and nothing else changed."""
    side = 71 if name == "Xception" else 32
    subject = open_subject(name, weights="none", image=(side, side, 3), classes=10)
    kernels = net.find_kernels(subject.model)
    assert net.left_out(subject.model) == []
    weights = {id(kernel.weight) for kernel in kernels}
    others = [variable for variable in subject.model.variables if id(variable) not in weights]
    before, values = [variable.numpy() for variable in others], net.float_values(kernels)
    results = net.decompose(kernels, settings)
    net.assign(kernels, net.reconstructions(results))
    for kernel in kernels:
        old, result = values[kernel.name], results[kernel.name]
        half = np.max(result.scale) / 2  # a step; what is left is rounding
        assert np.abs(kernel.weight - old).max() <= half * (1 + 1e-5) + 1e-6 * np.abs(old).max(), kernel.name
        assert np.array_equal(kernel.weight, result.values)
        if settings.is_sound and "step" in result.knobs:
            assert np.isclose(result.scale, settings.step * old.std(dtype=np.float64), rtol=1e-4), kernel.name
    for variable, old in zip(others, before, strict=True):
        np.testing.assert_array_equal(variable, old, err_msg=variable.name)
    image = np.random.default_rng(0).normal(size=(1, side, side, 3)).astype(np.float32)
    assert np.isfinite(subject.model(image, training=False)).all()


def test_resnet18_in_paper_mode():
    """The zoo's real-valued network at a quarter of its width: every kernel within the bound of the algorithm."""
    model = create_model("real", "resnet18", (32, 32, 3), 10, width=0.25)
    kernels = net.find_kernels(model)
    assert len(kernels) == 21  # 17 convolutions, 3 projections, the classifier
    values = net.float_values(kernels)
    results = net.decompose(kernels, Settings(mode="paper", planes=6, bottleneck=0.3))
    for name, result in results.items():
        if "fallback" not in result.knobs:
            t = 2.0 ** (result.knobs["bottom"] - 1)
            bound = result.knobs["alpha"] * t / (1 - t) * np.abs(values[name]).max()  # M D
            assert np.abs(values[name] - result.values).max() <= bound * (1 + 1e-5), name
    assert sum("fallback" not in result.knobs for result in results.values()) >= 20


def test_images_of_keras_applications_are_normalised_as_each_network_wants():
    for name in ("MobileNet", "DenseNet121", "EfficientNetB0"):
        found = normalisation(name)
        mean, std = (np.array(found[key]) for key in ("mean", "std"))
        pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
        module = sys.modules[applications()[name].__module__]
        np.testing.assert_allclose((pixels / 255 - mean) / std, module.preprocess_input(pixels.copy()), atol=1e-4)
    with pytest.raises(LarqnetsError, match=r"VGG16 of keras\.applications mixes the colours of an image \(BGR\)"):
        normalisation("VGG16")


def test_kernels_inside_of_models_are_found_and_other_layers_named():
    layers = tf.keras.layers
    inner = digits_network(name="inner")
    image = tf.keras.Input((8, 8, 1))
    x = layers.Conv2DTranspose(1, 1, name="up")(image)
    model = tf.keras.Model(image, layers.Dense(10, name="top")(inner(x)))
    assert [k.name for k in net.find_kernels(model)] == [
        *(f"inner/{name}" for name in ("stem", "depthwise", "conv", "dense", "head")),
        "top",
    ]
    assert net.left_out(model) == ["up (Conv2DTranspose)"]
    with pytest.raises(LarqnetsError, match="no real-valued Conv2D"):
        net.find_kernels(tf.keras.Model(image, layers.Flatten()(image)))
