"""`make bench-groupnet`: what K branches cost behind the stem, in instructions that ARM64 executes under qemu.

Rows of {k, fused, cpu, binary, float, glue, total}: one inference in steady state on one thread, and never a latency.

    binary    LceBconv2d: the convolutions with their ReLU and BatchNorm
    float     the head: pooling and classifier
    glue      all the rest: LceQuantize, sums, gates, slices, copies, and what TFLite itself does between the ops

The stem's convolution is left out. XNNPACK runs the last sums and the head in one step, which cannot be told apart; what
the head executes is counted in a file that holds nothing else. `fused` is false: the graphs hold LCE's ops alone.
"""

from pathlib import Path
from typing import Any

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import OpCount, count
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter

_STEM = "CONV_2D"
_HEAD = "MEAN + FULLY_CONNECTED"


def count_groupnets(folder: Path, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Count the models of `folder`/groupnets.json on every CPU; `reporter` is told each file's name."""
    try:
        index = read_json(folder / "groupnets.json")
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{folder} holds no Group-Nets to count. Run `make bench-groupnet`.") from error
    rows = []
    for cpu in CPUS:
        (head,) = (op for op in count(folder / index["head"], cpu).ops if op.name == _HEAD)
        for k, file in index["files"].items():
            reporter.stage(f"counting {file}")
            parts = split(count(folder / file, cpu).ops, head.instructions)
            rows.append({"k": int(k), "fused": False, "cpu": cpu, **parts, "total": sum(parts.values())})
    return {"format_version": 1, "command": "make bench-groupnet", "network": index["network"], "rows": rows}


def split(ops: tuple[OpCount, ...], head: int) -> dict[str, int]:
    """Return the instructions of binary, float and glue behind the stem, of which the head takes `head`.

    Raises LarqnetsError where real-valued work stands somewhere else.
    """
    real = [op for op in ops if "CONV_2D" in op.name or "FULLY_CONNECTED" in op.name]
    if len(real) != 2 or real[0].name != _STEM or not real[1].name.endswith(_HEAD):
        raise LarqnetsError(
            f"Real-valued ops are expected in the stem ({_STEM}) and the head ({_HEAD}) alone, and stand in "
            f"{', '.join(op.name for op in real) or 'no step'}. Count a Group-Net whose convolutions are binary."
        )
    binary = sum(op.instructions for op in ops if op.group == "binary")
    behind = sum(op.instructions for op in ops) - real[0].instructions
    return {"binary": binary, "float": head, "glue": behind - binary - head}
