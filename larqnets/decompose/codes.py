"""Exact codes for a bit plane, a boolean (H, W) matrix with N = H W places and k ones; the cheapest in bytes is taken.

    mode  name   payload, and its bytes
    0     dense  N bits
                 ceil(N/8)
    1     index  k u32, k flat positions of width = ceil(log2 N) bits each
                 4 + ceil(k width / 8)
    2     rice   k u32, r u8, the gaps g: g >> r unary for all, then r bits each
                 5 + ceil(bits / 8)
    3     gf2    c u32, B as H c bits, C as c W bits, with plane = B C mod 2
                 4 + ceil(H c / 8) + ceil(c W / 8)

Positions ascend. A gap is the number of zeros before a one. Unary q is q zeros and a one; all the unary parts come first, then all the
remainders, one bit string. Factors larger than the dense payload are refused: they are never the cheapest code, and slow
to multiply. Numbers are little-endian, bits MSB first and row-major, each bit string filled up to a byte with zeros. A
record (`larqnets.decompose.container`) has a plane as its mode, one byte, and the payload.
"""

import struct
from dataclasses import dataclass

import numpy as np

from larqnets.decompose import gf2
from larqnets.errors import LarqnetsError

NAMES = ("dense", "index", "rice", "gf2")
DENSE, INDEX, RICE, GF2 = range(4)
ALLOWED = {
    "dense": (DENSE,),
    "index": (DENSE, INDEX),
    "rice": (DENSE, INDEX, RICE),
    "gf2": (DENSE, GF2),
    "all": (DENSE, INDEX, RICE, GF2),
}


class DamagedError(LarqnetsError):
    """The bytes contradict themselves; the message is a clause to follow a colon."""


@dataclass(frozen=True)
class Choice:
    """How a plane will be stored: mode, bytes with the mode byte, and what was found on the way."""

    mode: int
    bytes: int
    ones: int
    rice: int = 0  # r
    rank: int | None = None  # over GF(2), where it was computed


class Reader:
    """Bytes and a position that never passes their end."""

    def __init__(self, data: bytes) -> None:
        self._data, self.position = data, 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.position

    def rest(self) -> memoryview:
        """Return everything not yet read, without reading it."""
        return memoryview(self._data)[self.position :]

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes; raises DamagedError when there are fewer."""
        if count > self.left:
            raise DamagedError(f"{what} needs {count} bytes, and {self.left} are left")
        self.position += count
        return self._data[self.position - count : self.position]

    def numbers(self, layout: str, what: str) -> tuple:
        """Return the little-endian numbers of a struct layout."""
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def bits(self, count: int, what: str) -> np.ndarray:
        """Return `count` bits as 0 and 1, and skip to the end of their last byte."""
        return np.unpackbits(np.frombuffer(self.take((count + 7) // 8, what), np.uint8), count=count)


def index_width(places: int) -> int:
    """Return ceil(log2 N), the bits of a flat position."""
    return (places - 1).bit_length()


def choose(plane: np.ndarray, code: str, rank: int | None = None, try_gf2: bool = True) -> Choice:
    """Return the cheapest code of a boolean (H, W) plane among those that `code`, a key of ALLOWED, names.

    `rank` is the plane's rank over GF(2) where it is known. Otherwise it is computed if factors are allowed, as far as
    they can still be the cheapest; with `try_gf2` False they are not considered.
    """
    height, width = plane.shape
    places, allowed = plane.size, ALLOWED[code]
    positions = np.flatnonzero(plane)
    ones = len(positions)
    sizes = {DENSE: (places + 7) // 8}
    rice = 0
    if INDEX in allowed:
        sizes[INDEX] = 4 + (ones * index_width(places) + 7) // 8
    if RICE in allowed:
        rice, bits = _rice_parameter(_gaps(positions))
        sizes[RICE] = 5 + (bits + 7) // 8
    if GF2 in allowed and rank is None and try_gf2:
        rank = gf2.rank(gf2.row_integers(plane), limit=8 * min(sizes.values()) // (height + width))
    if GF2 in allowed and rank is not None:
        sizes[GF2] = _factor_bytes(height, width, rank)
    mode = min(sizes, key=sizes.__getitem__)
    return Choice(mode, 1 + sizes[mode], ones, rice, rank)


def encode(plane: np.ndarray, choice: Choice) -> bytes:
    """Return mode byte and payload of a plane."""
    mode = bytes([choice.mode])
    if choice.mode == DENSE:
        return mode + np.packbits(plane.ravel()).tobytes()
    if choice.mode == GF2:
        left, right = gf2.factor(plane)
        return mode + struct.pack("<I", len(right)) + b"".join(np.packbits(m.ravel()).tobytes() for m in (left, right))
    positions = np.flatnonzero(plane)
    if choice.mode == INDEX:
        packed = np.packbits(_fixed_bits(positions, index_width(plane.size)))
        return mode + struct.pack("<I", len(positions)) + packed.tobytes()
    gaps = _gaps(positions)
    ends = np.cumsum((gaps >> choice.rice) + 1) - 1
    unary = np.zeros(ends[-1] + 1 if len(ends) else 0, np.uint8)
    unary[ends] = 1
    packed = np.packbits(np.concatenate([unary, _fixed_bits(gaps, choice.rice)]))
    return mode + struct.pack("<IB", len(positions), choice.rice) + packed.tobytes()


def decode(reader: Reader, height: int, width: int) -> np.ndarray:
    """Return the next plane as N values 0 or 1, flat; raises DamagedError where the bytes are not a code of it."""
    places = height * width
    (mode,) = reader.numbers("B", "the mode of a plane")
    if mode == DENSE:
        return reader.bits(places, "a dense plane")
    if mode == INDEX:
        (ones,) = reader.numbers("I", "an index list")
        bits = index_width(places)
        positions = _fixed_numbers(reader.bits(_at_most(ones, places) * bits, "an index list"), ones, bits)
    elif mode == RICE:
        positions = _decode_rice(reader, places)
    elif mode == GF2:
        (c,) = reader.numbers("I", "the factors of a plane")
        if _factor_bytes(height, width, c) > (places + 7) // 8:
            raise DamagedError(f"factors of the rank {c} are larger than their plane of {height} x {width}")
        left = reader.bits(height * c, "the factors of a plane").reshape(height, c)
        right = reader.bits(c * width, "the factors of a plane").reshape(c, width)
        return gf2.product(left, right).ravel().view(np.uint8)
    else:
        raise DamagedError(f"there is no code with the number {mode}")
    if len(positions) and (positions[-1] >= places or np.any(np.diff(positions) <= 0)):
        raise DamagedError(f"the ones of a plane are not ascending positions below {places}")
    plane = np.zeros(places, np.uint8)
    plane[positions] = 1
    return plane


def _factor_bytes(height: int, width: int, rank: int) -> int:
    """Return the payload of a plane as two factors."""
    return 4 + (height * rank + 7) // 8 + (rank * width + 7) // 8


def _at_most(ones: int, places: int) -> int:
    """Return the number of ones, which must not exceed the places."""
    if ones > places:
        raise DamagedError(f"a plane of {places} places claims {ones} ones")
    return ones


def _gaps(positions: np.ndarray) -> np.ndarray:
    """Return the number of zeros before each one."""
    gaps = np.diff(positions, prepend=-1)
    gaps -= 1
    return gaps


def _rice_parameter(gaps: np.ndarray) -> tuple[int, int]:
    """Return (r, bits): the best r next to log2(mean gap ln 2), and the length of the Rice code with it."""
    if len(gaps) == 0:
        return 0, 0
    middle = int(np.log2(max(1.0, gaps.mean() * np.log(2))))
    candidates = range(max(0, middle - 1), middle + 2)
    bits, r = min((len(gaps) * (1 + r) + int((gaps >> r).sum()), r) for r in candidates)
    return r, bits


def _decode_rice(reader: Reader, places: int) -> np.ndarray:
    """Return the positions of the ones of a Rice-coded plane."""
    ones, r = reader.numbers("IB", "a Rice code")
    if r > index_width(places):
        raise DamagedError(f"a Rice code with the parameter {r} for {places} places")
    # The quotients of all gaps add up to at most N >> r, so the unary part ends within that many bits plus k.
    longest = min(8 * reader.left, _at_most(ones, places) + (places >> r))
    start = reader.position
    ends = np.flatnonzero(reader.bits(longest, "a Rice code"))[:ones]
    if len(ends) < ones:
        raise DamagedError("a Rice code ends before its last one")
    unary = int(ends[-1]) + 1 if ones else 0
    reader.position = start
    bits = reader.bits(unary + ones * r, "a Rice code")
    gaps = (_gaps(ends) << r) + _fixed_numbers(bits[unary:], ones, r)
    return np.cumsum(gaps + 1) - 1


def _fixed_bits(numbers: np.ndarray, width: int) -> np.ndarray:
    """Return the lowest `width` bits of each number, MSB first, as 0 and 1."""
    bits = np.empty((len(numbers), width), np.uint8)
    for column in range(width):
        bits[:, column] = (numbers >> (width - 1 - column)) & 1
    return bits.ravel()


def _fixed_numbers(bits: np.ndarray, count: int, width: int) -> np.ndarray:
    """Return `count` numbers of `width` bits each."""
    numbers = np.zeros(count, np.int64)
    for column in bits.reshape(count, width).T:
        numbers <<= 1
        numbers |= column
    return numbers
