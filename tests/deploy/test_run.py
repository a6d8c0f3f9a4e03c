"""`larqnets run`: inputs find their places by name, outputs keep theirs, scores are read as what they are."""

import json

import numpy as np
import pytest

from deploy.export import edit
from larqnets import LarqnetsError
from larqnets.data.info import preprocessing
from larqnets.endings import kind_of_model
from larqnets.scores import KEY
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.interface import interface_of
from larqnets.tflite.reading import read_model

tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")

F4 = tf.TensorSpec([1, 4], tf.float32, name="x")
A, B = np.full((1, 4), 5, np.float32), np.full((1, 4), 2, np.float32)


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """TensorFlow is loaded here already; test_child.py has the child process."""
    monkeypatch.setattr("deploy.run.classify.CHILD", None)


def converted(function, *specs):
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@pytest.fixture(scope="module")
def difference(tmp_path_factory):
    """A file of two inputs of one shape, and two outputs, named by a signature other than by their tensors."""
    spec = tf.TensorSpec([1, 4], tf.float32)  # no name: the arguments' names serve
    folder = tmp_path_factory.mktemp("saved")
    module = tf.Module()
    module.f = tf.function(
        lambda zebra, ant: {"difference": zebra - ant, "quotient": zebra / ant}, input_signature=[spec, spec]
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.f})
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def without_signature(content):
    model = edit.unpack(content)
    model.signatureDefs = None
    return edit.pack(model)


def results(cli, tmp_path, content, arrays, *options):
    (tmp_path / "model.tflite").write_bytes(content)
    np.savez(tmp_path / "x.npz", **arrays)
    done = cli("run", "model.tflite", "x.npz", "--output", "y.npz", "--json", *options)
    assert (done.code, done.err) == (0, "")
    with np.load(tmp_path / "y.npz") as file:
        return {name: file[name] for name in file.files}, json.loads(done.out)


@pytest.mark.parametrize(
    ("device", "order"),
    [("host", ("zebra", "ant")), ("host", ("ant", "zebra")), ("qemu", ("zebra", "ant")), ("qemu", ("ant", "zebra"))],
)
def test_inputs_are_matched_by_name_whatever_their_order(request, cli, tmp_path, difference, order, device):
    if device == "qemu":
        request.getfixturevalue("bundle")
    values = {"zebra": A, "ant": B}
    options = () if device == "host" else ("--device", device)
    found, said = results(cli, tmp_path, difference, {name: values[name] for name in order}, *options)
    np.testing.assert_allclose(found["difference"], A - B)
    np.testing.assert_allclose(found["quotient"], A / B)
    assert sorted(said["output_names"]) == ["difference", "quotient"]


def test_tensor_names_serve_where_there_is_no_signature(cli, tmp_path, difference):
    content = without_signature(difference)
    names = [port.names[0] for port in interface_of(read_model(content)).inputs]
    assert sorted(names) == ["serving_default_ant:0", "serving_default_zebra:0"]
    values = {"serving_default_zebra:0": A, "ant": B}  # whole, or without what the converter adds
    found, said = results(cli, tmp_path, content, values)
    assert sorted(tuple(y[0]) for y in found.values()) == sorted([tuple((A - B)[0]), tuple((A / B)[0])])
    assert list(found) == said["output_names"]


@pytest.mark.parametrize(
    "arrays",
    [
        {"arr_0": A, "arr_1": B},
        {"zebra": A},
        {"zebra": A, "ant": B, "bee": B},
        {"zebra": A, "Ant": B},
        {"zebra": A, "serving_default_zebra:0": B},
    ],
    ids=lambda arrays: ",".join(arrays),
)
def test_names_that_do_not_fit_are_refused_and_listed(cli, tmp_path, difference, arrays):
    (tmp_path / "model.tflite").write_bytes(difference)
    np.savez(tmp_path / "x.npz", **arrays)
    done = cli("run", "model.tflite", "x.npz", "--output", "y.npz")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert f"x.npz holds {', '.join(arrays)}, and the model's inputs are " in done.err
    assert "zebra" in done.err
    assert "ant" in done.err
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("name", ["arr_0", "x"])
def test_a_single_input_may_be_unnamed(cli, tmp_path, name):
    content = converted(lambda x: 2 * x, F4)
    found, _ = results(cli, tmp_path, content, {name: A})
    np.testing.assert_array_equal(next(iter(found.values())), 2 * A)


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a\x1b[31m", "", "x" * 300])
def test_an_output_is_never_named_like_a_path_or_an_order_to_the_terminal(cli, tmp_path, difference, name):
    model = edit.unpack(difference)
    for entry in model.signatureDefs[0].outputs:
        entry.name = name
    for i in model.subgraphs[0].outputs:
        model.subgraphs[0].tensors[i].name = name
    found, said = results(cli, tmp_path, edit.pack(model), {"zebra": A, "ant": B})
    assert list(found) == said["output_names"] == ["output_0", "output_1"]  # both have the same name, so none has it


def test_an_output_may_be_called_file(cli, tmp_path, difference):
    """numpy.savez has an argument of that name."""
    model = edit.unpack(difference)
    entry = next(e for e in model.signatureDefs[0].outputs if e.name == b"difference")
    entry.name = "file"
    found, _ = results(cli, tmp_path, edit.pack(model), {"zebra": A, "ant": B})
    np.testing.assert_allclose(found["file"], A - B)


def test_values_are_held_against_the_model_before_they_are_read(cli, tmp_path, difference):
    (tmp_path / "model.tflite").write_bytes(difference)
    np.savez(tmp_path / "x.npz", zebra=A, ant=np.zeros((1, 5), np.float32))
    done = cli("run", "model.tflite", "x.npz")
    assert done.code == 1
    assert "takes (1, 4), repeated along the first axis, not (1, 5)" in done.err


# How a network ends -> what it answers with.
ENDS = {
    "dense": (lambda x, k: k.layers.Dense(5)(x), "logits"),
    "softmax activation": (lambda x, k: k.layers.Dense(5, activation="softmax")(x), "softmax"),
    "softmax layer": (lambda x, k: k.layers.Softmax()(k.layers.Dense(5)(x)), "softmax"),
    "softmax op": (lambda x, k: tf.nn.softmax(k.layers.Dense(5)(x)), "softmax"),
    "softmax, reshaped": (lambda x, k: k.layers.Reshape((5,))(k.layers.Dense(5, activation="softmax")(x)), "softmax"),
    "sigmoid activation": (lambda x, k: k.layers.Dense(5, activation="sigmoid")(x), "sigmoid"),
    "sigmoid layer": (lambda x, k: k.layers.Activation("sigmoid")(k.layers.Dense(5)(x)), "sigmoid"),
    "sigmoid op": (lambda x, k: tf.math.sigmoid(k.layers.Dense(5)(x)), "sigmoid"),
    "log softmax": (lambda x, k: tf.nn.log_softmax(k.layers.Dense(5)(x)), "logits"),
    "swish": (lambda x, k: k.layers.Dense(5, activation="swish")(x), "logits"),
    "model within": (
        lambda x, k: k.Sequential([k.layers.Input((12,)), k.layers.Dense(5, activation="softmax")])(x),
        "softmax",
    ),
}


def network(end):
    keras = tf.keras
    keras.utils.set_random_seed(3)
    image = keras.layers.Input((2, 2, 3))
    model = keras.Model(image, ENDS[end][0](keras.layers.Flatten()(image), keras))
    model.set_weights([4 * w for w in model.get_weights()])
    return model


@pytest.mark.parametrize("end", ENDS)
def test_what_a_network_answers_with_is_known_from_keras_and_from_the_file(end):
    model, kind = network(end), ENDS[end][1]
    assert kind_of_model(model) == kind
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert kind_of_file(read_model(content)) == kind
    other = "sigmoid" if kind == "logits" else "logits"
    assert kind_of_file(read_model(edit.add_metadata(content, {KEY: other}))) == other
    for nonsense in (7, None, [], "probably"):
        assert kind_of_file(read_model(edit.add_metadata(content, {KEY: nonsense}))) == kind


@pytest.mark.parametrize("end", ENDS)
def test_run_prints_the_probabilities_of_keras(cli, tmp_path, end):
    model, kind = network(end), ENDS[end][1]
    x = np.random.default_rng(0).normal(size=(3, 2, 2, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    done = cli("run", "model.tflite", "x.npy", "--top", 5, "--json")
    said = json.loads(done.out)
    assert said["output_kind"] == kind
    expected = np.asarray(tf.nn.softmax(model(x)) if kind == "logits" else model(x))
    found = np.zeros_like(expected)
    for sample, entries in enumerate(said["predictions"]):
        for entry in entries:
            found[sample, entry["class"]] = entry["probability"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_probabilities_behind_int8_are_probabilities(tmp_path):
    model = network("softmax layer")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.random.rand(1, 2, 2, 3).astype(np.float32)] for _ in range(8))
    file = read_model(converter.convert())
    assert file.subgraphs[0].operators[-1].name == "DEQUANTIZE"
    assert kind_of_file(file) == "softmax"


GOOD = {
    "image_shape": [2, 2, 3],
    "mean": [0.0] * 3,
    "std": [1.0] * 3,
    "labels": list("abcde"),
    "dataset": "x",
    "crop_fraction": 1.0,
}
NONSENSE = {
    "no object": [1],
    "labels are numbers": GOOD | {"labels": [1, 2, 3, 4, 5]},
    "labels are a text": GOOD | {"labels": "abcde"},
    "a label is null": GOOD | {"labels": ["a", None]},
    "no labels": {key: value for key, value in GOOD.items() if key != "labels"},
    "std 1e999": GOOD | {"std": [float("inf")] * 3},
    "std tiny": GOOD | {"std": [1e-320] * 3},
    "std zero": GOOD | {"std": [0.0, 1.0, 1.0]},
    "std makes pixels equal": GOOD | {"std": [1e30] * 3, "mean": [1e35] * 3},
    "mean makes pixels equal": GOOD | {"mean": [1e12] * 3},
    "mean beyond a float": GOOD | {"mean": [10**400] * 3},
    "mean is a text": GOOD | {"mean": ["0", "0", "0"]},
    "mean is a bool": GOOD | {"mean": [True] * 3},
    "mean too short": GOOD | {"mean": [0.0]},
    "shape of texts": GOOD | {"image_shape": ["2", "2", "3"]},
    "another shape": GOOD | {"image_shape": [2, 3, 3]},
    "crop 0": GOOD | {"crop_fraction": 0},
    "crop null": GOOD | {"crop_fraction": None},
    "crop is a text": GOOD | {"crop_fraction": "1"},
    "dataset is a list": GOOD | {"dataset": ["cifar10"]},
    "split is a number": GOOD | {"split": 0.2},
    "split without a seed": GOOD | {"split": {"test": 0.2}},
    "split of all": GOOD | {"split": {"test": 1, "seed": 0}},
    "split by a fraction": GOOD | {"split": {"test": 0.2, "seed": 0.5}},
    "split by true": GOOD | {"split": {"test": 0.2, "seed": True}},
    "split by a large number": GOOD | {"split": {"test": 0.2, "seed": 2**31}},
}


@pytest.fixture(scope="module")
def float_file():
    return tf.lite.TFLiteConverter.from_keras_model(network("dense")).convert()


@pytest.mark.parametrize("kind", ["good", *NONSENSE])
def test_metadata_about_images_that_are_nonsense(float_file, kind):
    if kind == "good":
        assert preprocessing(read_model(edit.add_metadata(float_file, {"preprocess": GOOD}))) == GOOD
        return
    content = edit.add_metadata(float_file, {"preprocess": NONSENSE[kind]})
    if kind == "std 1e999":  # as a stranger writes it: JSON has no Infinity
        content = content.replace(b"Infinity", b"   1e999")
    with pytest.raises(LarqnetsError, match=r"says about its images is nonsense or does not fit its input \(2, 2, 3\)"):
        preprocessing(read_model(content))
