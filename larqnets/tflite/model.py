"""A .tflite file as plain dataclasses, which `larqnets.tflite.reading` makes; and how signs are packed into words."""

import math
from dataclasses import dataclass, field

import numpy as np

from larqnets.errors import LarqnetsError

# Name and bits per element, in the order of their numbers; 0 bits: the buffer's size does not follow from the shape.
DATA_TYPES = [
    *[("float32", 32), ("float16", 16), ("int32", 32), ("uint8", 8), ("int64", 64), ("string", 0), ("bool", 8)],
    *[("int16", 16), ("complex64", 64), ("int8", 8), ("float64", 64), ("complex128", 128), ("uint64", 64)],
    *[("resource", 0), ("variant", 0), ("uint32", 32), ("uint16", 16), ("int4", 4), ("bfloat16", 16), ("int2", 2)],
    ("uint4", 4),
]
_BITS = dict(DATA_TYPES)


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

    `unknown_ops`: the names in `operator_codes` that neither the TFLite schema nor Larq nor we define, such as "CUSTOM:foo" or
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


def _unpack_small(raw: np.ndarray, bits: int, count: int, *, signed: bool) -> np.ndarray:
    """Unpack values of 2 or 4 bits, lowest bits first, to one per byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = (raw[:, None] >> shifts & (1 << bits) - 1).reshape(-1)[:count]
    if not signed:
        return values
    half = 1 << bits - 1
    return (values.astype(np.int8) ^ half) - half
