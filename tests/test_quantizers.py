"""Values and gradients of the sign functions against the tables of the papers (and baselines of the field)."""

import larq as lq
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
    q.wide_sign: [1, 1, 1, 1, 1, 1, 1],
    q.approx_sign: [0, 0, 1, 2, 1, 0, 0],
    q.half_sign: [0, 0, 2, 2, 2, 0, 0],
}
CLASSES = [
    q.SteSign,
    q.IdentitySign,
    q.WideSign,
    q.ApproxSign,
    q.MagnitudeSign,
    q.XnorSign,
    q.EdeSign,
    q.LibraSign,
    q.StochasticSign,
]
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


def test_the_window_of_the_wide_sign_ends_at_3():
    x = np.array([-3.01, -3, -2.99, 2.99, 3, 3.01], np.float32)
    np.testing.assert_array_equal(gradient(q.wide_sign, x), [0, 0, 1, 1, 0, 0])


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


def test_stochastic_sign_has_the_clipped_identity_behind_it_whatever_is_drawn():
    for seed in range(3):
        found = gradient(lambda x, seed=seed: q.stochastic_sign(x, tf.constant([0, seed])), X)
        np.testing.assert_array_equal(found, GRADIENTS[q.ste_sign])


def test_stochastic_layer_counts_draws_and_is_plain_when_not_training():
    layer = q.StochasticSign(seed=3)
    x = tf.zeros([1000])
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert not np.array_equal(first, second)
    layer.draws.assign(0)
    np.testing.assert_array_equal(layer(x, training=True), first)
    np.testing.assert_array_equal(layer(x, training=False), np.ones(1000))


def centred_and_clipped(w):
    """What XNOR-Net takes the signs of."""
    return np.clip(w - w.mean(axis=2, keepdims=True), -1, 1)


@pytest.mark.parametrize(
    ("function", "approximated"), [(q.magnitude_sign, lambda w: w), (q.xnor_sign, centred_and_clipped)]
)
@given(w=hnp.arrays(np.float32, (3, 3, 4, 5), elements=st.floats(-2, 2, width=32)))
@settings(max_examples=20, deadline=None)
def test_the_scale_of_a_filter_is_the_best_for_its_signs(function, approximated, w):
    """alpha = mean|v| minimises ||v - alpha sign(v)||^2, so any other alpha is worse (XNOR-Net, eq. 6)."""
    binary, v = function(tf.constant(w)).numpy(), approximated(w)
    error = ((v - binary) ** 2).sum(axis=(0, 1, 2))
    for change in (0.9, 1.1):
        assert np.all(((v - change * binary) ** 2).sum(axis=(0, 1, 2)) >= error - 1e-4)


def test_magnitude_sign_gradient_is_the_clipped_identity_without_scale():
    w = np.linspace(-2, 2, 3 * 3 * 2 * 2, dtype=np.float32).reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(gradient(q.magnitude_sign, w), np.abs(w) <= 1)


def test_xnor_sign_formula():
    w = np.random.default_rng(0).normal(size=(3, 3, 8, 4)).astype(np.float32)
    v = centred_and_clipped(w)
    alpha = np.abs(v).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(q.xnor_sign(tf.constant(w)), alpha * np.where(v >= 0, 1, -1), rtol=1e-5)
    expected = (1 / 72 + alpha * (np.abs(v) < 1)) * (1 - 1 / 8)
    np.testing.assert_allclose(gradient(q.xnor_sign, w), expected, rtol=1e-4)


def test_xnor_sign_ignores_a_shift_common_to_the_input_channels():
    w = np.random.default_rng(1).normal(scale=0.1, size=(3, 3, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(q.xnor_sign(tf.constant(w + 0.25)), q.xnor_sign(tf.constant(w)), atol=1e-6)


def test_layer_sign_has_one_scale_for_the_kernel_and_the_identity_behind_it():
    w = np.random.default_rng(5).normal(size=(3, 3, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(q.layer_sign(tf.constant(w)), np.abs(w).mean() * np.where(w >= 0, 1, -1), rtol=1e-5)
    np.testing.assert_array_equal(gradient(q.layer_sign, w), 1)


def smooth(w, t):
    """`libra_sign` with k tanh(t v) in the place of the sign, whose derivative is the estimator's g."""
    n = np.prod(w.shape[:-1])
    centred = w - tf.reduce_mean(w, axis=(0, 1, 2))
    v = centred / tf.sqrt(tf.reduce_sum(centred**2, axis=(0, 1, 2)) / (n - 1))
    return max(1 / t, 1) * tf.tanh(t * v)


@pytest.mark.parametrize("t", [0.1, 1.0, 5.0])
def test_libra_gradient_goes_through_mean_and_deviation(t):
    """Autodiff of the smooth twin is the gradient, since a Gaussian filter has the scale 2^0."""
    w = np.random.default_rng(0).normal(size=(3, 3, 16, 4)).astype(np.float32)
    upstream = tf.random.stateless_normal(w.shape, [1, 2])
    found = gradient(lambda x: q.libra_sign(x, t), w, upstream)
    np.testing.assert_allclose(found, gradient(lambda x: smooth(x, t), w, upstream), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=1e-6)  # v does not see a shift of the filter


def test_libra_sign_golden_values():
    """Two filters by hand: (1, 2, 3, 6) has mean 3, mean|v| = 1.5 / 2.16 = 0.69 and so the scale 2^-1; (0, 0, 0, 4) has
    mean 1, std 2, mean|v| = 0.75 and the scale 2^0.
    """
    w = tf.constant([[1.0, 0], [2, 0], [3, 0], [6, 4]])[tf.newaxis, tf.newaxis]
    expected = np.array([[-0.5, -1], [-0.5, -1], [0.5, -1], [0.5, 1]])
    np.testing.assert_array_equal(q.libra_sign(w, 1.0)[0, 0], expected)


@given(factor=st.floats(0.01, 100), shift=st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_libra_sign_ignores_scale_and_shift_of_a_filter(factor, shift):
    w = np.random.default_rng(2).normal(size=(3, 3, 8, 4)).astype(np.float32)
    clear = np.abs(w - w.mean(axis=(0, 1, 2))) > 1e-3 * (1 + abs(shift) / factor)  # rounding may turn the others
    moved = q.libra_sign(tf.constant(factor * w + shift, tf.float32), 1.0).numpy()
    np.testing.assert_array_equal(moved[clear], q.libra_sign(tf.constant(w), 1.0).numpy()[clear])


def test_libra_scale_is_a_power_of_two_and_one_for_gaussian_filters():
    w = np.random.default_rng(3).normal(scale=0.05, size=(3, 3, 64, 32)).astype(np.float32)
    np.testing.assert_array_equal(np.abs(q.libra_sign(tf.constant(w), 1.0)), 1)
    sparse = w * (np.random.default_rng(4).random(w.shape) < 0.02)  # heavy tails: mean|v| is about 0.11
    exponents = np.log2(np.abs(q.libra_sign(tf.constant(sparse), 1.0)))
    np.testing.assert_array_equal(exponents, np.round(exponents))
    assert exponents.max() < -1


def test_libra_of_equal_weights_is_finite():
    w = tf.fill([3, 3, 2, 4], 0.25)
    np.testing.assert_array_equal(q.libra_sign(w, 1.0), 1)
    assert np.isfinite(gradient(lambda x: q.libra_sign(x, 1.0), w)).all()


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
        (q.Relu, np.maximum(X, 0), X > 0),
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


def test_a_layer_that_raises_leaves_kernels_as_they_are():
    """In the process that goes on, such as a sweep's: training and checkpoints would read signs."""

    def fails(kernel):
        raise ZeroDivisionError

    layer = lq.layers.QuantDense(3, kernel_quantizer="ste_sign")
    layer.build((1, 4))
    latent = layer.kernel.numpy()
    assert set(np.abs(latent).ravel()) != {1.0}
    with pytest.raises(ZeroDivisionError):
        lq.layers.QuantDense(3, kernel_quantizer=fails)(np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(layer.kernel.numpy(), latent)
