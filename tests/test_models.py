"""Backbones, methods and every pair of them: structure, counts against the papers, and one sentence where none is built."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model, list_backbones, list_methods
from larqnets.backbones import get_backbone
from larqnets.counts import count
from larqnets.methods import METHODS
from larqnets.models import method_matrix
from larqnets.quantizers import Tanh

PAIRS = [(method, backbone) for method, row in method_matrix().items() for backbone in row]


@pytest.mark.parametrize(("method", "backbone"), PAIRS)
def test_every_pair_builds_or_says_why_not(method, backbone):
    reason = method_matrix()[method][backbone]
    if reason:
        assert reason.endswith(".")
        assert method in reason
        with pytest.raises(LarqnetsError, match=reason[:40]):
            create_model(method, backbone, (16, 16, 3), 5, width=0.125)
        return
    model = create_model(method, backbone, (16, 16, 3), 5, width=0.125)
    assert model.output_shape == (None, 5)
    y = model(np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32))
    assert np.isfinite(y).all()


@pytest.mark.parametrize("method", list_methods())
def test_a_method_declares_what_it_is(method):
    kind = METHODS.get(method)
    assert kind.precision in ("w1a1", "w1a32", "real")
    assert kind.name == method
    assert kind.paper
    binary = count(create_model(method, "resnet8", (8, 8, 1), 10)).to_json()["totals"]["binary_macs"]
    assert (binary > 0) == (kind.precision == "w1a1")


BINARY = [method for method in list_methods() if METHODS.get(method).precision == "w1a1"]


def shapes(model):
    """Names and shapes of all weights but those that quantizers own, which come and go with them."""
    signs = [getattr(layer, f"{part}_quantizer", None) for layer in model.layers for part in ("input", "kernel")]
    owned = {id(w) for s in signs if isinstance(s, tf.keras.layers.Layer) for w in s.weights}
    return [(w.name, w.shape) for w in model.weights if id(w) not in owned]


@pytest.mark.parametrize("precision", ["real", "binary_activations"])
@pytest.mark.parametrize("method", BINARY)
def test_a_stage_with_fewer_signs_is_the_same_network_with_the_same_names(method, precision, tmp_path):
    binary = create_model(method, "resnet8", (8, 8, 1), 10, width=0.25)
    model = create_model(method, "resnet8", (8, 8, 1), 10, width=0.25, precision=precision, surrogate="tanh")
    assert [layer.name for layer in model.layers] == [layer.name for layer in binary.layers]
    assert shapes(model) == shapes(binary)
    assert count(model).to_json()["totals"]["binary_weights"] == 0
    for before, after in zip(binary.layers, model.layers, strict=True):
        if getattr(before, "kernel_quantizer", None) is not None:
            assert after.kernel_quantizer is after.kernel_constraint is None
            assert isinstance(after.input_quantizer, Tanh if precision == "real" else type(before.input_quantizer))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(tf.keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_a_real_stage_is_differentiable_where_the_sign_is_not():
    """With tanh nothing is flat: the logits follow a small change of the image, as the derivative says."""
    model = create_model("birealnet", "resnet8", (8, 8, 1), 4, width=0.25, precision="real", surrogate="tanh")
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32))
    direction, step = tf.constant(np.random.default_rng(1).normal(size=x.shape).astype(np.float32)), 1e-3
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x)[0, 0]
    slope = float(tf.reduce_sum(tape.gradient(y, x) * direction))
    change = float(model(x + step * direction)[0, 0] - model(x - step * direction)[0, 0]) / (2 * step)
    assert change == pytest.approx(slope, rel=0.02)


def totals(*args, **options):
    return count(create_model(*args, **options)).to_json()["totals"]


@pytest.mark.parametrize(
    ("backbone", "expected"),
    # trainable parameters of the ImageNet networks (torchvision)
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)],
)
def test_real_resnets_have_the_published_number_of_parameters(backbone, expected):
    model = create_model("real", backbone, (224, 224, 3), 1000, stem="imagenet")
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == expected


def test_cifar_resnet18_and_resnet20_parameters():
    """11,173,962 is the CIFAR ResNet-18 with projections; 272,474 the ResNet-20 of the paper with 1x1 projections."""
    for backbone, expected in (("resnet18", 11_173_962), ("resnet20", 272_474)):
        model = create_model("real", backbone, (32, 32, 3), 10)
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == expected


def test_bireal18_operations_are_the_published_ones():
    """1.676e9 binary MACs; with the real stem, projections and classifier 1.64e8 OPs (published 1.63e8)."""
    found = totals("birealnet", "resnet18", (224, 224, 3), 1000, stem="imagenet")
    assert found["binary_macs"] == 1_676_279_808
    assert found["binary_weights"] == 10_985_472
    assert found["operations"] == pytest.approx(1.64e8, rel=0.005)


def test_bireal_unit_with_zero_batchnorm_scale_is_the_identity():
    model = create_model("birealnet", "resnet8", (8, 8, 1), 10)
    for layer in model.layers:
        if layer.name.endswith("_bn") and "_conv" in layer.name and "projection" not in layer.name:
            layer.gamma.assign(tf.zeros_like(layer.gamma))
    probe = tf.keras.Model(
        model.input, [model.get_layer("stem_bn").output, model.get_layer("stage1_block1_conv2_add").output]
    )
    before, after = probe(np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", ["irnet", "sdbnn"])
def test_bottlenecks_have_one_shortcut_around_the_block(method):
    with pytest.raises(
        LarqnetsError, match=r"a real 1x1 convolution beside every binary one.*shortcut_per_conv = false"
    ):
        create_model(method, "resnet50", (32, 32, 3), 10)
    model = create_model(method, "resnet26", (16, 16, 3), 10, width=0.125, shortcut_per_conv=False)
    assert len([layer for layer in model.layers if layer.name.endswith("_projection")]) == 4


@pytest.mark.parametrize("method", ["birealnet", "binarynet", "xnornet"])
def test_scaling_latent_kernels_leaves_trained_logits_alone(method):
    """A positive factor on a latent filter cancels in the BatchNorm behind it (train mode, epsilon negligible)."""
    tf.keras.utils.set_random_seed(0)
    model = create_model(method, "resnet8", (16, 16, 3), 10)
    x = np.random.default_rng(0).normal(size=(16, 16, 16, 3)).astype(np.float32)
    before = model(x, training=True).numpy()
    scaled = model.get_layer("stage1_block1_conv1")
    scaled.kernel.latent_variable.assign(scaled.kernel.latent_variable * 0.5)
    np.testing.assert_allclose(model(x, training=True), before, atol=2e-2)


def test_first_block_input_has_both_signs():
    """No ReLU right before a sign in methods whose unit begins with the sign."""
    for method in ("birealnet", "binarynet"):
        model = create_model(method, "resnet8", (8, 8, 1), 10)
        inbound = model.get_layer("stage1_block1_conv1").inbound_nodes[0].inbound_layers
        assert not isinstance(inbound, tf.keras.layers.ReLU)


def test_width_scales_every_filter_and_names_stay():
    narrow, wide = (get_backbone("resnet20", width=w) for w in (1, 2))
    assert [2 * u.filters for u in narrow.units] == [u.filters for u in wide.units]
    names = [layer.name for layer in create_model("birealnet", "resnet20", (8, 8, 1), 10).layers]
    assert names == [layer.name for layer in create_model("birealnet", "resnet20", (8, 8, 1), 10, width=2.0).layers]


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("birealnt", "resnet18", (32, 32, 3), 10), {}, "There is no method 'birealnt'. Did you mean 'birealnet'"),
        (("real", "resnet81", (32, 32, 3), 10), {}, "There is no backbone 'resnet81'. Did you mean 'resnet"),
        (("real", "resnet20", (32, 32, 3), 10), {"stem": "imagenet"}, "has no ImageNet stem"),
        (("real", "vgg_small", (4, 4, 3), 10), {}, "Images of 4x4 are too small for vgg_small"),
        (("real", "resnet18", (0, 4, 3), 10), {}, "must be (height, width, channels)"),
        (("real", "resnet18", (32, 32), 10), {}, "must be (height, width, channels)"),
        (("real", "resnet18", (32, 32, 3), 1), {}, "at least 2 classes"),
        (("real", "resnet8", (8, 8, 1), 10), {"precision": "real"}, "Method 'real' has no binary weights"),
        (("xnornet", "resnet8", (8, 8, 1), 10), {"input_scal": True}, "has no option 'input_scal'. Did you mean"),
        (("xnornet", "resnet8", (8, 8, 1), 10), {"input_scale": 1}, "must be bool, not 1"),
    ],
)
def test_impossible_models_are_refused_in_one_sentence(arguments, options, sentence):
    with pytest.raises(LarqnetsError) as error:
        create_model(*arguments, **options)
    assert sentence in str(error.value)


def test_lists_take_globs():
    assert list_backbones("resnet*") == ["resnet18", "resnet20", "resnet26", "resnet34", "resnet50", "resnet8"]
    assert "birealnet" in list_methods("bi*")
    assert list_methods("nothing*") == []


def test_odd_image_sizes_keep_shortcut_and_branch_aligned():
    model = create_model("birealnet", "resnet18", (25, 27, 3), 10, width=0.25)
    assert model.output_shape == (None, 10)


def test_xnor_input_scale_is_the_papers_map():
    """K = mean over channels of |x|, box-filtered with 1/k^2 and zeros outside, against a direct sum."""
    from larqnets.layers.input_scale import InputScale

    x = np.random.default_rng(0).normal(size=(1, 5, 6, 4)).astype(np.float32)
    magnitude = np.pad(np.abs(x).mean(-1)[0], 1)
    expected = [[magnitude[i : i + 3, j : j + 3].sum() / 9 for j in range(6)] for i in range(5)]
    np.testing.assert_allclose(InputScale(3)(x)[0, :, :, 0], expected, rtol=1e-5)
