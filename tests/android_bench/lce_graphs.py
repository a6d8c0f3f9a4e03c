"""Files that hold nothing but Larq ops, built directly: each op with an input and an output of its own."""

from dataclasses import dataclass, field

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export.edit import pack

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}


def words(channels):
    return -(-channels // 32)


def random_words(rng, shape, channels):
    """Packed values whose unused high bits are 0."""
    values = rng.integers(0, 2**32, (*shape, words(channels)), dtype=np.uint32)
    if channels % 32:
        values[..., -1] &= np.uint32((1 << channels % 32) - 1)
    return values.view(np.int32)


@dataclass
class Node:
    """An op. Of `constants` an array is one, None an absent input, a pair (shape, dtype) a tensor that nothing computes."""

    name: str
    x: np.ndarray
    out_shape: tuple[int, ...]
    out_dtype: str
    options: dict[str, int] | bytes | None = None
    constants: list[np.ndarray | tuple | None] = field(default_factory=list)
    in_quantization: tuple[float, int] | None = None
    out_quantization: tuple[float, int] | None = None
    in_shape: tuple[int, ...] | None = None  # as the file says it; None: that of x
    has_input: bool = True


def file_of(nodes):
    """Return the file and its inputs, one per node."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    model.subgraphs, graph.tensors, graph.operators, graph.inputs, graph.outputs = [graph], [], [], [], []
    codes = sorted({node.name for node in nodes})
    for name in codes:
        code = schema.OperatorCodeT()
        code.customCode, code.version = name, 1
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes.append(code)

    def tensor(shape, dtype, quantization=None, data=None):
        t = schema.TensorT()
        t.name, t.shape, t.type = f"t{len(graph.tensors)}", np.array(shape, np.int32), TYPES[dtype]
        if quantization is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = np.array([quantization[0]], np.float32)
            t.quantization.zeroPoint = np.array([quantization[1]], np.int64)
        t.buffer = 0
        if data is not None:
            t.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    def constant(value):
        if value is None:
            return -1
        return tensor(*value) if isinstance(value, tuple) else tensor(value.shape, value.dtype.name, None, value)

    for node in nodes:
        op = schema.OperatorT()
        op.opcodeIndex = codes.index(node.name)
        graph.inputs.append(tensor(node.in_shape or node.x.shape, node.x.dtype.name, node.in_quantization))
        op.inputs = [graph.inputs[-1] if node.has_input else -1, *map(constant, node.constants)]
        graph.outputs.append(tensor(node.out_shape, node.out_dtype, node.out_quantization))
        op.outputs = [graph.outputs[-1]]
        op.customOptions = options(node.options)
        graph.operators.append(op)
    return pack(model), [node.x for node in nodes]


def options(values):
    """Return a FlexBuffers map of integers as bytes; bytes stay as they are."""
    if values is None or isinstance(values, bytes):
        return np.frombuffer(values or b"", np.uint8)
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            builder.Key(name)
            builder.Int(value)
    return np.frombuffer(bytes(builder.Finish()), np.uint8)


def out_size(size, window, stride, dilation, same):
    if same:
        return -(-size // stride)
    return -(-(size - (window - 1) * dilation) // stride)


def bconv(
    rng,
    *,
    batch=1,
    size=(5, 6),
    channels=32,
    filters=8,
    window=(3, 3),
    stride=(1, 1),
    dilation=(1, 1),
    same=True,
    pad_value=1,
    activation=0,
    output="float32",
    groups=1,
):
    """A bconv with random bits, multipliers of both signs and thresholds among the sums that occur."""
    values = random_words(rng, (batch, *size), channels)
    kernel = random_words(rng, (filters, *window), channels // groups)
    depth = window[0] * window[1] * channels // groups
    multiplier = rng.normal(size=filters).astype(np.float32)
    bias = rng.normal(size=filters).astype(np.float32)
    thresholds = (depth // 2 + rng.integers(-depth // 4 - 1, depth // 4 + 2, filters)).astype(np.int32)
    shape = [out_size(*a, same) for a in zip(size, window, stride, dilation, strict=True)]
    to_bits = output == "int32"
    return Node(
        "LceBconv2d",
        values,
        (batch, *shape, words(filters) if to_bits else filters),
        output,
        {
            "channels_in": channels,
            "dilation_height_factor": dilation[0],
            "dilation_width_factor": dilation[1],
            "fused_activation_function": activation,
            "pad_values": pad_value,
            "padding": 0 if same else 1,
            "stride_height": stride[0],
            "stride_width": stride[1],
        },
        [kernel, None, None, thresholds] if to_bits else [kernel, multiplier, bias, None],
        out_quantization=(0.05 * np.sqrt(depth), 3) if output == "int8" else None,
    )


def max_pool(rng, *, batch=1, size=(5, 6), channels=32, window=(2, 2), stride=(2, 2), same=False):
    x = random_words(rng, (batch, *size), channels)
    shape = [out_size(*a, 1, same) for a in zip(size, window, stride, strict=True)]
    settings = {"filter_height": window[0], "filter_width": window[1], "padding": 0 if same else 1}
    settings |= {"stride_height": stride[0], "stride_width": stride[1]}
    return Node("LceBMaxPool2d", x, (batch, *shape, words(channels)), "int32", settings)


def quantize(rng, *, shape=(1, 2, 3), channels=40, dtype="float32", zero_point=0):
    x = rng.normal(size=(*shape, channels)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = rng.choice(np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45], np.float32))
    quantization = None
    if dtype == "int8":
        x, quantization = rng.integers(-128, 128, x.shape).astype(np.int8), (0.1, zero_point)
    elif dtype == "bool":
        x = rng.random(x.shape) < 0.5
    return Node("LceQuantize", x, (*shape, words(channels)), "int32", in_quantization=quantization)


def dequantize(rng, *, shape=(1, 2, 3), channels=40, dtype="float32", scale=0.1, zero_point=0):
    quantization = (scale, zero_point) if dtype == "int8" else None
    x = random_words(rng, shape, channels)
    return Node("LceDequantize", x, (*shape, channels), dtype, out_quantization=quantization)
