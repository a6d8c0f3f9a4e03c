"""The runner's per-op times joined with the file: which op, which layer, binary or real or glue, and what is left over.

XNNPACK names its own kernels and not the ops that they came from. It runs them in the order of the file, so its kernels
with multiply-accumulates are the ops with multiply-accumulates one by one; in between, one kernel for every op is one by
one again, and otherwise a kernel stands for all the ops there. Where the counts differ, it stands for the whole part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.emulation.qemu import GROUPS, steps
from android_bench.record import Group, OpTime, Profile
from android_bench.runtime.runner import Step
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.model import Model
from larqnets.tflite.weight_ops import WEIGHT_OPS

GROUP_NAMES: tuple[Group, ...] = ("binary", "real", "glue")
_MAC_KERNELS = ("Convolution", "Deconvolution", "Fully Connected", "Batch Matrix Multiply")


@dataclass(frozen=True)
class Share:
    """Ops in relation to the unprofiled median latency."""

    ms: float
    share: float


@dataclass(frozen=True)
class Breakdown:
    """Where the time goes. Shares are of the unprofiled median; the residual may be negative: profiling costs time too."""

    ops: tuple[tuple[OpTime, Share], ...]  # the slowest first
    groups: dict[Group, Share]
    residual: Share  # the median less the sum of all ops


def layers_of(source: Path | bytes) -> dict[int, str]:
    """Return op number -> layer of a .tflite file, without the ops whose layer nobody knows."""
    return {op.index: op.layer for op in inspect_model(source).ops if op.layer}


def merge(events: Sequence[Step], model: Model, layers: Mapping[int, str], runs: int) -> Profile:
    """Return the runner's `profile` in terms of the file's ops."""
    operators = model.subgraphs[0].operators
    times = []
    for kernels, part, own in steps(model, events):
        of_kernels = align([kernel.name for kernel in kernels], [(op, operators[op].name) for op in part])
        for kernel, ops in zip(kernels, of_kernels, strict=True):
            times.append(OpTime(kernel.name, tuple(ops), _layers(ops, layers), "real", _ms(kernel), None))
        if own is not None:
            op, name = own.op, operators[own.op].name
            times.append(OpTime(name, (op,), _layers([op], layers), GROUPS.get(name, "real"), _ms(own), own.way))
    return Profile(runs, tuple(times))


def _ms(step: Step) -> float:
    return (step.mean_ns or 0) / 1e6


def _layers(ops: Sequence[int], layers: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layers[op] for op in ops if op in layers))


def align(kernels: Sequence[str], part: Sequence[tuple[int, str]]) -> list[list[int]]:
    """Return for every kernel of one part of XNNPACK the numbers of the ops, given as (number, name), that it stands for."""
    of_kernels = _between([name.startswith(_MAC_KERNELS) for name in kernels])
    of_ops = _between([name in WEIGHT_OPS for _, name in part])
    if len(of_kernels) != len(of_ops):
        return [[op for op, _ in part] for _ in kernels]
    result: list[list[int]] = [[] for _ in kernels]
    for group, ops in zip(of_kernels, of_ops, strict=True):
        for place, kernel in enumerate(group):
            result[kernel] = [part[i][0] for i in (ops[place : place + 1] if len(group) == len(ops) else ops)]
    return result


def _between(anchors: Sequence[bool]) -> list[list[int]]:
    """Split 0 .. n - 1 at the anchors: what lies before one, the anchor alone, what lies behind it, and so on."""
    pieces: list[list[int]] = [[]]
    for i, anchor in enumerate(anchors):
        if anchor:
            pieces += [[i], []]
        else:
            pieces[-1].append(i)
    return pieces


def breakdown(profile: Profile, median_ms: float) -> Breakdown:
    """Return the ops, the slowest first, and the groups, as shares of the median latency of runs without a profiler."""

    def share(ms: float) -> Share:
        return Share(ms, ms / median_ms)

    groups: dict[Group, Share] = {
        group: share(sum(op.mean_ms for op in profile.ops if op.group == group)) for group in GROUP_NAMES
    }
    ops = sorted(profile.ops, key=lambda op: -op.mean_ms)
    return Breakdown(
        tuple((op, share(op.mean_ms)) for op in ops), groups, share(median_ms - sum(op.mean_ms for op in profile.ops))
    )
