"""`make bench-kernels`, second half: count what the models of larqnets/studies/bench_models.py execute on ARM64 under qemu.

The result is a list of `KernelCount`s. Everything is of one inference in steady state on one thread, and never a latency.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import Count, OpCount, count
from android_bench.runtime.runner import Way
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.lce_ops import CONV_INT8
from larqnets.tflite.reading import read_model

BINARY = ("network_binary", "network_mixed_own_stem")  # kinds of networks with 1-bit convolutions


@dataclass(frozen=True)
class KernelCount:
    """What was counted of a file.

    `kind`: `larqnets_bconv` (the way to count that the plan chooses), `larqnets_bconv_popcount`, `_classes` and `_sorted` (the other
    ways that the shape can have), `larqnets_conv_int8` and `lce_quantize` are the ops alone, with an LceBconv2d's way as `family`;
    `xnnpack_fp32`, `xnnpack_int8` and `network_*` are whole inferences, of binary networks also with `_popcount` at the end: with that
    way alone. Their `load_instructions` are what loading the file executes, `prepared_bytes` what 1-bit convolutions then keep beside
    their filters.
    """

    cpu: str
    shape: str
    kind: str
    macs: int  # of lce_quantize the floats that it packs
    instructions: int
    simd: int
    loads_stores: int
    family: Way | None = None
    load_instructions: int | None = None
    prepared_bytes: int | None = None


def count_models(folder: Path, reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    """Count every model of `folder`/models.json on every CPU; `reporter` is told each file's name."""
    rows = []
    for model in _index(folder):
        reporter.stage(f"counting {model['file']}")
        for cpu in CPUS:
            rows += _rows(model, folder, cpu)
    return [asdict(row) for row in sorted(rows, key=lambda row: CPUS.index(row.cpu))]


def _index(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_json(folder / "models.json")
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{folder} holds no models to count. Run `make bench-kernels`.") from error


def _rows(model: dict[str, Any], folder: Path, cpu: str) -> list[KernelCount]:
    """Return what a model is there to show."""
    file, kind, shape, macs = folder / model["file"], model["kind"], model["shape"], model["macs"]
    if kind == "bconv":
        return _ways(file, shape, macs, cpu)
    if kind == "own_int8":
        (op,) = (op for op in count(file, cpu).ops if op.name == CONV_INT8)
        return [_of_op(op, cpu, shape, "larqnets_conv_int8", macs)]
    if not kind.startswith("network_"):
        return [_whole(count(file, cpu, per_op=False), shape, f"xnnpack_{kind}", macs)]
    found = [_whole(count(file, cpu, per_op=False), shape, kind, macs)]
    if kind in BINARY:
        counted = count(file, cpu, per_op=False, kernels="popcount")
        found.append(_whole(counted, shape, f"{kind}_popcount", macs))
    return found


def _ways(file: Path, shape: str, macs: int, cpu: str) -> list[KernelCount]:
    """Return the rows of a file that is one LceBconv2d behind an LceQuantize: as the plan has it, and in the other ways."""
    chosen = {op.name: op for op in count(file, cpu).ops}
    graph = read_model(file).subgraphs[0]
    floats = math.prod(graph.tensors[graph.inputs[0]].shape)
    bconv = chosen["LceBconv2d"]
    found = [
        _of_op(bconv, cpu, shape, "larqnets_bconv", macs),
        _of_op(chosen["LceQuantize"], cpu, shape, "lce_quantize", floats),
    ]
    for way in get_args(Way):
        if way == bconv.way:
            continue
        (op,) = (op for op in count(file, cpu, kernels=way).ops if op.name == "LceBconv2d")
        if op.way == way:  # else the shape cannot be counted so
            found.append(_of_op(op, cpu, shape, f"larqnets_bconv_{way}", macs))
    return found


def _of_op(op: OpCount, cpu: str, shape: str, kind: str, macs: int) -> KernelCount:
    return KernelCount(cpu, shape, kind, macs, op.instructions, op.simd, op.loads_stores, op.way)


def _whole(counted: Count, shape: str, kind: str, macs: int) -> KernelCount:
    counts = (counted.instructions, counted.simd, counted.loads_stores, None)
    return KernelCount(counted.cpu, shape, kind, macs, *counts, counted.load_instructions, counted.prepared_bytes)
