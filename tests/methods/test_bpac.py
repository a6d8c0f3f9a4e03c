"""Group-Net's binary parallel atrous convolution: the same network, but for what each branch sees."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenters import IMAGES, SHAPE, registered, segmenter

from larqnets import LarqnetsError, create_model, list_methods
from larqnets.backbones import Unit, dilated, get_backbone
from larqnets.layers import dilated_conv
from larqnets.layers.dilated_conv import DilatedConv2D
from larqnets.layers.input_scale import InputScale
from larqnets.methods import get_method
from larqnets.methods.groupnet import GroupNet

RESNET = get_backbone("resnet18", "imagenet")


def rates(size, **options):
    backbone = GroupNet(bpac=True, **options).dilated(RESNET, 8, size)
    return list(dict.fromkeys(unit.dilation for unit in backbone.units[8:]))


def test_rates_are_the_papers_where_the_map_has_room_for_them():
    assert rates((480, 480)) == [(2, 3, 4, 5, 6), (6, 7, 8, 9, 10)]
    assert rates((96, 128), k=3) == [(2, 3, 4), (6, 7, 8)]
    assert rates((64, 96), k=3) == [(1, 2, 3), (2, 4, 6)]
    assert rates((480, 80), k=5) == [(1, 2, 3, 4, 5), (2, 4, 6, 8, 10)]
    assert rates((64, 64), k=2, bpac_rates=((1, 9), (3, 3))) == [(1, 9), (3, 3)]
    assert GroupNet(k=3).dilated(RESNET, 8, (64, 64)) == dilated(RESNET, 8)


def test_every_branch_has_its_own_rate_in_every_convolution():
    model, _ = segmenter("groupnet", settled=False, k=3, bpac=True, bpac_rates=((1, 3, 5),))
    wide = {
        layer.name: layer.dilation_rate[0]
        for layer in model.layers
        if layer.name.startswith("stage2") and hasattr(layer, "kernel_quantizer")
    }
    branches = {name: rate for name, rate in wide.items() if "branch" in name}
    assert branches == {
        f"stage2_block1_conv{i}_branch{k}": rate for i in (1, 2) for k, rate in ((1, 1), (2, 3), (3, 5))
    }
    assert all(rate == 1 for name, rate in wide.items() if name not in branches)


@pytest.mark.parametrize("rate", [1, 2, 7])
def test_branches_of_one_rate_are_group_net_with_that_rate(rate):
    """Bit for bit, with the same weights; 7 is beyond the map. As many parameters whatever the rates are."""
    method = get_method("groupnet", k=2, bpac=True, bpac_rates=((rate, rate),))
    with registered():
        plan = get_backbone("resnet6", "imagenet")
    branched = method.dilated(plan, 8, SHAPE[:2])
    plain = replace(
        dilated(plan, 8),
        stages=tuple(
            tuple(
                replace(
                    block,
                    units=tuple(replace(u, dilation=rate if isinstance(u.dilation, tuple) else 1) for u in block.units),
                )
                for block in stage
            )
            for stage in branched.stages
        ),
    )
    networks = [build(method, branched), build(get_method("groupnet", k=2), plain)]
    networks[1].set_weights(networks[0].get_weights())
    outputs = [network(IMAGES).numpy() for network in networks]
    np.testing.assert_array_equal(*outputs)
    assert outputs[0].shape[1:3] == (4, 4)
    assert networks[0].count_params() == build(get_method("groupnet", k=2), dilated(plan, 8)).count_params()


def build(method, plan):
    image = tf.keras.Input(SHAPE)
    return tf.keras.Model(image, method.body(method.stem(image, plan.stem), plan)[-1])


@settings(max_examples=25, deadline=None)
@given(rate=st.integers(1, 40), size=st.tuples(st.integers(1, 16), st.integers(1, 16)), seed=st.integers(0, 2**31))
def test_a_rate_keeps_the_size_of_the_map_and_pads_with_ones(rate, size, seed):
    """Also a rate beyond the map. Against the sum that a convolution is."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, *size, 2)).astype(np.float32)
    layer = DilatedConv2D(
        3,
        3,
        dilation_rate=rate,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
    )
    found = layer(x)
    w = np.where(layer.kernel.numpy() >= 0, 1, -1)
    padded = np.pad(np.where(x >= 0, 1, -1), ((0, 0), (rate, rate), (rate, rate), (0, 0)), constant_values=1)
    windows = [padded[:, i * rate :, j * rate :][:, : size[0], : size[1]] @ w[i, j] for i in range(3) for j in range(3)]
    np.testing.assert_array_equal(found, sum(windows))


def test_without_the_ops_gradient_the_layer_trains_as_keras_does(monkeypatch):
    layer = DilatedConv2D(3, 3, dilation_rate=2, padding="same", use_bias=False)
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 6, 6, 2)), tf.float32)
    layer.build(x.shape)

    def gradient():
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(y, layer.kernel)

    ours = gradient()
    monkeypatch.setattr(dilated_conv, "_has_gradient", lambda: False)
    np.testing.assert_allclose(ours, gradient(), rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(kernel=st.integers(1, 4), dilation=st.integers(1, 9), size=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_the_map_of_magnitudes_covers_the_windows_of_a_dilated_convolution(kernel, dilation, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    box = np.full((kernel, kernel, 1, 1), 1 / kernel**2, np.float32)
    due = tf.nn.convolution(np.abs(x).mean(-1, keepdims=True), box, padding="SAME", dilations=[dilation, dilation])
    np.testing.assert_allclose(InputScale(kernel, dilation=dilation)(x), due, atol=1e-6)


@pytest.mark.parametrize("method", [m for m in list_methods() if m != "groupnet"])
def test_a_method_without_branches_refuses_their_rates(method):
    backbone = dilated(RESNET, 8, [(2, 3), (6, 7)])
    with pytest.raises(
        LarqnetsError, match=rf"^{method} has one convolution at a position, .* Use groupnet, or one rate\.$"
    ):
        get_method(method).check(backbone)
    with pytest.raises(AssertionError):
        _ = Unit(8, dilation=(2, 3)).rate  # Keras would take it for height and width


WIDE = ((2, 3), (6, 7))


@pytest.mark.parametrize(
    ("options", "output_stride", "sentence"),
    [
        ({"k": 3, "bpac_rates": WIDE}, 8, r"^3 branches have 3 dilation rates, and 2, 3 are 2\. Give one for each\.$"),
        ({"k": 2, "variant": "lbd", "bpac_rates": WIDE}, 8, "variant = 'lbd' has no branches"),
        ({"k": 2, "bpac_rates": WIDE}, 16, "at an output stride of 16 has 1 dilated stages, and rates are given for 2"),
        ({"k": 2}, 32, "bpac widens .* here 'resnet18' keeps all of its strides"),
        ({"k": 2, "bpac": False, "bpac_rates": WIDE}, 8, "bpac_rates are those of bpac = true"),
    ],
)
def test_rates_that_fit_nothing_are_refused(options, output_stride, sentence):
    method = get_method("groupnet", **{"bpac": True, **options})
    with pytest.raises(LarqnetsError, match=sentence):
        method.check(method.dilated(RESNET, output_stride, (96, 128)))


def test_rates_below_1_are_no_options_and_a_classifier_has_none():
    with pytest.raises(LarqnetsError, match=r"bpac_rates\.0\.1' is 0, but must be 1 or more"):
        get_method("groupnet", k=2, bpac=True, bpac_rates=[[1, 0]])
    with pytest.raises(LarqnetsError, match="bpac widens what branches see"):
        create_model("groupnet", "resnet8", (16, 16, 3), 4, bpac=True)
