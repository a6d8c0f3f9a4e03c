"""DoReFa's activations of 0 and 1, written with signs: the same numbers and the same gradients as the paper's formula."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import create_model

RNG = np.random.default_rng(0)


def as_published(x, kernel, strides, pads, norm):
    """BN(conv(round(clip(x, 0, 1)), mean|w| sign(w))) in training mode, padded with ones, straight-through gradients."""
    clipped = tf.clip_by_value(x, 0, 1)
    a = clipped + tf.stop_gradient(tf.cast(clipped >= 0.5, tf.float32) - clipped)
    binary = tf.reduce_mean(tf.abs(kernel)) * tf.where(kernel >= 0, 1.0, -1.0)
    w = kernel + tf.stop_gradient(binary - kernel)
    y = tf.nn.conv2d(tf.pad(a, [[0, 0], pads, pads, [0, 0]], constant_values=1.0), w, strides, "VALID")
    mean, variance = tf.nn.moments(y, (0, 1, 2))
    return tf.nn.batch_normalization(y, mean, variance, norm.beta, norm.gamma, norm.epsilon)


@pytest.mark.parametrize(("position", "pads"), [("stage1_block1_conv1", (1, 1)), ("stage2_block1_conv1", (0, 1))])
def test_values_and_gradients_of_a_unit_are_the_published_ones(position, pads):
    """Stride 1 and 2, in train mode; the tolerance is BatchNorm's epsilon beside a variance that is 4 times larger."""
    tf.keras.utils.set_random_seed(0)
    model = create_model("dorefa", "resnet8", (8, 8, 1), 10)
    shift, conv, norm = (model.get_layer(position + part) for part in ("_shift", "", "_bn"))
    latent = conv.kernel.latent_variable
    latent.assign(4 * latent)  # variances far above epsilon
    x = tf.constant(RNG.normal(0.5, 0.5, size=(8, 8, 8, latent.shape[2])).astype(np.float32))
    upstream = tf.constant(RNG.normal(size=(8, *norm.output_shape[1:])).astype(np.float32))
    found, expected = [], []
    for results, function in (
        (found, lambda: norm(conv(shift(x)), training=True)),
        (expected, lambda: as_published(x, latent, conv.strides, pads, norm)),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function()
        results += [y, *tape.gradient(y, [x, latent, norm.gamma], output_gradients=upstream)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("strides", [1, 2])
def test_a_convolution_of_zeros_and_ones_is_one_of_signs_exactly(strides):
    """conv(a, s) = 1/2 conv(2 a - 1, s) + 1/2 sum(s) with VALID padding: integers, so without any tolerance."""
    a = RNG.integers(0, 2, size=(2, 7, 7, 5)).astype(np.float32)
    s = RNG.choice([-1.0, 1.0], size=(3, 3, 5, 4)).astype(np.float32)
    left = tf.nn.conv2d(a, s, strides, "VALID").numpy()
    right = tf.nn.conv2d(2 * a - 1, s, strides, "VALID").numpy() / 2 + s.sum(axis=(0, 1, 2)) / 2
    np.testing.assert_array_equal(left, right)
