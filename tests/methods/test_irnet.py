"""IR-Net's network: where shortcuts and activations stand, what the options change, what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.padded_shortcut import PaddedShortcut


def names(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


def test_one_shortcut_around_every_convolution_or_around_the_block():
    per_conv = create_model("irnet", "resnet20", (32, 32, 3), 10)
    assert len(names(per_conv, tf.keras.layers.Add)) == 18
    per_block = create_model("irnet", "resnet18", (32, 32, 3), 10, shortcut_per_conv=False, width=0.125)
    assert len(names(per_block, tf.keras.layers.Add)) == 8
    # stem, and one behind every convolution or sum
    assert len(names(per_conv, HardTanh)) == 1 + 18
    assert len(names(per_block, HardTanh)) == 1 + 16


def test_every_sign_sees_a_hardtanh():
    model = create_model("irnet", "resnet8", (8, 8, 1), 10)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            assert isinstance(layer.inbound_nodes[0].inbound_layers, HardTanh)


@pytest.mark.parametrize(
    ("backbone", "stem", "before"),
    [
        ("resnet18", "small", "head_bn"),
        ("resnet18", "imagenet", "head_bn"),
        ("vgg_small", "small", "head_flatten"),
    ],
)
def test_stem_and_head_are_those_of_the_released_code(backbone, stem, before):
    """A hardtanh in the stem, before the max-pool; BatchNorm before the classifier, but not in VGG-Small."""
    model = create_model("irnet", backbone, (64, 64, 3), 10, stem=stem, width=1 / 16)
    first = [layer.name for layer in model.layers[1:5]]
    assert first[:3] == ["stem_conv", "stem_bn", "stem_hardtanh"]
    assert (first[3] == "stem_pool") == (stem == "imagenet")
    assert model.get_layer("classifier").inbound_nodes[0].inbound_layers.name == before


def test_a_padded_shortcut_has_no_weights_and_keeps_every_second_pixel():
    padded = create_model("irnet", "resnet20", (32, 32, 3), 10, downsample="pad")
    assert len(names(padded, PaddedShortcut)) == 2
    assert not any("projection" in w.name for w in padded.weights)
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 4)).astype(np.float32)
    y = PaddedShortcut(8, 2)(x).numpy()
    np.testing.assert_array_equal(y[..., 2:6], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., [0, 1, 6, 7]], 0)


def test_the_pooled_shortcut_averages_before_a_1x1_convolution_of_stride_1():
    model = create_model("irnet", "resnet8", (8, 8, 1), 10, downsample="pooled")
    assert model.get_layer("stage2_block1_conv1_projection").strides == (1, 1)
    assert model.get_layer("stage2_block1_conv1_projection_pool").pool_size == (2, 2)


def test_affine_changes_of_latent_kernels_leave_the_logits_alone():
    tf.keras.utils.set_random_seed(0)
    model = create_model("irnet", "resnet8", (16, 16, 3), 10)
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    before = model(x).numpy()
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            latent = layer.kernel.latent_variable
            latent.assign(0.5 * latent + 0.25)
    # the signs are the same, but of the few weights that rounding carries across their filter's mean
    np.testing.assert_allclose(model(x), before, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"downsample": "pooling"}, "must be one of 'projection', 'pooled', 'pad'. Did you mean 'pooled'"),
        ({"t_min": 0.0}, "must lie above 0"),
        ({"t_min": 11.0}, "not above 10"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(LarqnetsError) as error:
        create_model("irnet", "resnet8", (8, 8, 1), 10, **options)
    assert sentence in str(error.value)
