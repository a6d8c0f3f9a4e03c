"""BNext: its unit against sums by hand, the gate's mean, the falling temperature, its counts."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_backbones import all_shortened

from deploy.convert.convert import refuse_known_problems
from larqnets import LarqnetsError, create_model
from larqnets.backbones import Block, Unit, get_backbone
from larqnets.counts import count
from larqnets.layers.mixed_mean import MixedMean, UnitRange
from larqnets.layers.temperature_sign import COLD, TemperatureSign, tempered_sign
from larqnets.methods import get_method
from larqnets.methods.bnext import map_mean

CHANNELS = {
    "bnext_tiny": [32, 64, *[128] * 2, *[256] * 2, *[512] * 6, *[1024] * 2],
    "bnext_small": [48, 96, *[192] * 2, *[384] * 2, *[768] * 6, *[1536] * 2],
    "bnext_middle": [48, 96, *[192] * 4, *[384] * 4, *[768] * 8, *[1536] * 4],
    "bnext_large": [48, 96, *[192] * 4, *[384] * 4, *[768] * 16, *[1536] * 4],
    "bnext_super": [64, 128, *[256] * 4, *[512] * 4, *[1024] * 16, *[2048] * 4],
}


def body(blocks):
    """The method's body of these blocks, on an image of 4x4 with 2 channels, with identities for all BatchNorms."""
    plan = get_backbone("bnext_tiny")
    plan = type(plan)("of the test", plan.stem, (tuple(blocks),))
    image = tf.keras.Input((4, 4, 2))
    model = tf.keras.Model(image, get_method("bnext").body(image, plan)[-1])
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_variance.assign(tf.ones(2) - layer.epsilon)
        if layer.name.endswith("_gate"):  # g = 1
            layer.set_weights([np.zeros_like(layer.kernel), np.full(2, 100.0)])
        if isinstance(layer, MixedMean):
            layer.share.assign(tf.ones(2))
    return model


X = np.zeros((1, 4, 4, 2), np.float32)
X[0, 0, 0], X[0, 0, 1], X[0, 1, 0] = (0.5, -2), (-1, 3), (-4, -8)


def test_a_plain_unit_by_hand():
    """1x1, out_0 = s_0 + s_1 and out_1 = s_0 - s_1 of the signs of x + bias; PReLU of slope 1/4; + x."""
    model = body([Block((Unit(2, 1),))])
    model.get_layer("stage1_block1_conv1").kernel.latent_variable.assign([[[[1e-3, 1e-3], [1e-3, -1e-3]]]])
    found = model(X)[0].numpy()
    np.testing.assert_allclose(found[0, 0], [0.5 + 0, -2 + 2], atol=1e-6)  # signs + -
    np.testing.assert_allclose(found[0, 1], [-1 + 0, 3 - 2 / 4], atol=1e-6)  # - +
    np.testing.assert_allclose(found[1, 0], [-4 - 2 / 4, -8 + 0], atol=1e-6)  # - -
    np.testing.assert_allclose(found[3, 3], [0 + 2, 0 + 0], atol=1e-6)  # zeros are +
    model.get_layer("stage1_block1_conv1_rsign").threshold.assign([0.0, 1.0])  # the bias is its negative
    np.testing.assert_allclose(model(X)[0, 3, 3], [0 + 0, 0 + 2], atol=1e-6)  # + -


def test_every_second_3x3_is_an_attention_unit_by_hand():
    """In the second 3x3, here with a kernel that picks what a 1x1 did, y is multiplied by r = PReLU(x), to which it is added."""
    model = body([Block((Unit(2, 3), Unit(2, 1))), Block((Unit(2, 3, 2), Unit(2, 1)))])
    names = [layer.name for layer in model.layers if layer.name.endswith("_attended")]
    assert names == ["stage1_block2_conv1_attended"]
    attention = tf.keras.Model(
        model.get_layer("stage1_block1_conv2_add").output, model.get_layer("stage1_block2_conv1_add").output
    )
    kernel = model.get_layer("stage1_block2_conv1").kernel.latent_variable
    kernel.assign(tf.ones_like(kernel))
    r = np.where(X > 0, X, X / 4)[0].reshape(2, 2, 2, 2, 2).mean((1, 3))
    # TensorFlow pads below and on the right. Below zeros are +, so only the first two pixels of both axes may be -.
    assert X[0, :2, :2].tolist() == [[[0.5, -2], [-1, 3]], [[-4, -8], [0, 0]]]
    y = np.array([[18 - 2 * 4, 18], [18, 18]])  # of 9 pixels with 2 signs four are -
    np.testing.assert_allclose(attention(X)[0], y[..., None] * r + r, atol=1e-6)


def test_channels_double_by_two_units_side_by_side():
    model = body([Block((Unit(4, 1),))])
    parts = [model.get_layer(f"stage1_block1_conv1_branch{k}") for k in (1, 2)]
    assert [layer.kernel.shape for layer in parts] == [(1, 1, 2, 2)] * 2
    assert model.output_shape == (None, 4, 4, 4)
    with pytest.raises(LarqnetsError, match="10 channels become 19"):
        create_model("bnext", "bnext_tiny", (32, 32, 3), 10, width=0.3)


@given(seed=st.integers(0, 2**31 - 1), side=st.integers(1, 6), channels=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_the_mean_of_the_mix_is_the_mix_of_the_means(seed, side, channels):
    random = np.random.default_rng(seed)
    x, y = random.uniform(-1, 1, (2, 2, side, side, channels)).astype(np.float32)
    layer = MixedMean()
    a, b = (z.mean((1, 2), keepdims=True) for z in (x, y))
    layer([a, b])
    s = random.uniform(0, 1, channels).astype(np.float32)
    layer.share.assign(s)
    np.testing.assert_allclose(layer([a, b]), (s * x + (1 - s) * y).mean((1, 2), keepdims=True), atol=1e-6)


def test_the_mean_of_a_large_map_of_equal_numbers_is_that_number():
    """One sum over all of them is off by 4e-5 here, and by 1.6e-4 in a file."""
    image = tf.keras.Input((112, 112, 8))
    x = np.random.default_rng(0).normal(size=8).astype(np.float32)
    found = tf.keras.Model(image, map_mean(image, "mean"))(np.broadcast_to(x, (1, 112, 112, 8)))
    np.testing.assert_allclose(found, x[None, None, None], rtol=5e-6)


def test_the_mix_stays_between_0_and_1():
    np.testing.assert_array_equal(UnitRange()(tf.constant([-0.5, 0.25, 1.5])), [0, 0.25, 1])


def test_tempered_sign_and_its_gradient():
    w = tf.constant([-1.5, -0.25, -0.0, 0.1, 2.0])
    for t, expected in ((1.0, [-1, -0.25, 0, 0.1, 1]), (0.5, [-1, -0.5, 0, 0.2, 1]), (COLD, [-1, -1, 1, 1, 1])):
        with tf.GradientTape() as tape:
            tape.watch(w)
            y = tempered_sign(w, tf.constant(t))
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        np.testing.assert_array_equal(tape.gradient(y, w), np.ones(5))


def test_the_temperature_falls_as_in_the_released_code_and_in_a_run_of_any_length():
    layer = TemperatureSign()
    layer(tf.zeros((1, 1, 1, 1)))
    assert float(layer.temperature) == np.float32(COLD)  # of a network that nothing trains
    for epoch in (0, 1, 20, 100):
        layer.progress.assign(epoch / 512)
        assert float(layer.temperature) == pytest.approx(0.9**epoch, rel=0.1)
    for steps in (2, 10, 1000):
        layer.progress.assign((steps - 1) / steps)  # as the training loop sets it in the last step
        assert float(layer.temperature) == np.float32(COLD)


def test_the_export_refuses_kernels_that_are_not_binary_yet():
    with all_shortened():
        model = create_model("bnext", "bnext_tiny", (16, 16, 3), 4, width=1 / 32)
    refuse_known_problems(model, allow_float=False)
    model.get_layer("stage1_block1_conv1").kernel_quantizer.progress.assign(0.15)
    with pytest.raises(LarqnetsError, match=r"temperature of its kernel is 3\.2e-04.*the last epoch's"):
        refuse_known_problems(model, allow_float=False)


@pytest.mark.parametrize("backbone", CHANNELS)
def test_bodies_are_the_lists_of_the_released_code(backbone):
    plan = get_backbone(backbone, "imagenet")
    blocks = [block for stage in plan.stages for block in stage]
    assert [plan.stem.filters, *[block.units[1].filters for block in blocks]] == CHANNELS[backbone]
    before = 0
    for block, channels, filters in zip(blocks, CHANNELS[backbone], CHANNELS[backbone][1:], strict=False):
        strides = 2 if filters != channels and before else 1
        assert block.units == (Unit(channels, 3, strides), Unit(filters, 1))
        before = channels


def reckoned(plan, side, classes):
    """1-bit and real multiply-adds of a body: its convolutions, and stem, gates (two 1x1 with an eighth of the channels), classifier."""
    side //= plan.stem.strides
    binary, real, channels = 0, side**2 * 27 * plan.stem.filters, plan.stem.filters
    for unit in plan.units:
        side //= unit.strides
        binary += side**2 * unit.kernel_size**2 * channels * unit.filters
        real += unit.filters // channels * 2 * channels * (channels // 8)
        channels = unit.filters
    return binary, real + channels * classes


@pytest.mark.parametrize(
    ("backbone", "binary", "real", "operations"),
    [
        ("bnext_tiny", 4_816_896_000, 13_344_512, "0.089"),
        ("bnext_small", 10_838_016_000, 21_128_640, "0.190"),
        ("bnext_middle", 20_086_456_320, 24_262_080, "0.338"),
        ("bnext_large", 29_334_896_640, 26_621_376, "0.485"),
        ("bnext_super", 52_150_927_360, 39_418_880, "0.854"),
    ],
)
def test_operations_on_imagenet(backbone, binary, real, operations):
    found = reckoned(get_backbone(backbone, "imagenet"), 224, 1000)
    assert found == (binary, real)
    assert f"{(binary / 64 + real) / 1e9:.3f}" == operations


def test_a_built_network_has_as_many_operations_as_reckoned():
    with all_shortened():
        totals = count(create_model("bnext", "bnext_tiny", (32, 32, 3), 10, width=0.25)).to_json()["totals"]
        plan = get_backbone("bnext_tiny", width=0.25)
    assert (totals["binary_macs"], totals["real_macs"]) == reckoned(plan, 32, 10)
