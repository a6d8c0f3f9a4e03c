"""Values and gradients of the sign functions against the tables of the papers (and baselines of the field)."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from larqnets import quantizers as q

X = np.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5], np.float32)
GRADIENTS = {
    q.ste_sign: [0, 1, 1, 1, 1, 1, 0],
    q.identity_sign: [1, 1, 1, 1, 1, 1, 1],
    q.approx_sign: [0, 0, 1, 2, 1, 0, 0],
}
CLASSES = [q.SteSign, q.IdentitySign, q.ApproxSign, q.MagnitudeSign, q.XnorSign, q.EdeSign, q.StochasticSign]
# TensorFlow flushes subnormal numbers to zero, whose sign is +1
finite = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def gradient(function, x, upstream=None):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, output_gradients=upstream).numpy()


@pytest.mark.parametrize("function", GRADIENTS, ids=lambda f: f.__name__)
def test_gradient_table(function):
    np.testing.assert_array_equal(gradient(function, X), GRADIENTS[function])


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0, 10.0])
def test_ede_gradient_formula(t):
    expected = max(1 / t, 1) * t * (1 - np.tanh(t * X) ** 2)
    np.testing.assert_allclose(
        gradient(lambda x: q.ede_sign(x, t), X), expected, rtol=1e-4, atol=2e-6
    )  # float32 tanh near 1


@pytest.mark.parametrize("function", [*GRADIENTS, lambda x: q.ede_sign(x, 2.0)])
@given(x=hnp.arrays(np.float32, 20, elements=finite))
@settings(max_examples=30, deadline=None)
def test_forward_is_sign_with_plus_one_at_zero(function, x):
    np.testing.assert_array_equal(function(tf.constant(x)), np.where(x >= 0, 1, -1))


def test_sign_of_both_zeros_is_plus_one():
    np.testing.assert_array_equal(q.sign(tf.constant([0.0, -0.0])), [1, 1])


def test_gradient_is_scaled_by_what_comes_from_above():
    np.testing.assert_array_equal(gradient(q.approx_sign, X, tf.constant(3 * X)), 3 * X * GRADIENTS[q.approx_sign])


def test_stochastic_sign_has_the_stated_probability_and_is_repeatable():
    x = tf.fill([40_000], 0.5)
    draw = q.stochastic_sign(x, tf.constant([1, 2]))
    np.testing.assert_array_equal(draw, q.stochastic_sign(x, tf.constant([1, 2])))
    assert set(np.unique(draw)) == {-1, 1}
    # probability 0.75; 5 standard deviations of 40,000 draws are 0.011
    assert np.mean(draw == 1) == pytest.approx(0.75, abs=0.011)


def test_stochastic_sign_is_certain_outside_one():
    x = tf.constant([-3.0, -1.0, 1.0, 3.0])
    for seed in range(20):
        np.testing.assert_array_equal(q.stochastic_sign(x, tf.constant([0, seed])), [-1, -1, 1, 1])


def test_stochastic_layer_counts_draws_and_is_plain_when_not_training():
    layer = q.StochasticSign(seed=3)
    x = tf.zeros([1000])
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert not np.array_equal(first, second)
    layer.draws.assign(0)
    np.testing.assert_array_equal(layer(x, training=True), first)
    np.testing.assert_array_equal(layer(x, training=False), np.ones(1000))


@given(w=hnp.arrays(np.float32, (3, 3, 4, 5), elements=st.floats(-2, 2, width=32)))
@settings(max_examples=20, deadline=None)
def test_magnitude_sign_is_the_best_scale_for_its_signs(w):
    """alpha = mean|w| minimises ||w - alpha sign(w)||^2, so any other alpha is worse (XNOR-Net, eq. 6)."""
    binary = q.magnitude_sign(tf.constant(w)).numpy()
    signs = np.where(w >= 0, 1, -1)
    error = ((w - binary) ** 2).sum(axis=(0, 1, 2))
    for change in (0.9, 1.1):
        assert np.all(((w - change * np.abs(binary) * signs) ** 2).sum(axis=(0, 1, 2)) >= error - 1e-4)


def test_magnitude_sign_gradient_is_the_clipped_identity_without_scale():
    w = np.linspace(-2, 2, 3 * 3 * 2 * 2, dtype=np.float32).reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(gradient(q.magnitude_sign, w), np.abs(w) <= 1)


def test_xnor_sign_formula():
    w = np.random.default_rng(0).normal(size=(3, 3, 8, 4)).astype(np.float32)
    v = np.clip(w - w.mean(axis=2, keepdims=True), -1, 1)
    alpha = np.abs(v).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(q.xnor_sign(tf.constant(w)), alpha * np.where(v >= 0, 1, -1), rtol=1e-5)
    expected = (1 / 72 + alpha * (np.abs(v) < 1)) * (1 - 1 / 8)
    np.testing.assert_allclose(gradient(q.xnor_sign, w), expected, rtol=1e-4)


def test_xnor_sign_ignores_a_shift_common_to_the_input_channels():
    w = np.random.default_rng(1).normal(scale=0.1, size=(3, 3, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(q.xnor_sign(tf.constant(w + 0.25)), q.xnor_sign(tf.constant(w)), atol=1e-6)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_layers_are_binary_and_survive_serialisation(kind):
    layer = kind()
    assert layer.precision == 1
    again = tf.keras.utils.deserialize_keras_object(tf.keras.utils.serialize_keras_object(layer))
    assert type(again) is kind
    x = tf.random.stateless_normal([3, 3, 4, 8], [1, 2])
    np.testing.assert_array_equal(layer(x), again(x))


@pytest.mark.parametrize(
    ("kind", "values", "slopes"),
    [
        (q.Clip, np.clip(X, -1, 1), [0, 1, 1, 1, 1, 1, 0]),
        (q.Tanh, np.tanh(X), 1 - np.tanh(X) ** 2),
    ],
)
def test_surrogates_are_real_functions_with_their_own_derivative(kind, values, slopes):
    layer = kind()
    assert layer.precision == 32
    np.testing.assert_allclose(layer(tf.constant(X)), values, rtol=1e-6)
    np.testing.assert_allclose(gradient(layer, X), slopes, rtol=1e-5)
    again = tf.keras.utils.deserialize_keras_object(tf.keras.utils.serialize_keras_object(layer))
    assert type(again) is kind


def test_ede_layer_follows_its_progress():
    layer = q.EdeSign(t_min=0.01, t_max=10.0)
    layer(tf.constant(X))
    for progress, t in ((0.0, 0.01), (0.5, 10**-0.5), (1.0, 10.0)):
        layer.progress.assign(progress)
        np.testing.assert_allclose(
            gradient(layer, X), gradient(lambda x, t=t: q.ede_sign(x, t), X), rtol=1e-3, atol=1e-6
        )


def test_ede_layer_refuses_a_shrinking_t():
    with pytest.raises(ValueError, match="t_min <= t_max"):
        q.EdeSign(t_min=1.0, t_max=0.1)
