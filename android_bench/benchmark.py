"""`larqnets benchmark`: what a model costs. So far on an emulated ARM64, where cost means executed instructions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from android_bench.emulator import CPUS
from android_bench.qemu import count
from larqnets.errors import LarqnetsError

MEANING = "functional and instruction counts only, no latency"
GROUPS = ("binary", "real", "glue")


def benchmark_files(files: Sequence[Path], device: str, cpu: str = CPUS[0]) -> dict[str, Any]:
    """Count the instructions of one inference of every file, in total and per group and op.

    Returns device, cpu, meaning and per file `instructions`, `groups` (binary: 1-bit convolutions; real: all other
    layers, float or int8; glue: packing and the interpreter) and `ops`. Raises LarqnetsError.
    """
    if device != "qemu":
        raise LarqnetsError(f"The device '{device}' is not there yet. Use --device qemu, which counts instructions.")
    if cpu not in CPUS:
        raise LarqnetsError(f"There is no CPU '{cpu}'. Use one of: {', '.join(CPUS)}.")
    models = []
    for file in files:
        counted = count(file, cpu)
        models.append(
            {"model": str(file), "groups": {group: counted.of(group) for group in GROUPS}, **counted.to_json()}
        )
    return {"device": device, "cpu": cpu, "meaning": MEANING, "models": models}
