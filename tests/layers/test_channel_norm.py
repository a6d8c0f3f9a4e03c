"""Vectors of a learned length against the formula."""

import numpy as np
import tensorflow as tf

from larqnets.layers.channel_norm import ChannelNorm


def test_vectors_get_the_length_that_is_learned_for_every_channel():
    rng = np.random.default_rng(0)
    x = (100 * rng.normal(size=(2, 3, 4, 7))).astype(np.float32)
    layer = ChannelNorm()
    np.testing.assert_allclose(np.linalg.norm(layer(x), axis=-1), 20, rtol=1e-5)
    scale = rng.normal(size=7).astype(np.float32)
    layer.scale.assign(scale)
    due = x / np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True) * scale
    np.testing.assert_allclose(layer(x), due, rtol=1e-5)
    assert np.all(layer(np.zeros((1, 1, 1, 7), np.float32)) == 0)
    assert tf.keras.utils.get_registered_name(ChannelNorm) == "larqnets>ChannelNorm"
