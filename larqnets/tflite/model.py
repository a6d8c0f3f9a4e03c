"""Read a .tflite file into plain dataclasses and refuse what is damaged. Needs numpy and flatbuffers, no TensorFlow.

`read_model` checks the structure (every offset, by `larqnets.tflite.verifier`) and the meaning (every index, every
constant's size, what the Larq ops demand). The numbers of ops, types and fields are those of the TFLite schema, version 3.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flatbuffers import flexbuffers

from larqnets.errors import LarqnetsError, printable
from larqnets.tflite import detection_op
from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.demands import check_graphs
from larqnets.tflite.flatbuffer import FlatbufferError, Reader, Table
from larqnets.tflite.sparsity import stored_values
from larqnets.tflite.verifier import schema, verify

# In the order of their numbers, from 0; * is STABLEHLO_.
_BUILTIN_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND
SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D
CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE
VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL
GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT *LOGISTIC *ADD *DIVIDE *MULTIPLY *MAXIMUM *RESHAPE *CLAMP
*CONCATENATE *BROADCAST_IN_DIM *CONVOLUTION *SLICE *CUSTOM_CALL *REDUCE *ABS *AND *COSINE *EXPONENTIAL *FLOOR *LOG
*MINIMUM *NEGATE *OR *POWER *REMAINDER *RSQRT *SELECT *SUBTRACT *TANH *SCATTER *COMPARE *CONVERT *DYNAMIC_SLICE
*DYNAMIC_UPDATE_SLICE *PAD *IOTA *DOT_GENERAL *REDUCE_WINDOW *SORT *WHILE *GATHER *TRANSPOSE DILATE *RNG_BIT_GENERATOR
REDUCE_WINDOW *COMPOSITE *SHIFT_LEFT *CBRT *CASE
"""
BUILTIN_OPS = _BUILTIN_NAMES.replace("*", "STABLEHLO_").split()
_CUSTOM = BUILTIN_OPS.index("CUSTOM")

# Name and bits per element, in the order of their numbers; 0 bits: the buffer's size does not follow from the shape.
_TYPES = [
    *[("float32", 32), ("float16", 16), ("int32", 32), ("uint8", 8), ("int64", 64), ("string", 0), ("bool", 8)],
    *[("int16", 16), ("complex64", 64), ("int8", 8), ("float64", 64), ("complex128", 128), ("uint64", 64)],
    *[("resource", 0), ("variant", 0), ("uint32", 32), ("uint16", 16), ("int4", 4), ("bfloat16", 16), ("int2", 2)],
    ("uint4", 4),
]
_BITS = dict(_TYPES)

# Op -> number of its option table in the schema's union, and the options in the order of their slots.
_STRIDES = "padding stride_width stride_height"
_DILATIONS = "dilation_width_factor dilation_height_factor"
_POOL = (5, f"{_STRIDES} filter_width filter_height fused_activation_function")
_CONV_3D = (
    106,
    "padding stride_depth stride_width stride_height fused_activation_function "
    "dilation_depth_factor dilation_width_factor dilation_height_factor",
)
_BUILTIN_OPTIONS = {
    "CONV_2D": (1, f"{_STRIDES} fused_activation_function {_DILATIONS}"),
    "DEPTHWISE_CONV_2D": (2, f"{_STRIDES} depth_multiplier fused_activation_function {_DILATIONS}"),
    "TRANSPOSE_CONV": (49, f"{_STRIDES} fused_activation_function"),
    "FULLY_CONNECTED": (8, "fused_activation_function weights_format keep_num_dims"),
    "BATCH_MATMUL": (101, "adj_x adj_y"),
    "CONV_3D": _CONV_3D,
    "CONV_3D_TRANSPOSE": _CONV_3D,
    "SPACE_TO_DEPTH": (19, "block_size"),
    "DEPTH_TO_SPACE": (94, "block_size"),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "L2_POOL_2D": _POOL,
    "ADD": (11, "fused_activation_function"),
    "MUL": (21, "fused_activation_function"),
    "SUB": (28, "fused_activation_function"),
    "DIV": (29, "fused_activation_function"),
}
# One byte each, every other option is an int32. Absent options are 0, dilations 1.
_BYTE_OPTIONS = ("padding", "fused_activation_function", "weights_format", "keep_num_dims", "adj_x", "adj_y")
_LCE_OPTIONS: dict[str, tuple[str, ...]] = {
    "LceQuantize": (),
    "LceDequantize": (),
    "LceBconv2d": (
        *("channels_in", "dilation_height_factor", "dilation_width_factor", "fused_activation_function"),
        *("pad_values", "padding", "stride_height", "stride_width"),
    ),
    "LceBMaxPool2d": ("padding", "stride_width", "stride_height", "filter_width", "filter_height"),
}
# Smallest and largest value of an option; the others may be anything that is not negative.
_SIZES = (
    *("stride_width", "stride_height", "stride_depth", "filter_width", "block_size"),
    *("dilation_width_factor", "dilation_height_factor", "dilation_depth_factor"),
)
_RANGES = {
    **dict.fromkeys((*_SIZES, "filter_height", "channels_in"), (1, 2**31 - 1)),
    **{"padding": (0, 1), "pad_values": (0, 1), "fused_activation_function": (0, 5)},
}
_CALLING = {
    *("CALL", "CALL_ONCE", "IF", "WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE", "STABLEHLO_REDUCE"),
    *("STABLEHLO_REDUCE_WINDOW", "STABLEHLO_SCATTER", "STABLEHLO_SORT", "STABLEHLO_WHILE"),
}
_MAX_RANK = 64
_MAX_TENSOR_BYTES = 1 << 40
_MAX_CUSTOM_OPTIONS = 4096


@dataclass(frozen=True)
class Buffer:
    """Where the bytes of a constant lie in the file; size 0: the tensor is computed."""

    start: int
    size: int


@dataclass(frozen=True)
class Quantization:
    """real = scale (stored - zero_point); one pair for all, or one per index of axis `quantized_dimension`."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int


@dataclass(frozen=True)
class Tensor:
    """A tensor; `shape` as stored (dynamic dimensions are 1), `buffer` is an index into `Model.buffers`.

    `is_variable`: a state that lasts from run to run; `is_dynamic`: a dimension is known only while it runs.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    quantization: Quantization | None
    sparse: bool
    is_variable: bool
    is_dynamic: bool

    def data(self, model: "Model") -> np.ndarray | None:
        """Return a constant's values as a read-only array of `shape`, or None for a computed tensor.

        int2, int4 and uint4 are unpacked to one value per byte, bfloat16 becomes float32. Strings, resources and sparse
        tensors have no array: None.
        """
        buffer, bits = model.buffers[self.buffer], _BITS[self.dtype]
        if not buffer.size or not bits or self.sparse:
            return None
        raw = np.frombuffer(model.content, np.uint8, buffer.size, buffer.start)
        if bits < 8:
            raw = _unpack_small(raw, bits, math.prod(self.shape), signed=self.dtype.startswith("int"))
        elif self.dtype == "bfloat16":
            raw = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif self.dtype == "bool":
            raw = raw != 0
        else:
            raw = raw.view(np.dtype(self.dtype).newbyteorder("<"))
        values = raw.reshape(self.shape)
        values.flags.writeable = False
        return values


@dataclass(frozen=True)
class Operator:
    """An op. `inputs` and `outputs` are tensor indices of its subgraph, -1 for an absent input.

    `options`: the numbers of the schema (padding 0 same, 1 valid; fused_activation_function 0 none, 1 relu,
    2 relu_n1_to_1, 3 relu6), under the same names for ordinary and Larq ops; empty for ops that are not decoded.
    `calls`: the subgraphs that it runs.
    """

    index: int
    name: str
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]
    subgraph: int
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """A graph; operators are in the order of execution."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Model:
    """A .tflite file. Characters that cannot be printed are escaped in all names.

    `unknown_ops`: the names in `operator_codes` that neither the TFLite schema nor Larq defines, such as "CUSTOM:foo" or
    "BUILTIN_999": such a file can be read, but not be run.
    """

    name: str
    version: int
    description: str
    operator_codes: tuple[str, ...]
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Buffer, ...]
    metadata: dict[str, bytes]
    unknown_ops: tuple[str, ...]
    content: bytes = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return len(self.content)


def read_model(source: Path | str | bytes) -> Model:
    """Read a .tflite file given by path or as bytes; raises LarqnetsError when it cannot be read or is not valid."""
    name, content = ("The model", source) if isinstance(source, bytes) else _read_file(Path(source))
    if not content:
        raise LarqnetsError(f"{name} is empty. Copy or convert it again.")
    if len(content) < 8 or content[4:8] != b"TFL3":
        found = f"has {content[4:8]!r}" if len(content) >= 8 else "ends"
        raise LarqnetsError(
            f"{name} is not a .tflite file: it {found} where the identifier TFL3 belongs. Check the path."
        )
    try:
        verify(content)
        return _decode_model(name, Reader(content))
    except FlatbufferError as error:
        raise LarqnetsError(f"{name} is not a valid TFLite model: {error}. Copy or convert it again.") from error


def binary_filter(model: Model, operator: Operator) -> np.ndarray:
    """Return the packed filter of an LceBconv2d: int32 (filters, kernel height, kernel width, words).

    Raises LarqnetsError where the file does not hold it.
    """
    if operator.name != "LceBconv2d":
        raise ValueError(f"{operator.name} has no binary filter")
    values = model.subgraphs[operator.subgraph].tensors[operator.inputs[1]].data(model)
    if values is None:
        raise LarqnetsError(f"{model.name} does not hold the filter of operator {operator.index}. Convert it again.")
    return values


def pack_bits(x: np.ndarray) -> np.ndarray:
    """Pack signs (..., C) into int32 words (..., ceil(C/32)).

    Channel c is bit c % 32 of word c // 32; the bit is 1 where x < 0. Unused high bits are 0.
    """
    channels = x.shape[-1]
    words = -(-channels // 32)
    packed = np.zeros((*x.shape[:-1], 4 * words), np.uint8)
    packed[..., : -(-channels // 8)] = np.packbits(x < 0, axis=-1, bitorder="little")
    return packed.view("<i4").astype(np.int32, copy=False)


def unpack_bits(words: np.ndarray, channels: int) -> np.ndarray:
    """Unpack int32 words (..., ceil(channels/32)) to int8 signs (..., channels): bit 0 is +1, bit 1 is -1."""
    if words.shape[-1] != -(-channels // 32):
        raise ValueError(f"{channels} channels take {-(-channels // 32)} words, not {words.shape[-1]}")
    if channels == 0:
        return np.zeros(words.shape, np.int8)
    bits = np.unpackbits(np.ascontiguousarray(words, "<i4").view(np.uint8), axis=-1, count=channels, bitorder="little")
    return 1 - 2 * bits.view(np.int8)


def _read_file(path: Path) -> tuple[str, bytes]:
    name = printable(path.name)
    try:
        if path.exists() and not path.is_file():
            raise LarqnetsError(f"{name} is not a file. Give the path of a .tflite file.")
        return name, path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LarqnetsError(f"{name} cannot be read: {reason}. Check the path.") from error


def _text(raw: bytes) -> str:
    return printable(raw.decode("utf-8", errors="backslashreplace"))


def _decode_model(name: str, reader: Reader) -> Model:
    root = reader.root()
    version = root.scalar(0, fb.UINT32)
    if version != 3:
        raise FlatbufferError(f"its schema version is {version}, not 3")
    if any(root.span(9, 4)):
        raise FlatbufferError("its weights are in another file, which cannot be read")
    codes = [_operator_code(table) for table in root.tables(1)]
    names = tuple(code for code, _ in codes)
    buffers = tuple(_buffer(reader, table) for table in root.tables(4))
    if sum(buffer.size for buffer in set(buffers)) > len(reader.content):
        raise FlatbufferError("its constants overlap")
    subgraphs = tuple(_subgraph(reader, i, table, names, buffers) for i, table in enumerate(root.tables(2)))
    if not subgraphs:
        raise FlatbufferError("it has no subgraph")
    for entry in root.tables(7):
        _check_signature(entry, subgraphs)
    model = Model(
        name,
        version,
        _text(root.raw(3)),
        names,
        subgraphs,
        buffers,
        _metadata(reader, root, buffers),
        tuple(sorted({code for code, known in codes if not known})),
        reader.content,
    )
    check_graphs(model)
    return model


def _check_signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> None:
    where, graph = f"the signature '{_text(table.raw(2))}'", table.scalar(4, fb.UINT32)
    if graph >= len(subgraphs):
        raise FlatbufferError(f"{where} is of subgraph {graph}, but there are {len(subgraphs)} subgraphs")
    for slot in (0, 1):
        indices = [entry.scalar(1, fb.UINT32) for entry in table.tables(slot)]
        _check_indices(where, indices, 0, len(subgraphs[graph].tensors))


def _operator_code(table: Table) -> tuple[str, bool]:
    """Return the name of an op and whether it is known. Old files have the number in the byte of slot 0 only."""
    number = max(table.scalar(0, fb.INT8), table.scalar(3, fb.INT32))
    if number == _CUSTOM:
        custom = _text(table.raw(1))
        return (custom, True) if custom in (*_LCE_OPTIONS, detection_op.NAME) else (f"CUSTOM:{custom}", False)
    if 0 <= number < len(BUILTIN_OPS):
        return BUILTIN_OPS[number], True
    return f"BUILTIN_{number}", False


def _buffer(reader: Reader, table: Table) -> Buffer:
    """Files over 2 GB keep constants behind the flatbuffer: slots 1 and 2 are then their offset and size."""
    start, size = table.scalar(1, fb.UINT64), table.scalar(2, fb.UINT64)
    if start > 1:
        reader.check(start, size, "constant")
        return Buffer(start, size)
    start, size = table.span(0)
    return Buffer(start, size) if size else Buffer(0, 0)


def _metadata(reader: Reader, root: Table, buffers: tuple[Buffer, ...]) -> dict[str, bytes]:
    entries, copies = {}, {}
    for table in root.tables(6):
        name, index = _text(table.raw(0)), table.scalar(1, fb.UINT32)
        if index >= len(buffers):
            raise FlatbufferError(f"the metadata '{name}' is in buffer {index} of {len(buffers)}")
        buffer = buffers[index]
        if buffer not in copies:
            copies[buffer] = reader.content[buffer.start : buffer.start + buffer.size]
        entries[name] = copies[buffer]
    return entries


def _subgraph(
    reader: Reader, index: int, table: Table, codes: tuple[str, ...], buffers: tuple[Buffer, ...]
) -> Subgraph:
    where = f"subgraph {index}"
    tensors = tuple(_tensor(f"{where} tensor {i}", i, entry, buffers) for i, entry in enumerate(table.tables(0)))
    inputs, outputs = (table.vector(slot, fb.INT32) for slot in (1, 2))
    _check_indices(f"{where} inputs", inputs, 0, len(tensors))
    _check_indices(f"{where} outputs", outputs, 0, len(tensors))
    operators = []
    for i, entry in enumerate(table.tables(3)):
        operator = _operator(where, i, index, entry, codes)
        large_options = entry.scalar(9, fb.UINT64)
        if large_options > 1:  # those of a file over 2 GB lie behind the flatbuffer
            reader.check(large_options, entry.scalar(10, fb.UINT64), "custom options")
        here = f"{where} operator {i} ({operator.name})"
        _check_indices(f"{here} inputs", operator.inputs, -1, len(tensors))
        _check_indices(f"{here} outputs", operator.outputs, 0, len(tensors))
        _check_indices(f"{here} intermediates", entry.vector(8, fb.INT32), -1, len(tensors))
        if any(buffers[tensors[t].buffer].size for t in operator.outputs):
            raise FlatbufferError(f"{here} writes to a constant")
        if operator.name in _LCE_OPTIONS:
            _check_lce(here, operator, tensors, buffers)
        if operator.name == detection_op.NAME:
            detection_op.check(here, operator, tensors)
        operators.append(operator)
    return Subgraph(_text(table.raw(4)), tensors, inputs, outputs, tuple(operators))


def _check_indices(where: str, indices: Iterable[int], lowest: int, count: int) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise FlatbufferError(f"{where} name tensor {index}, but there are {count} tensors")


def _tensor(where: str, index: int, table: Table, buffers: tuple[Buffer, ...]) -> Tensor:
    shape = table.vector(0, fb.INT32, _MAX_RANK)
    number, buffer = table.scalar(1, fb.INT8), table.scalar(2, fb.UINT32)
    if not 0 <= number < len(_TYPES):
        raise FlatbufferError(f"{where} has the unknown data type {number}")
    dtype, bits = _TYPES[number]
    if any(n < 0 for n in shape):
        raise FlatbufferError(f"{where} has a negative dimension in its shape {shape}")
    sparsity = table.table(6)
    count = math.prod(shape) if sparsity is None else stored_values(where, sparsity, shape)
    size = -(-count * bits // 8)
    if size > _MAX_TENSOR_BYTES or math.prod(shape) > _MAX_TENSOR_BYTES:
        raise FlatbufferError(f"{where} has the absurd shape {shape}")
    if buffer >= len(buffers):
        raise FlatbufferError(f"{where} is in buffer {buffer}, but there are {len(buffers)} buffers")
    stored = buffers[buffer].size
    if (stored or sparsity is not None) and bits and stored != size:
        values = f"{dtype} {shape}" if sparsity is None else f"{count} values of {dtype}"
        raise FlatbufferError(f"{where} has {stored} bytes where {values} takes {size}")
    quantization = _quantization(where, table.table(4), shape)
    name, is_variable = _text(table.raw(3)), bool(table.scalar(5, fb.BOOL))
    is_dynamic = bool((table.numbers(7, fb.INT32) < 0).any())
    return Tensor(index, name, shape, dtype, buffer, quantization, sparsity is not None, is_variable, is_dynamic)


def _quantization(where: str, table: Table | None, shape: tuple[int, ...]) -> Quantization | None:
    if table is None or not table.span(2, 4)[1]:
        return None
    scales, zero_points = table.vector(2, fb.FLOAT32), table.vector(3, fb.INT64)
    axis = table.scalar(6, fb.INT32)
    if len(scales) != len(zero_points):
        raise FlatbufferError(f"{where} has {len(scales)} scales for {len(zero_points)} zero points")
    if not all(map(math.isfinite, scales)):
        raise FlatbufferError(f"{where} has a scale that is not a finite number")
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise FlatbufferError(f"{where} has {len(scales)} scales along axis {axis} of its shape {shape}")
    return Quantization(scales, zero_points, axis)


def _operator(where: str, index: int, subgraph: int, table: Table, codes: tuple[str, ...]) -> Operator:
    code = table.scalar(0, fb.UINT32)
    if code >= len(codes):
        raise FlatbufferError(f"{where} operator {index} has op code {code}, but there are {len(codes)} op codes")
    name = codes[code]
    where = f"{where} operator {index} ({name})"
    options: dict[str, int] = {}
    if name in _BUILTIN_OPTIONS:
        options = _builtin_options(where, table, *_BUILTIN_OPTIONS[name])
    elif _LCE_OPTIONS.get(name):
        options = _flexbuffer_options(where, table, _LCE_OPTIONS[name])
    elif name == detection_op.NAME:
        options = detection_op.read_options(where, _flexbuffer_numbers(where, table))
    for option, value in options.items():
        low, high = _RANGES.get(option, (0, 2**31 - 1))
        if not low <= value <= high:
            raise FlatbufferError(f"{where} has {option} = {value}")
    is_custom = name in (*_LCE_OPTIONS, detection_op.NAME) or name.startswith("CUSTOM:")
    inputs, outputs = (table.vector(slot, fb.INT32) for slot in (1, 2))
    return Operator(index, name, is_custom, inputs, outputs, options, subgraph, _calls(where, name, table))


def _calls(where: str, name: str, table: Table) -> tuple[int, ...]:
    """Return the subgraphs that the options name; an op that calls some must have the options for it."""
    tables, unions = schema()
    found: list[int] = []
    for union, slot in (("BuiltinOptions", 4), ("BuiltinOptions2", 12)):
        fields = tables.get(unions[union].get(table.scalar(slot - 1, fb.UINT8), ""), [])
        for position, (option, *target) in enumerate(fields):
            entry = table.table(slot) if "subgraph" in option else None
            if entry is not None:
                many = target == ["[4]"]
                found += entry.vector(position, fb.INT32) if many else [entry.scalar(position, fb.INT32)]
    if name in _CALLING and not found:
        raise FlatbufferError(f"{where} does not say which subgraph it runs")
    return tuple(found)


def _builtin_options(where: str, table: Table, number: int, names: str) -> dict[str, int]:
    entry = table.table(4)
    if entry is not None and table.scalar(3, fb.UINT8) != number:
        raise FlatbufferError(f"{where} has the options of another op")
    options = {}
    for slot, name in enumerate(names.split()):
        default = int(name.startswith("dilation"))
        kind = fb.INT8 if name in _BYTE_OPTIONS else fb.INT32
        options[name] = default if entry is None else entry.scalar(slot, kind, default)
    return options


def _flexbuffer_options(where: str, table: Table, names: tuple[str, ...]) -> dict[str, int]:
    """Decode a map of integers."""
    found = _flexbuffer_numbers(where, table)
    for name in names:
        if not isinstance(found.get(name), int):
            raise FlatbufferError(f"{where} lacks the option {name}")
    return {name: int(found[name]) for name in names}


def _flexbuffer_numbers(where: str, table: Table) -> dict[str, int | float]:
    """Decode the numbers of a map. Nothing nested is followed: a few bytes can describe an endless nest."""
    size = table.span(5)[1]
    if size == 0:
        raise FlatbufferError(f"{where} has no options")
    if size > _MAX_CUSTOM_OPTIONS:
        raise FlatbufferError(f"{where} has {size} bytes of options")
    try:
        root = flexbuffers.GetRoot(table.raw(5))
        entries = root.AsMap
        keys, values = entries.Keys, entries.Values
        if len(keys) != len(values) or len(keys) > 64:
            raise FlatbufferError(f"{where} has {len(keys)} names for {len(values)} options")
        found: dict[str, int | float] = {}
        for i in range(len(keys)):
            if values[i].IsInt or values[i].IsBool:
                found[keys[i].AsKey] = values[i].AsInt
            elif values[i].IsFloat:
                found[keys[i].AsKey] = values[i].AsFloat
    except FlatbufferError:
        raise
    except Exception as error:  # the library checks nothing: damage shows as whatever fails first
        raise FlatbufferError(f"{where} has options that cannot be decoded") from error
    return found


def _check_lce(where: str, op: Operator, tensors: tuple[Tensor, ...], buffers: tuple[Buffer, ...]) -> None:
    """Check what the kernels of the Larq ops take for granted."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise FlatbufferError(f"{where} {what}")

    expected = 5 if op.name == "LceBconv2d" else 1
    demand(len(op.inputs) == expected, f"has {len(op.inputs)} inputs, not {expected}")
    demand(len(op.outputs) == 1, f"has {len(op.outputs)} outputs, not 1")
    demand(op.inputs[0] >= 0, "lacks its input")
    source, result = tensors[op.inputs[0]], tensors[op.outputs[0]]
    if op.name in ("LceQuantize", "LceDequantize"):
        packed, plain = (result, source) if op.name == "LceQuantize" else (source, result)
        demand(packed.dtype == "int32", f"packs into {packed.dtype}, not int32")
        demand(plain.dtype in ("float32", "int8", "bool"), f"has plain values of type {plain.dtype}")
        demand(bool(packed.shape and plain.shape), "has a tensor without channels")
        demand(packed.shape[-1] == -(-plain.shape[-1] // 32), f"packs {plain.shape} into {packed.shape}")
        return
    demand(source.dtype == "int32" and len(source.shape) == 4, f"reads {source.dtype} {source.shape}")
    demand(len(result.shape) == 4, f"writes {result.shape}")
    if op.name == "LceBMaxPool2d":
        demand(result.dtype == "int32" and result.shape[3] == source.shape[3], "changes type or channels")
        return
    demand(op.inputs[1] >= 0, "lacks its filter")
    kernel = tensors[op.inputs[1]]
    demand(kernel.dtype == "int32" and len(kernel.shape) == 4, f"has a filter of {kernel.dtype} {kernel.shape}")
    demand(buffers[kernel.buffer].size > 0 and not kernel.sparse, "has a filter that is not a constant")
    demand(op.options["fused_activation_function"] <= 3, "has an activation that is no ReLU")
    channels, words, filters = op.options["channels_in"], kernel.shape[3], kernel.shape[0]
    demand(source.shape[3] == -(-channels // 32), f"reads {source.shape[3]} words for {channels} channels")
    groups = source.shape[3] // words
    demand(groups * words == source.shape[3], f"has filters of {words} words for {source.shape[3]} input words")
    demand(
        groups == 1 or (channels % (32 * groups) == 0 and filters % groups == 0),
        f"cannot split {channels} channels and {filters} filters into {groups} groups",
    )
    to_bits = result.dtype == "int32"
    demand(to_bits or result.dtype in ("float32", "int8"), f"writes {result.dtype}")
    demand(
        result.shape[3] == (-(-filters // 32) if to_bits else filters), f"writes {result.shape} from {filters} filters"
    )
    wanted = [(4, "int32", "thresholds")] if to_bits else [(2, "float32", "multipliers"), (3, "float32", "biases")]
    for position, dtype, noun in wanted:
        demand(op.inputs[position] >= 0, f"lacks its {noun}")
        tensor = tensors[op.inputs[position]]
        demand(tensor.dtype == dtype and tensor.shape == (filters,), f"has {noun} of {tensor.dtype} {tensor.shape}")


def _unpack_small(raw: np.ndarray, bits: int, count: int, *, signed: bool) -> np.ndarray:
    """Unpack values of 2 or 4 bits, lowest bits first, to one per byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = (raw[:, None] >> shifts & (1 << bits) - 1).reshape(-1)[:count]
    if not signed:
        return values
    half = 1 << bits - 1
    return (values.astype(np.int8) ^ half) - half
