"""Which processes live, from /proc: what a process started, and whether all of that is gone."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def _status(pid: int) -> list[str] | None:
    """Return the fields behind the name in /proc/PID/stat (state, parent, ...), None for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def descendants(pid: int) -> dict[int, str]:
    """Return pid -> command line of everything below a process."""
    parents = {int(p.name): s for p in Path("/proc").glob("[0-9]*") if (s := _status(int(p.name))) is not None}
    found, below = {}, {pid}
    while below:
        below = {child for child, status in parents.items() if int(status[1]) in below} - found.keys()
        for child in below:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                found[child] = ""
    return found


def alive(pids: list[int]) -> list[int]:
    """Return those that still run; one that only waits to be looked at by its parent does not."""
    return [pid for pid in pids if (status := _status(pid)) is not None and status[0] not in "ZX"]


def until(condition: Callable[[], object], patience_s: float = 60.0) -> object:
    """Return what the condition returns as soon as that is true; AssertionError when it does not become so."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to be"
        os.sched_yield()
        time.sleep(0.01)
    return value
