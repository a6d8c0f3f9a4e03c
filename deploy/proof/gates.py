"""The gates of squeeze-and-excite and its kind: factors (N, 1, 1, C) of a map, made of the means of whole maps.

Far from real inputs such a gate is a switch: it is made of values in the thousands, and a rounding among them turns 0 into 1.
Everything behind it is another then, in a right file as well. So the trained network is given the file's gates, as it is
given the file's signs, and those that it would have had itself are held against them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deploy.export.gates import is_gated
from larqnets.tflite.model import Model

_FOUND = 0.01  # of a gate on real samples, by which a tensor of the file may differ and still be that gate
_AS_NEAR = 1e-5  # of it, by which one of two gates may be nearer though neither is meant


@dataclass(frozen=True)
class GateProof:
    """Part (a) for one product of a map and a gate: the gate's factors, file against Keras."""

    layer: str
    factors: int  # compared
    near: int  # differ by more than EPS, but not by more than rounding may change: see `deploy.proof.nudges`
    wrong: int  # differ by more: a failure
    worst: float  # largest difference beyond rounding, relative to the largest factor of the sample; 0 if none


class Gate(NamedTuple):
    """What Keras made of a gate (N, 1, 1, C), and what the file made of it."""

    mine: np.ndarray
    theirs: np.ndarray


def products_of(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """Return the layers that multiply a map by a gate."""
    return [layer for layer in model.layers if is_gated(layer)]


def gates_in_file(file: Model) -> list[int]:
    """Return the tensors (N, 1, 1, C) that are computed and are a factor of something."""
    graph = file.subgraphs[0]
    factors = {tensor for op in graph.operators if op.name == "MUL" for tensor in op.inputs}
    return [t for op in graph.operators for t in op.outputs if t in factors and _is_gate(graph.tensors[t].shape)]


def _is_gate(shape: Sequence[int]) -> bool:
    return len(shape) == 4 and tuple(shape[1:3]) == (1, 1)


def nearest_gate(
    mine: np.ndarray, gates: Sequence[np.ndarray], num_real: int, taken: Collection[int] = ()
) -> int | None:
    """Return which of the file's gates a gate of the network is, by the real samples; None where none is.

    Of several that are as near, as where units are dead and a gate never moves, it is the first that is not `taken`: file and
    network have them in one order.
    """
    largest = np.abs(mine[:num_real]).max(initial=0)
    apart = {
        which: np.abs(gate[:num_real] - mine[:num_real]).max(initial=0)
        for which, gate in enumerate(gates)
        if gate.shape == mine.shape
    }
    nearest = min(apart.values(), default=np.inf)
    if not nearest <= _FOUND * largest:
        return None
    as_near = [which for which, by in apart.items() if by <= nearest + _AS_NEAR * largest]
    return min(as_near, key=lambda which: (which in taken, which))


def compare_gates(
    seen: Mapping[str, Gate], nudged: Mapping[str, Gate], eps: float, slack_times: float
) -> list[GateProof]:
    """Judge the gates of all products, each (N, 1, 1, C); `nudged` are those of nudged inputs and means.

    A difference is relative to the largest factor of gate and sample, less `slack_times` what the nudge moves any factor of
    any gate in this sample by: a factor at the end of its range does not move, and the others tell how far it could.
    """
    moves = [
        np.abs(gate.mine - seen[name].mine).max(axis=(1, 2, 3), keepdims=True)
        for name, gate in nudged.items()
        if name in seen
    ]
    slack = slack_times * np.max(moves, axis=0) if moves else 0.0
    return [GateProof(name, *_judged(gate, slack, eps)) for name, gate in seen.items()]


def _judged(gate: Gate, slack: np.ndarray | float, eps: float) -> tuple[int, int, int, float]:
    largest = np.abs(gate.mine).max(axis=-1, keepdims=True) + np.finfo(np.float32).tiny
    difference = np.abs(gate.mine - gate.theirs)
    beyond = np.maximum(difference - slack, 0) / largest
    wrong = int(np.sum(~(beyond <= eps)))
    return difference.size, int(np.sum(difference > eps * largest)) - wrong, wrong, float(beyond.max(initial=0))
