"""Local response normalization against its formula."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets.layers.local_response import LocalResponse


@pytest.mark.parametrize(("size", "alpha", "beta"), [(5, 1e-4, 0.75), (3, 0.5, 1.0)])
def test_it_divides_by_the_mean_square_of_neighbouring_channels(size, alpha, beta):
    x = 100 * np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype(np.float32)
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0),) * 3 + ((size // 2,) * 2,))
    sums = sum(squares[..., i : i + 7] for i in range(size))
    due = x / (1 + alpha / size * sums) ** beta
    layer = LocalResponse(size, alpha, beta)
    np.testing.assert_allclose(layer(x), due, rtol=1e-5)
    copy = LocalResponse.from_config(layer.get_config())
    np.testing.assert_array_equal(copy(x), layer(x))
    assert tf.keras.utils.get_registered_name(LocalResponse) == "larqnets>LocalResponse"
