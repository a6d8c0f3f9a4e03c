"""Int8 convolutions with random data for cases.cc, and what they must give by TensorFlow Lite's definition, in numpy."""

from dataclasses import dataclass

import kernel_cases as kc
import numpy as np
from hypothesis import strategies as st
from kernel_cases import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Case


@dataclass(frozen=True)
class Conv8:
    """A convolution of random integers, all from `seed`; `factor`: how large sums become in steps of the output, about."""

    batch: int = 1
    image: tuple[int, int] = (6, 7)
    channels_in: int = 3
    channels_out: int = 8
    filter: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (2, 2)
    padding: int = SAME
    activation: int = NONE
    zero_points: tuple[int, int] = (-1, 3)
    factor: float = 60.0
    seed: int = 0
    threads: int = 1
    place: int = 0

    def tensors(self) -> tuple[np.ndarray, ...]:
        """Filter, scales, biases, input scale, input."""
        rng = np.random.default_rng(self.seed)
        shape = (self.channels_out, *self.filter, self.channels_in)
        weights = rng.integers(-127, 128, shape).astype(np.int8)
        x = rng.integers(-128, 128, (self.batch, *self.image, self.channels_in)).astype(np.int8)
        if self.seed % 3 == 0:  # the largest sums that there are
            weights, x = (np.where(a < 0, least, 127).astype(np.int8) for a, least in ((weights, -127), (x, -128)))
        scales = (0.01 * np.exp2(rng.normal(size=self.channels_out))).astype(np.float32)
        bias = (rng.normal(size=self.channels_out) * self.largest / 4).astype(np.int32)
        return weights, scales, bias, np.array([0.03], np.float32), x

    @property
    def largest(self) -> float:
        """A sum that is seldom exceeded."""
        return 5000.0 * float(np.sqrt(np.prod(self.filter) * self.channels_in))

    @property
    def output_scale(self) -> float:
        return float(np.float32(0.01 * 0.03 * self.largest / self.factor))

    @property
    def window(self) -> kc.Bconv:
        return kc.Bconv(image=self.image, filter=self.filter, strides=self.strides, padding=self.padding)

    def case(self, **changed: object) -> Case:
        ints = (self.channels_in, self.channels_out, *self.filter, *self.strides, self.padding, self.activation)
        ints += (*self.zero_points, self.batch, *self.image)
        height, width = self.window.out_size
        size = self.batch * max(height, 0) * max(width, 0) * self.channels_out
        given = {"scale": self.output_scale, "threads": self.threads, "place": self.place} | changed
        return Case(4, ints, self.tensors(), size, np.int8, **given)  # pyright: ignore[reportArgumentType]

    def expected(self) -> np.ndarray:
        """The output: exact sums, MultiplyByQuantizedMultiplier with two roundings, zero point, limits."""
        weights, scales, bias, input_scale, x = self.tensors()
        (height, top, bottom), (width, left, right) = self.window.pads(0), self.window.pads(1)
        values = x.astype(np.int64) - self.zero_points[0]
        values = np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(values, self.filter, (1, 2))
        windows = windows[:, :: self.strides[0], :: self.strides[1]][:, :height, :width]
        sums = np.einsum("nyxchw,ohwc->nyxo", windows.astype(np.float64), weights.astype(np.float64)).astype(np.int64)
        factors = input_scale.astype(np.float64) * scales / np.float64(np.float32(self.output_scale))
        return self.limited(rescaled(sums + bias, factors) + self.zero_points[1]).astype(np.int8).ravel()

    def limited(self, values: np.ndarray) -> np.ndarray:
        """Apply the activation in steps of the output."""

        def step(value: float) -> int:
            steps = float(np.float32(value) / np.float32(self.output_scale))
            return self.zero_points[1] + int(np.trunc(steps + np.copysign(0.5, steps)))

        limits = {NONE: (-128, 127), RELU: (step(0), 127), RELU_N1_TO_1: (step(-1), step(1)), RELU6: (step(0), step(6))}
        least, most = limits[self.activation]
        return np.clip(values, max(least, -128), min(most, 127))


def rescaled(sums: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply integers (..., C) by factors (C,) as TFLite does: by a fraction of 31 bits, then by a power of two."""
    fractions, shifts = np.frexp(factors)
    significands = np.floor(fractions * 2**31 + 0.5).astype(np.int64)
    shifts = np.where(significands == 2**31, shifts + 1, shifts)
    significands = np.where(significands == 2**31, 2**30, significands)
    significands, shifts = (np.where(shifts < -31, 0, values) for values in (significands, shifts))
    products = sums * 2 ** np.maximum(shifts, 0) * significands
    nudged = products + np.where(products >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)  # division that truncates
    right = -np.minimum(shifts, 0)
    rest = high & (1 << right) - 1
    return (high >> right) + (rest > ((1 << right) - 1 >> 1) + (high < 0))


@st.composite
def conv8s(draw: st.DrawFn) -> Conv8:
    """Small convolutions of every kind: windows to 11, strides to 4."""
    filters = draw(st.tuples(st.integers(1, 11), st.integers(1, 11)))
    padding = draw(st.sampled_from([SAME, VALID]))
    least = [f if padding == VALID else 1 for f in filters]
    return Conv8(
        batch=draw(st.integers(1, 2)),
        image=(least[0] + draw(st.integers(0, 9)), least[1] + draw(st.integers(0, 9))),
        channels_in=draw(st.integers(1, 5)),
        channels_out=draw(st.integers(1, 26)),
        filter=filters,
        strides=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=padding,
        activation=draw(st.sampled_from([NONE, RELU, RELU_N1_TO_1, RELU6])),
        zero_points=draw(st.tuples(st.integers(-128, 127), st.integers(-128, 127))),
        factor=draw(st.sampled_from([60.0, 60.0, 1.0, 1e-6, 3e3, 3e5])),
        seed=draw(st.integers(0, 2**32 - 1)),
        threads=draw(st.integers(1, 4)),
        place=draw(st.sampled_from([0, 1])),
    )
