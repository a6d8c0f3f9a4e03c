"""QuickNet: its blur, unit and transition against sums by hand, its bodies against Larq Zoo's with the same weights."""

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle
from small_backbones import registered

from deploy.convert.convert import Samples, convert
from larqnets import create_model
from larqnets.backbones import Unit, get_backbone
from larqnets.counts import count
from larqnets.layers.blur import Binomial, blur_pool
from larqnets.methods import get_method
from larqnets.tflite.inspect import inspect_model

RNG = np.random.default_rng(0)
BLUR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


def blurred(x):
    """A map (H, W) of numbers of 0 or more: maxima of 2x2, odd sides with a 0 behind, then every second sum with BLUR."""
    x = np.pad(x, [(0, side % 2) for side in x.shape])
    largest = np.maximum.reduce([x[:-1, :-1], x[1:, :-1], x[:-1, 1:], x[1:, 1:]])
    padded = np.pad(largest, 1)
    rows, columns = (side // 2 for side in x.shape)
    return np.array(
        [[(BLUR * padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]).sum() for j in range(columns)] for i in range(rows)]
    )


@pytest.mark.parametrize("shape", [(6, 8), (2, 2), (5, 8), (7, 3), (1, 1)])
def test_the_blur_is_its_sums(shape):
    image = tf.keras.Input((*shape, 3))
    model = tf.keras.Model(image, blur_pool(image, "pool"))
    x = RNG.uniform(0, 4, (1, *shape, 3)).astype(np.float32)
    due = np.stack([blurred(x[0, :, :, channel]) for channel in range(3)], -1)
    np.testing.assert_allclose(model(x)[0], due, rtol=1e-5, atol=1e-6)
    assert model.trainable_weights == []
    (kernel,) = model.weights
    np.testing.assert_array_equal(kernel[:, :, :, 0], np.repeat(BLUR[:, :, np.newaxis], 3, -1))


def test_a_kernel_that_is_not_the_blurs_is_refused():
    with pytest.raises(ValueError, match=r"kernels \(3, 3, C, 1\), not \(5, 5, 2, 1\)"):
        Binomial()((5, 5, 2, 1))


def shaken(model):
    """Give every BatchNorm numbers as after training; returns the model."""
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            spread = layer.moving_variance.shape
            layer.set_weights([*RNG.normal(size=(len(layer.weights) - 1, *spread)), RNG.uniform(1, 4, spread)])
    return model


def normed(x, layer):
    return layer.gamma * (x - layer.moving_mean) / np.sqrt(layer.moving_variance + 1e-5) + layer.beta


def unit_by_hand(x, model):
    """BN(ReLU(bconv(sign x))) + x of (H, W, C), padded with +1."""
    signs = np.where(model.get_layer("u").kernel.latent_variable.numpy() >= 0, 1, -1)
    padded = np.pad(np.where(x >= 0, 1, -1), [(1, 1), (1, 1), (0, 0)], constant_values=1)
    height, width, _ = x.shape
    y = np.array([[np.tensordot(padded[i : i + 3, j : j + 3], signs, 3) for j in range(width)] for i in range(height)])
    return normed(np.maximum(y, 0), model.get_layer("u_bn")) + x


@pytest.mark.parametrize("unit", [Unit(4), Unit(6, strides=2), Unit(4, strides=2), Unit(6)])
def test_the_unit_is_its_sums_behind_the_transition_where_the_shape_changes(unit):
    image = tf.keras.Input((6, 6, 4))
    model = shaken(tf.keras.Model(image, get_method("quicknet").unit(image, unit, "u")))
    x = RNG.normal(size=(6, 6, 4)).astype(np.float32)
    before = x
    if (unit.filters, unit.strides) != (4, 1):
        before = np.maximum(x, 0)
        if unit.strides == 2:
            before = np.stack([blurred(before[:, :, channel]) for channel in range(4)], -1)
        kernel = model.get_layer("u_projection").kernel.numpy()[0, 0]
        before = normed(before @ kernel, model.get_layer("u_projection_bn"))
    np.testing.assert_allclose(model(x[np.newaxis])[0], unit_by_hand(before, model), rtol=1e-4, atol=1e-4)


def test_gradients_and_latents_end_at_5_quarters():
    image = tf.keras.Input((4, 4, 4))
    layer = tf.keras.Model(image, get_method("quicknet").unit(image, Unit(4), "u")).get_layer("u")
    x = tf.constant([-1.3, -1.25, -0.1, 0.0, 1.25, 1.3])
    np.testing.assert_array_equal(layer.kernel_constraint(x), tf.constant([-1.25, -1.25, -0.1, 0, 1.25, 1.25]))
    for quantizer in (layer.input_quantizer, layer.kernel_quantizer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        np.testing.assert_array_equal(y, [-1, -1, -1, 1, 1, 1])
        np.testing.assert_array_equal(tape.gradient(y, x), [0, 1, 1, 1, 1, 0])


@pytest.mark.parametrize(
    ("backbone", "published", "binary", "real"),
    [
        ("quicknet_small", 12_655_688, 1_156_055_040, 15_941_120),
        ("quicknet", 13_234_088, 1_849_688_064, 29_651_712),
        ("quicknet_large", 23_342_248, 3_699_376_128, 29_651_712),
    ],
)
def test_the_bodies_have_as_many_parameters_as_published(backbone, published, binary, real):
    """Larq Zoo counts two numbers a channel of a BatchNorm with factor and offset, as many as it has on a device."""
    model = create_model("quicknet", backbone, (224, 224, 3), 1000, stem="imagenet")
    norms = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    counts = count(model)
    averages = 2 * sum(int(layer.moving_mean.shape[0]) for layer in norms if layer.scale)
    assert counts.parameters - averages == published
    totals = counts.to_json()["totals"]
    assert (totals["binary_macs"], totals["real_macs"]) == (binary, real)


def test_with_the_same_weights_it_answers_as_that_of_larq_zoo():
    """Layer for layer the same counts and, but for the epsilon of the stem's BatchNorms, the same answers."""
    zoo = pytest.importorskip("larq_zoo", reason="Larq Zoo is not installed")
    shape = (64, 64, 3)
    theirs = shaken(zoo.sota.QuickNetSmall(weights=None, input_shape=shape, num_classes=10))
    ours = create_model("quicknet", "quicknet_small", shape, 10, stem="imagenet")
    for layer, published in zip(*([x for x in m.layers if x.weights] for m in (ours, theirs)), strict=True):
        layer.set_weights(published.get_weights())
        layer.epsilon = getattr(published, "epsilon", None)
    assert [tuple(vars(c).values())[2:] for c in count(ours).layers] == [
        tuple(vars(c).values())[2:] for c in count(theirs).layers
    ]
    image = RNG.normal(size=(2, *shape)).astype(np.float32)
    answers = theirs(image).numpy()
    assert answers.std() > 0.01
    np.testing.assert_allclose(tf.nn.softmax(ours(image)), answers, rtol=0, atol=1e-4)


@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_sizes_are_rounded_up(stem):
    """Also where a map is odd, so that reductions and the smallest image are those of every method."""
    plan, method = get_backbone("quicknet", stem, 1 / 16), get_method("quicknet")
    images = tf.keras.Input((36, 100, 3))
    stages = method.body(method.stem(images, plan.stem), plan)
    assert [stage.shape[1:3] for stage in stages] == [(-(-36 // r), -(-100 // r)) for r in plan.reductions]


def test_maps_of_an_odd_size_are_proven_behind_the_imagenet_stem():
    """28x28 images are 7x7 where the transition halves them."""
    tf.keras.utils.set_random_seed(0)
    images = RNG.normal(size=(16, 28, 28, 3)).astype(np.float32)
    with registered():
        model = create_model("quicknet", "resnet5", (28, 28, 3), 10, stem="imagenet")
    settle(model, images)
    converted = convert(model, Samples(images, real=False))
    assert converted.verification.equal
    assert (converted.fallbacks, converted.bytes_check.matches) == ([], True)
    ops = inspect_model(converted.content).ops
    assert len([op for op in ops if op.kind == "binary"]) == 3
    assert [op.output_shapes for op in ops if op.op in ("PAD", "MAX_POOL_2D")] == [((1, 8, 8, 8),), ((1, 7, 7, 8),)]
