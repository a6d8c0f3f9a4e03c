"""`make bench-stems`: what first convolutions of stride 2 and 4 execute on ARM64 under qemu, as they are trained and rewritten.

Rows of {kernel, stride, channels, filters, padded, numbers, as_trained, rewritten}, the last two CPU -> instructions of one
inference in steady state on one thread, and never a latency. `deploy.export.stem_table` decides by them.
"""

from pathlib import Path
from typing import Any

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import count
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter

FORMS = ("as_trained", "rewritten")


def count_stems(folder: Path, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Count the models of `folder`/stems.json on every CPU; `reporter` is told each file's name."""
    try:
        index = read_json(folder / "stems.json")
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{folder} holds no stems to count. Run `make bench-stems`.") from error
    rows = []
    for row in index:
        counted = dict(row)
        for form in FORMS:
            reporter.stage(f"counting {row[form]}")
            counted[form] = {cpu: count(folder / row[form], cpu, per_op=False).instructions for cpu in CPUS}
        rows.append(counted)
    return {"format_version": 1, "command": "make bench-stems", "rows": rows}
