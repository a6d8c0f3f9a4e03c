"""Processes of a benchmark that take turns, so that whatever else the machine does hits all of them.

The parent makes a `Child` for each side. In the child runs `child(*arguments)` of a module; it tells what it measured with
`tell`, and does one more block of work for every line on its stdin, until that ends.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from larqnets import processes
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, write_atomically


class Child:
    """One side, in a process of its own, for as long as the `with` block runs."""

    def __init__(self, side: str, module: str, arguments: Sequence[str]) -> None:
        self.side = side
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self._process = processes.start(
            [sys.executable, "-c", f"import sys; from {module} import child; child(*sys.argv[1:])", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
        )
        self._to, self._from = processes.pipes(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        processes.end(self._process)
        self._messages.close()

    def answer(self) -> dict[str, Any]:
        """Wait for what it tells next. Raises LarqnetsError, with its messages on stderr, when it ended instead."""
        line = self._from.readline()
        if not line:
            self._messages.seek(0)
            sys.stderr.write(self._messages.read())
            raise LarqnetsError(f"The benchmark's process for {self.side} ended early. Its own message stands above.")
        return json.loads(line)

    def turn(self) -> dict[str, Any]:
        """Let it do one block of work, and return what it tells about it."""
        self._to.write("go\n")
        self._to.flush()
        return self.answer()

    def close(self) -> None:
        """There are no more turns."""
        self._to.close()


def tell(**values: Any) -> None:
    """In a child: one answer."""
    print(json.dumps(values), flush=True)


def peak_bytes() -> int:
    """In a child: the most memory that it ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def write_results(out: Path, document: dict[str, Any]) -> None:
    """Write what a benchmark measured, in a folder that need not exist yet. Raises LarqnetsError when it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    write_atomically(out, json.dumps(document, indent=2) + "\n")
