"""Ops with their data as files for cases.cc, random ones for hypothesis, and what they must give by numpy.

Packed arrays are uint32 (…, words); signs are int8 arrays of +1 and -1.
"""

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

FLOAT, INT8, BITS = range(3)
SAME, VALID = range(2)
NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)
CHOSEN, POPCOUNT, CLASSES, SORTED = range(4)
VALUE_TYPES = (np.float32, np.int8, np.bool_)


@dataclass(frozen=True)
class Case:
    """One call: the op, its numbers in the order of cases.cc, its tensors, and the bytes of its output."""

    op: int
    ints: tuple[int, ...]
    tensors: tuple[np.ndarray | None, ...]  # filter, multiplier, bias, thresholds, input
    output_bytes: int
    output_type: type = np.uint32
    scale: float = 1.0
    threads: int = 1
    place: int = 0

    def encoded(self) -> bytes:
        ints = (*self.ints, *[0] * (21 - len(self.ints)))
        parts = [struct.pack("<24i", self.op, self.threads, self.place, *ints)]
        parts.append(struct.pack("<dQ", self.scale, self.output_bytes))
        for tensor in self.tensors:
            data = None if tensor is None else np.ascontiguousarray(tensor).tobytes()
            parts.append(struct.pack("<q", -1) if data is None else struct.pack("<q", len(data)) + data)
        return b"".join(parts)


@dataclass(frozen=True)
class Result:
    error: str
    size: tuple[int, int]
    values: np.ndarray
    kernels: int = CHOSEN  # the way that a convolution took
    prepared_bytes: int = 0

    def same(self, other: "Result") -> bool:
        """Whether both are equal bit for bit, except that any NaN equals any other."""
        if (self.error, self.size, self.values.shape) != (other.error, other.size, other.values.shape):
            return False
        if self.values.dtype == np.float32:
            nan = np.isnan(self.values)
            if not np.array_equal(nan, np.isnan(other.values)):
                return False
            return np.array_equal(self.values[~nan].view(np.uint32), other.values[~nan].view(np.uint32))
        return np.array_equal(self.values, other.values)


def run_cases(command: list[str], path: str, cases: list[Case], folder: Path) -> list[Result]:
    """Run the program of cases.cc on `cases`; `command` is the program, or qemu and the program."""
    (folder / "cases").write_bytes(b"".join(case.encoded() for case in cases))
    done = subprocess.run([*command, path, str(folder / "cases"), str(folder / "results")], capture_output=True)
    assert done.returncode == 0, f"{path}: exit {done.returncode}, {done.stderr.decode()}"
    data = (folder / "results").read_bytes()
    results, at = [], 0
    for case in cases:
        height, width, kernels, prepared, error_bytes, output_bytes = struct.unpack_from("<4i2Q", data, at)
        at += 32
        error = data[at : at + error_bytes].decode()
        at += error_bytes
        values = np.frombuffer(data, np.uint8, output_bytes, at).view(case.output_type)
        at += output_bytes
        results.append(Result(error, (height, width), values, kernels, prepared))
    assert at == len(data)
    return results


def pack(signs: np.ndarray) -> np.ndarray:
    """(…, C) of +1 / -1 -> (…, ceil(C / 32)) uint32; channel c is bit c % 32, -1 is 1, unused bits 0."""
    channels = signs.shape[-1]
    padded = np.zeros((*signs.shape[:-1], -(-channels // 32) * 32), np.uint8)
    padded[..., :channels] = signs < 0
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4")


@dataclass(frozen=True)
class Bconv:
    """A convolution with random data, all from `seed`."""

    batch: int = 1
    image: tuple[int, int] = (5, 5)
    channels_in: int = 32
    channels_out: int = 8
    filter: tuple[int, int] = (3, 3)
    groups: int = 1
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    padding: int = SAME
    pad_value: int = 1
    activation: int = NONE
    output: int = FLOAT
    scale: float = 1.0
    zero_point: int = 0
    seed: int = 0
    threads: int = 1
    place: int = 0
    kernels: int = CHOSEN
    low_memory: bool = False
    room: int = 16  # threads
    odd_numbers: bool = False  # infinities, NaN, huge and tiny multipliers and biases, extreme thresholds
    signs: tuple[np.ndarray, np.ndarray] = field(init=False, compare=False, repr=False)
    numbers: tuple[np.ndarray, np.ndarray, np.ndarray] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        x = rng.choice(np.array([-1, 1], np.int8), (self.batch, *self.image, self.channels_in))
        w_shape = (self.channels_out, *self.filter, self.channels_in // self.groups)
        w = rng.choice(np.array([-1, 1], np.int8), w_shape, p=rng.choice([[0.5, 0.5], [0.05, 0.95], [1, 0]]))
        multiplier = rng.normal(size=self.channels_out).astype(np.float32)
        bias = (rng.normal(size=self.channels_out) * 10).astype(np.float32)
        near = self.depth // 2 + np.round(rng.normal(size=self.channels_out) * self.depth**0.5)
        thresholds = near.astype(np.int32)
        if self.odd_numbers:
            odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3e38, 1e-40, -1e-45], np.float32)
            multiplier[::2] = rng.choice(odd, multiplier[::2].shape)
            bias[::3] = rng.choice(odd, bias[::3].shape)
            k = self.depth
            extreme = np.array([-(2**31), 2**31 - 1, -1, 0, 1, k - 1, k, k + 1, 65534, 65535, 65536])
            thresholds[::2] = rng.choice(extreme, thresholds[::2].shape)
        object.__setattr__(self, "signs", (x, w))
        object.__setattr__(self, "numbers", (multiplier, bias, thresholds))

    @property
    def depth(self) -> int:
        """K, products per output."""
        return self.filter[0] * self.filter[1] * self.channels_in // self.groups

    def pads(self, axis: int) -> tuple[int, int, int]:
        """Positions, pixels before, pixels after: TFLite's rules."""
        size, stride = self.image[axis], self.strides[axis]
        extent = (self.filter[axis] - 1) * self.dilations[axis] + 1
        if self.padding == VALID:
            return -(-(size - extent + 1) // stride), 0, 0
        out = -(-size // stride)
        pad = max(0, (out - 1) * stride + extent - size)
        return out, pad // 2, pad - pad // 2

    @property
    def out_size(self) -> tuple[int, int]:
        return self.pads(0)[0], self.pads(1)[0]

    def case(self) -> Case:
        ints = (self.channels_in, self.channels_out, *self.filter, self.groups, *self.strides, *self.dilations)
        ints += (
            self.padding,
            self.pad_value,
            self.activation,
            self.output,
            self.zero_point,
            self.batch,
            *self.image,
            self.kernels,
            self.low_memory,
            self.room,
        )
        x, w = self.signs
        multiplier, bias, thresholds = self.numbers
        bits = self.output == BITS
        pixel = (4 * self.channels_out, self.channels_out, -(-self.channels_out // 32) * 4)[self.output]
        height, width = self.out_size
        return Case(
            0,
            ints,
            (pack(w), None if bits else multiplier, None if bits else bias, thresholds if bits else None, pack(x)),
            self.batch * max(height, 0) * max(width, 0) * pixel,
            (np.float32, np.int8, np.uint32)[self.output],
            self.scale,
            self.threads,
            self.place,
        )

    def expected(self) -> np.ndarray:
        """The output by numpy: sums of products of +1, -1 and, where padded with zeros, 0."""
        (height, top, bottom), (width, left, right) = self.pads(0), self.pads(1)
        x, w = (signs.astype(np.float64) for signs in self.signs)  # exact, and multiplied by BLAS
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=self.pad_value)
        group_in, group_out = self.channels_in // self.groups, self.channels_out // self.groups
        sums = np.zeros((self.batch, height, width, self.channels_out))
        for ky in range(self.filter[0]):
            for kx in range(self.filter[1]):
                y0, x0 = ky * self.dilations[0], kx * self.dilations[1]
                ys = slice(y0, y0 + (height - 1) * self.strides[0] + 1, self.strides[0])
                xs = slice(x0, x0 + (width - 1) * self.strides[1] + 1, self.strides[1])
                for g in range(self.groups):
                    window = x[:, ys, xs, g * group_in : (g + 1) * group_in]
                    outs = slice(g * group_out, (g + 1) * group_out)
                    sums[..., outs] += window @ w[outs, ky, kx].T
        multiplier, bias, thresholds = (n.astype(np.float64) for n in self.numbers)
        if self.output == BITS:
            return pack(np.where(self.depth - sums > 2 * thresholds, -1, 1)).ravel()
        least, most = {NONE: (None, None), RELU: (0, None), RELU_N1_TO_1: (-1, 1), RELU6: (0, 6)}[self.activation]
        if self.activation != NONE:
            sums = np.clip(sums, least, most)
        scale, zero_point = (self.scale, self.zero_point) if self.output == INT8 else (1.0, 0)
        with np.errstate(all="ignore"):
            m = (-multiplier / scale).astype(np.float32)
            b = ((bias + self.depth * multiplier) / scale + zero_point).astype(np.float32)
            y = (self.depth - sums).astype(np.float32) * m + b
            if self.output == FLOAT:
                return y.ravel()
            rounded = np.trunc(y.astype(np.float64) + np.copysign(0.5, y))  # half away from zero
            return np.nan_to_num(np.clip(rounded, -128, 127), nan=0).astype(np.int8).ravel()


@st.composite
def bconvs(draw: st.DrawFn, channels: tuple[int, ...] = ()) -> Bconv:
    """Small convolutions of every kind."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    per_group = draw(
        st.sampled_from([32, 64, 96]) if groups > 1 else st.integers(1, 200) | st.sampled_from([64, 128, 256])
    )
    filters = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.sampled_from([SAME, VALID]))
    least = [(f - 1) * d + 1 if padding == VALID else 1 for f, d in zip(filters, dilations, strict=True)]
    return Bconv(
        batch=draw(st.integers(1, 3)),
        image=(least[0] + draw(st.integers(0, 7)), least[1] + draw(st.integers(0, 7))),
        channels_in=groups * per_group,
        channels_out=groups * draw(st.integers(1, 40)),
        filter=filters,
        groups=groups,
        strides=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        dilations=dilations,
        padding=padding,
        pad_value=draw(st.sampled_from([0, 1])),
        activation=draw(st.sampled_from([NONE, RELU, RELU_N1_TO_1, RELU6])),
        output=draw(st.sampled_from([FLOAT, INT8, BITS])),
        scale=draw(st.sampled_from([1.0, 0.5, 3.7, 40.0])),
        zero_point=draw(st.integers(-128, 127)),
        seed=draw(st.integers(0, 2**32 - 1)),
        threads=draw(st.integers(1, 4)),
        place=draw(st.sampled_from([0, 1])),
        kernels=draw(st.sampled_from([CHOSEN, POPCOUNT, CLASSES, SORTED])),
        low_memory=draw(st.booleans()),
        room=draw(st.sampled_from([1, 2, 16])),
        odd_numbers=draw(st.booleans()),
    )


# Shapes that the ways to count are for, and those at their limits: lists of classes that are longer than eight bits and than
# several times so many, tiles of several passes, rows of more than a vector, many classes, filters that end anywhere.
WAYS = [
    Bconv(image=(14, 14), channels_in=256, channels_out=40, pad_value=0, seed=1),
    Bconv(image=(28, 28), channels_in=128, channels_out=37, output=BITS, seed=2),
    Bconv(image=(20, 56), channels_in=64, channels_out=24, output=INT8, scale=3.7, activation=RELU, seed=3),
    Bconv(image=(7, 7), channels_in=512, channels_out=140, pad_value=0, seed=4),
    Bconv(image=(4, 4), channels_in=400, channels_out=300, activation=RELU6, strides=(2, 2), seed=5),
    Bconv(image=(9, 9), channels_in=576, channels_out=9, filter=(2, 3), dilations=(3, 2), seed=6),
    Bconv(batch=2, image=(6, 150), channels_in=70, channels_out=16, filter=(1, 5), strides=(1, 2), seed=10),
    Bconv(batch=3, image=(5, 4), channels_in=1000, channels_out=8, pad_value=0, output=BITS, seed=15),
    Bconv(image=(6, 3), channels_in=4000, channels_out=7, filter=(1, 1), seed=2),
]

# Depths just below, at and above 16 bits, and one that takes several stretches of 16-bit sums.
DEEP = [
    Bconv(image=(5, 5), channels_in=channels, channels_out=9, filter=(3, 3), pad_value=pad, output=output, seed=seed)
    for seed, channels in enumerate((7281, 7282, 7300, 15000))
    for pad in (0, 1)
    for output in (FLOAT, INT8, BITS)
]


def max_pool(batch, image, words, filters, strides, padding, seed, threads, place) -> tuple[Case, np.ndarray]:
    """A max-pooling of random words, and what it must give."""
    window = Bconv(batch=batch, image=image, filter=filters, strides=strides, padding=padding)
    (height, top, bottom), (width, left, right) = window.pads(0), window.pads(1)
    x = np.random.default_rng(seed).integers(0, 2**32, (batch, *image, words), np.uint32)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=2**32 - 1)
    y = np.full((batch, height, width, words), 2**32 - 1, np.uint32)
    for ky in range(filters[0]):
        for kx in range(filters[1]):
            ys = slice(ky, ky + (height - 1) * strides[0] + 1, strides[0])
            xs = slice(kx, kx + (width - 1) * strides[1] + 1, strides[1])
            y &= padded[:, ys, xs]
    ints = (*filters, *strides, padding, batch, *image, words)
    return Case(1, ints, (None,) * 4 + (x,), y.nbytes, threads=threads, place=place), y.ravel()


@st.composite
def max_pools(draw: st.DrawFn) -> tuple[Case, np.ndarray]:
    filters = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.sampled_from([SAME, VALID]))
    return max_pool(
        draw(st.integers(1, 3)),
        tuple(f + draw(st.integers(0 if padding == VALID else 1 - f, 6)) for f in filters),
        draw(st.integers(1, 6)),
        filters,
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding,
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from([0, 1])),
    )


def quantize(kind: int, rows: int, channels: int, zero_point: int, seed: int, threads=1, place=0):
    """LceQuantize of random values, special ones among them, and what it must give."""
    rng = np.random.default_rng(seed)
    if kind == 0:
        x = rng.choice(
            np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1, -2], np.float32), (rows, channels)
        )
        minus = x < 0
    elif kind == 1:
        x = rng.integers(-128, 128, (rows, channels), np.int8)
        minus = x < zero_point
    else:
        x = rng.integers(0, 2, (rows, channels)).astype(np.bool_)
        minus = ~x
    y = pack(np.where(minus, -1, 1)).ravel()
    ints = (rows, channels, kind, zero_point)
    return Case(2, ints, (None,) * 4 + (x,), y.nbytes, threads=threads, place=place), y


def dequantize(kind: int, rows: int, channels: int, scale: float, zero_point: int, seed: int, threads=1, place=0):
    """LceDequantize of random signs, and what it must give."""
    signs = np.random.default_rng(seed).choice([-1, 1], (rows, channels))
    if kind == 0:
        y = signs.astype(np.float32)
    elif kind == 1:
        y = np.clip(zero_point + signs * np.trunc(1 / scale + 0.5), -128, 127).astype(np.int8)
    else:
        y = signs > 0
    ints = (rows, channels, kind, zero_point)
    case = Case(3, ints, (None,) * 4 + (pack(signs),), y.nbytes, VALUE_TYPES[kind], scale, threads, place)
    return case, y.ravel()


@st.composite
def conversions(draw: st.DrawFn) -> tuple[Case, np.ndarray]:
    """LceQuantize and LceDequantize of every type."""
    sizes = (draw(st.integers(1, 12)), draw(st.integers(1, 700) | st.sampled_from([32, 64, 128, 160, 256])))
    last = (draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 4)), draw(st.sampled_from([0, 1])))
    kind, zero_point = draw(st.integers(0, 2)), draw(st.integers(-128, 127))
    if draw(st.booleans()):
        return quantize(kind, *sizes, zero_point, *last)
    return dequantize(kind, *sizes, draw(st.sampled_from([1.0, 0.5, 0.013, 300.0, 1e-30])), zero_point, *last)
