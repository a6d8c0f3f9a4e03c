"""Decomposition of networks that answer for every pixel: judged by mIoU, on images that are not the test images."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import small_backbones
import tensorflow as tf
from masked import NAMES, save, write_folder
from segmenters import IMAGES, segmenter

from larqnets import LarqnetsError, create_model
from larqnets.config import TaskConfig
from larqnets.data import Dataset
from larqnets.data.info import IMAGE, MASK, OUTSIDE
from larqnets.decompose import Settings
from larqnets.post_training import network as net
from larqnets.post_training import sensitivity, steps
from larqnets.post_training.decomposed_run import decompose_network, read_codes
from larqnets.post_training.sensitivity import sensitivities
from larqnets.post_training.steps import Search, find_settings
from larqnets.reporter import SILENT
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.studies import decompose_compare
from larqnets.tasks import get_task
from larqnets.training import load_trained_model
from larqnets.training.evaluation import images_at_once, map_sizes
from larqnets.training.launch import launch

SIZE = (24, 32)
TOML = """
[model]
method = "{method}"
backbone = "{backbone}"
stem = "small"
[data]
dataset = "folder:{data}"
image_size = 24
image_width = 32
own_validation = true
[task]
kind = "segmentation"
head = "{head}"
[train]
epochs = {epochs}
batch_size = 4
learning_rate = 0.01
"""
UNPOOLINGS = ["decoder2_unpool (MaxUnpool2D)", "decoder1_unpool (MaxUnpool2D)"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with images under masks, and with runs of a SegNet, of a real network with a head, and of a binary one."""
    folder = tmp_path_factory.mktemp("segmenters")
    write_folder(folder / "data", (("train", 12), ("validation", 5), ("test", 4)), SIZE)
    for name, method, backbone, head, epochs in (
        ("segnet", "segnet", "vgg3", "plain", 10),
        ("fcn", "real", "resnet5", "fcn", 1),
        ("binary", "birealnet", "resnet5", "fcn", 1),
    ):
        config = folder / f"{name}.toml"
        config.write_text(TOML.format(method=method, backbone=backbone, data=folder / "data", head=head, epochs=epochs))
        with small_backbones.registered():
            launch(Order(str(config), name, folder / "runs"), SILENT)
    return folder


@pytest.fixture
def runs(home, cli, tmp_path):
    """The runs, from the folder where the commands run."""
    (tmp_path / "runs").symlink_to(home / "runs")
    with small_backbones.registered():
        yield home / "runs"


def miou(model, examples):
    """The mean over the classes of the share of their pixels that answer and mask have in common, counted by numpy."""
    true, given = examples[MASK][..., 0], model.predict(examples[IMAGE], verbose=0).argmax(-1)
    given = np.where(true == OUTSIDE, -1, given)
    parts = [
        np.mean(both)
        for c in range(len(NAMES))
        if (both := ((true == c) & (given == c))[(true == c) | (given == c)]).size
    ]
    return float(np.mean(parts))


def test_a_segnet_at_five_bits(cli, runs):
    """Every convolution is decomposed, also the first and the last; all else is as it was."""
    done = cli("decompose", "runs/segnet", "--target-bits", "5.2", "--name", "five", "--json")
    assert done.code == 0, done.err
    card, was, now = json.loads(done.out), *(load_trained_model(Run.open(runs / n)) for n in ("segnet", "five"))
    kinds = Counter(type(layer).__name__ for layer in was.layers)
    assert [row["layer"] for row in card["layers"]] == [
        layer.name for layer in was.layers if isinstance(layer, tf.keras.layers.Conv2D)
    ]
    assert len(card["layers"]) == kinds["Conv2D"] == 6
    codes = read_codes(Run.open(runs / "five"))
    for layer in was.layers:
        for old, new in zip(layer.weights, now.get_layer(layer.name).weights, strict=True):
            if old is getattr(layer, "kernel", None):
                integers, scale = codes[layer.name]
                np.testing.assert_allclose(new, integers * scale, rtol=1e-6)
            else:
                np.testing.assert_array_equal(old, new)
    bits = 8 * sum(row["file_bytes"] for row in card["layers"]) / card["weights"]
    assert abs(bits - 5.2) < 0.05
    assert card["bits_per_weight"] == pytest.approx(
        sum(row["bits_per_weight"] * row["weights"] for row in card["layers"]) / card["weights"]
    )
    assert card["file_bytes"] == sum(row["file_bytes"] for row in card["layers"]) + 4 * (
        was.count_params() - card["weights"]
    )
    assert card["left_out"] == []
    assert card["no_weights"] == json.loads((runs / "five/layers.json").read_text())["no_weights"] == UNPOOLINGS
    source = Run.open(runs / "segnet").card
    assert (card["float_miou"], card["headline"]) == (source.score, "miou")
    assert not [key for key in card if key in ("float_accuracy", "test_accuracy")]
    test = open_subject(runs / "segnet").images.samples(4, "test")
    assert card["test_miou"] == pytest.approx(miou(now, test))
    assert card["float_miou"] == pytest.approx(miou(was, test))
    assert card["test_miou"] > card["float_miou"] - 0.02
    assert card["float_miou"] > 0.6  # else it proved nothing
    evaluated = cli("evaluate", "runs/five", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["scores"]["miou"] == pytest.approx(card["test_miou"])
    assert f"decomposed, test miou {card['test_miou']:.2%}" in cli("list", "runs").out


def test_what_is_printed_names_the_score(cli, runs):
    done = cli("decompose", "runs/segnet", "--name", "printed")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    for start in ("test miou", "float miou"):
        assert any(line.startswith(start) and line.rstrip().endswith("%") for line in lines), start
    (weightless,) = (line.split(maxsplit=2)[2].strip() for line in lines if line.startswith("no weights"))
    assert weightless == ", ".join(UNPOOLINGS)
    assert "accuracy" not in done.out
    assert "Recommended at this size, a step for every layer: larqnets decompose runs/segnet" in done.out


@pytest.mark.parametrize("name", ["segnet", "fcn"])
def test_a_decomposed_segmenter_as_files(cli, runs, tmp_path, name):
    """The files that hold the integers are scored by mIoU, and a .cbd unpacks to what it was, bit for bit."""
    assert cli("decompose", f"runs/{name}", "--no-protect-small", "--name", f"{name}-cbd").code == 0
    done = cli("convert", f"runs/{name}-cbd", "--twins", "--json")
    assert done.code == 0, done.err
    manifest, card = json.loads(done.out), Run.open(runs / f"{name}-cbd").card
    assert set(manifest["files"]) == {"float", "int8", "decomposed", "decomposed_int8"}
    assert manifest["verification"]["equal"]
    kernels = len(card.document["layers"])
    for variant in ("decomposed", "decomposed_int8"):
        entry, file = manifest["files"][variant], runs / f"{name}-cbd/arm64/{variant}.tflite"
        assert entry["scores"]["miou"] == pytest.approx(card.score, abs=0.06)
        evaluated = cli("evaluate", file, "--json")
        assert json.loads(evaluated.out)["scores"]["miou"] == entry["scores"]["miou"]
        packed = cli("decompose", "pack", file, "--json")
        assert packed.code == 0, packed.err
        assert cli("decompose", "unpack", file.with_suffix(".cbd"), "-o", "back.tflite").code == 0
        assert file.read_bytes() == (tmp_path / "back.tflite").read_bytes()
        held, named = (
            int(entry["note"].split()[2]),
            "".join(w for w in manifest["warnings"] if w.startswith(f"{variant}:")),
        )
        assert held + named.count("'") // 2 == kernels  # the others are named
        assert held == kernels or variant == "decomposed"  # with integers between layers nothing stays float


def seen_splits(monkeypatch):
    """Names of the splits whose images are asked for from now on."""
    seen = []
    for name, place in (("samples", 1), ("eval_batches", 0)):
        whole = getattr(Dataset, name)

        def noted(self, *args, whole=whole, place=place, **kwargs):
            seen.append(args[place] if len(args) > place else kwargs.get("split"))
            return whole(self, *args, **kwargs)

        monkeypatch.setattr(Dataset, name, noted)
    return seen


def test_the_loss_is_measured_on_validation_images(cli, runs, monkeypatch):
    """The coarsest steps of all that were tried and lose no more than was allowed; nobody looked at a test image."""
    subject, allowed = open_subject(runs / "segnet"), 4.0
    kernels = net.find_kernels(subject.model)
    values = net.float_values(kernels)
    kept = subject.images.samples(99, "validation")
    assert len(kept[IMAGE]) == 5
    seen = seen_splits(monkeypatch)
    settings, found = find_settings(
        subject, kernels, Settings(protect_small=False, int8_payload=True), Search(max_drop=allowed)
    )
    assert set(seen) == {"train", "validation"}
    assert found["validation_images"] == 5
    assert found["images"] == 12
    assert "mixed" not in found
    assert found["calibration_miou"] == pytest.approx(miou(subject.model, kept))
    assert {trial["drop"] <= allowed for trial in found["trials"]} == {False, True}
    best = max((trial for trial in found["trials"] if trial["drop"] <= allowed), key=lambda trial: trial["factor"])
    net.assign(kernels, net.reconstructions(net.decompose(kernels, settings, values=values)))
    assert 100 * (found["calibration_miou"] - miou(subject.model, kept)) == pytest.approx(best["drop"])
    done = cli("decompose", "runs/segnet", "--max-drop", allowed, "--name", "drop")
    assert done.code == 0, done.err
    assert f"they lose {best['drop']:.2f} of at most 4 points of miou on 5 validation images" in _joined(done.out)


def test_without_validation_images_the_words_say_what_was_looked_at(cli, runs, tmp_path):
    write_folder(tmp_path / "plain", (("train", 12), ("test", 4)), SIZE)
    done = cli("decompose", "runs/segnet", "--dataset", "folder:plain", "--max-drop", "4", "--name", "plain")
    assert done.code == 0, done.err
    assert "points of miou on 12 training images, on which a network loses less than on others" in _joined(done.out)
    assert any(line.split() == ["float", "miou", "not", "known"] for line in done.out.splitlines())


def _joined(text):
    """Text whose lines a narrow terminal has broken."""
    return " ".join(text.split())


def test_many_pixels_are_calibrated_on_few_images(runs, monkeypatch):
    subject = open_subject(runs / "segnet")
    monkeypatch.setattr(steps, "PIXELS", 3 * math.prod(SIZE) + 1)
    _, found = find_settings(
        subject, net.find_kernels(subject.model), Settings(protect_small=False), Search(target_bits=5, images=9)
    )
    assert found["images"] == 3


@pytest.mark.parametrize(("method", "head"), [("segnet", "plain"), ("real", "fcn"), ("real", "aspp")])
def test_sensitivity_is_the_squared_jacobian_of_all_pixels(method, head, monkeypatch):
    """With all images at once, and with as few as memory might allow."""
    model, _ = segmenter(method, head, settled=False)
    kernels = net.find_kernels(model)
    assert len(kernels) == sum(type(layer).__name__ == "Conv2D" for layer in model.layers)
    images, weights = IMAGES[:2], [kernel.weight for kernel in kernels]

    @tf.function
    def squares(signs):
        """Squared gradients, summed over a kernel, of one random sum: their mean is the sum over all pixels and classes."""
        with tf.GradientTape() as tape:
            one = tf.reduce_sum(signs * model(images, training=False))
        return [tf.reduce_sum(gradient**2) for gradient in tape.gradient(one, weights)]

    rng, count = np.random.default_rng(0), 100
    signs = rng.choice(np.array([-1, 1], np.float32), (count, 2, *model.output_shape[1:]))
    means = np.mean([np.array(squares(tf.constant(one))) for one in signs], axis=0)
    expected = [mean * weight.numpy().var() / 2 for mean, weight in zip(means, weights, strict=True)]
    many = np.tile(images, (96, 1, 1, 1))  # three sums of 64 images, twice
    whole = sensitivities(model, kernels, many, False)
    np.testing.assert_allclose([whole[kernel.name] for kernel in kernels], expected, rtol=0.5)
    monkeypatch.setattr(sensitivity, "MAX_BYTES", 9 * 4 * sum(map_sizes(model)))
    parts = sensitivities(model, kernels, many, False)
    np.testing.assert_allclose([parts[k.name] for k in kernels], [whole[k.name] for k in kernels], rtol=1e-4)


def test_a_network_is_given_as_many_images_as_their_maps_allow():
    layers = tf.keras.layers
    inner = tf.keras.Sequential([layers.Input((64, 64, 3)), layers.Conv2D(100, 3, padding="same"), layers.MaxPool2D(8)])
    image = layers.Input((64, 64, 3))
    model = tf.keras.Model(image, layers.Flatten()(inner(image)))
    assert max(map_sizes(model)) == 64 * 64 * 100
    # 40 x 64 x 64 x 100 x 4 bytes are nearly 2^26
    assert [images_at_once(model, most) for most in (1, 30, 500)] == [1, 30, 40]
    image = layers.Input((9000, 9000, 1))
    assert images_at_once(tf.keras.Model(image, layers.ReLU()(image)), 500) == 1


def test_all_of_the_network_of_the_paper_is_decomposed():
    """29,425,536 kernel weights of 26 convolutions at 11 classes, and five unpoolings."""
    task = get_task(TaskConfig("segmentation", {"head": "plain"}))
    model = create_model("segnet", "vgg16", (32, 32, 3), 11, task=task, stem="small")
    kernels = net.find_kernels(model)
    assert (len(kernels), sum(math.prod(kernel.weight.shape) for kernel in kernels)) == (26, 29_425_536)
    assert (net.left_out(model), len(net.no_weights(model))) == ([], 5)


HEAD = (
    "network,method,setting,bits_per_weight,file_bits_per_weight,deflate_bytes,container_bytes,"
    "test_miou,float_miou,seconds"
)


def test_the_table_of_methods_has_the_columns_of_its_score_and_goes_on(cli, runs, tmp_path, monkeypatch):
    """Killed between two rows, and given again; the float score is that of the run."""
    command = ("decompose", "compare", "runs/segnet", "--csv", "t.csv", "--only", "* *5 bits")
    whole = decompose_compare.net.decompose

    def killed(*args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return whole(*args, **kwargs)

    calls: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(decompose_compare.net, "decompose", killed)
        assert cli(*command).code != 0
    before = (tmp_path / "t.csv").read_text()
    assert before.splitlines()[0] == HEAD
    assert len(before.splitlines()) > 1
    done = cli(*command, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (tmp_path / "t.csv").read_text().startswith(before)
    assert (len(result["rows"]), result["score"]) == (5, "miou")
    for row in result["rows"]:
        assert ",".join(row) == HEAD
        assert row["float_miou"] == pytest.approx(Run.open(runs / "segnet").card.score)
        assert row["test_miou"] > row["float_miou"] - 0.1
    shown = cli(*command)
    assert "test miou" in shown.out
    assert "accuracy" not in shown.out + shown.err
    other = decompose_compare.comparison_table("accuracy").filling(tmp_path / "t.csv", "a table of accuracies")
    with pytest.raises(LarqnetsError, match="is not a table of accuracies"), other:
        pass


def test_a_binary_segmenter_keeps_its_signs(cli, runs):
    """As a binary classifier: real layers are decomposed, binary ones named."""
    done = cli("decompose", "runs/binary", "--target-bits", "6", "--name", "signs", "--json")
    assert done.code == 0, done.err
    card, model = json.loads(done.out), load_trained_model(Run.open(runs / "binary"))
    binary = [f"{x.name} ({type(x).__name__})" for x in model.layers if hasattr(x, "kernel_quantizer")]
    assert card["left_out"] == binary != []
    assert {row["layer"] for row in card["layers"]} == {
        layer.name for layer in model.layers if type(layer).__name__ == "Conv2D"
    }
    assert card["test_miou"] == pytest.approx(card["float_miou"], abs=0.1)


def test_bad_input_is_told_in_a_sentence(cli, runs, tmp_path):
    for place in ("train/cat/1", "train/dog/2", "test/cat/3", "test/dog/4"):
        save(tmp_path / "pets" / f"{place}.png", np.zeros((*SIZE, 3), np.uint8))
    existing = sorted(path.name for path in runs.iterdir())
    for arguments, words in (
        (("--dataset", "folder:pets"), "a label is known, and a network for segmentation learns from masks"),
        (("--dataset", "folder:pets", "--target-bits", "5"), "a label is known, and a network for segmentation learns"),
        (("--dataset", "folder:gone"), "gone"),
        (("--max-drop", "1", "--method", "uniform"), "Only the sound mode of cbd has steps"),
    ):
        done = cli("decompose", "runs/segnet", *arguments, "--name", "no")
        assert (done.code, done.out) == (1, ""), arguments
        assert words in done.err
        assert "Traceback" not in done.err
    assert "runs/segnet already exists" in cli("decompose", "runs/segnet", "--name", "segnet").err
    assert sorted(path.name for path in runs.iterdir()) == existing


def test_images_that_are_gone_are_told(cli, home, runs):
    (home / "data").rename(home / "elsewhere")
    try:
        for options in (("--target-bits", "5"), ("--max-drop", "1"), ()):
            done = cli("decompose", "runs/segnet", *options, "--name", "gone")
            assert (done.code, done.out) == (1, "")
            assert str(home / "data") in done.err
        compared = cli("decompose", "compare", "runs/segnet", "--csv", "gone.csv")
        assert compared.code == 1
        done = cli("decompose", "runs/segnet", "--no-evaluate", "--name", "gone", "--json")
        assert done.code == 0, done.err  # nothing was asked of them
        card = json.loads(done.out)
        assert card["float_miou"] == Run.open(runs / "segnet").card.score
        assert card["headline"] == "miou"
        assert "test_miou" not in card
    finally:
        (home / "elsewhere").rename(home / "data")


def test_networks_of_two_scores_share_no_table(cli, runs, tmp_path):
    from small_networks import digits_network

    from larqnets.runs.keras_file import keras_file_content

    (tmp_path / "small.h5").write_bytes(keras_file_content(digits_network()))
    assert cli("import", "small.h5", "--dataset", "digits", "--no-evaluate", "--runs", "others").code == 0
    done = cli("decompose", "compare", "runs/segnet", "others/small", "--csv", "two.csv")
    assert done.code == 1
    assert "runs/segnet is ranked by miou and others/small by accuracy" in done.err
    assert not (tmp_path / "two.csv").exists()


def test_a_search_that_is_killed_leaves_nothing(runs, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "sensitivities", killed)
    with pytest.raises(KeyboardInterrupt):
        decompose_network(
            open_subject(runs / "segnet"), Settings(), name="killed", runs=runs, search=Search(target_bits=5)
        )
    assert not [path for path in runs.iterdir() if "killed" in path.name or path.name.startswith(".")]
