"""The shifts of RPReLU go where the algebra lets them, and stay where it does not; the function is the same."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from deploy.convert.convert import Samples, convert
from deploy.export.model import export_model
from larqnets import create_model
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.tflite.inspect import inspect_model

layers = tf.keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 16, 16, 3)).astype(np.float32)
SAMPLES = Samples(IMAGES, RNG.integers(0, 10, 32).astype(np.int32), 32)


def shake(model):
    """Thresholds, slopes, shifts and BatchNorm as after training, all channels different."""
    for weight in model.weights:
        kind = weight.name.rsplit("/", 1)[-1].split(":")[0]
        if kind == "moving_variance":
            weight.assign(RNG.uniform(1, 20, weight.shape))
        elif kind in ("threshold", "shift_in", "shift_out", "slope", "gamma", "beta", "moving_mean", "bias"):
            weight.assign(RNG.normal(size=weight.shape))
    return model


def assert_same_function(model, rebuilt):
    """1e-4 of the largest output: the same numbers, added in another order."""
    for x in RNG.normal(size=(5, 1, *model.input_shape[1:])).astype(np.float32):
        expected = model(x, training=False).numpy()
        np.testing.assert_allclose(rebuilt(x), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("backbone", "width"), [("resnet8", 2.0), ("reactnet_a", 0.25)])
def test_reactnet_keeps_one_constant_and_one_prelu_per_convolution(backbone, width):
    model = shake(create_model("reactnet", backbone, (16, 16, 3), 10, width=width))
    rebuilt = export_model(model).model
    assert not any(isinstance(layer, RPReLU) for layer in rebuilt.layers)
    assert_same_function(model, rebuilt)
    converted = convert(model, SAMPLES)
    assert converted.verification.equal
    ops = [op.op for op in inspect_model(converted.content).ops]
    convolutions = ops.count("LceBconv2d")
    assert convolutions == len(converted.verification.layers)
    for op in ("SUB", "LceQuantize", "ADD", "PRELU"):
        assert ops.count(op) == convolutions
    assert ops.count("MUL") == 0


def norm():
    return layers.BatchNormalization()


def bconv(filters=8):
    return lq.layers.QuantConv2D(
        filters, 3, padding="same", pad_values=1.0, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )


FOLDED = {
    "threshold": [RSign(), bconv()],
    "batchnorm": [norm()],
    "dense": [layers.GlobalAvgPool2D(), layers.Dense(3)],
    "flatten": [layers.MaxPool2D(2), layers.Flatten(), layers.Dense(3)],
    "1x1 convolution": [layers.AvgPool2D(2, padding="same"), layers.Conv2D(5, 1), norm()],
    "another RPReLU": [RPReLU(), bconv()],  # which itself is not foldable: a sign without threshold follows
    "dropout": [layers.Dropout(0.5), RSign(), bconv()],
}
KEPT = {
    "the output": [],
    "a sign without threshold": [bconv()],
    "a padded convolution": [layers.Conv2D(5, 3, padding="same"), norm()],
    "an activation": [layers.Activation("tanh"), norm()],
    "a 1x1 convolution with an activation": [layers.Conv2D(5, 1, activation="tanh"), norm()],
    "dense without bias at the end": [layers.GlobalAvgPool2D(), layers.Dense(3, use_bias=False)],
}


def after_a_sum(stack):
    """BN(conv x) + x, the RPReLU under test, then the stack; 9x9 is odd, so that poolings have a border."""
    image = tf.keras.Input((9, 9, 8))
    x = layers.Add()([norm()(layers.Conv2D(8, 3, padding="same")(image)), image])
    x = RPReLU(name="tested")(x)
    for layer in stack:
        # without its name: other tests begin Keras' numbering of names anew
        x = type(layer).from_config({key: value for key, value in layer.get_config().items() if key != "name"})(x)
    return shake(tf.keras.Model(image, x))


@pytest.mark.parametrize("stack", FOLDED.values(), ids=FOLDED.keys())
def test_shifts_fold_into(stack):
    model = after_a_sum(stack)
    rebuilt = export_model(model).model
    assert type(rebuilt.get_layer("tested")) is layers.PReLU
    assert_same_function(model, rebuilt)


@pytest.mark.parametrize("stack", KEPT.values(), ids=KEPT.keys())
def test_shifts_stay_before(stack):
    model = after_a_sum(stack)
    rebuilt = export_model(model).model
    assert type(rebuilt.get_layer("tested")) is RPReLU
    assert_same_function(model, rebuilt)


def test_a_constant_goes_through_concatenations_and_sums():
    image = tf.keras.Input((8, 8, 4))
    parts = [RPReLU(name=name)(norm()(layers.Conv2D(n, 1)(image))) for name, n in (("a", 4), ("b", 2))]
    x = layers.Concatenate()([*parts, image])
    x = layers.Add()([norm()(bconv(10)(RSign()(x))), x])
    x = layers.Dense(3)(layers.GlobalAvgPool2D()(RPReLU(name="c")(x)))
    model = shake(tf.keras.Model(image, x))
    rebuilt = export_model(model).model
    assert [type(rebuilt.get_layer(name)) for name in "abc"] == [layers.PReLU] * 3
    assert_same_function(model, rebuilt)


def test_a_batchnorm_with_two_readers_cannot_take_the_shift():
    image = tf.keras.Input((8, 8, 4))
    x = norm()(layers.Conv2D(4, 1)(image))
    y = layers.Add()([x, RPReLU(name="tested")(x)])
    model = shake(tf.keras.Model(image, norm()(y)))
    rebuilt = export_model(model).model
    assert type(rebuilt.get_layer("tested")) is RPReLU
    assert_same_function(model, rebuilt)


def test_only_a_batchnorm_over_the_last_axis_with_a_beta_takes_the_shift():
    for options in ({"axis": 1}, {"center": False}):
        image = tf.keras.Input((4, 4, 4))
        x = RPReLU(name="tested")(layers.BatchNormalization(**options)(layers.Conv2D(4, 1)(image)))
        model = shake(tf.keras.Model(image, layers.Dense(3)(layers.GlobalAvgPool2D()(x))))
        rebuilt = export_model(model).model
        assert type(rebuilt.get_layer("tested")) is RPReLU
        assert_same_function(model, rebuilt)
