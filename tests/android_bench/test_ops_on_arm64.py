"""The Larq ops on ARM64 give LCE's bits: files of nothing but these ops, by both interpreters, compared exactly."""

import larq_compute_engine  # noqa: F401 - loads TensorFlow quietly before its interpreter does
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from larq_compute_engine.tflite.python.interpreter import Interpreter as Lce
from lce_graphs import bconv, dequantize, file_of, max_pool, out_size, quantize

from android_bench.emulation.qemu import run_runner
from larqnets.tflite.reading import read_model


def on_arm64(bundle, folder, content, inputs, *more):
    """Run a file of any number of inputs; returns its outputs."""
    (folder / "model.tflite").write_bytes(content)
    arguments = ["--model", "model.tflite", "--output", "y", *more]
    for i, x in enumerate(inputs):
        np.save(folder / f"x{i}.npy", x)
        arguments += ["--input", f"x{i}.npy"]
    report = run_runner(bundle, arguments, "the test graph", folder=folder)
    assert report.kernels == "neon"
    return [np.load(folder / f"y.{i}.npy") for i in range(len(report.outputs))]


def by_lce(content, inputs):
    """LCE's reference kernels: they count in integers, as we do, and take groups."""
    return Lce(content, use_reference_bconv=True).interpreter.predict(inputs)


def assert_equal(nodes, ours, theirs):
    assert len(ours) == len(theirs) == len(nodes)
    for node, y, expected in zip(nodes, ours, theirs, strict=True):
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected, err_msg=f"{node.name} {node.options} {node.x.shape}")


sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
small = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def bconvs(draw):
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride, dilation = draw(small), draw(small)
    same = draw(st.booleans())
    size = draw(sizes)
    if not same:  # at least one output pixel
        size = tuple(max(n, (k - 1) * d + 1) for n, k, d in zip(size, window, dilation, strict=True))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    output = draw(st.sampled_from(["float32", "int8", "int32"]))
    # LCE pads with zeros only before a float output without activation, and counts halves only for even channels.
    zeros = same and output == "float32" and draw(st.booleans())
    channels = draw(st.integers(1, 200)) if groups == 1 else groups * 32 * draw(st.integers(1, 2))
    return bconv(
        np.random.default_rng(draw(st.integers(0, 2**32))),
        batch=draw(st.integers(1, 2)),
        size=size,
        channels=channels + channels % 2 if zeros else channels,
        filters=groups * draw(st.integers(1, 40)),
        window=window,
        stride=stride,
        dilation=dilation,
        same=same,
        pad_value=0 if zeros else 1,
        activation=0 if zeros else draw(st.integers(0, 3)),
        output=output,
        groups=groups,
    )


@st.composite
def pools(draw):
    window, same, size = draw(small), draw(st.booleans()), draw(sizes)
    if not same:
        size = tuple(map(max, size, window))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    channels = draw(st.integers(1, 130))
    return max_pool(rng, size=size, channels=channels, window=window, stride=draw(small), same=same)


@st.composite
def packings(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    make = draw(st.sampled_from([quantize, dequantize]))
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=0, max_size=3)))
    more = {"dtype": draw(st.sampled_from(["float32", "int8", "bool"])), "zero_point": draw(st.integers(-128, 127))}
    if make is dequantize:
        more["scale"] = draw(st.sampled_from([0.004, 0.01, 0.05, 0.3, 1.0, 7.0]))
    return make(rng, shape=shape, channels=draw(st.integers(1, 300)), **more)


@settings(max_examples=40, deadline=None)
@given(nodes=st.lists(st.one_of(bconvs(), bconvs(), pools(), packings()), min_size=1, max_size=8))
def test_random_ops_equal_lce_bit_by_bit(bundle, tmp_path_factory, nodes):
    content, inputs = file_of(nodes)
    read_model(content)
    assert_equal(nodes, on_arm64(bundle, tmp_path_factory.mktemp("ops"), content, inputs), by_lce(content, inputs))


RESNET = [
    {"size": (56, 56), "channels": 64, "filters": 64},
    {"size": (28, 28), "channels": 128, "filters": 128, "output": "int32"},
    {"size": (14, 14), "channels": 256, "filters": 256, "pad_value": 0},
    {"size": (7, 7), "channels": 512, "filters": 512},
    {"size": (28, 28), "channels": 128, "filters": 256, "stride": (2, 2), "output": "int8"},
    {"size": (7, 7), "channels": 8192, "filters": 9, "output": "int32"},  # sums beyond 65,535
]


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_shapes_of_real_networks_on_threads(bundle, tmp_path, threads):
    """The same bits with every number of threads, shared with XNNPACK's pool."""
    rng = np.random.default_rng(0)
    nodes = [bconv(rng, **shape) for shape in RESNET] + [quantize(rng, shape=(1, 56, 56), channels=64)]
    nodes += [max_pool(rng, size=(28, 28), channels=128), dequantize(rng, shape=(1, 9, 9), channels=70)]
    content, inputs = file_of(nodes)
    ours = on_arm64(bundle, tmp_path, content, inputs, "--threads", str(threads))
    assert_equal(nodes, ours, by_lce(content, inputs))


def test_odd_channels_with_zero_padding(bundle, tmp_path):
    """LCE has no exact kernel for it; the definition: a tap outside adds nothing."""
    rng = np.random.default_rng(1)
    node = bconv(rng, size=(4, 4), channels=33, filters=5, pad_value=0)
    content, inputs = file_of([node])
    (ours,) = on_arm64(bundle, tmp_path, content, inputs)

    def signs(values):
        bits = np.unpackbits(values.view(np.uint8), axis=-1, count=33, bitorder="little")
        return 1 - 2 * bits.astype(int)

    x, kernel = np.pad(signs(node.x), ((0, 0), (1, 1), (1, 1), (0, 0))), signs(node.constants[0])
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    sums = np.einsum("nyxchw,ohwc->nyxo", windows, kernel)
    np.testing.assert_allclose(ours, sums * node.constants[1] + node.constants[2], rtol=1e-5, atol=1e-4)
    assert ours.shape[1] == out_size(4, 3, 1, 1, True)
