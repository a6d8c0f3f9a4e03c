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


def decomposed(settings, shape, depthwise=False):
    kernel = np.random.default_rng(0).laplace(size=shape).astype(np.float32)
    return decompose_kernel(kernel, SETTINGS[settings], "layer", depthwise=depthwise)


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
        result = decomposed("sound", shape)
        _, top, _ = body_and_top(result)
        horizontal, vertical = cascade(result)
        c = term_rank(to_matrix(top))
        if len(shape) == 2:
            assert np.array_equal(horizontal @ vertical, top)
            assert horizontal.shape == (shape[0], c)
        else:
            kh, kw, inputs, outputs = shape
            assert horizontal.shape == (1, kw, inputs, c)
            assert vertical.shape == (kh, 1, c, outputs)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_cascade_of_an_empty_top_is_one_channel_of_zeros(shape):
    horizontal, vertical = cascade(decomposed("sound", shape), 20)
    assert horizontal.shape == ((shape[0], 1) if len(shape) == 2 else (1, shape[1], shape[2], 1))
    assert vertical.shape == ((1, shape[1]) if len(shape) == 2 else (shape[0], 1, 1, shape[3]))
    assert not horizontal.any()
    assert not vertical.any()


@pytest.mark.parametrize("shape", [(3, 3, 6, 4), (3, 3, 24, 1)])
def test_a_depthwise_kernel_has_planes_and_no_cascade(shape):
    """Not an ordinary kernel's cascade, which a shape alone would give."""
    result = decomposed("sound", shape, depthwise=True)
    assert len(plane_kernels(result)) > 2
    with pytest.raises(LarqnetsError, match=r"^The kernel of 'layer' is depthwise and has no cascade: use its top"):
        cascade(result)


def test_bases_have_no_planes():
    result = decompose_kernel(np.ones((3, 3, 4, 4), np.float32), Settings(method="sketch"), "conv1")
    for form in (plane_kernels, body_and_top, cascade):
        with pytest.raises(LarqnetsError, match="'conv1' by sketch have no bit planes"):
            form(result)


def outputs(result, stride, padding, d=None):
    """Return the outputs of the kernel itself, and those of every other form times the scale."""
    import tensorflow as tf

    body, top, d = body_and_top(result, d)
    inputs = result.shape[-2]
    x = tf.random.stateless_normal((3, inputs) if len(result.shape) == 2 else (1, 9, 10, inputs), (1, 2))

    def layer(x, kernel, strides=(stride, stride)):
        if kernel.ndim == 2:
            return tf.matmul(x, kernel.astype(np.float32)).numpy()
        if result.depthwise:
            return tf.nn.depthwise_conv2d(x, kernel.astype(np.float32), (1, *strides, 1), padding).numpy()
        return tf.nn.conv2d(x, kernel.astype(np.float32), strides, padding).numpy()

    dense = sum(weight * layer(x, plane) for weight, plane in body_planes(body, d))
    forms = {
        "planes": sum(weight * (layer(x, p) - layer(x, n)) for weight, p, n in plane_kernels(result)),
        "body and top": dense + 2**d * layer(x, top),
    }
    if not result.depthwise:
        horizontal, vertical = cascade(result, d)
        forms["cascade"] = dense + 2**d * layer(layer(x, horizontal, (1, stride)), vertical, (stride, 1))
    return layer(x, result.values), {name: result.scale * integers for name, integers in forms.items()}


@pytest.mark.parametrize("settings", ["sound, channel", "paper"])
@pytest.mark.parametrize(
    ("shape", "depthwise"),
    [
        ((3, 3, 6, 8), False),
        ((3, 5, 6, 8), False),
        ((1, 1, 24, 32), False),
        ((40, 20), False),
        ((3, 3, 12, 4), True),
        ((5, 3, 24, 1), True),
    ],
    ids=["3x3", "3x5", "1x1", "dense", "depthwise", "depthwise 5x3"],
)
def test_convolutions_in_tensorflow_agree(settings, shape, depthwise):
    """Property 10: the kernel, the sum of planes, body + 2^d top and its cascade, to 1e-5 of the largest output."""
    pytest.importorskip("tensorflow")
    result = decomposed(settings, shape, depthwise)
    d = 3 if depthwise else None  # paper leaves those at int8, whose planes are all dense
    assert body_and_top(result, d)[1].any()
    cases = itertools.product((1, 2), ("SAME", "VALID")) if len(shape) == 4 else [(1, "SAME")]
    for stride, padding in cases:
        expected, forms = outputs(result, stride, padding, d)
        assert ("cascade" in forms) == (not depthwise)
        for name, found in forms.items():
            assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), (name, stride, padding)


def test_an_empty_top_convolves_too():
    pytest.importorskip("tensorflow")
    result = decomposed("sound", (3, 3, 6, 8))
    d = len(plane_kernels(result))  # no more: 2^d x would lose what float32 holds of x
    assert not body_and_top(result, d)[1].any()
    expected, forms = outputs(result, 2, "SAME", d)
    assert np.abs(forms["cascade"] - expected).max() <= 1e-5 * np.abs(expected).max()
