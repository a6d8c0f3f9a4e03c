"""Elastic-Link: its link and unit against their formulas, what they turn into other methods, counts, export, training."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import larqnets
from deploy.convert.convert import Samples, convert
from deploy.export.model import export_model
from deploy.proof.verify import verify
from larqnets import LarqnetsError, create_model
from larqnets.backbones import Backbone, Block, Stem, Unit
from larqnets.counts import count, is_binary_kernel
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.rprelu import RPReLU
from larqnets.methods import batch_norm, binary_conv, get_method
from larqnets.quantizers import ApproxSign, MagnitudeSign
from larqnets.runs.weights import decayed_kernels
from larqnets.tasks import Images, get_task, only
from larqnets.tflite.inspect import inspect_model

layers = tf.keras.layers
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def shaken(model):
    """Give every weight that begins as a constant a value of its own, as training does; returns the model."""
    for weight in model.weights:
        kind = weight.name.rsplit("/", 1)[-1].split(":")[0]
        if kind == "moving_variance":
            weight.assign(RNG.uniform(1, 20, weight.shape))
        elif "kernel" not in kind:
            weight.assign(RNG.normal(size=weight.shape))
    return model


def unit_model(channels, unit, *, method="elasticlink", size=6, **options):
    image = tf.keras.Input((size, size, channels))
    return tf.keras.Model(image, get_method(method, **options).unit(image, unit, "u"))


def copy_weights(source, target):
    """Set the weights of the layers that both models have."""
    for layer in target.layers:
        if layer.get_weights():
            layer.set_weights(source.get_layer(layer.name).get_weights())


def set_slope(model, slope):
    for layer in model.layers:
        if isinstance(layer, layers.PReLU):
            layer.alpha.assign(tf.fill(layer.alpha.shape, slope))


def plain_unit(channels, filters, size=6):
    """The unit without a link, written down by itself."""
    image = tf.keras.Input((size, size, channels))
    y = batch_norm(binary_conv(image, Unit(filters), "u", ApproxSign(), MagnitudeSign()), "u_bn")
    return tf.keras.Model(image, layers.PReLU(shared_axes=[1, 2], name="u_prelu")(y))


def bottleneck(filters, strides):
    return Block((Unit(filters, 1), Unit(filters, 3, strides), Unit(4 * filters, 1)))


TINY = Backbone("tiny", Stem(32), ((bottleneck(32, 1), bottleneck(32, 1)), (bottleneck(64, 2),)))


def tiny(classes=10, **options):
    """A network of three bottlenecks: links by identity, pool, squeeze by 2 and 4, expand by 4."""
    method = get_method("elasticlink", **options)
    method.check(TINY)
    image = tf.keras.Input((8, 8, 1))
    features = method.body(method.stem(image, TINY.stem), TINY)
    return tf.keras.Model(image, only(get_task().outputs(features, method, TINY, Images((8, 8, 1), classes))))


# What a link becomes in special cases.


def test_without_gamma_it_is_the_unit_without_a_link():
    """Property 1: forward and dL/dW, to the bit."""
    model, plain = shaken(unit_model(8, Unit(16))), plain_unit(8, 16)
    model.get_layer("u_link").gamma.assign(0.0)
    copy_weights(model, plain)
    x, upstream = normal(2, 6, 6, 8), normal(2, 6, 6, 16)
    found = []
    for m in (model, plain):
        kernel = m.get_layer("u").kernel.latent_variable
        with tf.GradientTape() as tape:
            y = m(x)
            loss = tf.reduce_sum(y * upstream)
        found.append((y, tape.gradient(loss, kernel)))
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_array_equal(ours, theirs)


def test_with_gamma_one_it_is_bireal_nets_unit():
    """Property 2, with slope 1, where a PReLU is the identity."""
    model, bireal = shaken(unit_model(8, Unit(8))), unit_model(8, Unit(8), method="birealnet")
    model.get_layer("u_link").gamma.assign(1.0)
    set_slope(model, 1.0)
    copy_weights(model, bireal)
    x = normal(2, 6, 6, 8)
    np.testing.assert_array_equal(model(x), bireal(x))


def test_with_gamma_one_a_tile_is_reactnets_pair_of_convolutions():
    """Property 3: one C -> 2C against two C -> C on the same input, side by side; 1e-5 for sums in another order."""
    model = shaken(unit_model(8, Unit(16, 1)))
    model.get_layer("u_link").gamma.assign(1.0)
    set_slope(model, 1.0)
    image = tf.keras.Input((6, 6, 8))
    halves = []
    for part in ("a", "b"):
        y = batch_norm(binary_conv(image, Unit(8, 1), part, ApproxSign(), MagnitudeSign()), f"{part}_bn")
        halves.append(layers.Add()([y, image]))
    pair = tf.keras.Model(image, layers.Concatenate()(halves))
    for part, half in (("a", slice(0, 8)), ("b", slice(8, 16))):
        for name in ("", "_bn"):
            weights = model.get_layer(f"u{name}").get_weights()
            pair.get_layer(f"{part}{name}").set_weights([w[..., half] for w in weights])
    x = normal(2, 6, 6, 8)
    np.testing.assert_allclose(model(x), pair(x), atol=1e-5)


def test_with_gamma_one_on_reactnets_body_it_is_reactnet():
    options = {"activations": "react", "block_shortcut": False}
    model = create_model("elasticlink", "reactnet_a", (16, 16, 3), 5, width=0.125, **options)
    reactnet = create_model("reactnet", "reactnet_a", (16, 16, 3), 5, width=0.125)
    copy_weights(shaken(model), reactnet)
    for layer in model.layers:
        if isinstance(layer, LinkScale):
            layer.gamma.assign(1.0)
    x = normal(2, 16, 16, 3)
    np.testing.assert_array_equal(model(x), reactnet(x))
    extra = {w.name for w in model.weights} - {w.name for w in reactnet.weights}
    assert len(extra) == 26
    assert all(name.endswith("_link/gamma:0") for name in extra)


def test_placements_agree_when_batchnorm_is_the_identity():
    """Property 9; the two add in another order."""
    post, pre = (unit_model(8, Unit(32, 1), placement=placement) for placement in ("post", "pre"))
    post.get_layer("u_bn").moving_variance.assign(tf.fill((32,), 1 - 1e-5))
    copy_weights(post, pre)
    x = normal(2, 6, 6, 8)
    np.testing.assert_allclose(pre(x), post(x), atol=1e-5)


# The link.


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(("channels", "filters"), [(64, 64), (256, 64), (256, 128), (64, 256), (512, 1024)])
@pytest.mark.parametrize("options", [{}, {"squeeze": "max", "expand": "pad", "gamma": "channel"}])
def test_shapes(channels, filters, strides, options):
    """Property 4."""
    model = unit_model(channels, Unit(filters, 1, strides), size=5, **options)
    assert model(normal(2, 5, 5, channels)).shape == (2, -(-5 // strides), -(-5 // strides), filters)


@settings(max_examples=30, deadline=None)
@given(channels=st.integers(1, 6), ratio=st.integers(1, 5), seed=st.integers(0, 1000))
def test_squeeze_takes_an_expansion_back(channels, ratio, seed):
    """Property 5: mean over 1 to 5 equal or nearly equal numbers, exact to two roundings."""
    rng = np.random.default_rng(seed)
    small = rng.normal(size=(1, 2, 2, channels)).astype(np.float32)
    large = rng.normal(size=(1, 2, 2, channels * ratio)).astype(np.float32)
    expand, squeeze = ChannelMatch(channels * ratio), ChannelMatch(channels)
    np.testing.assert_allclose(squeeze(expand(small)), small, rtol=3e-7)
    projected = expand(squeeze(large))
    np.testing.assert_allclose(expand(squeeze(projected)), projected, rtol=3e-7)
    np.testing.assert_allclose(squeeze(np.full_like(large, 0.7)), np.full_like(small, 0.7), rtol=3e-7)


def test_squeeze_and_expand_by_hand():
    x = tf.constant(np.reshape([1, 2, 3, 5, 9, 4], (1, 1, 1, 6)), tf.float32)
    for squeeze, expected in (("mean", [13 / 3, 11 / 3]), ("sum", [13, 11]), ("max", [9, 5])):
        np.testing.assert_allclose(np.ravel(ChannelMatch(2, squeeze)(x)), expected, rtol=1e-6)
    two = x[..., :2]
    np.testing.assert_array_equal(np.ravel(ChannelMatch(6)(two)), [1, 2, 1, 2, 1, 2])
    np.testing.assert_array_equal(np.ravel(ChannelMatch(6, expand="pad")(two)), [1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(ChannelMatch(6)(x), x)


LINKS = {  # T as a model: (channels, unit, options)
    "identity": (8, Unit(8), {}),
    "pool": (8, Unit(8, 3, 2), {}),
    "squeeze": (8, Unit(2, 1), {}),
    "squeeze by sum": (8, Unit(2, 1), {"squeeze": "sum"}),
    "tile": (4, Unit(8, 1, 2), {}),
    "pad": (4, Unit(8, 1), {"expand": "pad"}),
    "VGG's pool": (8, Unit(8, pool="max"), {}),
}


def link_of(channels, unit, options):
    """Return T, by taking gamma away."""
    model = unit_model(channels, unit, size=5, **options)
    return tf.keras.Model(model.input, model.get_layer("u_link").input)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_the_link_is_linear_without_weights_and_its_gradient_the_adjoint(link):
    """Property 6 and the second half of 7: <T(x), v> = <x, T'(v)>; sums of a few hundred float32 products, 1e-5."""
    t = link_of(*link)
    assert t.weights == []
    x, z = normal(2, 5, 5, link[0]), normal(2, 5, 5, link[0])
    np.testing.assert_allclose(t(2 * x - 3 * z), 2 * t(x) - 3 * t(z), atol=1e-5)
    v = normal(*t(x).shape)
    variable = tf.Variable(z)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(t(variable) * v)
    back = tape.gradient(total, variable)
    assert np.sum(t(x) * v) == pytest.approx(float(tf.reduce_sum(back * x)), abs=1e-5 * np.abs(v).sum())


@pytest.mark.parametrize("gamma", ["scalar", "channel"])
def test_gradient_of_gamma(gamma):
    """Property 7: dL/dgamma = sum of upstream T(x), against the numerical derivative of the whole unit."""
    model = shaken(unit_model(8, Unit(32, 1), gamma=gamma))
    set_slope(model, 1.0)
    t = tf.keras.Model(model.input, model.get_layer("u_link").input)
    x, upstream = normal(2, 6, 6, 8), normal(2, 6, 6, 32)
    weight = model.get_layer("u_link").gamma
    assert weight.shape == (() if gamma == "scalar" else (32,))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x) * upstream)
    found = tape.gradient(loss, weight).numpy()
    expected = (t(x) * upstream).numpy().reshape(-1, 32).sum(0)
    np.testing.assert_allclose(found, expected.sum() if gamma == "scalar" else expected, rtol=1e-3, atol=1e-4)
    direction, before = normal(*weight.shape), weight.numpy()
    sides = []
    for step in (1, -1):  # the loss is linear in gamma: the step may be large
        weight.assign(before + step * direction)
        sides.append(float(tf.reduce_sum(tf.cast(model(x), tf.float64) * upstream)))
    assert (sides[0] - sides[1]) / 2 == pytest.approx(float(np.sum(found * direction)), rel=1e-3, abs=1e-3)


def test_gamma_carries_magnitudes_past_the_sign():
    """Property 8: the same signs with other magnitudes differ behind the unit, unless gamma is 0."""
    model = shaken(unit_model(8, Unit(8)))
    x = normal(2, 6, 6, 8)
    other = np.sign(x) * np.abs(normal(*x.shape))
    for gamma, same in ((0.5, False), (0.0, True)):
        model.get_layer("u_link").gamma.assign(gamma)
        assert np.array_equal(model(x), model(other)) == same
    with_map = shaken(unit_model(8, Unit(8), activation_scale=True))
    with_map.get_layer("u_link").gamma.assign(0.0)
    assert not np.array_equal(with_map(x), with_map(other))


@pytest.mark.parametrize("gamma", ["scalar", "channel"])
def test_gammas_are_all_that_it_adds_and_are_not_decayed(gamma):
    """Property 11: one number for every unit, or one for every filter."""
    model = tiny(gamma=gamma)
    convolutions = [layer for layer in model.layers if is_binary_kernel(layer)]
    links = [layer for layer in model.layers if isinstance(layer, LinkScale)]
    expected = len(convolutions) if gamma == "scalar" else sum(layer.filters for layer in convolutions)
    assert sum(layer.count_params() for layer in links) == expected
    assert not any(layer.weights for layer in model.layers if "_link" in layer.name and layer not in links)
    assert all(np.all(layer.gamma.numpy() == 1) for layer in links)
    assert all(
        np.all(layer.gamma.numpy() == np.float32(0.1)) for layer in tiny(gamma_init=0.1).layers if layer in links
    )
    decayed = {id(weight) for weight in decayed_kernels(model)}
    assert decayed
    assert not decayed & {id(layer.gamma) for layer in links}


# The network.


@pytest.mark.parametrize(
    ("backbone", "binary", "projections", "macs_1x1", "macs_3x3"),
    [("resnet26", 11.14, 2.77, 0.94, 0.92), ("resnet50", 20.68, 2.77, 1.76, 1.85)],
)
def test_counts_of_bottlenecks(backbone, binary, projections, macs_1x1, macs_3x3):
    """Millions of weights, billions of binary multiply-accumulates at 224x224, as the specification derives them."""
    model = create_model("elasticlink", backbone, (224, 224, 3), 1000, stem="imagenet")
    found = count(model).layers
    kernels = {layer.name: layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")}
    assert sum(c.binary_weights for c in found) / 1e6 == pytest.approx(binary, abs=0.005)
    real = sum(int(np.prod(shape)) for name, shape in kernels.items() if name.endswith("_projection"))
    assert real / 1e6 == pytest.approx(projections, abs=0.005)
    for size, expected in ((1, macs_1x1), (3, macs_3x3)):
        macs = sum(c.binary_macs for c in found if c.binary_macs and kernels[c.layer][0] == size)
        assert macs / 1e9 == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("activations", ["prelu", "react"])
def test_no_relu_stands_before_a_sign_and_slopes_begin_at_a_quarter(activations):
    model = tiny(activations=activations)
    assert not any(isinstance(layer, layers.ReLU) for layer in model.layers)
    slopes = [w for w in model.weights if w.name.rsplit("/", 1)[-1] in ("alpha:0", "slope:0")]
    assert len(slopes) == 9 + (activations == "prelu")  # ReActNet's stem has no activation
    assert all(np.all(w.numpy() == 0.25) for w in slopes)
    assert all(isinstance(layer, RPReLU) for layer in model.layers if layer.name.endswith("_rprelu"))


def test_with_react_the_link_starts_before_the_threshold():
    model = unit_model(8, Unit(8), activations="react")
    assert model.get_layer("u_rsign").input is model.get_layer("u_link").input is model.input


@pytest.mark.parametrize(
    "options", [{}, {"gamma": "channel", "squeeze": "max", "expand": "pad", "activations": "react"}]
)
def test_saved_and_loaded_it_is_the_same(options, tmp_path):
    model = shaken(tiny(**options))
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    x = normal(2, 8, 8, 1)
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gamma": "channels"}, "must be one of 'scalar', 'channel'. Did you mean 'channel'"),
        ({"gamma_init": "one"}, "Method 'elasticlink': 'gamma_init' must be of type float, not 'one'"),
        ({"placement": "before"}, "must be one of 'post', 'pre'."),
        ({"squeeze": "average"}, "must be one of 'mean', 'sum', 'max'."),
        ({"expand": "tiles"}, "must be one of 'tile', 'pad'. Did you mean 'tile'"),
        ({"activations": "reactt"}, "must be one of 'prelu', 'react'. Did you mean 'react'"),
        ({"estimator": "edee"}, "must be one of 'quadratic', 'ede'. Did you mean 'ede'"),
        ({"dw": "dense"}, "must be one of 'real', 'binary', 'dense3x3'. Did you mean 'dense3x3'"),
        ({"gama": "scalar"}, "has no option 'gama'. Did you mean 'gamma'"),
        ({"width": 0.7}, "one divides the other, and cannot link 45 to 179"),
    ],
)
def test_what_means_nothing_is_refused(options, sentence):
    with pytest.raises(LarqnetsError) as error:
        create_model("elasticlink", "resnet26", (16, 16, 3), 10, **options)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_match_of_other_counts_is_refused_where_it_is_built():
    with pytest.raises(LarqnetsError, match="cannot link 6 to 4"):
        ChannelMatch(4)(normal(1, 2, 2, 6))


def test_growing_channels_are_counted_in_blocks_that_concatenate():
    """8 channels, then 8 + 6 of them: 14 are no multiple of 4."""
    plan = Backbone("grows", Stem(8), ((Block((Unit(8), Unit(6)), join="concat"),),))
    with pytest.raises(LarqnetsError, match="cannot link 8 to 6"):
        get_method("elasticlink").check(plan)
    grown = Backbone("grows", Stem(8), ((Block((Unit(4),), join="concat"), Block((Unit(8),), join="none")),))
    with pytest.raises(LarqnetsError, match="cannot link 12 to 8"):
        get_method("elasticlink").check(grown)


SEPARABLE = Backbone("separable", Stem(32), ((Block((Unit(32, 3, 2, groups=32), Unit(64, 1)), join="none"),),))


def separable(**options):
    """One block of MobileNet: depthwise 3x3 with stride 2, pointwise 32 -> 64."""
    method = get_method("elasticlink", **options)
    image = tf.keras.Input((8, 8, 1))
    features = method.body(method.stem(image, SEPARABLE.stem), SEPARABLE)
    return tf.keras.Model(image, only(get_task().outputs(features, method, SEPARABLE, Images((8, 8, 1), 10))))


@pytest.mark.parametrize(("dw", "links"), [("real", [2]), ("binary", [1, 2]), ("dense3x3", [1, 2])])
def test_depthwise_positions(dw, links):
    """A real one has no link; a binary one has one, and no 1-bit op; a full 3x3 is like every other convolution."""
    model = shaken(separable(dw=dw))
    found = [layer.name for layer in model.layers if isinstance(layer, LinkScale)]
    assert found == [f"stage1_block1_conv{i}_link" for i in links]
    depthwise = model.get_layer("stage1_block1_conv1")
    assert isinstance(depthwise, layers.DepthwiseConv2D) == (dw != "dense3x3")
    assert (getattr(depthwise, "depthwise_quantizer", None) is not None) == (dw == "binary")
    samples = Samples(normal(32, 8, 8, 1))
    if dw == "binary":
        with pytest.raises(
            LarqnetsError, match="'stage1_block1_conv1' is not a 1-bit op: a QuantDepthwiseConv2D has no"
        ):
            convert(model, samples)
    converted = convert(model, samples, allow_float=dw == "binary")
    assert converted.verification.equal
    ops = [op.op for op in inspect_model(converted.content).ops]
    assert ops.count("LceBconv2d") == (2 if dw == "dense3x3" else 1)
    assert ops.count("DEPTHWISE_CONV_2D") == (0 if dw == "dense3x3" else 1)


# The device.

EXPORTED = {
    "post": {},
    "pre": {"placement": "pre"},
    "react and channel": {"activations": "react", "gamma": "channel"},
    "react and pre": {"activations": "react", "placement": "pre"},
    "max and pad": {"squeeze": "max", "expand": "pad", "activations": "react"},
    "sum alone": {"squeeze": "sum", "estimator": "ede", "block_shortcut": False},
    "K map": {"activation_scale": True},
}


@cache
def exported(name):
    """Return a network and its verified file."""
    model = shaken(tiny(**EXPORTED[name]))
    return model, convert(model, Samples(normal(32, 8, 8, 1)))


@pytest.mark.parametrize("name", EXPORTED)
def test_export_is_1_bit_and_equal(name):
    """Property 10: 1e-4 of the largest logit; no float convolution but stem and projections."""
    model, converted = exported(name)
    rebuilt = export_model(model).model
    for x in normal(3, 1, 8, 8, 1):
        expected = model(x).numpy()
        np.testing.assert_allclose(rebuilt(x), expected, atol=1e-4 * np.abs(expected).max())
    assert converted.verification.equal
    assert converted.fallbacks == []
    assert converted.bytes_check.matches
    ops = [op.op for op in inspect_model(converted.content).ops]
    assert ops.count("LceBconv2d") == len(converted.verification.layers) == 9
    assert ops.count("CONV_2D") == (1 if name == "sum alone" else 3)
    assert "DEPTHWISE_CONV_2D" not in ops
    if name not in ("K map", "max and pad"):  # the map is multiplied, and behind a squeeze by max an RPReLU stays whole
        assert ops.count("MUL") == 9  # gamma, 1/G and the factor of a BatchNorm behind the sum in one


def test_both_placements_are_one_graph():
    post, pre = (inspect_model(exported(placement)[1].content).ops for placement in ("post", "pre"))
    assert [(op.op, op.layer) for op in post] == [(op.op, op.layer) for op in pre]


def test_a_gamma_of_one_costs_no_multiplication():
    model = shaken(tiny())
    for layer in model.layers:
        if isinstance(layer, LinkScale):
            layer.gamma.assign(1.0)
    converted = convert(model, Samples(normal(32, 8, 8, 1)))
    assert converted.verification.equal
    ops = inspect_model(converted.content).ops
    # what is left are the two squeezes by mean
    assert [op.layer for op in ops if op.op == "MUL"] == ["stage1_block2_conv1_link", "stage2_block1_conv1_link"]


def test_a_batchnorm_that_cannot_move_stays():
    """Behind a max-pool a negative factor would turn the order; with a second reader the sum is needed as it is."""
    pooled = unit_model(32, Unit(32, pool="max"), placement="pre")
    image = tf.keras.Input((6, 6, 32))
    conv = binary_conv(image, Unit(32), "c", ApproxSign(), MagnitudeSign())
    total = layers.Add()([conv, LinkScale()(image)])
    read_twice = tf.keras.Model(image, layers.Concatenate()([batch_norm(total, "n"), total]))
    for model in (shaken(pooled), shaken(read_twice)):
        rebuilt = export_model(model).model
        assert any(isinstance(layer, layers.BatchNormalization) for layer in rebuilt.layers)
        x = normal(1, 6, 6, 32)
        np.testing.assert_allclose(rebuilt(x), model(x), atol=1e-4 * np.abs(model(x)).max())


def test_verification_sees_a_changed_gamma():
    model, converted = exported("post")
    gamma = model.get_layer("stage1_block2_conv3_link").gamma
    gamma.assign_add(0.5)
    reasons = verify(converted.content, model, normal(32, 8, 8, 1)).reasons
    gamma.assign_sub(0.5)
    assert any(reason.startswith("layer 'stage2_block1_conv1'") for reason in reasons)


# Training.


def test_bottlenecks_learn_96_digits_by_heart_and_their_gammas_move(record_property):
    """Property 12."""
    tf.keras.utils.set_random_seed(0)
    model = tiny()
    with np.load(Path(larqnets.__file__).parent / "data" / "digits" / "digits.npz") as digits:
        images, labels = (
            digits["images"][:96, ..., None].astype(np.float32) / 8 - 1,
            digits["labels"][:96].astype(np.int32),
        )
    optimizer = tf.keras.optimizers.Adam(5e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )

    for _ in range(60):
        step()
    accuracy = float(np.mean(np.argmax(model(images), -1) == labels))
    gammas = {
        layer.name: float(layer.gamma)
        for layer in model.layers
        if isinstance(layer, LinkScale) and not layer.name.endswith("_conv2_link")  # those of the 1x1 convolutions
    }
    record_property("gammas", gammas)
    assert accuracy > 0.95
    assert len(gammas) == 6
    assert all(abs(gamma - 1) > 0.01 for gamma in gammas.values()), gammas
