"""The .cbd file: integer weight tensors in the cheapest exact code of each bit plane, and any other bytes beside them.

All numbers are little-endian; bits are MSB first and row-major, each bit string filled up to a byte with zeros.

    offset  bytes  of the file
    0       4      magic b"CBDF"
    4       4      version u32, 1
    8       4      number of tensors u32
    12      4      crc32 u32 of everything behind it
    16             per tensor: length of its name u16, the name in UTF-8, its record
                   rest: its length u32, its compressed length u32, a zlib stream

A record holds the integers v = s n of an (H, W) matrix, s their sign, n their magnitude, and the scale of a weight
v scale. N = H W. There are five kinds, told apart by the last byte of the magic:

    offset  bytes  of a record b"CBDP"
    0       4      magic
    4       4      H u32
    8       4      W u32
    12      4      Delta_w f32, the scale
    16      1      K u8, number of planes
    17      1      width u8 of a position
    18             signs, ceil(N/8) bytes
                   K planes of n, lowest first (larqnets.decompose.codes)

    b"CBDQ"  as P, but the signs stand behind the planes and only for the
             k integers with n > 0, ceil(k/8) bytes
    b"CBDR"  as P, but with a scale per output channel: Delta_w is 0, and
             behind the width of a position stand their number u32, a divisor
             of H, and the scales f32; the rows of one channel lie together
    b"CBDS"  as Q and as R
    b"CBDI"  magic, H u32, W u32, number of scales u32 (1 or a divisor of H),
             the scales f32, N integers int8

A sign bit is 1 for a negative integer and 0 for zero. The writer takes the smallest kind. The reader believes no length
before it has checked it: a file may hold at most 2^28 weights, and 64 per byte of its own size, which every file that
the writer produces keeps; a damaged file ends in one LarqnetsError.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from larqnets.decompose import codes
from larqnets.decompose.codes import Choice, DamagedError, Reader
from larqnets.decompose.matrix import Scale
from larqnets.errors import LarqnetsError

MAGIC, VERSION = b"CBDF", 1
MAX_WEIGHTS = 1 << 28
MAX_WEIGHTS_PER_BYTE = 64
MAX_PLANES = 31
_BLOCK = 1 << 16  # weights whose bits are set at a time
_MAX_DEFLATE_RATIO = 1032  # no zlib stream expands further
_NONZERO_SIGNS, _CHANNEL_SCALES = 1, 2  # added to b"P"


@dataclass(frozen=True)
class Tensor:
    """One tensor of integers v (H, W); a weight is v scale, with one scale or one per output channel (rows H/channels)."""

    name: str
    codes: np.ndarray  # integers of at most 31 bits and a sign
    scale: Scale = field(default_factory=lambda: np.float32(1))


@dataclass(frozen=True)
class Plan:
    """How a tensor will be written: the kind of its record, the code of each plane, and the bytes that this takes."""

    kind: bytes
    planes: list[Choice]
    bytes: int

    @property
    def as_int8(self) -> bool:
        """Return whether the integers themselves are written, since planes would take more."""
        return self.kind == b"CBDI"


def plan(
    integers: np.ndarray,
    scales: int = 0,
    code: str = "rice",
    sign_of_nonzeros: bool = True,
    ranks: dict[int, int] | None = None,
) -> Plan:
    """Return the smallest record of an (H, W) matrix of integers with `scales` channel scales, 0 for a single one.

    `code` names the codes that a plane may have. `ranks` are the ranks over GF(2) of the planes, by bit, that may be
    stored as factors; None lets all of them, and computes what it needs.
    """
    magnitudes = _magnitudes(integers)
    count = int(magnitudes.max()).bit_length()
    choices = []
    for bit in range(count):
        plane = (magnitudes & magnitudes.dtype.type(1 << bit)) != 0
        rank = None if ranks is None else ranks.get(bit)
        choices.append(codes.choose(plane, code, rank, try_gf2=ranks is None))
    head = 18 + (4 + 4 * scales if scales else 0) + sum(choice.bytes for choice in choices)
    kind, size = ord("P"), head + _packed(integers.size)
    if sign_of_nonzeros:
        small = head + _packed(int(np.count_nonzero(integers)))
        if integers.size <= small * MAX_WEIGHTS_PER_BYTE:
            kind, size = kind | _NONZERO_SIGNS, small
    if scales:
        kind += _CHANNEL_SCALES
    raw = 16 + 4 * max(1, scales) + integers.size
    if raw < size and integers.min() >= -128 and integers.max() <= 127:
        return Plan(b"CBDI", [], raw)
    return Plan(b"CBD" + bytes([kind]), choices, size)


def encode(tensor: Tensor, how: Plan) -> bytes:
    """Return the record of a tensor as `plan` planned it."""
    height, width = tensor.codes.shape
    scale = np.asarray(tensor.scale, "<f4")
    head = how.kind + struct.pack("<II", height, width)
    if how.as_int8:
        return head + struct.pack("<I", scale.size) + scale.tobytes() + tensor.codes.astype(np.int8).tobytes()
    flags = how.kind[3] - ord("P")
    per_channel = flags & _CHANNEL_SCALES
    head += struct.pack("<fBB", 0 if per_channel else scale, len(how.planes), codes.index_width(tensor.codes.size))
    if per_channel:
        head += struct.pack("<I", scale.size) + scale.tobytes()
    negative = tensor.codes.ravel() < 0
    if flags & _NONZERO_SIGNS:
        negative = negative[tensor.codes.ravel() != 0]
    signs = np.packbits(negative).tobytes()
    magnitudes = _magnitudes(tensor.codes)
    planes = [
        codes.encode((magnitudes & magnitudes.dtype.type(1 << bit)) != 0, choice)
        for bit, choice in enumerate(how.planes)
    ]
    return b"".join([head, *planes, signs] if flags & _NONZERO_SIGNS else [head, signs, *planes])


def pack(tensors: Sequence[Tensor], rest: bytes, code: str = "rice", sign_of_nonzeros: bool = True) -> bytes:
    """Return a .cbd file of tensors and other bytes; raises LarqnetsError for what the format cannot hold."""
    _check(tensors)
    parts = []
    for tensor in tensors:
        name = tensor.name.encode()
        how = plan(tensor.codes, np.size(tensor.scale) if np.ndim(tensor.scale) else 0, code, sign_of_nonzeros)
        parts.append(struct.pack("<H", len(name)) + name + encode(tensor, how))
    packed = zlib.compress(rest, 9)
    body = b"".join([*parts, struct.pack("<II", len(rest), len(packed)), packed])
    return MAGIC + struct.pack("<III", VERSION, len(tensors), zlib.crc32(body)) + body


def unpack(data: bytes) -> tuple[list[Tensor], bytes]:
    """Return the tensors and the other bytes of a .cbd file; raises LarqnetsError when it is not one, or damaged."""
    if data[:4] != MAGIC:
        raise LarqnetsError("This is no .cbd file: it does not begin with CBDF.")
    try:
        return _unpack(Reader(data))
    except DamagedError as error:
        raise LarqnetsError(f"The .cbd file is damaged: {error}. Pack or copy it again.") from error


def _unpack(reader: Reader) -> tuple[list[Tensor], bytes]:
    """Return what `unpack` does; raises DamagedError."""
    size = reader.left
    _, version, count, checksum = reader.numbers("4sIII", "the head of the file")
    if version != VERSION:
        raise LarqnetsError(f"The .cbd file has version {version}; this program reads version {VERSION}.")
    if zlib.crc32(reader.rest()) != checksum:
        raise DamagedError("its checksum does not match")
    budget = min(MAX_WEIGHTS, MAX_WEIGHTS_PER_BYTE * size)
    tensors: dict[str, Tensor] = {}
    for _ in range(count):
        (length,) = reader.numbers("H", "the name of a tensor")
        try:
            name = reader.take(length, "the name of a tensor").decode()
        except UnicodeDecodeError:
            raise DamagedError("the name of a tensor is not UTF-8") from None
        if name in tensors:
            raise DamagedError(f"it has two tensors '{name}'")
        try:
            tensors[name] = _decode(name, reader, budget)
        except DamagedError as error:
            raise DamagedError(f"in tensor '{name}' {error}") from error
        budget -= tensors[name].codes.size
    length, compressed = reader.numbers("II", "the rest")
    packed = reader.take(compressed, "the rest")
    if reader.left:
        raise DamagedError(f"{reader.left} bytes follow its end")
    return list(tensors.values()), _inflate(packed, length)


def _decode(name: str, reader: Reader, budget: int) -> Tensor:
    """Return the tensor of the next record, of at most `budget` weights."""
    magic, height, width = reader.numbers("4sII", "the head of a record")
    places = height * width
    if not 1 <= places <= budget:
        raise DamagedError(f"{height} x {width} weights are none, or more than the file can hold")
    if magic == b"CBDI":
        scale = _scales(reader, height, single=True)
        integers = np.frombuffer(reader.take(places, "int8 integers"), np.int8).astype(np.int32)
        return Tensor(name, integers.reshape(height, width), scale)
    flags = magic[3] - ord("P")
    if magic[:3] != b"CBD" or not 0 <= flags <= _NONZERO_SIGNS | _CHANNEL_SCALES:
        raise DamagedError(f"the record has the unknown kind {magic!r}")
    single, planes, index_width = reader.numbers("fBB", "the head of a record")
    if planes > MAX_PLANES or index_width != codes.index_width(places):
        raise DamagedError(f"{planes} planes and positions of {index_width} bits do not fit {places} weights")
    scale = _scales(reader, height) if flags & _CHANNEL_SCALES else _finite(np.float32(single))
    signs = None if flags & _NONZERO_SIGNS else reader.bits(places, "the signs")
    integers = np.zeros(places, np.int32)
    for bit in range(planes):
        plane = codes.decode(reader, height, width)
        for start in range(0, places, _BLOCK):  # not at once: as int32 a plane takes four times its memory
            integers[start : start + _BLOCK] |= plane[start : start + _BLOCK].astype(np.int32) << bit
    if signs is None:
        where = np.flatnonzero(integers)
        integers[where[reader.bits(len(where), "the signs") == 1]] *= -1
    else:
        np.negative(integers, where=signs == 1, out=integers)
    return Tensor(name, integers.reshape(height, width), scale)


def _scales(reader: Reader, height: int, single: bool = False) -> Scale:
    """Return the scales of a record; a single one as a scalar where that is allowed."""
    (count,) = reader.numbers("I", "the scales")
    if not 1 <= count <= height or height % count:
        raise DamagedError(f"{count} scales do not fit {height} rows")
    scales = np.frombuffer(reader.take(4 * count, "the scales"), "<f4").astype(np.float32)
    _finite(scales)
    return scales[0] if single and count == 1 else scales


def _finite(scale: Scale) -> Scale:
    """Return the scale if it is a number."""
    if not np.all(np.isfinite(scale)):
        raise DamagedError("a scale is not a number")
    return scale


def _inflate(packed: bytes, length: int) -> bytes:
    """Return the `length` bytes that a zlib stream stands for."""
    if length > _MAX_DEFLATE_RATIO * len(packed):
        raise DamagedError(f"{len(packed)} bytes cannot hold the rest of {length} bytes")
    stream = zlib.decompressobj()
    try:
        rest = stream.decompress(packed, length + 1)
    except zlib.error:
        raise DamagedError("the rest is no zlib stream") from None
    if len(rest) != length or not stream.eof or stream.unused_data:
        raise DamagedError(f"the rest does not have its {length} bytes")
    return rest


def _magnitudes(integers: np.ndarray) -> np.ndarray:
    """Return |v| in the smallest unsigned type."""
    largest = max(-int(integers.min()), int(integers.max()))
    kind = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32
    return np.abs(integers.astype(np.int64 if kind is np.uint32 else np.int32)).astype(kind)


def _packed(bits: int) -> int:
    """Return the bytes of a bit string."""
    return (bits + 7) // 8


def _check(tensors: Sequence[Tensor]) -> None:
    """Raise LarqnetsError for tensors that the format cannot hold."""
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise LarqnetsError("Two tensors for a .cbd file have the same name; give each its own.")
    if sum(tensor.codes.size for tensor in tensors) > MAX_WEIGHTS:
        raise LarqnetsError(f"A .cbd file holds at most {MAX_WEIGHTS:,} weights; use several files.")
    for tensor in tensors:
        what, integers, scale = f"Tensor '{tensor.name}'", tensor.codes, np.asarray(tensor.scale)
        if integers.ndim != 2 or not integers.size or not np.issubdtype(integers.dtype, np.integer):
            raise LarqnetsError(f"{what} is no matrix of integers with at least one weight.")
        if max(-int(integers.min()), int(integers.max())) >> MAX_PLANES:
            raise LarqnetsError(f"{what} has integers of more than {MAX_PLANES} bits.")
        if scale.ndim > 1 or scale.size == 0 or integers.shape[0] % scale.size or not np.all(np.isfinite(scale)):
            raise LarqnetsError(f"{what} needs one finite scale, or one per output channel: a divisor of its rows.")
        if len(tensor.name.encode()) > 0xFFFF:
            raise LarqnetsError(f"The name of tensor '{tensor.name[:40]}...' is too long.")
