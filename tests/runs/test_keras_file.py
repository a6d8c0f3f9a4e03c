"""Keras files of honest people load and compute what they did: ours, Larq's and Keras' own; others are named for what they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from small_backbones import fitting, registered

from larqnets.errors import LarqnetsError
from larqnets.models import create_model, list_methods
from larqnets.runs import keras_names
from larqnets.runs.keras_file import load_keras_file

SUFFIXES = (".keras", ".h5")
layers = tf.keras.layers


def agree(model: tf.keras.Model, folder: Path, scale: float = 1.0) -> None:
    """Save, load and compare, in both kinds of file; weights and statistics are drawn first."""
    rng = np.random.default_rng(0)
    # float weights alone: random layers and quantizers keep counters
    floats = [weight for weight in model.weights if weight.dtype.is_floating]
    tf.keras.backend.batch_set_value([(w, rng.uniform(0.1, 0.9, w.shape).astype(np.float32)) for w in floats])
    x = (scale * rng.normal(size=(2, *model.input_shape[1:]))).astype(np.float32)
    for suffix in SUFFIXES:
        model.save(folder / f"model{suffix}")
        again = load_keras_file(folder / f"model{suffix}")
        np.testing.assert_array_equal(again(x, training=False), model(x, training=False), err_msg=suffix)
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


IMAGE = (8, 8, 4)
# What a layer needs besides nothing, and the shape that it takes if that is no image.
OPTIONS = {
    "Activation": {"activation": "tanh"},
    "CenterCrop": {"height": 4, "width": 4},
    "Dense": {"units": 3, "activation": "gelu"},
    "Dot": {"axes": -1},
    "Dropout": {"rate": 0.5},
    "EinsumDense": {"equation": "abcd,de->abce", "output_shape": (None, 8, 3), "bias_axes": "e"},
    "GroupNormalization": {"groups": 2},
    "Normalization": {"mean": 0.5, "variance": 2.0},
    "Permute": {"dims": (2, 1, 3)},
    "RandomBrightness": {"factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomHeight": {"factor": 0.2},
    "RandomRotation": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomWidth": {"factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "Rescaling": {"scale": 0.5, "offset": 1.0},
    "Reshape": {"target_shape": (4, 64)},
    "Resizing": {"height": 4, "width": 4},
    **{name: {"rate": 0.5} for name in ("AlphaDropout", "GaussianDropout")},
    **{name: {"rate": 0.5} for name in ("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")},
    "GaussianNoise": {"stddev": 0.5},
    "Embedding": {"input_dim": 10, "output_dim": 3},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 3},
    "RepeatVector": {"n": 3},
    **{name: {"units": 3} for name in ("GRU", "LSTM", "SimpleRNN")},
    "ThresholdedReLU": {"theta": 0.5},
}
MERGED = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
ATTENTION = ("Attention", "AdditiveAttention")


def shape_for(name: str) -> tuple[int, ...]:
    if name in ("Embedding", "RepeatVector"):
        return (5,)
    if name.startswith("ConvLSTM"):
        return (2, *{"1": (8,), "2": (8, 8), "3": (4, 4, 4)}[name[-2]], 2)
    dimensions = {"1D": (8, 4), "2D": IMAGE, "3D": (4, 4, 4, 2)}
    for end, shape in dimensions.items():
        if end in name:
            return shape
    return (8, 4) if name in ("GRU", "LSTM", "SimpleRNN", "Bidirectional", *ATTENTION) else IMAGE


def options_for(name: str) -> dict[str, object]:
    options = dict(OPTIONS.get(name, {}))
    if "Conv" in name or "LocallyConnected" in name:
        options |= {"kernel_size": 2} if "Depthwise" in name else {"filters": 3, "kernel_size": 2}
        if name == "Conv2D":
            options["groups"] = 1
    return options


@pytest.mark.parametrize("name", sorted(keras_names.KERAS - {"InputLayer"}))
def test_every_listed_layer_of_keras_loads(tmp_path, name):
    inputs = tf.keras.Input(shape_for(name))
    kind = getattr(layers, name)
    x = inputs
    if name == "TimeDistributed":
        made = kind(layers.Conv1D(3, 2, activation=layers.LeakyReLU(0.3)))
    elif name == "Bidirectional":
        made = kind(
            layers.LSTM(3, return_sequences=True),
            backward_layer=layers.GRU(2, go_backwards=True, return_sequences=True),
        )
    else:
        made = kind(**options_for(name))
    if name in MERGED:
        x = made([x, layers.ReLU()(x)])
    elif name in ATTENTION:
        x = made([x, x])
    elif name == "MultiHeadAttention":
        x = made(x, value=layers.ReLU()(x))
    else:
        x = made(x)
    agree(tf.keras.Model(inputs, x), tmp_path, scale=0 if name == "Embedding" else 1)


@pytest.mark.parametrize("name", sorted(keras_names.LARQ))
def test_every_listed_layer_of_larq_loads(tmp_path, name):
    inputs = tf.keras.Input(shape_for(name) if name != "QuantDense" else (8,))
    options = {"filters": 3, "kernel_size": 2}
    if name == "QuantDense":
        options = {"units": 3}
    elif "Depthwise" in name:
        options = {"kernel_size": 2}
    kernels = (
        ("depthwise", "pointwise") if "Separable" in name else ("depthwise",) if "Depthwise" in name else ("kernel",)
    )
    signs = {f"{kernel}_quantizer": "ste_sign" for kernel in kernels}
    x = getattr(lq.layers, name)(**options, **signs, input_quantizer=lq.quantizers.SteSign(clip_value=1.25))(inputs)
    agree(tf.keras.Model(inputs, x), tmp_path)


@pytest.mark.parametrize(
    "quantizer",
    [
        *(getattr(lq.quantizers, name) for name in sorted(keras_names.LARQ_QUANTIZERS)),
        *sorted(keras_names.LARQ_ALIASES),
        *keras_names.QUANTIZER_FUNCTIONS.values(),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_listed_quantizer_loads(tmp_path, quantizer):
    inputs = tf.keras.Input((6, 6, 2))
    if isinstance(quantizer, type):
        quantizer = quantizer(precision=8) if quantizer is lq.quantizers.NoOp else quantizer()
    elif quantizer == "NoOpQuantizer":
        quantizer = lq.quantizers.NoOpQuantizer(precision=8)
    agree(tf.keras.Model(inputs, lq.layers.QuantConv2D(3, 3, kernel_quantizer=quantizer)(inputs)), tmp_path)


@pytest.mark.parametrize("name", sorted(keras_names.ACTIVATIONS))
def test_every_listed_activation_loads(tmp_path, name):
    inputs = tf.keras.Input((4, 4, 3))
    function = keras_names.ACTIVATIONS[name]
    x = layers.Activation(function)(layers.Conv2D(3, 2, activation=function)(inputs))
    agree(tf.keras.Model(inputs, x), tmp_path)


def test_ops_between_layers_load(tmp_path):
    image = x = tf.keras.Input(IMAGE)
    x = 1 + 2 * (x - 0.5) / 3 + tf.pad(tf.nn.relu6(-x)[:, 1:-1, ::2], [[0, 0], [1, 1], [2, 2], [0, 0]])
    left, right = tf.split(x, 2, axis=-1)
    x = tf.concat([left, tf.maximum(right, 0.25), tf.where(left > right, left, right)], axis=-1)
    x = tf.image.resize(x, (4, 4)) + tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    x = tf.cast(x > 0.5, tf.float32) * x[:, :, :, tf.newaxis][:, :, :, 0]
    x = tf.nn.avg_pool2d(tf.transpose(x, [0, 2, 1, 3]), 2, 2, "VALID")
    x = tf.reshape(tf.clip_by_value(x, 0, 1), (-1, 2 * 2 * 6)) @ tf.ones((24, 3))
    agree(tf.keras.Model(image, tf.stack([x, tf.square(x)], axis=1)), tmp_path)


def test_every_listed_op_is_one_that_tensorflow_exports():
    from tensorflow.python.util.tf_export import get_symbol_from_name

    assert not [name for name in keras_names.OPS if get_symbol_from_name(name) is None]


def test_shared_inner_and_sequential_models_load(tmp_path):
    image = tf.keras.Input((6, 6, 3), name="picture")
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    inside = tf.keras.Sequential(
        [layers.Conv2D(3, 1, input_shape=(6, 6, 3)), layers.BatchNormalization()], name="inside"
    )
    left, right = inside(shared(image)), inside(shared(shared(image)))
    again = tf.keras.Model(image, shared(left) + right, name="inner")
    x = again(again(image))
    sequence = tf.keras.Sequential([tf.keras.Input((6, 6, 3)), again, layers.Flatten(), layers.Dense(2)])
    agree(tf.keras.Model(image, layers.Dense(2)(layers.Flatten()(x))), tmp_path)
    agree(sequence, tmp_path)


def test_an_initializer_of_ones_own_is_no_reason_to_refuse(tmp_path):
    """Its weights are in the file; the training settings of a compiled model are not needed either."""

    def own_initializer(shape, dtype=None):
        return tf.ones(shape, dtype)

    def own_regularizer(w):
        return tf.reduce_sum(w)

    def own_loss(y, x):
        return y - x

    image = tf.keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 3, kernel_initializer=own_initializer, kernel_regularizer=own_regularizer)(image)
    model = tf.keras.Model(image, x)
    model.compile("adam", own_loss)
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(load_keras_file(tmp_path / "model.h5").get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_layer_of_ones_own_is_named(tmp_path, suffix):
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    image = tf.keras.Input((6, 6, 3))
    tf.keras.Model(image, Doubled(name="twice")(image)).save(tmp_path / f"model{suffix}")
    with pytest.raises(LarqnetsError, match=r"names the layer 'twice' of class .*Doubled, which is not among"):
        load_keras_file(tmp_path / f"model{suffix}")


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    """A network of every method in both kinds of file, with an input and its answers."""
    folder = tmp_path_factory.mktemp("networks")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.save(folder / "x.npy", x)
    for method in list_methods():
        with registered():
            model = create_model(method, fitting(method), (8, 8, 3), 4, **{"groupnet": {"k": 2}}.get(method, {}))
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in layer.get_weights()])
        np.save(folder / f"{method}.npy", model(x))
        for suffix in SUFFIXES:
            model.save(folder / f"{method}{suffix}")
    return folder


def fresh(code: str, folder: Path) -> dict[str, list[float]]:
    """Run code that fills `answers` from `paths` in a process of its own."""
    program = (
        "import json, sys, warnings\nimport numpy as np\nfrom pathlib import Path\n"
        f"{code}\n"
        "paths = sorted(p for p in Path(sys.argv[1]).iterdir() if p.suffix in ('.keras', '.h5'))\n"
        "x = np.load(Path(sys.argv[1]) / 'x.npy')\n"
        "print(json.dumps({p.name: np.asarray(load(p)(x)).tolist() for p in paths}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, folder], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_method_loads_in_a_fresh_process(networks):
    """With our reader, and with plain Keras where our layers and quantizers are imported."""
    code = (
        "import larqnets; larqnets.require_keras_2()\n"
        "import tensorflow as tf\n"
        "from larqnets.runs.keras_file import load_keras_file\n"
        "def load(path):\n"
        "    plain = tf.keras.models.load_model(path, compile=False)\n"
        "    def both(x):\n"
        "        np.testing.assert_array_equal(load_keras_file(path)(x), plain(x), err_msg=path.name)\n"
        "        return plain(x)\n"
        "    return both"
    )
    found = fresh(code, networks)
    assert sorted(found) == sorted(f"{method}{suffix}" for method in list_methods() for suffix in SUFFIXES)
    for name, answer in found.items():
        np.testing.assert_array_equal(np.float32(answer), np.load(networks / f"{name.split('.')[0]}.npy"), err_msg=name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.pt", "PyTorch checkpoint.*larqnets import"),
        ("x.PTH", "PyTorch checkpoint.*larqnets import"),
        ("x.onnx", "ONNX graph.*model.save"),
        ("x.pb", "TensorFlow graph"),
        ("x.safetensors", "weights without their network"),
        ("x.tflite", "converted already"),
        ("x.npz", "arrays without their network.*larqnets import"),
        ("x.txt", "neither a run folder nor a Keras model file"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(LarqnetsError, match=f"(?s){said}"):
        load_keras_file(tmp_path / name)


def test_folders_are_no_files(tmp_path, cli):
    tf.keras.Sequential([tf.keras.Input((4, 4, 1)), layers.Flatten()]).save(tmp_path / "saved", save_format="tf")
    (tmp_path / "saved").rename(tmp_path / "x.keras")
    (tmp_path / "y.h5").mkdir()
    os.mkfifo(tmp_path / "z.keras")
    for verb in ("convert", "summary", "decompose", "import"):
        outcome = cli(verb, "x.keras")
        assert (outcome.code, outcome.out) == (1, "")
        assert "SavedModel" in outcome.err
        assert outcome.err.count("\n") == 1
        assert "folder" in cli(verb, "y.h5").err
        assert "no regular file" in cli(verb, "z.keras").err


@pytest.mark.parametrize("shape", [None, [None, None, None, 1], [None, 4, None, 1]])
def test_images_of_any_size_are_refused(tmp_path, shape):
    path = tmp_path / "x.h5"
    tf.keras.Sequential([tf.keras.Input((4, 4, 1)), layers.ReLU()]).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][0]["config"]["batch_input_shape"] = shape
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(LarqnetsError, match=r"takes images of any size|does not say how large"):
        load_keras_file(path)


def test_weights_alone_are_named(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 1)), layers.Conv2D(2, 3)])
    for name in ("model.weights.h5", "model.h5"):
        model.save_weights(tmp_path / name)
        with pytest.raises(LarqnetsError, match="holds weights without their network"):
            load_keras_file(tmp_path / name)


def test_files_of_keras_3_say_so(tmp_path):
    code = (
        "import sys, keras\n"
        "model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])\n"
        "for path in sys.argv[1:]: model.save(path)\n"
    )
    paths = [tmp_path / f"model{suffix}" for suffix in SUFFIXES]
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True, env=environment)
    for path in paths:
        with pytest.raises(LarqnetsError, match=r"was written by Keras 3.*TF_USE_LEGACY_KERAS=1"):
            load_keras_file(path)
