"""Group-Net: its decompositions against each other, against plain sums, and the counts of its papers."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model
from larqnets.backbones import get_backbone
from larqnets.counts import count
from larqnets.layers.branches import Apart, OneBelowTheOther, SoftGate, WeightedSum
from larqnets.methods import METHODS, get_method, layers

X = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype(np.float32)
VARIANTS = ("groupnet", "gbd_v1", "gbd_v2", "gbd_v3", "lbd")


def network(backbone="resnet8", **options):
    """A narrow network whose weights and BatchNorm statistics are drawn."""
    model = create_model("groupnet", backbone, X.shape[1:], 5, width=0.25, **options)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        values = draw.normal(size=weight.shape).astype(np.float32)
        positive = "variance" in weight.name or "gamma" in weight.name
        weight.assign(np.abs(values) + 0.5 if positive else 0.3 * values)
    return model


def copied(source, target, rename):
    """Give every weight of the target the value of the source's weight that `rename` names."""
    values = {weight.name: weight for weight in source.weights}
    for weight in target.weights:
        weight.assign(values[rename(weight.name)])
    return target


def set_gates(model, theta):
    for layer in model.layers:
        if isinstance(layer, SoftGate):
            layer.theta.assign(np.full(layer.theta.shape, theta, np.float32))
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_branches_of_equal_weights_are_one_branch(variant):
    """Whatever the gates: the mean of K equal branches is one. float32 sums of K terms agree to 1e-4 behind a BatchNorm."""
    one, three = network(k=1, variant=variant), network(k=3, variant=variant)

    def rename(name):
        for k in (2, 3):
            name = name.replace(f"branch{k}", "branch1").replace(f"base{k}", "base1")
        return name

    if variant == "lbd":  # the sum of three equal convolutions is thrice one: the BatchNorm behind takes it
        for layer in one.layers:
            if layer.name.endswith("branch1_bn"):
                layer.moving_mean.assign(3 * layer.moving_mean)
                layer.moving_variance.assign(9 * (layer.moving_variance + layer.epsilon) - layer.epsilon)
    values = {weight.name: weight for weight in one.weights}
    for weight in three.weights:
        if "gate" not in weight.name:
            weight.assign(values[rename(weight.name)])
    if variant == "lbd":
        for layer in one.layers:
            if layer.name.endswith("branch1_bn"):
                layer.moving_mean.assign(layer.moving_mean / 3)
                layer.moving_variance.assign((layer.moving_variance + layer.epsilon) / 9 - layer.epsilon)
    np.testing.assert_allclose(three(X), one(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("theta", "variant"), [(-60.0, "gbd_v1"), (60.0, "gbd_v3")])
@pytest.mark.parametrize("scope", ["block", "branch"])
def test_closed_gates_are_gbd_v1_and_open_ones_v3(theta, variant, scope):
    gated = set_gates(network(k=3, gate_scope=scope), theta)
    fixed = copied(gated, network(k=3, variant=variant), lambda name: name)
    np.testing.assert_allclose(fixed(X), gated(X), rtol=1e-5, atol=1e-5)


def test_gbd_v3_is_the_mean_of_the_feature_maps_of_k_networks():
    ensemble = network(k=3, variant="gbd_v3")
    features = []
    for k in (1, 2, 3):
        alone = network(k=1)
        copied(ensemble, alone, lambda name, k=k: name.replace("branch1", f"branch{k}"))
        pooled = tf.keras.Model(alone.input, alone.get_layer("head_pool").output)
        features.append(pooled(X).numpy())
    pooled = tf.keras.Model(ensemble.input, ensemble.get_layer("head_pool").output)
    np.testing.assert_allclose(pooled(X), np.mean(features, axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["groupnet", "gbd_v2", "lbd"])
def test_the_order_of_branches_means_nothing(variant):
    model = network(k=3, variant=variant)
    order = {"1": "3", "2": "1", "3": "2"}

    def rename(name):
        for part in ("branch", "base"):
            if part in name and not (variant == "lbd" and part == "branch"):
                head, tail = name.split(part, 1)
                name = f"{head}{part}{order[tail[0]]}{tail[1:]}"
        return name

    other = copied(model, network(k=3, variant=variant), rename)
    np.testing.assert_allclose(other(X), model(X), rtol=1e-4, atol=1e-4)


def test_a_lone_branch_has_no_gate_and_no_factor():
    names = [w.name for w in create_model("groupnet", "resnet8", (8, 8, 3), 5, k=1, aggregate="learned").weights]
    assert not [name for name in names if "theta" in name or "branch_weights" in name]


def test_one_branch_without_relu_is_bireal_nets_unit():
    """With a real 1x1 in the shortcut and no scales, but for Bi-Real's pooling, which the first stage does not have."""
    inputs = tf.keras.Input((6, 6, 8))
    unit = get_backbone("resnet8", width=0.5).units[0]
    models = {}
    for method in (get_method("groupnet", k=1), get_method("birealnet")):
        if method.name == "groupnet":
            y = layers.Add()([method.unit(inputs, unit, "unit"), inputs])
        else:
            y = method.unit(inputs, unit, "unit")
        models[method.name] = tf.keras.Model(inputs, y)
    ours, bireal = models["groupnet"], models["birealnet"]
    kernel = np.random.default_rng(0).choice([-1.0, 1.0], ours.get_layer("unit").kernel.shape).astype(np.float32)
    for model in models.values():
        model.get_layer("unit").set_weights([kernel])
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 8)).astype(np.float32)
    convolved = tf.keras.Model(inputs, ours.get_layer("unit").output)(x)
    positive = np.asarray(convolved) >= 0
    difference = np.abs(np.asarray(ours(x)) - np.asarray(bireal(x)))
    assert difference[positive].max() < 1e-6  # where the ReLU does nothing the two are the same
    assert difference[~positive].min() > 0.1


def test_lbd_is_one_convolution_with_a_kernel_of_several_levels():
    """sum_k lambda_k conv(s, a_k sign W_k) = conv(s, sum_k lambda_k a_k sign W_k), s padded with +1."""
    inputs = tf.keras.Input((6, 6, 8))
    unit = get_backbone("resnet8", width=0.5).units[0]
    method = get_method("groupnet", k=3, variant="lbd", aggregate="learned", weight_scale=True)
    model = tf.keras.Model(inputs, method.unit(inputs, unit, "unit"))
    total = model.get_layer("unit_total")
    total.branch_weights.assign([0.2, -0.5, 1.1])
    probe = tf.keras.Model(inputs, total.output)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 8)).astype(np.float32)
    kernel = 0
    for factor, j in zip((0.2, -0.5, 1.1), (1, 2, 3), strict=True):
        w = model.get_layer(f"unit_base{j}").kernel.latent_variable.numpy()
        kernel = kernel + factor * np.abs(w).mean() * np.where(w >= 0, 1, -1)
    signs = np.pad(np.where(x >= 0, 1, -1), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
    expected = tf.nn.conv2d(signs.astype(np.float32), kernel.astype(np.float32), 1, "VALID")
    np.testing.assert_allclose(probe(x), expected, rtol=1e-5, atol=1e-4)


def test_the_mean_changes_no_branch():
    """A defect of the released code: adding up in place changed the first branch."""
    model = network(k=3)
    names = [f"stage1_block1_conv2_branch{k}_add" for k in (1, 2, 3)]
    outputs = [model.get_layer(name).output for name in (*names, "stage1_block1_total")]
    *branches, total = tf.keras.Model(model.input, [*outputs])(X)
    alone = tf.keras.Model(model.input, model.get_layer(names[0]).output)(X)
    np.testing.assert_array_equal(branches[0], alone)
    np.testing.assert_allclose(sum(branches), total, rtol=1e-6, atol=1e-6)


def test_gate_is_the_papers():
    draw = np.random.default_rng(0)
    hs = [draw.normal(size=(2, 3, 3, 4)).astype(np.float32) for _ in range(3)]
    for per_branch, theta in ((False, np.float32(0.3)), (True, np.array([-1, 0, 2], np.float32))):
        gate = SoftGate(1 / 3, per_branch)
        first = gate([*hs, sum(hs)])
        np.testing.assert_allclose(first[0], 0.622459 * hs[0] + (1 - 0.622459) * np.mean(hs, axis=0), atol=1e-5)
        gate.theta.assign(theta)
        for k, x in enumerate(gate([*hs, sum(hs)])):
            g = 1 / (1 + np.exp(-(theta[k] if per_branch else theta)))
            np.testing.assert_allclose(x, g * hs[k] + (1 - g) * np.mean(hs, axis=0), rtol=1e-5, atol=1e-6)


def test_learned_factors_begin_as_the_mean():
    hs = [np.full((1, 2, 2, 1), float(k), np.float32) for k in (1, 2, 6)]
    np.testing.assert_allclose(WeightedSum()(hs), np.full((1, 2, 2, 1), 3.0), rtol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_one_convolution_on_stacked_branches_is_one_on_each(strides, size):
    draw = np.random.default_rng(0)
    xs = [draw.normal(size=(2, size, size, 4)).astype(np.float32) for _ in range(3)]
    kernel = draw.normal(size=(1, 1, 4, 5)).astype(np.float32)
    stacked = tf.nn.conv2d(OneBelowTheOther(strides)(xs), kernel, 1, "SAME")
    for x, y in zip(xs, Apart(3)(stacked), strict=True):
        np.testing.assert_allclose(y, tf.nn.conv2d(x, kernel, strides, "SAME"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_thinning_has_the_same_bits_and_gradients_while_training(strides, size):
    draw = np.random.default_rng(0)
    xs = [tf.constant(draw.normal(size=(2, size, size, 4)).astype(np.float32)) for _ in range(3)]
    layer, found = OneBelowTheOther(strides), {}
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(xs)
            y = layer(xs, training=training)
            loss = tf.reduce_sum(y**3)
        found[training] = [y, *tape.gradient(loss, xs)]
    np.testing.assert_array_equal(found[False][0], np.concatenate([x[:, ::strides, ::strides] for x in xs], axis=1))
    for sliced, pooled in zip(found[False], found[True], strict=True):
        np.testing.assert_array_equal(sliced, pooled)


def test_gates_learn_and_are_never_decayed():
    from larqnets.runs.weights import decayed_kernels

    model = create_model("groupnet", "resnet8", X.shape[1:], 5, width=0.25, k=2)
    gates = [w for w in model.trainable_weights if "theta" in w.name]
    assert len(gates) == 2  # three blocks, the first has none
    assert not [w for w in decayed_kernels(model) if "theta" in w.name]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X, training=True)[:, 0] ** 2)
    assert all(float(tf.abs(g)) > 0 for g in tape.gradient(loss, gates))


def totals(**options):
    size = options.pop("size", 224)
    stem, classes = ("imagenet", 1000) if size == 224 else ("small", 10)
    backbone = options.pop("backbone", "resnet18")
    model = create_model("groupnet", backbone, (size, size, 3), classes, stem=stem, **options)
    norms = sum(layer.gamma.shape[0] for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    found = count(model).to_json()["totals"]
    return found, found["real_weights"] - 2 * norms  # the papers count BatchNorm's gamma and beta alone


def test_counts_of_resnet18():
    """K = 5, shared BatchNorm of the 1x1: 55,099,392 bits and 562,735 real values, or with a real 1x1 734,767.

    The 1x1 has one kernel and runs in every branch, so it has K x 19,267,584 binary MACs, where the derivation counts one.
    """
    found, real = totals(k=5, downsample_norm="shared")
    assert (found["binary_weights"], real) == (55_099_392, 562_735)
    assert found["binary_macs"] == 5 * (1_676_279_808 + 19_267_584)
    found, real = totals(k=5, downsample_norm="shared", downsample_precision="real")
    assert (found["binary_weights"], real) == (54_927_360, 734_767)
    found, real = totals(k=5)
    assert real == 562_735 + 2 * 4 * 896  # a BatchNorm of the 1x1 for each branch


@pytest.mark.parametrize(("precision", "expected"), [("real", 219_217), ("binary", 47_185)])
def test_counts_of_the_cifar_layout(precision, expected):
    found, real = totals(k=5, size=32, downsample_norm="shared", downsample_precision=precision)
    assert real == expected
    assert found["binary_weights"] == 5 * 10_985_472 + (172_032 if precision == "binary" else 0)


@pytest.mark.parametrize(
    ("backbone", "bits", "downsample", "gates"),
    [("resnet34", 21_086_208, 172_032, 15), ("resnet50", 20_676_608, 2_768_896, 15)],
)
def test_counts_of_deeper_networks(backbone, bits, downsample, gates):
    model = create_model("groupnet", backbone, (32, 32, 3), 10, k=2)
    assert count(model).to_json()["totals"]["binary_weights"] == 2 * bits + downsample
    assert len([layer for layer in model.layers if isinstance(layer, SoftGate)]) == gates


def test_what_makes_no_sense_is_said():
    for options, words in (
        ({"k": 0}, "must lie between 1 and 64"),
        ({"variant": "gbd"}, "must be one of 'groupnet', 'gbd_v1'"),
        ({"aggregate": "sum"}, "must be one of 'mean', 'learned'"),
    ):
        with pytest.raises(LarqnetsError, match=words):
            create_model("groupnet", "resnet8", (8, 8, 3), 5, **options)
    with pytest.raises(LarqnetsError, match="'vgg_small' is not made of them"):
        create_model("groupnet", "vgg_small", (32, 32, 3), 5)
    assert METHODS.get("groupnet").precision == "w1a1"
