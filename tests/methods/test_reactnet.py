"""ReActNet's layers against their formulas, its unit against NumPy, its pair of 1x1 convolutions, its counts."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model
from larqnets.backbones import Unit, get_backbone
from larqnets.counts import count
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.methods import get_method
from larqnets.quantizers import approx_sign
from larqnets.runs.weights import decayed_kernels
from larqnets.training import transfer_weights

X = np.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5], np.float32)


def column(values):
    """One channel of 7 positions: (1, 1, 7, 1)."""
    return tf.constant(np.reshape(values, (1, 1, -1, 1)), tf.float32)


def built(layer, channels=1, **weights):
    layer.build((None, None, None, channels))
    for name, value in weights.items():
        getattr(layer, name).assign(np.broadcast_to(value, (channels,)))
    return layer


def test_rsign_without_threshold_is_the_sign():
    np.testing.assert_array_equal(approx_sign(built(RSign())(column(X))), column([-1, -1, -1, 1, 1, 1, 1]))


def test_rsign_moves_the_sign_and_its_gradient_table():
    layer, x = built(RSign(), threshold=0.5), column(X)
    upstream = column([1, 2, 3, 4, 5, 6, 7])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = approx_sign(layer(x))
    dx, dthreshold = tape.gradient(y, [x, layer.threshold], upstream)
    np.testing.assert_array_equal(y, column([-1, -1, -1, -1, 1, 1, 1]))
    expected = np.array([0, 0, 0, 1, 2, 1, 0]) * [1, 2, 3, 4, 5, 6, 7]  # 2 - 2|x - 0.5| inside its window
    np.testing.assert_array_equal(dx, column(expected))
    np.testing.assert_array_equal(dthreshold, [-expected.sum()])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, np.where(X > 0, X, 0.25 * X)),  # as it begins
        ({"slope": 1.0}, X),
        ({"slope": 0.0}, np.maximum(X, 0)),
        (
            {"shift_in": 0.5, "slope": 0.5, "shift_out": -2.0},
            [-3, -2.75, -2.5, -2.25, -2, -1.5, -1],  # by hand; at x = gamma the value is zeta
        ),
    ],
)
def test_rprelu_values(weights, expected):
    np.testing.assert_array_equal(built(RPReLU(), **weights)(column(X)), column(expected))


def test_rprelu_gradients():
    """df/dx is 1 or beta; df/dgamma = -df/dx; df/dzeta = 1; df/dbeta = min(x - gamma, 0)."""
    layer, x = built(RPReLU(), shift_in=0.25, slope=-0.5, shift_out=3.0), column(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    dx, *rest = tape.gradient(y, [x, layer.shift_in, layer.slope, layer.shift_out])
    np.testing.assert_array_equal(dx, column([-0.5, -0.5, -0.5, -0.5, 1, 1, 1]))
    np.testing.assert_allclose(np.ravel(rest), [-(3 - 4 * 0.5), -(1.75 + 1.25 + 0.75 + 0.25), 7])


def shaken(model, seed=0):
    """Give every weight that begins as a constant a value of its own; returns the model."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.name.rsplit("/", 1)[-1].split(":")[0]
        if kind == "moving_variance":
            weight.assign(rng.uniform(1, 4, weight.shape))
        elif kind in ("threshold", "shift_in", "shift_out", "slope", "gamma", "beta", "moving_mean", "bias"):
            weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


def unit_model(unit, shape, seed=0):
    image = tf.keras.Input(shape)
    return shaken(tf.keras.Model(image, get_method("reactnet").unit(image, unit, "u")), seed)


def numpy_conv(x, w, strides):
    """SAME convolution of (H, W, C) with (k, k, C, O), padded with +1, as plain sums."""
    k = w.shape[0]
    size = -(-x.shape[0] // strides)
    total = max(0, (size - 1) * strides + k - x.shape[0])
    x = np.pad(x, [(total // 2, total - total // 2)] * 2 + [(0, 0)], constant_values=1)
    windows = [
        [np.tensordot(x[i : i + k, j : j + k], w, 3) for j in range(0, size * strides, strides)]
        for i in range(0, size * strides, strides)
    ]
    return np.array(windows)


def numpy_branch(x, weights, filters, strides):
    """BN(alpha * conv(sign(x - threshold), sign(w))) for the chosen filters."""
    w = weights["kernel"][..., filters]
    y = numpy_conv(np.where(x - weights["threshold"] >= 0, 1, -1), np.where(w >= 0, 1, -1), strides)
    y = y * np.abs(w).mean((0, 1, 2))
    mean, variance, gamma, beta = (weights[n][filters] for n in ("moving_mean", "moving_variance", "gamma", "beta"))
    return gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta


def numpy_rprelu(u, weights):
    u = u - weights["shift_in"]
    return np.where(u > 0, u, weights["slope"] * u) + weights["shift_out"]


def weights_of(model):
    return {w.name.rsplit("/", 1)[-1].split(":")[0]: w.numpy() for w in model.weights}


@pytest.mark.parametrize("strides", [1, 2])
def test_unit_against_numpy(strides):
    """float32 sums of 36 numbers of size 1 agree to 1e-5."""
    model = unit_model(Unit(4, 3, strides), (6, 6, 4))
    x = np.random.default_rng(1).normal(size=(6, 6, 4)).astype(np.float32)
    weights = weights_of(model)
    around = x if strides == 1 else x.reshape(3, 2, 3, 2, 4).mean((1, 3))
    expected = numpy_rprelu(numpy_branch(x, weights, slice(None), strides) + around, weights)
    np.testing.assert_allclose(model(x[np.newaxis])[0], expected, rtol=1e-5, atol=1e-5)


def test_the_stacked_pair_is_two_convolutions_on_two_copies():
    """The paper's pair: each half C -> C with its own kernel and BatchNorm, plus x, the halves side by side."""
    model = unit_model(Unit(8, 1), (5, 5, 4))
    x = np.random.default_rng(2).normal(size=(5, 5, 4)).astype(np.float32)
    weights = weights_of(model)
    halves = [numpy_branch(x, weights, part, 1) + x for part in (slice(0, 4), slice(4, 8))]
    expected = numpy_rprelu(np.concatenate(halves, axis=-1), weights)
    np.testing.assert_allclose(model(x[np.newaxis])[0], expected, rtol=1e-5, atol=1e-5)


def test_body_a_has_no_real_convolution_but_its_stem():
    model = create_model("reactnet", "reactnet_a", (32, 32, 3), 10, width=0.25)
    assert [layer.name for layer in model.layers if type(layer) is tf.keras.layers.Conv2D] == ["stem_conv"]


def test_body_a_is_the_table_of_the_paper():
    body = get_backbone("reactnet_a", "imagenet")
    outputs = [block.units[-1].filters for stage in body.stages for block in stage]
    assert outputs == [64] + [128] * 2 + [256] * 2 + [512] * 6 + [1024] * 2
    strides = [block.units[0].strides for stage in body.stages for block in stage]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    before = [32, *outputs[:-1]]
    assert [block.units[0].filters for stage in body.stages for block in stage] == before


def test_reactnet_a_operations_are_the_published_ones():
    """4.82e9 binary MACs / 64 + 0.12e8 real ones (stem and classifier) = 0.87e8 OPs."""
    model = create_model("reactnet", "reactnet_a", (224, 224, 3), 1000, stem="imagenet")
    totals = count(model).to_json()["totals"]
    assert totals["binary_macs"] == pytest.approx(4.82e9, rel=0.001)
    assert totals["real_macs"] == 112 * 112 * 27 * 32 + 1024 * 1000
    assert totals["operations"] == pytest.approx(0.87e8, rel=0.005)


def test_reactnet18_operations_are_those_of_bireal18():
    of = {
        method: count(create_model(method, "resnet18", (224, 224, 3), 1000, stem="imagenet")).to_json()["totals"]
        for method in ("reactnet", "birealnet")
    }
    for number in ("binary_macs", "real_macs", "binary_weights"):
        assert of["reactnet"][number] == of["birealnet"][number]


@pytest.mark.parametrize("precision", ["binary_activations", "binary"])
def test_weight_decay_never_acts_on_thresholds_slopes_or_shifts(precision):
    model = create_model("reactnet", "resnet8", (8, 8, 1), 10, width=0.25, precision=precision)
    decayed = [weight.name for weight in decayed_kernels(model)]
    assert decayed
    assert all(name.endswith("kernel:0") for name in decayed)
    learned = {weight.name.rsplit("/", 1)[-1] for weight in model.trainable_weights}
    assert learned >= {"threshold:0", "shift_in:0", "slope:0", "shift_out:0"}


def test_reactnet_needs_residual_blocks():
    with pytest.raises(LarqnetsError, match="reactnet puts a shortcut around every convolution, and 'vgg_small'"):
        create_model("reactnet", "vgg_small", (16, 16, 3), 10)


def test_it_begins_as_bireal_net_with_a_leaky_relu():
    """Thresholds and shifts are 0 and slopes 0.25 at first, and no path is left out: with slope 1 it is Bi-Real Net."""
    models = {}
    for method in ("reactnet", "birealnet"):
        tf.keras.utils.set_random_seed(0)
        models[method] = create_model(method, "resnet8", (8, 8, 1), 10)
    ours, bireal = models["reactnet"], models["birealnet"]
    for layer in bireal.layers:
        ours.get_layer(layer.name).set_weights(layer.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    assert np.abs(ours(x) - bireal(x)).max() > 0.01
    for layer in ours.layers:
        if isinstance(layer, RPReLU):
            np.testing.assert_array_equal(layer.slope, np.full(layer.slope.shape, 0.25))
            layer.slope.assign(np.ones(layer.slope.shape))
    # PReLU with slope 1 is relu(x) - relu(-x), exactly x
    np.testing.assert_array_equal(ours(x), bireal(x))


def test_step_2_begins_with_every_weight_of_step_1():
    """The trap of the released code: kernels that do not reach step 2. Names, shapes and bits are the same here."""
    step1 = shaken(create_model("reactnet", "reactnet_a", (16, 16, 3), 10, width=0.125, precision="binary_activations"))
    step2 = create_model("reactnet", "reactnet_a", (16, 16, 3), 10, width=0.125)
    assert transfer_weights(step1, step2) == []
    assert [weight.name for weight in step1.weights] == [weight.name for weight in step2.weights]
    for before, after in zip(step1.weights, step2.weights, strict=True):
        np.testing.assert_array_equal(before, after)
