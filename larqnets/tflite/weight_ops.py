"""The ops that multiply by weights, and where among their inputs everything stands: said once for all who ask."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from larqnets.tflite.model import Model, Operator, Tensor


@dataclass(frozen=True)
class WeightOp:
    """Positions of activation, kernel and bias among the inputs, the kernel's shape, and its form in int8."""

    activation: int
    kernel: int
    bias: int | None
    rank: int  # of the kernel; 0: any from 2
    filters: int | None  # axis of the kernel with one entry per filter
    int8_version: int | None = (
        None  # of the op whose activations and kernel are int8; None: our engines have none that is right
    )
    int8_per_filter: bool = True  # whether it takes a scale for every filter; LCE's interpreter has no such dense op


WEIGHT_OPS = {
    "CONV_2D": WeightOp(0, 1, 2, 4, 0, 3),
    "DEPTHWISE_CONV_2D": WeightOp(0, 1, 2, 4, 3, 3),
    "TRANSPOSE_CONV": WeightOp(2, 1, 3, 4, 0, 3),
    "CONV_3D": WeightOp(0, 1, 2, 5, 4),
    "CONV_3D_TRANSPOSE": WeightOp(2, 1, 3, 5, 3),
    "FULLY_CONNECTED": WeightOp(0, 1, 2, 2, 0, 4, int8_per_filter=False),
    "BATCH_MATMUL": WeightOp(0, 1, None, 0, None),
    "LceBconv2d": WeightOp(0, 1, 3, 4, 0),
    "LarqnetsConv2dInt8": WeightOp(0, 1, 2, 4, 0),
}


def stored_kernel(model: "Model", op: "Operator") -> "Tensor | None":
    """Return the kernel of an op that multiplies by weights of the file; None for any other op."""
    return _stored(model, op, WEIGHT_OPS[op.name].kernel) if op.name in WEIGHT_OPS else None


def stored_bias(model: "Model", op: "Operator") -> "Tensor | None":
    """Return the bias of an op of WEIGHT_OPS; None where it has none in the file."""
    position = WEIGHT_OPS[op.name].bias
    return None if position is None else _stored(model, op, position)


def _stored(model: "Model", op: "Operator", position: int) -> "Tensor | None":
    if position >= len(op.inputs) or op.inputs[position] < 0:
        return None
    tensor = model.subgraphs[op.subgraph].tensors[op.inputs[position]]
    return tensor if model.buffers[tensor.buffer].size else None
