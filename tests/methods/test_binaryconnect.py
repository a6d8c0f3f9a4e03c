"""BinaryConnect: binary weights on real activations, everywhere; drawn signs while training if asked."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError, create_model
from larqnets.counts import count
from larqnets.layers.binary_weights import BinaryWeightConv2D, BinaryWeightDense

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 16, 16, 3)).astype(np.float32)


def narrow(**options):
    tf.keras.utils.set_random_seed(0)
    return create_model("binaryconnect", "vgg_small", (16, 16, 3), 10, width=0.125, **options)


def test_every_kernel_is_binary_and_no_activation_is():
    model = narrow()
    totals = count(model).to_json()["totals"]
    kernels = [layer for layer in model.layers if isinstance(layer, BinaryWeightConv2D | BinaryWeightDense)]
    assert len(kernels) == 7  # with the first convolution and the classifier
    assert totals["binary_weights"] == sum(int(np.prod(layer.kernel.shape)) for layer in kernels)
    assert totals["binary_macs"] == 0
    assert not any(type(layer) in (tf.keras.layers.Conv2D, tf.keras.layers.Dense) for layer in model.layers)


def test_first_layer_against_its_formula():
    """relu(BN(x * sign(w))) with SAME zero padding; float32 sums of 27 numbers agree to 1e-5."""
    model = narrow()
    kernel = model.get_layer("stem_conv").kernel.latent_variable.numpy()
    y = tf.nn.conv2d(IMAGES, np.where(kernel >= 0, 1.0, -1.0).astype(np.float32), 1, "SAME")
    probe = tf.keras.Model(model.input, model.get_layer("stem_relu").output)
    np.testing.assert_allclose(probe(IMAGES), tf.nn.relu(y / np.sqrt(1 + 1e-5)), atol=1e-5)


def test_the_gradient_for_the_sign_is_taken_for_the_latent_weight_up_to_1():
    """L = sum of a 1x1 convolution's output: dL/dsign is the sum of its input, for w outside [-1, 1] it is 0."""
    layer = BinaryWeightConv2D(1, 1, use_bias=False, kernel_quantizer=narrow().get_layer("stem_conv").kernel_quantizer)
    layer.build((None, 2, 2, 3))
    layer.kernel.latent_variable.assign(np.reshape([0.3, -1.0, 1.5], (1, 1, 3, 1)))
    x = tf.constant(RNG.normal(size=(1, 2, 2, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    gradient = tape.gradient(y, layer.trainable_weights[0])
    expected = np.sum(x, axis=(0, 1, 2)) * [1, 1, 0]
    np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-5)


def test_signs_are_drawn_while_training_only():
    drawn, plain = narrow(stochastic=True), narrow()
    for layer in plain.layers:
        for mine, theirs in zip(drawn.get_layer(layer.name).trainable_weights, layer.trainable_weights, strict=True):
            mine.assign(theirs)
    np.testing.assert_array_equal(drawn(IMAGES), plain(IMAGES))
    np.testing.assert_array_equal(drawn(IMAGES), drawn(IMAGES))
    probe = tf.keras.Model(drawn.input, drawn.get_layer("stem_conv").output)
    first, second = probe(IMAGES, training=True).numpy(), probe(IMAGES, training=True).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, probe(IMAGES).numpy())


def test_it_has_no_stage_with_binary_activations():
    with pytest.raises(LarqnetsError, match="'binaryconnect' has no binary activations"):
        narrow(precision="binary_activations")
    assert count(narrow(precision="real")).to_json()["totals"]["binary_weights"] == 0
