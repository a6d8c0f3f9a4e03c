"""Graphs of Larq ops that the real converter made: our kernels, op by op, against LCE's interpreter, bit for bit."""

import functools

import kernel_cases as kc
import numpy as np
import pytest

from deploy.run.interpreter import Interpreter
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.reading import read_model

lq = pytest.importorskip("larq", reason="needs the train extra: larq")
lce = pytest.importorskip("larq_compute_engine", reason="needs the train extra: larq_compute_engine")
tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")

CHANNELS = 72  # three words, the last one not full
# Name -> shape of the image and the convolutions: filters, then options of the layer.
GRAPHS = {
    "one padding": ((7, 6, CHANNELS), [(37, {})]),
    "bit-packed chain": ((9, 9, CHANNELS), [(100, {}), (64, {"kernel_size": 1}), (33, {"kernel_size": (3, 2)})]),
    "strides": ((9, 11, 64), [(40, {"strides": (2, 3)}), (16, {"strides": 2})]),
    "dilations": ((11, 12, 33), [(24, {"dilation_rate": (2, 3)}), (8, {"dilation_rate": 2, "padding": "valid"})]),
    "valid, ReLU": ((8, 8, 128), [(24, {"padding": "valid", "activation": "relu"})]),
    "deep": ((4, 4, 3000), [(9, {"kernel_size": 5}), (8, {})]),
    "pooled chain": ((8, 9, 40), [(48, {"pool": 2}), (72, {"pool": 3}), (8, {})]),
}


@functools.cache
def converted(graph: str) -> bytes:
    """Convolutions with random kernels and BatchNorms of both signs."""
    shape, convolutions = GRAPHS[graph]
    layers, rng = tf.keras.layers, np.random.default_rng(5)
    x = image = layers.Input(shape, batch_size=1)
    for filters, given in convolutions:
        options = {"kernel_size": 3, "padding": "same", "pad_values": 1, "use_bias": False, **given}
        pool = options.pop("pool", None)
        if options["padding"] == "valid":
            options["pad_values"] = 0
        x = lq.layers.QuantConv2D(filters, input_quantizer="ste_sign", kernel_quantizer="ste_sign", **options)(x)
        x = layers.BatchNormalization()(x)
        if pool:
            x = layers.MaxPool2D(pool, 2, padding="same")(x)
    model = tf.keras.Model(image, x)
    for variable in model.variables:
        values = rng.normal(size=variable.shape)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.name else values)
    return lce.convert_keras_model(model)


def case_of(model: Model, op: Operator, x: np.ndarray) -> tuple[kc.Case, tuple[int, ...]]:
    """One op of a graph with its input, and the shape of its output."""
    tensors = model.subgraphs[0].tensors
    shape, options = tensors[op.outputs[0]].shape, op.options
    size = 4 * int(np.prod(shape))
    if op.name == "LceQuantize":
        return kc.Case(2, (x.size // x.shape[-1], x.shape[-1], 0, 0), (None,) * 4 + (x,), size), shape
    if op.name == "LceBMaxPool2d":
        names = ("filter_height", "filter_width", "stride_height", "stride_width", "padding")
        return kc.Case(1, (*(options[name] for name in names), *x.shape), (None,) * 4 + (x,), size), shape
    assert op.name == "LceBconv2d"
    filters, *others = (tensors[i].data(model) if i >= 0 else None for i in op.inputs[1:])
    bits = tensors[op.outputs[0]].dtype == "int32"
    ints = (options["channels_in"], *filters.shape[:3], 1, options["stride_height"], options["stride_width"])
    ints += (options["dilation_height_factor"], options["dilation_width_factor"], options["padding"])
    ints += (options["pad_values"], options["fused_activation_function"], kc.BITS if bits else kc.FLOAT, 0)
    tensors_of_case = (filters, *others, x)
    case = kc.Case(0, (*ints, *x.shape[:3]), tensors_of_case, size, np.uint32 if bits else np.float32)
    return case, shape


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("machine", ["host", "arm"])
def test_every_graph_gives_what_lce_gives(request, tmp_path, graph, machine):
    program = request.getfixturevalue(f"{machine}_program")
    content = converted(graph)
    model = read_model(content)
    image = np.random.default_rng(6).normal(size=(1, *GRAPHS[graph][0])).astype(np.float32)
    image[0, :2, :2, ::3] = 0.0
    image[0, 2:, :2, ::3] = -0.0
    x = image
    for op in model.subgraphs[0].operators:
        case, shape = case_of(model, op, x)
        (result,) = kc.run_cases(program, "neon" if machine == "arm" else "portable", [case], tmp_path)
        assert result.error == ""
        x = result.values.reshape(shape)
    expected = Interpreter(content).predict(image)
    assert expected.dtype == x.dtype
    np.testing.assert_array_equal(x.view(np.uint32), expected.view(np.uint32))
