"""Hard-swish and squeeze-and-excite against their formulas, number by number."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.layers.hard_swish import HardSigmoid, HardSwish
from larqnets.layers.squeeze_excite import squeeze_excite


def gate(x):
    """0 up to -3, 1 from 3 on, a straight line between."""
    return 0.0 if x <= -3 else 1.0 if x >= 3 else (x + 3) / 6


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=20))
def test_hard_swish_is_its_input_times_a_gate_of_straight_lines(values):
    x = np.array(values, np.float32)
    np.testing.assert_allclose(HardSigmoid()(x), [gate(v) for v in values], rtol=0, atol=1e-6)
    np.testing.assert_allclose(HardSwish()(x), [v * gate(v) for v in values], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**16))
def test_squeeze_and_excite_multiplies_every_channel_by_a_gate_of_the_means(channels, hidden, side, seed):
    image = tf.keras.Input((side, side + 1, channels))
    model = tf.keras.Model(image, squeeze_excite(image, hidden, "se"))
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.normal(0, 3, weight.shape))
    x = random.normal(size=(2, side, side + 1, channels)).astype(np.float32)
    w1, b1, w2, b2 = (w.numpy().astype(np.float64) for w in model.weights)
    factors = np.maximum(x.mean(axis=(1, 2), dtype=np.float64) @ w1[0, 0] + b1, 0) @ w2[0, 0] + b2
    due = x * np.vectorize(gate)(factors)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(model(x), due, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [HardSigmoid, HardSwish])
def test_they_are_read_from_files_by_name(kind):
    assert tf.keras.utils.get_registered_name(kind) == f"larqnets>{kind.__name__}"
    assert isinstance(kind.from_config(kind().get_config()), kind)
