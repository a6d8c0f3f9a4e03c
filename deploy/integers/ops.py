"""What TensorFlow Lite's int8 ops without weights ask of the scales around them; those with weights stand in `weight_ops`."""

from dataclasses import dataclass
from typing import Literal

from larqnets.tflite.model import Model, Operator
from larqnets.tflite.weight_ops import WEIGHT_OPS, stored_kernel


@dataclass(frozen=True)
class IntegerOp:
    """An op in int8.

    `scales`: "same" where the integers of inputs and output are to stand for the same values, "own" where each tensor has a
    scale of its own, else the (scale, zero point) that the output must have. `data`: which inputs are int8, None for all.
    """

    version: int  # of the op from which on it takes int8
    scales: Literal["same", "own"] | tuple[float, int] = "own"
    data: tuple[int, ...] | None = (0,)


_UNIT = (1 / 256, -128)  # 0 to 1
INTEGER_OPS = {
    "ADD": IntegerOp(2, data=None),
    "MUL": IntegerOp(2, data=None),
    "MEAN": IntegerOp(2),
    "RELU": IntegerOp(2),
    "RELU6": IntegerOp(2),
    "LEAKY_RELU": IntegerOp(2),
    "HARD_SWISH": IntegerOp(1),
    "LOGISTIC": IntegerOp(2, _UNIT),
    "SOFTMAX": IntegerOp(2, _UNIT),
    "TANH": IntegerOp(2, (1 / 128, 0)),
    "MAX_POOL_2D": IntegerOp(2, "same"),
    "AVERAGE_POOL_2D": IntegerOp(2, "same"),
    "CONCATENATION": IntegerOp(2, "same", None),
    "RESIZE_BILINEAR": IntegerOp(2, "same"),
    "RESIZE_NEAREST_NEIGHBOR": IntegerOp(2, "same"),
    "SPACE_TO_DEPTH": IntegerOp(2, "same"),
    "DEPTH_TO_SPACE": IntegerOp(2, "same"),
    "PAD": IntegerOp(2, "same"),
    "RESHAPE": IntegerOp(1, "same"),
    "TRANSPOSE": IntegerOp(2, "same"),
}
# Those that hand values on, which a network in `mixed` has in int8 where its neighbours are: behind, and before int8 ops.
BEHIND = ("MAX_POOL_2D", "RESHAPE", "PAD")
BEFORE = ("SPACE_TO_DEPTH", "RESHAPE", "PAD")


def data_inputs(op: Operator) -> tuple[int, ...]:
    """Return the positions of the inputs that are int8 where the op is: of one with weights that of its activation."""
    if op.name in WEIGHT_OPS:
        return (WEIGHT_OPS[op.name].activation,)
    data = INTEGER_OPS[op.name].data
    return tuple(range(len(op.inputs))) if data is None else data


def version_of(op: Operator) -> int:
    """Return the lowest version of an op that takes int8."""
    if op.name in WEIGHT_OPS:
        version = WEIGHT_OPS[op.name].int8_version
        assert version is not None  # such an op is never planned
        return version
    return INTEGER_OPS[op.name].version


def why_not(file: Model, op: Operator) -> str | None:
    """Return why an op of floats cannot be one of integers, None where it can."""
    if op.name == "PRELU":
        return "in int8 it takes 84 instructions a value, in float 0.6"
    if op.name in WEIGHT_OPS:
        if WEIGHT_OPS[op.name].int8_version is None or stored_kernel(file, op) is None:
            return "there is no int8 op for it that is right on ARM64"
        return None
    return None if op.name in INTEGER_OPS else "there is no rule for it in int8"
