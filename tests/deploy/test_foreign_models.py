"""Models that others make: what converts is right, what cannot is named with cause and remedy before the converter runs."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from deploy.convert.convert import Samples, convert
from deploy.export import converters, trained
from deploy.export.activations import erf, gelu, softsign
from deploy.export.model import export_model
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError

layers = tf.keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 16)).astype(np.float32)
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
ACTIVATIONS = sorted(set(dir(tf.keras.activations)) - {"get", "serialize", "deserialize"})
ACTIVATIONS = [name for name in ACTIVATIONS if not name.startswith("_")]


def network(*stack, with_binary=True):
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input(IMAGES.shape[1:])
    if with_binary:
        x = lq.layers.QuantConv2D(16, 3, padding="same", pad_values=1.0, use_bias=False, name="binary", **SIGNS)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
    for layer in stack:
        x = layer(x)
    return tf.keras.Model(inputs, x)


def converted(model, **options):
    return convert(model, Samples(IMAGES, real=False), **options)


def every_activation(with_binary):
    """One network with every activation, as a layer, of a convolution and of a dense layer, and some as ops."""
    model = network(with_binary=with_binary)
    x, outputs = model.output, []
    x = layers.BatchNormalization()(layers.Activation("tanh")(x))  # far out the exponential overflows
    for name in ACTIVATIONS:
        outputs += [layers.Activation(name)(x), layers.Conv2D(4, 1, activation=name)(x), layers.Dense(4, name)(x)]
    outputs += [tf.nn.gelu(x), tf.nn.gelu(x, approximate=True), tf.nn.softsign(x), tf.math.erf(x)]
    return tf.keras.Model(model.input, layers.Concatenate()([layers.GlobalAveragePooling2D()(y) for y in outputs]))


@pytest.mark.parametrize("with_binary", [True, False])
def test_every_activation_of_keras_converts(with_binary):
    assert {"gelu", "softsign", "mish"} <= set(ACTIVATIONS)
    file = converted(every_activation(with_binary))
    assert file.verification.equal
    assert file.variant == ("binary" if with_binary else "float")


@pytest.mark.usefixtures("bundle")
def test_functions_that_we_write_are_right_on_arm64():
    model = network(layers.Dense(4, "gelu"), layers.Activation("softsign"), tf.math.erf)
    content = converted(model).content
    expected = model(IMAGES, training=False).numpy()
    np.testing.assert_allclose(Interpreter(content, device="qemu").predict(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize(("ours", "theirs"), [(erf, tf.math.erf), (gelu, tf.nn.gelu), (softsign, tf.nn.softsign)])
def test_written_functions_are_tensorflows(ours, theirs):
    x = tf.concat([tf.linspace(-12.0, 12.0, 20_001), [0.0, -0.0, 1e-30, 1e30, -1e30]], 0)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6, rtol=1e-6)


LAYERS = {
    "norm of rows": lambda: [layers.BatchNormalization(axis=1, beta_initializer="ones", gamma_initializer="ones")],
    "norm of columns": lambda: [layers.BatchNormalization(axis=2, beta_initializer="ones")],
    "layer norm": lambda: [layers.LayerNormalization(), layers.GroupNormalization(4), layers.UnitNormalization()],
    "sizes": lambda: [layers.Resizing(5, 7), layers.UpSampling2D(2, interpolation="bilinear"), layers.CenterCrop(4, 4)],
    "softmax of rows": lambda: [layers.Softmax(axis=1)],
    "a layer called image": lambda: [layers.Conv2D(4, 1, name="image")],
    "recurrent": lambda: [layers.Reshape((16, 64)), layers.LSTM(4, unroll=True)],
}


@pytest.mark.parametrize("with_binary", [True, False])
@pytest.mark.parametrize("stack", LAYERS.values(), ids=LAYERS)
def test_layers_of_keras_convert(stack, with_binary):
    assert converted(network(*stack(), with_binary=with_binary)).verification.equal


FAILING = {
    "bicubic": (
        lambda: [layers.UpSampling2D(2, interpolation="bicubic", name="odd")],
        "no op ResizeBicubic",
        "bilinear",
    ),
    "area": (lambda: [layers.Resizing(4, 4, interpolation="area", name="odd")], "no op ResizeArea", "'nearest'"),
    "volume": (lambda: [layers.Reshape((4, 4, 4, 16)), layers.MaxPool3D(name="odd")], "no op MaxPool3D", "two axes"),
    "an op": (lambda: [tf.math.tan], "no op Tan", "a layer of other ops"),
    "a state": (lambda: [layers.Reshape((64, 16)), layers.LSTM(4, name="odd")], "keeps a state", "unroll=True"),
}


@pytest.mark.parametrize("with_binary", [True, False])
@pytest.mark.parametrize(("stack", "cause", "remedy"), FAILING.values(), ids=FAILING)
def test_what_cannot_be_converted_is_named_with_cause_and_remedy(stack, cause, remedy, with_binary, capfd):
    model = network(*stack(), layers.Flatten(), layers.Dense(3), with_binary=with_binary)
    capfd.readouterr()
    with pytest.raises(LarqnetsError) as error:
        converted(model)
    text = str(error.value)
    assert text.startswith(("Layer 'odd' (", "Layer 'tf.math.tan"))
    assert cause in text
    assert remedy in text
    assert len(text) < 300
    assert "MLIR" not in capfd.readouterr().err


def test_a_failure_of_no_layer_gives_its_reason_in_a_sentence(monkeypatch):
    def failing(model):
        raise RuntimeError("cannot create std::vector larger than max_size()\n")

    monkeypatch.setattr(converters.lce, "convert_saved_model", lambda folder: failing(folder))
    monkeypatch.setattr(converters, "_may_fail", lambda layer: False)
    with pytest.raises(LarqnetsError, match=r"network as a whole .*: cannot create std::vector larger than max_size"):
        converted(network(layers.Flatten()))


def dorefa():
    options = {"input_quantizer": lq.quantizers.DoReFa(2), "kernel_quantizer": "ste_sign", "name": "two_bits"}
    return lq.layers.QuantConv2D(8, 3, kernel_constraint="weight_clip", **options)


def test_known_problems_are_told_before_anything_is_rebuilt_or_converted(monkeypatch):
    def never(*_):
        raise AssertionError("too late")

    monkeypatch.setattr(trained, "export_model", never)
    with pytest.raises(LarqnetsError, match=r"Layer 'two_bits' is not a 1-bit op: its input quantizer is not the sign"):
        converted(network(dorefa()))


def test_a_layer_that_stays_float_has_its_kernel_as_a_constant():
    """The converter dies of a quantizer on a dense kernel of 9,216 x 4,096."""
    model = network(dorefa(), layers.Flatten(), layers.Dense(3))
    layer = export_model(model).model.get_layer("two_bits")
    assert layer.kernel_quantizer is None
    assert set(np.unique(layer.kernel)) == {-1, 1}
    assert converted(model, allow_float=True).verification.equal


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_a_model_of_16_bits_is_converted_in_float32_and_says_so(policy):
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = network(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, "softmax"))
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    file = converted(model)
    assert file.verification.equal
    assert f"The model computes in {policy}; file and proof have it in float32, with the same weights." in file.warnings


def test_a_layer_with_only_an_input_quantizer_is_said_to_run_as_float():
    half = lq.layers.QuantConv2D(8, 3, input_quantizer="ste_sign", name="half")
    (warning,) = converted(network(half, layers.Flatten(), layers.Dense(3))).warnings
    assert "1 layers have an input quantizer and a real kernel" in warning
    assert warning.endswith("run as float: half.")
