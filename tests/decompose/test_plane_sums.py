"""All forms of a decomposed layer compute what its kernel computes, in NumPy's integers and in TensorFlow's convolution."""

import itertools

import numpy as np
import pytest

from larqnets.decompose import (
    Settings,
    body_and_top,
    body_planes,
    cascade,
    decompose_kernel,
    plane_kernels,
    to_matrix,
)
from larqnets.decompose.cover import term_rank
from larqnets.errors import LarqnetsError

SETTINGS = {
    "sound": Settings(step=0.35, protect_small=False),
    "sound, channel": Settings(step=0.35, protect_small=False, granularity="channel"),
    "paper": Settings(mode="paper", planes=5, bottleneck=0.3),
    "uniform": Settings(method="uniform"),
    "int8": Settings(method="int8"),
}
SHAPES = [(3, 3, 8, 12), (3, 5, 6, 7), (1, 1, 16, 8), (40, 20)]


def decomposed(settings, shape):
    kernel = np.random.default_rng(0).laplace(size=shape).astype(np.float32)
    return decompose_kernel(kernel, SETTINGS[settings], "layer")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_planes_body_and_top_add_up_to_the_integers(settings, shape):
    result = decomposed(settings, shape)
    total = sum(weight * (positive - negative) for weight, positive, negative in plane_kernels(result))
    assert np.array_equal(total, result.codes)
    for d in (None, 0, 1, 3, 20):
        body, top, used = body_and_top(result, d)
        assert used == (result.dense_planes if d is None else d)
        assert np.array_equal(body + (top << used), result.codes)
        assert np.abs(body).max() < 1 << used
        assert np.all(body * result.codes >= 0)
        planes = body_planes(body, used)
        assert len(planes) == used + 1
        assert all(np.isin(plane, (0, 1)).all() for _, plane in planes)
        assert np.array_equal(sum(weight * plane for weight, plane in planes), body)


@pytest.mark.parametrize("settings", ["sound", "paper"])
def test_the_top_is_sparse(settings):
    body, top, _ = body_and_top(decomposed(settings, (3, 3, 40, 48)))
    assert 0 < np.count_nonzero(top) < 0.1 * top.size
    assert np.count_nonzero(body) > 0.5 * body.size


def test_a_paper_layers_body_is_its_planes_below_zero():
    result = decomposed("paper", (3, 3, 40, 48))
    assert result.dense_planes == -result.knobs["bottom"]
    _, top, _ = body_and_top(result)
    outliers = sum(plane.ones << plane.index for plane in result.planes if plane.index >= 0)
    assert np.abs(top).sum() == outliers


def test_a_cascade_has_the_term_rank_as_inner_size():
    for shape in SHAPES:
        _, top, _ = body_and_top(decomposed("sound", shape))
        horizontal, vertical = cascade(top)
        c = term_rank(to_matrix(top))
        if len(shape) == 2:
            assert np.array_equal(horizontal @ vertical, top)
            assert horizontal.shape == (shape[0], c)
        else:
            kh, kw, inputs, outputs = shape
            assert horizontal.shape == (1, kw, inputs, c)
            assert vertical.shape == (kh, 1, c, outputs)


def test_bases_have_no_planes():
    result = decompose_kernel(np.ones((3, 3, 4, 4), np.float32), Settings(method="sketch"), "conv1")
    with pytest.raises(LarqnetsError, match="'conv1' by sketch have no bit planes"):
        plane_kernels(result)
    with pytest.raises(LarqnetsError, match="'conv1' by sketch have no bit planes"):
        body_and_top(result)


def test_convolutions_in_tensorflow_agree():
    """Specification 8.1: the kernel, the sum of planes, and body + 2^d cascade, to 1e-5 of the largest output."""
    tf = pytest.importorskip("tensorflow")
    x = tf.random.stateless_normal((1, 9, 10, 6), (1, 2))
    for settings, shape in itertools.product(("sound, channel", "paper"), [(3, 3, 6, 8), (3, 5, 6, 8)]):
        result = decomposed(settings, shape)
        body, top, d = body_and_top(result)
        assert top.any()
        horizontal, vertical = cascade(top)
        for stride, padding in itertools.product((1, 2), ("SAME", "VALID")):

            def conv(x, kernel, strides=(stride, stride), padding=padding):
                return tf.nn.conv2d(x, kernel.astype(np.float32), strides, padding).numpy()

            expected = conv(x, result.values)
            planes = sum(weight * (conv(x, p) - conv(x, n)) for weight, p, n in plane_kernels(result))
            dense = sum(weight * conv(x, plane) for weight, plane in body_planes(body, d))
            sparse = conv(conv(x, horizontal, (1, stride)), vertical, (stride, 1))
            for integers in (planes, dense + 2**d * sparse):
                assert np.abs(result.scale * integers - expected).max() <= 1e-5 * np.abs(expected).max()
