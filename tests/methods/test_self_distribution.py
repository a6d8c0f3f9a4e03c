"""SD-BNN's shifts of activations and kernels, its networks and their counts against the specification."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model
from larqnets.counts import count
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.self_distribution import WeightSelfDistribution, activation_self_distribution
from larqnets.quantizers import ApproxSign, EdeSign, SteSign, ede_sign

RNG = np.random.default_rng(0)
W = RNG.normal(0.05, 0.1, size=(3, 3, 8, 6)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def asd(channels=32, reduction=16, size=5):
    """The offset s and the shifted activations of random weights, always the same, as a model of two outputs."""
    tf.keras.utils.set_random_seed(0)
    a = tf.keras.Input((size, size, channels))
    shifted = activation_self_distribution(a, reduction, "asd")
    model = tf.keras.Model(a, shifted)
    return tf.keras.Model(a, [model.get_layer("asd_expand").output, shifted])


def test_asd_golden_values():
    """a + sigmoid(relu(mean a W1) W2) computed by hand from the model's weights."""
    model = asd()
    a = RNG.normal(size=(3, 5, 5, 32)).astype(np.float32)
    w1, w2 = (model.get_layer(f"asd_{part}").kernel.numpy()[0, 0] for part in ("reduce", "expand"))
    assert w1.shape == (32, 2)
    expected = sigmoid(np.maximum(a.mean(axis=(1, 2)) @ w1, 0) @ w2)[:, None, None]
    s, shifted = model(a)
    np.testing.assert_allclose(s, expected, rtol=1e-5)  # a few float32 roundings
    np.testing.assert_allclose(shifted, a + expected, rtol=1e-5, atol=1e-6)


def test_asd_offset_is_per_image_and_channel_and_blind_to_places():
    model = asd()
    a = 5 * RNG.normal(size=(4, 5, 5, 32)).astype(np.float32)
    s = model(a)[0].numpy()
    assert s.shape == (4, 1, 1, 32)
    assert np.all((s > 0) & (s < 1))
    shuffled = a.reshape(4, 25, 32)[:, RNG.permutation(25)].reshape(a.shape)
    np.testing.assert_allclose(model(shuffled)[0], s, rtol=1e-5)
    assert not np.allclose(s[0], s[1])


@pytest.mark.parametrize("zero", ["asd_reduce", "asd_expand"])
def test_asd_with_a_zero_matrix_adds_one_half(zero):
    model = asd()
    model.get_layer(zero).kernel.assign(tf.zeros_like(model.get_layer(zero).kernel))
    a = RNG.normal(size=(2, 5, 5, 32)).astype(np.float32)
    np.testing.assert_array_equal(model(a)[1], a + np.float32(0.5))


def test_asd_of_few_channels_has_a_hidden_width_of_one():
    assert asd(channels=4).get_layer("asd_reduce").filters == 1


def test_asd_gradient_reaches_the_activation_through_the_mean_too():
    model, a = asd(), tf.constant(np.abs(RNG.normal(size=(1, 5, 5, 32))).astype(np.float32))
    reduce = model.get_layer("asd_reduce").kernel
    reduce.assign(tf.abs(reduce))  # so that the hidden layer's ReLUs pass: of two, both were closed now and then
    with tf.GradientTape() as tape:
        tape.watch(a)
        s = model(a)[0]
    assert np.abs(tape.gradient(s, a)).max() > 0


def shifted_kernel(w, alpha, coefficient=0.01):
    return w + coefficient * sigmoid(alpha) * w.mean(axis=(0, 1, 2))


def quantizer(alpha=None, coefficient=0.01, inner=None):
    made = WeightSelfDistribution(inner or SteSign(), coefficient)
    made(tf.constant(W))
    if alpha is not None:
        made.alpha.assign(alpha)
    return made


def test_wsd_golden_values_at_the_start_are_a_shift_of_half_the_coefficient():
    # large, so that the shift turns signs
    found = quantizer(coefficient=2.0)(tf.constant(W)).numpy()
    np.testing.assert_array_equal(found, np.where(W + W.mean(axis=(0, 1, 2)) >= 0, 1, -1))
    assert np.any(found != np.where(W >= 0, 1, -1))


def test_wsd_with_coefficient_0_is_plain_sign():
    np.testing.assert_array_equal(quantizer(coefficient=0.0)(tf.constant(W)), np.where(W >= 0, 1, -1))


def test_wsd_is_plain_sign_where_its_offset_vanishes():
    """Where alpha is far below 0, and for filters whose mean is 0; here the coefficient would turn half of the signs."""
    np.testing.assert_array_equal(quantizer(-60 * np.ones(6), 100.0)(tf.constant(W)), np.where(W >= 0, 1, -1))
    balanced = np.round(1024 * np.concatenate([W, -W])) / 1024  # every filter sums to 0, whatever the order
    np.testing.assert_array_equal(quantizer(coefficient=100.0)(tf.constant(balanced)), np.where(balanced >= 0, 1, -1))


def test_wsd_is_not_plain_sign_at_the_start():
    """A filter with the mean 1: -0.004 + 0.01 sigmoid(0) 1 = 0.001 is positive, -0.006 + 0.005 is not."""
    w = tf.reshape(tf.constant([-0.004, -0.006, 2.0, 2.01]), (1, 1, 4, 1))
    np.testing.assert_array_equal(np.ravel(WeightSelfDistribution(SteSign())(w)), [1, -1, 1, 1])


def test_wsd_ignores_a_positive_factor_and_a_negative_one_negates():
    made = quantizer(RNG.normal(size=6), 1.0)
    signs = made(tf.constant(W)).numpy()
    np.testing.assert_array_equal(made(tf.constant(4 * W)), signs)
    np.testing.assert_array_equal(made(tf.constant(-4 * W)), -signs)


def test_wsd_alpha_pushes_a_filter_towards_the_sign_of_its_mean():
    positive = W - W.mean(axis=(0, 1, 2)) + 0.02 * np.array([1, 1, 1, -1, -1, -1], np.float32)
    ones = [
        np.sum(quantizer(np.full(6, a), 3.0)(tf.constant(positive)).numpy() > 0, axis=(0, 1, 2)) for a in (-4, 0, 4)
    ]
    change = np.diff(ones, axis=0)
    assert np.all(change[:, :3] >= 0)
    assert np.all(change[:, 3:] <= 0)
    assert np.all(ones[0][:3] < ones[2][:3])
    assert np.all(ones[0][3:] > ones[2][3:])


@pytest.mark.parametrize("t", [0.5, 3.0])
def test_wsd_gradients_of_kernel_and_alpha(t):
    """dL/dw = g d and dL/dalpha = c sigmoid' m sum(g d) with g of EDE at the shifted kernel; the mean is detached."""
    alpha, coefficient = RNG.normal(size=6).astype(np.float32), 0.5
    made = quantizer(alpha, coefficient, EdeSign(t_min=t))
    upstream = RNG.normal(size=W.shape).astype(np.float32)
    w = tf.Variable(W)
    with tf.GradientTape() as tape:
        y = made(w)
    for_w, for_alpha = tape.gradient(y, [w, made.alpha], output_gradients=tf.constant(upstream))
    g = max(1 / t, 1) * t * (1 - np.tanh(t * shifted_kernel(W, alpha, coefficient)) ** 2)
    np.testing.assert_allclose(for_w, g * upstream, rtol=1e-4, atol=1e-6)
    slope = coefficient * sigmoid(alpha) * (1 - sigmoid(alpha)) * W.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(for_alpha, slope * (g * upstream).sum(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("inner", [SteSign(), EdeSign(t_min=0.1)])
def test_wsd_survives_serialisation_with_the_sign_inside(inner):
    config = tf.keras.utils.serialize_keras_object(quantizer(coefficient=0.5, inner=inner))
    again = tf.keras.utils.deserialize_keras_object(config)
    assert type(again.quantizer) is type(inner)
    assert again.coefficient == 0.5
    assert getattr(again.quantizer, "t_min", None) == getattr(inner, "t_min", None)
    np.testing.assert_array_equal(again(tf.constant(W)), quantizer(coefficient=0.5)(tf.constant(W)))


def test_ede_begins_as_the_identity_on_the_unit_interval():
    x = tf.Variable(np.linspace(-1, 1, 9, dtype=np.float32))
    with tf.GradientTape() as tape:
        y = ede_sign(x, 1e-3)
    np.testing.assert_allclose(tape.gradient(y, x), 1, atol=1.1e-6)  # 1 - tanh(1e-3)^2 is 1 - 1e-6


NETWORKS = {  # image, options, parameters of the ASD heads, alphas, millions of additions for means and offsets
    "resnet18": ((32, 32, 3), {"shortcut_per_conv": False}, 141_824, 3_840, 1.10),
    "resnet20": ((32, 32, 3), {"downsample": "pad"}, 3_552, 672, 0.37),
    "vgg_small": ((32, 32, 3), {"t_min": 0.1}, 53_248, 1_664, 0.56),
    "resnet18_imagenet": ((224, 224, 3), {"reduction": 8, "downsample": "pooled"}, 283_648, 3_840, 3.36),
    "resnet34_imagenet": ((224, 224, 3), {"reduction": 8, "downsample": "pooled"}, 564_224, 7_552, 5.87),
}


@pytest.mark.parametrize(("name", "network"), NETWORKS.items(), ids=NETWORKS)
def test_heads_and_alphas_have_the_sizes_of_the_specification(name, network):
    shape, options, heads, alphas, additions = network
    stem = {"stem": "imagenet"} if "imagenet" in name else {}
    model = create_model("sdbnn", name.split("_imagenet")[0], shape, 10, **stem, **options)
    of = lambda part: sum(int(np.prod(w.shape)) for w in model.trainable_weights if part in w.name)  # noqa: E731
    assert of("_asd_") == heads
    assert of("/alpha:0") == alphas
    counted = [layer for layer in count(model).layers if "_asd_" in layer.layer]
    assert sum(layer.real_macs for layer in counted) == sum(layer.real_weights for layer in counted) == heads
    shifted = [layer.output_shape[1:] for layer in model.layers if layer.name.endswith("_asd")]
    # one addition for the mean and one for the offset; the specification has two digits behind the point
    assert 2 * sum(map(np.prod, shifted)) / 1e6 == pytest.approx(additions, abs=0.005)


def test_the_heads_add_a_sixth_of_a_percent_to_the_operations_of_resnet18():
    options = {"stem": "imagenet", "reduction": 8, "downsample": "pooled", "nonlinearity": "prelu"}
    plain, full = (
        count(create_model("sdbnn", "resnet18", (224, 224, 3), 1000, asd=asd, **options)).operations
        for asd in (False, True)
    )
    assert full / plain - 1 == pytest.approx(0.0017, abs=0.0001)


def test_without_asd_and_wsd_nothing_but_sign_is_left():
    plain = create_model("sdbnn", "resnet8", (8, 8, 1), 10, asd=False, wsd=False)
    irnet = create_model("irnet", "resnet8", (8, 8, 1), 10)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in irnet.layers]
    assert plain.count_params() == irnet.count_params()
    for layer in plain.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            assert isinstance(layer.kernel_quantizer, EdeSign)


@pytest.mark.parametrize("options", [{"wsd": False}, {"wsd_coefficient": 0.0}], ids=["off", "coefficient 0"])
def test_without_its_shifts_it_is_irnets_network_with_plain_signs_bit_for_bit(monkeypatch, options):
    """From the same seed, in a training step: logits, gradients, statistics of BatchNorm."""
    monkeypatch.setattr("larqnets.methods.irnet.LibraSign", EdeSign)
    x = tf.constant(RNG.normal(size=(4, 8, 8, 1)).astype(np.float32))
    results = []
    for method, chosen in (("irnet", {}), ("sdbnn", {"asd": False, **options})):
        tf.keras.utils.set_random_seed(0)
        model = create_model(method, "resnet8", (8, 8, 1), 10, **chosen)
        weights = [weight for weight in model.trainable_weights if "/alpha:0" not in weight.name]
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_sum(logits**2)
        statistics = [weight for weight in model.non_trainable_weights if "/moving_" in weight.name]
        results.append([logits, *tape.gradient(loss, weights), *statistics])
    assert len(results[0]) > 50
    for plain, ours in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, ours)


def test_the_network_for_imagenet_and_the_one_for_small_images():
    """PReLU and the quadratic estimator, a bare stem and head; hardtanh and EDE, a hardtanh in the stem, BatchNorm at the end."""
    options = {"reduction": 8, "estimator": "quadratic", "nonlinearity": "prelu", "downsample": "pooled"}
    large = create_model("sdbnn", "resnet18", (64, 64, 3), 10, stem="imagenet", width=1 / 16, **options)
    small = create_model("sdbnn", "resnet18", (8, 8, 3), 10, width=1 / 16)
    of = lambda model, kind: [layer for layer in model.layers if isinstance(layer, kind)]  # noqa: E731
    assert (len(of(large, HardTanh)), len(of(large, tf.keras.layers.PReLU))) == (0, 16)
    assert (len(of(small, HardTanh)), len(of(small, tf.keras.layers.PReLU))) == (17, 0)
    for layer in of(large, tf.keras.layers.PReLU):
        np.testing.assert_array_equal(layer.alpha, np.full((1, 1, layer.output_shape[-1]), 0.25))
    for model, head, signs in ((large, "head_pool", (ApproxSign, SteSign)), (small, "head_bn", (EdeSign, EdeSign))):
        assert model.get_layer("classifier").inbound_nodes[0].inbound_layers.name == head
        convolutions = of(model, lq.layers.QuantConv2D)
        assert len(convolutions) == 16
        for layer in convolutions:
            assert (type(layer.input_quantizer), type(layer.kernel_quantizer.quantizer)) == signs


def test_scaling_the_latent_kernels_leaves_the_logits_alone():
    model = create_model("sdbnn", "resnet8", (8, 8, 1), 10)
    x = RNG.normal(size=(4, 8, 8, 1)).astype(np.float32)
    before = model(x).numpy()
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            layer.kernel.latent_variable.assign(8 * layer.kernel.latent_variable)
    np.testing.assert_array_equal(model(x), before)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"estimator": "quadratc"}, "must be one of 'ede', 'quadratic'. Did you mean 'quadratic'"),
        ({"nonlinearity": "relu"}, "must be one of 'hardtanh', 'prelu'."),
        ({"reduction": 0}, "must be 1 or more"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(LarqnetsError) as error:
        create_model("sdbnn", "resnet8", (8, 8, 1), 10, **options)
    assert sentence in str(error.value)
