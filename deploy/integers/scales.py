"""The scale of every tensor that becomes int8, so that each op of the plan takes it and XNNPACK runs it.

real = scale (stored - zero point), 256 values from low to high. Ops that hand integers on unchanged tie their tensors together.
XNNPACK makes no runtime for a whole file in which the scales of an op are too far apart, as those of a tensor that is 0
everywhere would be: an output's scale is at least that of what it is the sum of, divided by LARGEST.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from deploy.integers.calibrate import Range
from deploy.integers.ops import INTEGER_OPS, data_inputs
from deploy.integers.plan import Plan, activations_of
from deploy.targets import FLOATS, Ends
from larqnets.errors import LarqnetsError
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.weight_ops import WEIGHT_OPS, stored_bias, stored_kernel

LARGEST = 250.0  # XNNPACK asks for less than 256
SMALLEST = 2.0**-24  # of what a kernel's scale turns into the output's; XNNPACK asks for 2**-32
_ZERO = Range(0.0, 2.0)  # of a tensor that is 0 everywhere, or within
_NEXT_TO_ZERO = 1e-12
_MOST = 2**30  # of the integers of a bias


@dataclass(frozen=True)
class Scale:
    """real = scale (stored - zero_point)."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, values: Range) -> "Scale":
        """Return the scale that makes 256 values of a range, one of which is 0."""
        low, high = _ZERO if _is_zero(values) else values
        scale = float(np.float32((high - low) / 255))
        return cls(scale, int(np.clip(round(-128 - low / scale), -128, 127)))

    def store(self, values: np.ndarray) -> np.ndarray:
        """Return real values as int8."""
        return np.clip(np.round(values.astype(np.float64) / self.scale) + self.zero_point, -128, 127).astype(np.int8)


class Scales:
    """The scales of tensors of a file.

    `ranges`: tensor -> values on images, as calibrated; `known`: scales that are given; `learned`: ranges that the network was
    trained with, which hold for all tensors that are tied to theirs.
    """

    def __init__(
        self,
        file: Model,
        plan: Plan,
        ranges: Mapping[int, Range],
        known: Mapping[int, Scale] | None = None,
        learned: Mapping[int, Range] | None = None,
    ) -> None:
        self._file = file
        self._ops = [op for op in file.subgraphs[0].operators if op.index in plan.ops]
        self._first: dict[int, int] = {}  # tensor -> another that it is tied to
        self._fixed: dict[int, Scale] = {}  # by the first of those that are tied together
        self._ranges: dict[int, Range] = {}
        self._tie()
        self._fix(ranges, known or {})
        trained = {tensor: values for tensor, values in (learned or {}).items() if tensor in ranges}
        firsts = {self._first_of(tensor) for tensor in trained}
        seen = {tensor: values for tensor, values in ranges.items() if self._first_of(tensor) not in firsts}
        for tensor, values in (seen | trained).items():
            self._widen(tensor, values)
        for op in self._ops:
            if op.name not in WEIGHT_OPS and INTEGER_OPS[op.name].scales == "same":
                for tensor in (op.inputs[i] for i in data_inputs(op)):
                    if (constant := file.subgraphs[0].tensors[tensor].data(file)) is not None:
                        self._widen(op.outputs[0], _range_of(constant))
        self._keep_close()

    def of(self, tensor: int) -> Scale:
        """Return the scale of a tensor of the plan."""
        first = self._first_of(tensor)
        return self._fixed.get(first) or Scale.of(self._ranges[first])

    def of_kernel(self, op: Operator) -> np.ndarray:
        """Return the scales of an op's kernel, float32: one a filter, or one.

        Large enough that the bias, in steps of input times kernel, fits into 32 bits.
        """
        kernel = _kernel_steps(self._file, op)
        given, made = (self.of(i).scale for i in (op.inputs[WEIGHT_OPS[op.name].activation], op.outputs[0]))
        least = made / given * SMALLEST
        bias = stored_bias(self._file, op)
        values = None if bias is None else bias.data(self._file)
        if values is not None:
            sizes = np.abs(values) if kernel.size > 1 else np.abs(values).max(initial=0)
            least = np.maximum(least, sizes / (given * _MOST))
        return np.maximum(kernel, least).astype(np.float32)

    def _widen(self, tensor: int, values: Range) -> None:
        first = self._first_of(tensor)
        self._ranges[first] = self._ranges.get(first, values).with_(values)

    def _first_of(self, tensor: int) -> int:
        while tensor in self._first:
            tensor = self._first[tensor]
        return tensor

    def _tie(self) -> None:
        for op in self._ops:
            if op.name not in WEIGHT_OPS and INTEGER_OPS[op.name].scales == "same":
                output = self._first_of(op.outputs[0])
                for tensor in activations_of(self._file, op):
                    if (first := self._first_of(tensor)) != output:
                        self._first[first] = output

    def _fix(self, tensors: Iterable[int], known: Mapping[int, Scale]) -> None:
        """Give tensors the scale that they must have; raises LarqnetsError where one of another scale is tied to them."""
        handed_on, fixed = set(), dict(known)
        for op in self._ops:
            scales = "own" if op.name in WEIGHT_OPS else INTEGER_OPS[op.name].scales
            handed_on.update(op.outputs if scales == "same" else ())
            if isinstance(scales, tuple):
                fixed[op.outputs[0]] = Scale(*scales)
        for tensor, scale in fixed.items():
            first = self._first_of(tensor)
            others = [i for i in tensors if i != tensor and i not in handed_on and self._first_of(i) == first]
            if others:
                named = [self._file.subgraphs[0].tensors[i].name for i in (tensor, others[0])]
                raise LarqnetsError(
                    f"'{named[0]}' has a scale in int8 that is given, and is joined with '{named[1]}', which has another. Name "
                    "the layer that joins them with --keep-float."
                )
            self._fixed[first] = scale

    def _keep_close(self) -> None:
        """Make the scales of outputs larger where those of inputs are too far above them."""
        for _ in range(len(self._ops) + 1):
            grown = False
            for op in self._ops:
                first = self._first_of(op.outputs[0])
                if first in self._fixed:
                    continue
                least, found = self._sum_of(op) / LARGEST, self.of(first).scale
                if found < least:
                    known = _ZERO if _is_zero(self._ranges[first]) else self._ranges[first]
                    self._ranges[first] = known.grown(least / found * 1.001)
                    grown = True
            if not grown:
                return
        raise LarqnetsError(
            "The weights of the network are too large for int8: each layer multiplies by more than 250. Train it again."
        )

    def _sum_of(self, op: Operator) -> float:
        """Return the largest step of the numbers that an op's output is the sum of."""
        if op.name in WEIGHT_OPS:
            given = self.of(op.inputs[WEIGHT_OPS[op.name].activation]).scale
            return given * float(_kernel_steps(self._file, op).max())
        steps = [self.of_input(op, tensor).scale for tensor in (op.inputs[i] for i in data_inputs(op))]
        return float(np.prod(steps)) if op.name == "MUL" else max(steps)

    def of_input(self, op: Operator, tensor: int) -> Scale:
        """Return the scale of an input of an op without weights, which may be a constant."""
        values = self._file.subgraphs[0].tensors[tensor].data(self._file)
        if values is None:
            return self.of(tensor)
        if INTEGER_OPS[op.name].scales == "same":
            return self.of(op.outputs[0])
        return Scale.of(_range_of(values))


def tensors_of(file: Model, plan: Plan, ends: Ends = FLOATS) -> list[int]:
    """Return the given and computed tensors that become integers, whose ranges have to be known."""
    graph = file.subgraphs[0]
    outer = [*(graph.inputs if ends.input != "float" else ()), *(graph.outputs if ends.output != "float" else ())]
    ops = [op for op in graph.operators if op.index in plan.ops]
    return list(dict.fromkeys([*outer, *(i for op in ops for i in (*activations_of(file, op), *op.outputs))]))


def _range_of(values: np.ndarray) -> Range:
    return Range(min(0.0, float(values.min())), max(0.0, float(values.max())))


def _is_zero(values: Range) -> bool:
    return values.high - values.low < _NEXT_TO_ZERO


def _kernel_steps(file: Model, op: Operator) -> np.ndarray:
    """Return the largest weight of every filter, or of all, over 127."""
    kernel = stored_kernel(file, op)
    values = None if kernel is None else kernel.data(file)
    assert values is not None  # the plan has only ops with a kernel in the file
    known = WEIGHT_OPS[op.name]
    axes = tuple(a for a in range(values.ndim) if not known.int8_per_filter or a != known.filters)
    return np.atleast_1d(np.abs(values).max(axes)) / 127
