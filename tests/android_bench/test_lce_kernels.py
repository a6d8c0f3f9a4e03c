"""Which of LCE's kernels is right, against a plain convolution in numpy with zeros around the map."""

import lce_graphs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.run.host_engines import LceModel, load_here
from deploy.run.interpreter import Interpreter
from deploy.run.lce_kernels import Kernel, kernel_for
from larqnets import LarqnetsError, Samples, convert
from larqnets.tflite.model import unpack_bits
from larqnets.tflite.reading import read_model

tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")
lq = pytest.importorskip("larq", reason="needs the train extra: larq")
pytest.importorskip("larq_compute_engine", reason="needs the train extra: larq_compute_engine")

REFERENCE = "Larq Compute Engine on x86-64, reference kernels"


def node_of(seed=0, **options):
    return lce_graphs.bconv(np.random.default_rng(seed), same=True, pad_value=0, filters=5, **options)


def convolved(node, channels):
    """The node's float result by its definition: a convolution of signs, zeros around the map, then multiplier and bias."""
    o, kernel, multiplier, bias = node.options, *node.constants[:3]
    x, signs = unpack_bits(node.x, channels).astype(float), unpack_bits(kernel, channels).astype(float)
    result = np.zeros(node.out_shape)
    strides = o["stride_height"], o["stride_width"]
    dilations = o["dilation_height_factor"], o["dilation_width_factor"]
    before = []
    for size, out, window, stride, dilation in zip(
        x.shape[1:3], node.out_shape[1:3], signs.shape[1:3], strides, dilations, strict=True
    ):
        before.append(max((out - 1) * stride + (window - 1) * dilation + 1 - size, 0) // 2)
    for y, column, i, j in np.ndindex(*node.out_shape[1:3], *signs.shape[1:3]):
        row = y * strides[0] + i * dilations[0] - before[0]
        place = column * strides[1] + j * dilations[1] - before[1]
        if 0 <= row < x.shape[1] and 0 <= place < x.shape[2]:
            result[:, y, column] += x[:, row, place] @ signs[:, i, j].T
    if o["fused_activation_function"] == 1:
        result = np.maximum(result, 0)
    return result * multiplier + bias


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    size=pairs(1, 9),
    window=pairs(1, 5),
    stride=pairs(1, 4),
    dilation=pairs(1, 3),
    channels=st.sampled_from([32, 64, 34]),
    batch=st.integers(1, 2),
    activation=st.integers(0, 1),
)
def test_zero_padding_of_every_geometry(size, window, stride, dilation, channels, batch, activation):
    node = node_of(
        size=size,
        window=window,
        stride=stride,
        dilation=dilation,
        channels=channels,
        batch=batch,
        activation=activation,
    )
    content, inputs = lce_graphs.file_of([node])
    model, expected = read_model(content), convolved(node, channels)
    kernel = kernel_for(model)
    assert kernel is not Kernel.NONE
    np.testing.assert_allclose(LceModel(model, 1, kernel).predict(inputs)[0], expected, atol=1e-3)
    if (
        kernel is Kernel.REFERENCE and activation == 0
    ):  # the choice costs time: it is made where it must be, and only there
        fast = LceModel(model, 1, Kernel.INDIRECT).predict(inputs)[0]
        assert not np.allclose(fast, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ({"size": (3, 3)}, Kernel.INDIRECT),
        ({"size": (2, 2)}, Kernel.REFERENCE),
        ({"size": (1, 9)}, Kernel.REFERENCE),
        ({"size": (4, 4), "dilation": (2, 2)}, Kernel.REFERENCE),
        ({"size": (6, 6), "output": "int8"}, Kernel.REFERENCE),
        ({"size": (6, 6), "activation": 1}, Kernel.REFERENCE),
        ({"size": (2, 2), "channels": 33}, Kernel.NONE),
        ({"size": (6, 6), "channels": 33}, Kernel.INDIRECT),
        ({"size": (6, 6), "output": "int32"}, Kernel.NONE),
        ({"size": (1, 1), "window": (1, 1)}, Kernel.INDIRECT),
    ],
    ids=str,
)
def test_the_kernel_is_chosen_by_what_the_others_cannot(options, kernel):
    assert kernel_for(read_model(lce_graphs.file_of([node_of(**options)])[0])) is kernel


def test_a_file_that_no_kernel_of_lce_computes_runs_on_arm64(bundle):
    node = node_of(size=(2, 2), channels=33)
    content, inputs = lce_graphs.file_of([node])
    interpreter = Interpreter(content)
    assert interpreter.engine.startswith("ARM64 under qemu")
    np.testing.assert_allclose(interpreter.predict(inputs), convolved(node, 33), atol=1e-3)


def test_without_qemu_it_is_a_sentence(monkeypatch):
    monkeypatch.setattr("android_bench.emulation.emulator.missing", lambda: "qemu-aarch64 is not installed.")
    content, _ = lce_graphs.file_of([node_of(size=(2, 2), channels=33)])
    with pytest.raises(LarqnetsError, match=r"computes wrongly on x86-64.*qemu-aarch64 is not installed"):
        load_here(read_model(content), 1)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((2, 2, 32), {}), ((1, 6, 32), {}), ((4, 4, 64), {"dilation_rate": 2}), ((2, 2, 33), {})],
    ids=str,
)
def test_such_a_network_is_converted_and_proven(bundle, shape, options):
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    x = image = layers.Input(shape)
    for _ in range(2):
        x = lq.layers.QuantConv2D(
            shape[2],
            3,
            padding="same",
            pad_values=0,
            use_bias=False,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            **options,
        )(x)
        x = layers.BatchNormalization()(x)
    model = tf.keras.Model(image, layers.Dense(10)(layers.Flatten()(x)))
    images = np.random.default_rng(2).normal(size=(40, *shape)).astype(np.float32)
    converted = convert(model, Samples(images))
    assert converted.variant == "binary"
    assert converted.verification.equal
    expected = REFERENCE if shape[2] % 2 == 0 else "ARM64 under qemu"
    assert converted.verification.engine.startswith(expected)
    found = Interpreter(converted.content).predict(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-3, rtol=1e-3)
