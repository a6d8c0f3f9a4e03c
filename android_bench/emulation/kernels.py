"""`make bench-kernels`, second half: count what the models of larqnets/studies/bench_models.py execute on ARM64 under qemu.

The result is a list of {cpu, shape, kind, macs, instructions}. Everything is of one inference in steady state on one
thread, and never a latency.

kind: `larqnets_bconv`, `larqnets_conv_int8` and `lce_quantize` are the ops alone (macs of lce_quantize: the floats that it packs);
`xnnpack_fp32`, `xnnpack_int8` and `network_*` are whole inferences.
"""

import math
from pathlib import Path
from typing import Any

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import Count, count
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.lce_ops import CONV_INT8
from larqnets.tflite.reading import read_model


def count_models(folder: Path, reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    """Count every model of `folder`/models.json on every CPU; `reporter` is told each file's name."""
    rows = []
    for model in _index(folder):
        reporter.stage(f"counting {model['file']}")
        for cpu in CPUS:
            counted = count(folder / model["file"], cpu, per_op=model["kind"] in ("bconv", "own_int8"))
            for kind, macs, instructions in _parts(model, counted, folder):
                row = {"cpu": cpu, "shape": model["shape"], "kind": kind, "macs": macs, "instructions": instructions}
                rows.append(row)
    return sorted(rows, key=lambda row: CPUS.index(row["cpu"]))


def _index(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_json(folder / "models.json")
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{folder} holds no models to count. Run `make bench-kernels`.") from error


def _parts(model: dict[str, Any], counted: Count, folder: Path) -> list[tuple[str, int, int]]:
    """Return (kind, macs, instructions) for what a model is there to show."""
    if model["kind"] == "own_int8":
        (instructions,) = (op.instructions for op in counted.ops if op.name == CONV_INT8)
        return [("larqnets_conv_int8", model["macs"], instructions)]
    if model["kind"] != "bconv":
        kind = model["kind"] if model["kind"].startswith("network_") else f"xnnpack_{model['kind']}"
        return [(kind, model["macs"], counted.instructions)]
    ops = {op.name: op.instructions for op in counted.ops}
    graph = read_model(folder / model["file"]).subgraphs[0]
    floats = math.prod(graph.tensors[graph.inputs[0]].shape)
    return [("larqnets_bconv", model["macs"], ops["LceBconv2d"]), ("lce_quantize", floats, ops["LceQuantize"])]
