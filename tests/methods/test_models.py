"""Backbones, methods and every pair of them: structure, counts against the papers, and one sentence where none is built."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from small_backbones import all_shortened, fitting, registered

from larqnets import LarqnetsError, create_model, list_backbones, list_methods
from larqnets.backbones import get_backbone
from larqnets.config import list_configs, load_config
from larqnets.counts import count
from larqnets.data.info import BOXES
from larqnets.losses import make_loss
from larqnets.methods import METHODS
from larqnets.models import method_matrix
from larqnets.quantizers import Clip, Relu, Tanh
from larqnets.runs.names import check_schedule
from larqnets.tasks import answers_of, get_task
from larqnets.training import build_model

# Two branches have every part that Group-Net's five have; its default is built by the shipped experiments and test_golden.py.
FEWER = {"groupnet": {"k": 2}}
MATRIX = method_matrix()
# The other bodies of BNext are its tiny one with other numbers of blocks and channels.
PAIRS = [(method, b) for method, row in MATRIX.items() for b in row if b == "bnext_tiny" or not b.startswith("bnext")]


def smallest_image(backbone):
    """The side of the smallest image that the backbone takes with its small stem: every halving needs two pixels."""
    return 2 ** sum(unit.strides == 2 or unit.pool != "none" for unit in get_backbone(backbone).units)


def has_depthwise(backbone):
    return any(unit.depthwise for unit in get_backbone(backbone).units)


BINARY = [method for method in list_methods() if METHODS.get(method).precision == "w1a1"]


@pytest.mark.parametrize(("method", "backbone"), PAIRS)
def test_every_pair_builds_or_says_why_not(method, backbone):
    """The backbones that build are shortened here; in full they build below."""
    reason = MATRIX[method][backbone]
    shape = (smallest_image(backbone), smallest_image(backbone), 3)
    if reason:
        assert reason.endswith(".")
        assert method in reason
        numbers_vary = re.sub(r"\d+", r"\\d+", re.escape(reason))  # channels depend on the width
        with pytest.raises(LarqnetsError, match=numbers_vary):
            create_model(method, backbone, shape, 5, width=0.125)
        return
    with all_shortened():
        model = create_model(method, backbone, shape, 5, width=0.125, **FEWER.get(method, {}))
    assert_computes(model, shape)


def assert_computes(model, shape):
    assert model.output_shape == (None, 5)
    # Kernels of -1 and +1 multiply the size of what they see; only the statistics of a batch keep 121 layers finite.
    y = model(np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32), training=True)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("backbone", list_backbones())
def test_every_backbone_builds_in_full(backbone):
    """With the first method of 1-bit weights that takes it, else as a real network."""
    method = next((method for method in BINARY if not MATRIX[method][backbone]), "real")
    shape = (smallest_image(backbone), smallest_image(backbone), 3)
    model = create_model(method, backbone, shape, 5, width=0.125)
    positions = [layer for layer in model.layers if re.fullmatch(r"stage\d+_block\d+_conv\d+", layer.name)]
    assert len(positions) == len(get_backbone(backbone).units)
    assert_computes(model, shape)


@pytest.mark.parametrize("backbone", list_backbones())
def test_an_image_that_ends_before_the_network_is_refused(backbone):
    side = smallest_image(backbone) // 2
    with pytest.raises(LarqnetsError, match=f"Images of {side}x{side} are too small for {backbone}: nothing is left"):
        create_model("real", backbone, (side, side, 3), 5)


def test_a_pooling_drops_the_last_row_of_an_odd_size():
    """7 -> 3 -> 1 -> nothing; a stride of 2 would give 7 -> 4 -> 2 -> 1."""
    with pytest.raises(LarqnetsError, match="Images of 7x8 are too small for vgg_small"):
        create_model("real", "vgg_small", (7, 8, 3), 5)
    assert create_model("real", "resnet18", (7, 8, 3), 5, width=0.125).output_shape == (None, 5)


@pytest.mark.parametrize("method", list_methods())
def test_a_method_declares_what_it_is(method):
    kind = METHODS.get(method)
    assert kind.precision in ("w1a1", "w1a32", "real")
    assert kind.name == method
    assert kind.paper
    with registered():
        model = create_model(method, fitting(method), (8, 8, 1), 10, **FEWER.get(method, {}))
    binary = count(model).to_json()["totals"]["binary_macs"]
    assert (binary > 0) == (kind.precision == "w1a1")


def shapes(model):
    """Names and shapes of all weights but those that quantizers own, which come and go with them."""
    signs = [getattr(layer, f"{part}_quantizer", None) for layer in model.layers for part in ("input", "kernel")]
    owned = {id(w) for s in signs if isinstance(s, tf.keras.layers.Layer) for w in s.weights}
    return [(w.name, w.shape) for w in model.weights if id(w) not in owned]


@pytest.mark.parametrize("precision", ["real", "binary_activations"])
@pytest.mark.parametrize("method", BINARY)
def test_a_stage_with_fewer_signs_is_the_same_network_with_the_same_names(method, precision, tmp_path):
    arguments, options = (method, "resnet5", (8, 8, 1), 10), FEWER.get(method, {})
    with registered():
        binary = create_model(*arguments, **options)
        model = create_model(*arguments, **options, precision=precision, surrogate="tanh")
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


@pytest.mark.parametrize(("surrogate", "kind"), [("clip", Clip), ("tanh", Tanh), ("relu", Relu)])
def test_a_real_stage_has_its_surrogate_at_every_sign(surrogate, kind):
    model = create_model("groupnet", "resnet8", (8, 8, 1), 10, width=0.25, precision="real", surrogate=surrogate, k=2)
    signs = [layer.input_quantizer for layer in model.layers if hasattr(layer, "input_quantizer")]
    assert len(signs) == 2 * 6 + 2  # six units in two branches, two 1x1 convolutions in shortcuts
    assert {type(sign) for sign in signs} == {kind}


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


@pytest.mark.parametrize("method", [method for method in list_methods() if METHODS.get(method).precision != "real"])
def test_scaling_latent_filters_leaves_trained_logits_alone(method):
    """A positive factor for every filter cancels in the BatchNorm behind it, or before it (train mode).

    The kernel is large, so that BatchNorm's epsilon is no more than the last bit of a variance, and the factors are powers
    of two, which round nothing: logits of size 1 agree to 1e-4.
    """
    tf.keras.utils.set_random_seed(0)
    model = create_model(method, "resnet8", (8, 8, 3), 10, **FEWER.get(method, {}))
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    first = ("stage1_block1_conv1", "stage1_block1_conv1_branch1")
    latent = next(layer for layer in model.layers if layer.name in first).kernel.latent_variable
    latent.assign(64 * latent)
    before = model(x, training=True).numpy()
    latent.assign(latent * 2.0 ** (1 + np.arange(latent.shape[-1]) % 3))
    np.testing.assert_allclose(model(x, training=True), before, atol=1e-4)


def test_first_block_input_has_both_signs():
    """No ReLU right before a sign in methods whose unit begins with the sign."""
    for method in ("birealnet", "binarynet"):
        model = create_model(method, "resnet8", (8, 8, 1), 10)
        inbound = model.get_layer("stage1_block1_conv1").inbound_nodes[0].inbound_layers
        assert not isinstance(inbound, tf.keras.layers.ReLU)


def test_mobilenet_v1_is_table_1_of_its_paper():
    """Rows of the table: stride of the depthwise convolution, channels in and out of the pointwise one, side behind it."""
    rows = [(1, 32, 64, 112), (2, 64, 128, 56), (1, 128, 128, 56), (2, 128, 256, 28), (1, 256, 256, 28)]
    rows += [(2, 256, 512, 14), *[(1, 512, 512, 14)] * 5, (2, 512, 1024, 7), (1, 1024, 1024, 7)]
    model = create_model("real", "mobilenet_v1", (224, 224, 3), 1000, stem="imagenet")
    assert model.get_layer("stem_conv").output_shape == (None, 112, 112, 32)
    convolutions = [layer for layer in model.layers if layer.name.endswith(("_conv1", "_conv2"))]
    found = [
        (depthwise.strides[0], pointwise.kernel.shape[2], pointwise.kernel.shape[3], pointwise.output_shape[1])
        for depthwise, pointwise in zip(convolutions[0::2], convolutions[1::2], strict=True)
    ]
    assert found == rows
    assert all(layer.depthwise_kernel.shape[:2] == (3, 3) for layer in convolutions[0::2])
    assert all(layer.kernel.shape[:2] == (1, 1) for layer in convolutions[1::2])


def test_mobilenet_v1_has_as_many_parameters_as_that_of_keras():
    """BatchNorm and the classifier with them; 569 million multiply-adds are the paper's (table 4)."""
    model = create_model("real", "mobilenet_v1", (224, 224, 3), 1000, stem="imagenet")
    reference = tf.keras.applications.MobileNet(weights=None)
    ours, theirs = (sum(int(np.prod(w.shape)) for w in m.trainable_weights) for m in (model, reference))
    assert ours == theirs
    assert round(count(model).to_json()["totals"]["real_macs"] / 1e6) == 569


def _given_weights_of(model, reference):
    """Fill a network of Keras with numbers as after training, and give ours the same in the same order; returns both."""
    random = np.random.default_rng(0)
    with_weights = [[layer for layer in m.layers if layer.weights] for m in (model, reference)]
    for ours, theirs in zip(*with_weights, strict=True):
        if isinstance(theirs, tf.keras.layers.BatchNormalization):
            channels = theirs.gamma.shape
            theirs.set_weights(
                [random.uniform(0.5, 1.5, channels), *random.normal(0, 0.2, (2, *channels)), np.ones(channels)]
            )
            theirs.epsilon = ours.epsilon
        elif theirs.get_weights()[1:]:
            theirs.set_weights([theirs.get_weights()[0], random.normal(0, 0.2, theirs.bias.shape)])
        ours.set_weights([w.reshape(v.shape) for v, w in zip(ours.weights, theirs.get_weights(), strict=True)])
    return model, reference


@pytest.mark.parametrize(
    ("backbone", "function", "options", "parameters", "multiply_adds"),
    [
        ("mobilenet_v2", "MobileNetV2", {}, 3_504_872, 300_774_272),
        ("mobilenet_v3_small", "MobileNetV3Small", {"include_preprocessing": False}, 2_542_856, 56_510_400),
    ],
)
def test_inverted_residuals_are_those_of_keras(backbone, function, options, parameters, multiply_adds):
    """As many parameters and multiply-adds, and with the same weights the same answers, but for its epsilon in BatchNorm."""
    shape = (224, 224, 3)
    model = create_model("real", backbone, shape, 1000, stem="imagenet")
    reference = getattr(tf.keras.applications, function)(
        weights=None, input_shape=shape, classifier_activation=None, **options
    )
    for network in (model, reference):
        assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == parameters
        assert count(network).to_json()["totals"]["real_macs"] == multiply_adds
    model, reference = _given_weights_of(model, reference)
    image = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    answer = reference(image).numpy()
    assert answer.std() > 0.01
    np.testing.assert_allclose(model(image), answer, rtol=0, atol=1e-4 * np.abs(answer).max())


def test_efficientnet_lite0_is_as_large_as_published():
    """4.7 million parameters and 407 million multiply-adds; products with kernels alone are 385 million."""
    model = create_model("real", "efficientnet_lite0", (224, 224, 3), 1000, stem="imagenet")
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 4_652_008
    assert count(model).to_json()["totals"]["real_macs"] == 385_187_552 == pytest.approx(407e6, rel=0.06)


def test_a_linear_bottleneck_has_no_activation():
    """Of what the blocks of a MobileNetV2 hand on nothing is cut off."""
    model = create_model("real", "mobilenet_v2", (16, 16, 3), 5, width=0.25)
    for name in ("stage1_block1_conv2_bn", "stage2_block2_add"):
        behind = {type(node.outbound_layer).__name__ for node in model.get_layer(name).outbound_nodes}
        assert behind <= {"Conv2D", "Add"}


def test_densenet121_is_table_1_of_its_paper():
    """Channels and side behind every dense block and transition, on ImageNet."""
    model = create_model("real", "densenet121", (224, 224, 3), 1000, stem="imagenet")
    ends = [f"stage{s}_block{n}_concat" for s, n in enumerate((6, 12, 24, 16), 1)]
    transitions = [f"stage{s}_block{n}_conv1_pool" for s, n in enumerate((7, 13, 25), 1)]
    assert model.get_layer("stem_pool").output_shape == (None, 56, 56, 64)
    assert [model.get_layer(end).output_shape[2:] for end in ends] == [(56, 256), (28, 512), (14, 1024), (7, 1024)]
    assert [model.get_layer(end).output_shape[2:] for end in transitions] == [(28, 128), (14, 256), (7, 512)]
    assert conv_weights(model) == conv_weights(tf.keras.applications.DenseNet121(weights=None))
    assert len([layer for layer in model.layers if hasattr(layer, "kernel")]) == 121


def test_vgg16_is_configuration_d_of_its_paper():
    model = create_model("real", "vgg16", (224, 224, 3), 1000, stem="imagenet")
    reference = tf.keras.applications.VGG16(weights=None)
    both = [
        [layer.output_shape for layer in m.layers if isinstance(layer, tf.keras.layers.Conv2D)]
        for m in (model, reference)
    ]
    assert both[0] == both[1]
    assert conv_weights(model) == conv_weights(reference)
    assert len([layer for layer in model.layers if isinstance(layer, tf.keras.layers.MaxPool2D)]) == 5
    assert shapes(model) == shapes(create_model("real", "vgg16", (32, 32, 3), 1000))


def conv_weights(model):
    return sum(int(np.prod(layer.kernel.shape)) for layer in model.layers if isinstance(layer, tf.keras.layers.Conv2D))


@pytest.mark.parametrize("method", [m for m in BINARY if not MATRIX[m]["mobilenet_v1"]])
def test_depthwise_convolutions_are_real_and_pointwise_ones_binary(method):
    model = create_model(method, "mobilenet_v1", (16, 16, 3), 5, width=0.125)
    counted = {entry.layer: entry for entry in count(model).layers}
    for stage, blocks in enumerate((1, 2, 2, 6, 2), 1):
        for block in range(1, blocks + 1):
            depthwise, pointwise = (counted[f"stage{stage}_block{block}_conv{i}"] for i in (1, 2))
            assert depthwise.type == "DepthwiseConv2D"
            assert depthwise.real_macs > depthwise.binary_weights == depthwise.binary_macs == 0
            assert pointwise.binary_macs > pointwise.real_macs == 0
    for layer in model.layers:  # and every sign sees both signs
        if getattr(layer, "input_quantizer", None) is not None and layer.name != "classifier":
            assert not isinstance(layer.inbound_nodes[0].inbound_layers, tf.keras.layers.ReLU)


@given(st.floats(1 / 64, 64), st.sampled_from([*filter(has_depthwise, list_backbones())]))
def test_a_depthwise_position_stays_one_at_every_width(width, backbone):
    wide, plain = get_backbone(backbone, width=width), get_backbone(backbone)
    assert [unit.depthwise for unit in wide.units] == [unit.depthwise for unit in plain.units]
    channels = [wide.stem.filters, *(unit.filters for unit in wide.units)]
    assert all(unit.filters == before for unit, before in zip(wide.units, channels, strict=False) if unit.depthwise)


@pytest.mark.parametrize(
    ("backbone", "stem"),
    [
        ("resnet18", "imagenet"),
        ("resnet20", "small"),
        ("vgg_small", "small"),
        ("mobilenet_v1", "imagenet"),
        ("densenet121", "imagenet"),
        ("mobilenet_v2", "imagenet"),
        ("mobilenet_v3_small", "imagenet"),
        ("efficientnet_lite0", "small"),
    ],
)
def test_reductions_are_those_of_the_stages(backbone, stem):
    plan, method = get_backbone(backbone, stem, 1 / 16), METHODS.get("real")()
    images = tf.keras.Input((64, 96, 3))
    stages = method.body(method.stem(images, plan.stem), plan)
    assert [stage.shape[1:3] for stage in stages] == [(64 // r, 96 // r) for r in plan.reductions]


def test_width_scales_squeezed_channels_and_the_hidden_layer():
    plan, half = (get_backbone("mobilenet_v3_small", width=width) for width in (1, 0.5))
    assert [unit.squeeze / 2 for unit in plan.units] == [unit.squeeze for unit in half.units]
    assert (plan.hidden.filters, half.hidden.filters) == (1024, 512)


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
        (
            ("birealnet", "mobilenet_v2", (32, 32, 3), 10),
            {},
            "which activations stand behind its convolutions, and birealnet",
        ),
        (("real", "resnet18", (0, 4, 3), 10), {}, "must be (height, width, channels)"),
        (("real", "resnet18", (32, 32), 10), {}, "must be (height, width, channels)"),
        (("real", "resnet18", (32, 32, 3), 1), {}, "at least 2 classes"),
        (("real", "resnet8", (8, 8, 1), 10), {"precision": "real"}, "Method 'real' has no binary weights"),
        (("xnornet", "resnet8", (8, 8, 1), 10), {"input_scal": True}, "has no option 'input_scal'. Did you mean"),
        (("xnornet", "resnet8", (8, 8, 1), 10), {"input_scale": 1}, "must be of type bool, not 1"),
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


@pytest.mark.parametrize("name", list_configs())
def test_every_shipped_experiment_has_a_network_and_schedules(name):
    """At a sixteenth of its width, without equal blocks, in the precision of its first stage: the others take fewer signs
    away."""
    experiment = load_config(name)
    narrow = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, width=1 / 16))
    for stage in experiment.training_stages:
        check_schedule(stage)
        make_loss(stage)
    task, shape = get_task(experiment.task), (64, 64, 3) if experiment.model.stem == "imagenet" else (16, 16, 3)
    if task.learns_from == BOXES:  # on the last stages, and on maps of the size of its images
        with all_shortened(5):
            model = answers_of(build_model(narrow, (*(experiment.data.size or (96, 96)), 3), 10))
        boxes, scores = model.output_shape
        assert (boxes[2], scores[2]) == (4, 10)
        return
    per_pixel = task.per_pixel  # in the third stage a stride becomes a dilation
    with all_shortened(3 if per_pixel else 2):
        assert build_model(narrow, shape, 10).output_shape == (None, *(shape[:2] if per_pixel else ()), 10)


@pytest.mark.parametrize("method", list_methods())
def test_every_batchnorm_has_the_constants_of_the_papers(method):
    with registered():
        model = create_model(method, fitting(method), (8, 8, 1), 10, **FEWER.get(method, {}))
    norms = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    assert {(layer.epsilon, layer.momentum) for layer in norms} == (set() if method == "ssd" else {(1e-5, 0.9)})


def test_every_method_says_in_what_it_departs_from_its_paper():
    for name in list_methods():
        assert vars(METHODS.get(name)).get("departures"), name
