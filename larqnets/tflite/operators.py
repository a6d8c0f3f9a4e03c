"""An operator as the schema stores it: its name, its options under one set of names, the subgraphs that it runs."""

from flatbuffers import flexbuffers

from larqnets.tflite import detection_op, lce_ops
from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.flatbuffer import FlatbufferError, Table
from larqnets.tflite.model import Operator
from larqnets.tflite.verifier import schema

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
_MAX_CUSTOM_OPTIONS = 4096


def operator_code(table: Table) -> tuple[str, bool]:
    """Return the name of an op and whether it is known. Old files have the number in the byte of slot 0 only."""
    number = max(table.scalar(0, fb.INT8), table.scalar(3, fb.INT32))
    if number == _CUSTOM:
        custom = table.text(1)
        return (custom, True) if custom in (*lce_ops.OPTIONS, detection_op.NAME) else (f"CUSTOM:{custom}", False)
    if 0 <= number < len(BUILTIN_OPS):
        return BUILTIN_OPS[number], True
    return f"BUILTIN_{number}", False


def read_operator(where: str, index: int, subgraph: int, table: Table, codes: tuple[str, ...]) -> Operator:
    """Decode an operator of a subgraph; raises FlatbufferError when its code, options or calls make no sense."""
    code = table.scalar(0, fb.UINT32)
    if code >= len(codes):
        raise FlatbufferError(f"{where} operator {index} has op code {code}, but there are {len(codes)} op codes")
    name = codes[code]
    where = f"{where} operator {index} ({name})"
    options: dict[str, int] = {}
    if name in _BUILTIN_OPTIONS:
        options = _builtin_options(where, table, *_BUILTIN_OPTIONS[name])
    elif lce_ops.OPTIONS.get(name):
        options = _flexbuffer_options(where, table, lce_ops.OPTIONS[name])
    elif name == detection_op.NAME:
        options = detection_op.read_options(where, _flexbuffer_numbers(where, table))
    for option, value in options.items():
        low, high = _RANGES.get(option, (0, 2**31 - 1))
        if not low <= value <= high:
            raise FlatbufferError(f"{where} has {option} = {value}")
    is_custom = name in (*lce_ops.OPTIONS, detection_op.NAME) or name.startswith("CUSTOM:")
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
