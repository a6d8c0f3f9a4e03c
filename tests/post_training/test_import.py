"""Weights in PyTorch's layout: all of them, in their places, or an error that names the first that is wrong."""

import json
import struct

import numpy as np
import pytest
import tensorflow as tf
from small_networks import digits_network, torch_arrays

from larqnets import LarqnetsError
from larqnets.config import DataConfig, TrainConfig
from larqnets.data import load_dataset
from larqnets.importing.imported_run import import_model
from larqnets.importing.networks import NETWORKS, get_network
from larqnets.runs.keras_file import keras_file_content
from larqnets.runs.run import Run
from larqnets.runs.torch_weights import load_torch_weights
from larqnets.tasks import get_task
from larqnets.training import load_trained_model
from larqnets.training.teacher import load_teacher


@pytest.fixture(scope="module")
def arrays():
    return torch_arrays(digits_network(seed=1))


def test_every_weight_arrives(arrays):
    model, images = digits_network(seed=2), np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    counters = {"stem_norm.num_batches_tracked": np.array(7)}  # which a state_dict has as well
    load_torch_weights(model, arrays | counters, "weights.npz")
    np.testing.assert_array_equal(model(images), digits_network(seed=1)(images))


def test_layouts_are_those_of_torch():
    """A convolution, a depthwise convolution and a dense layer against sums written out with PyTorch's indices."""
    layers = tf.keras.layers
    rng = np.random.default_rng(0)
    image = tf.keras.Input((3, 3, 2))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="d")(image)
    x = layers.Conv2D(3, 1, use_bias=False, name="c")(x)
    model = tf.keras.Model(image, layers.Dense(5, use_bias=False, name="l")(layers.Flatten()(x)))
    d, c, l = (rng.normal(size=s).astype(np.float32) for s in ((4, 1, 3, 3), (3, 4, 1, 1), (5, 3)))  # noqa: E741
    load_torch_weights(model, {"d.weight": d, "c.weight": c, "l.weight": l}, "x")
    nchw = rng.normal(size=(2, 3, 3)).astype(np.float32)
    depthwise = [np.sum(nchw[o // 2] * d[o, 0]) for o in range(4)]
    expected = l @ (c[:, :, 0, 0] @ depthwise)
    np.testing.assert_allclose(model(nchw.transpose(1, 2, 0)[np.newaxis])[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.pop("conv.bias"), "lacks the array 'conv.bias', which the layer 'conv'"),
        (lambda a: a.update(extra=np.zeros(3)), "holds 1 arrays that small has no place for, the first is 'extra'"),
        (lambda a: a.update({"conv.num_batches_tracked": np.array(7)}), "the first is 'conv.num_batches_tracked'"),
        (lambda a: a.update({"conv.weight": a["conv.weight"][1:]}), "The array 'conv.weight'"),
        (lambda a: a.update({"head.weight": a["head.weight"].T}), "'head.weight' of w.npz has shape (40, 10)"),
        (lambda a: a.update({"depthwise.weight": a["depthwise.weight"][:, [0, 0]]}), "The array 'depthwise.weight'"),
        (lambda a: a.update({"stem_norm.bias": np.zeros((16, 1))}), "The array 'stem_norm.bias'"),
    ],
    ids=["missing", "extra", "counter", "channels", "transposed", "groups", "axes"],
)
def test_what_does_not_fit_is_named_and_nothing_is_assigned(arrays, change, sentence):
    wrong, model = dict(arrays), digits_network(seed=2)
    before = model.get_weights()
    change(wrong)
    with pytest.raises(LarqnetsError) as error:
        load_torch_weights(model, wrong, "w.npz")
    assert sentence in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_take_their_own_weights(name):
    network = get_network(name)
    model = network.build()
    arrays = torch_arrays(model)
    load_torch_weights(model, arrays, name)
    assert len(arrays) == {"resnet56": 287, "vgg16bn": 86}[name]  # of the published files
    assert model.output_shape == (None, 10)


def test_unknown_network():
    with pytest.raises(LarqnetsError, match=r"no network 'resnet65'\. Did you mean 'resnet56'"):
        get_network("resnet65")


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_network_that_ends_in_probabilities_is_not_given_a_second_softmax(cli, tmp_path, end):
    """The loss of a run is Keras' own, and of its file `run` prints the probabilities of Keras."""
    tf.keras.utils.set_random_seed(1)
    logits = digits_network()
    model = tf.keras.Model(logits.input, tf.keras.layers.Activation(end)(5 * logits.output))
    model.save(tmp_path / "net.keras")
    assert cli("import", "net.keras", "--dataset", "digits").code == 0
    evaluated = json.loads(cli("evaluate", "runs/net", "--json").out)
    data = load_dataset(DataConfig(dataset="digits", image_size=8))
    losses = [
        tf.keras.losses.sparse_categorical_crossentropy(labels, model(images).numpy())
        for images, labels in ((b["image"], b["label"]) for b in data.eval_batches("test", 128))
    ]
    assert evaluated["loss"] == pytest.approx(float(tf.reduce_mean(tf.concat(losses, 0))), rel=1e-4)
    teacher = load_teacher(TrainConfig(epochs=1, teacher=str(tmp_path / "runs/net")), data.info)
    images = next(iter(data.eval_batches("test", 8)))["image"]
    answers = model(images)
    probabilities = answers / tf.reduce_sum(answers, -1, keepdims=True)
    logits = {"classifier": tf.random.stateless_normal(answers.shape, (0, 1))}
    told = get_task().distil(teacher.model, TrainConfig(epochs=1))(logits, teacher(images))
    expected = -tf.reduce_sum(probabilities * tf.nn.log_softmax(logits["classifier"]), -1)
    np.testing.assert_allclose(told, expected, rtol=1e-4)


def test_a_safetensors_is_imported_with_every_weight(tmp_path, arrays):
    header, content = {}, b""
    for name, array in arrays.items():
        place = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": place}
        content += np.ascontiguousarray(array, "<f4").tobytes()
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content)
    (tmp_path / "small.h5").write_bytes(keras_file_content(digits_network(seed=2)))
    run = import_model(tmp_path / "w.safetensors", str(tmp_path / "small.h5"), runs=tmp_path / "runs")
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(load_trained_model(run)(images), digits_network(seed=1)(images))


def test_commands_take_an_imported_run(cli, tmp_path):
    """import, evaluate, summary, list, and what a run without an experiment cannot do."""
    (tmp_path / "small.h5").write_bytes(keras_file_content(digits_network()))
    done = cli("import", "small.h5", "--dataset", "digits", "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert (card["kind"], card["backbone"], card["dataset"]) == ("imported", "small", "digits")
    evaluated = cli("evaluate", "runs/small", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["accuracy"] == card["test_accuracy"]
    counted = cli("summary", "runs/small", "--json")
    assert json.loads(counted.out)["totals"]["parameters"] == card["parameters"]
    assert "real on small, digits, imported, test accuracy" in cli("list", "runs").out
    refused = cli("train", "--resume", "runs/small")
    assert refused.code == 1
    assert "runs/small was imported, not trained here" in refused.err
    again = cli("import", "small.h5")
    assert again.code == 1
    assert "runs/small already exists" in again.err
    for arguments, words in (
        (("import", "small.h5", "--network", "resnet56"), "brings its own graph"),
        (("import", "small.txt"), "neither a file of weights"),
        (("import", "small.npz"), "Say whose: --network resnet56, vgg16bn, or a Keras model file"),
    ):
        refused = cli(*arguments)
        assert refused.code == 1
        assert words in refused.err
    np.savez(tmp_path / "other.npz", **torch_arrays(digits_network(seed=1)))
    own = cli("import", "other.npz", "--network", "small.h5", "--dataset", "digits", "--json")
    assert own.code == 0, own.err
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    imported = load_trained_model(Run.open(tmp_path / "runs/other"))
    np.testing.assert_array_equal(imported(images), digits_network(seed=1)(images))
    unknown = cli("import", "small.h5", "--name", "blank")
    assert unknown.code == 0, unknown.err
    refused = cli("evaluate", "runs/blank")
    assert refused.code == 1
    assert "does not say which images its network is for. Name them with --dataset" in refused.err
    refused = cli("decompose", "compare", "runs/blank", "--csv", "t.csv")
    assert "blank does not say which images it is for. Make a run of its file: larqnets import FILE" in refused.err
