"""Child processes and temporary folders that do not outlive this process, however it ends.

Every child is the leader of a session of its own: Ctrl-C and a closed terminal reach larqnets alone, which ends its children
with all that they started. When larqnets is killed and cannot, `larqnets.watchdog` does. It is started with the first child
or folder, and knows of each of them a moment after it has begun.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, AnyStr

from larqnets import watchdog

_END_S = 5.0  # how long a child that was asked to end may take


class _Watchdog:
    """The pipe to the watchdog of this process; none where there are no process groups."""

    def __init__(self) -> None:
        self._pipe: IO[bytes] | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start it, if it does not run yet: it is there before what it watches."""
        with self._lock:
            if self._pipe is None and os.name == "posix":
                started = subprocess.Popen(
                    [sys.executable, "-I", "-S", watchdog.__file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                    bufsize=0,
                )
                started.returncode = 0  # it ends after this process, which has nothing to wait for
                self._pipe = started.stdin

    def tell(self, kind: str, what: int | str) -> None:
        """Tell it one thing."""
        with self._lock, contextlib.suppress(BrokenPipeError):  # somebody killed it
            if self._pipe is not None:
                self._pipe.write(json.dumps([kind, what]).encode() + b"\n")

    def forget(self) -> None:
        """In a fork: the watchdog is the other process's."""
        self._lock = threading.Lock()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


_watchdog = _Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchdog.forget)


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """Start a program as subprocess.Popen does, in a session of its own. `end` it in every case."""
    _watchdog.begin()
    process = subprocess.Popen(command, start_new_session=True, **options)
    _watchdog.tell("child", process.pid)
    return process


def pipes(process: subprocess.Popen[AnyStr]) -> tuple[IO[AnyStr], IO[AnyStr]]:
    """Return standard input and output of a program that was started with pipes for both."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a program and what it started, from whatever thread; nothing when it has ended."""
    if process.poll() is None:
        _signal(process, "SIGKILL")


def end(process: subprocess.Popen[Any], *, ask: bool = False) -> None:
    """End a program that `start` started, with what it started, and wait for it; `ask` lets them clear up before."""
    try:
        if ask and process.poll() is None:
            _signal(process, "SIGTERM")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            _signal(process, "SIGKILL")  # what it started may take longer than itself
    finally:
        kill(process)
        process.wait()
        _watchdog.tell("done", process.pid)


def _signal(process: subprocess.Popen[Any], name: str) -> None:
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its output. Raises TimeoutError when it takes longer, OSError when there is none."""
    process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env)
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        finally:
            end(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextlib.contextmanager
def temporary_folder(parent: str | None = None) -> Iterator[Path]:
    """Yield a new folder, in the system's place for such, that is gone after the block."""
    _watchdog.begin()
    with tempfile.TemporaryDirectory(prefix="larqnets-", dir=parent) as name:
        path = os.path.abspath(name)  # noqa: PTH100 - the watchdog stands elsewhere
        _watchdog.tell("folder", path)
        try:
            yield Path(name)
        finally:
            _watchdog.tell("done", path)
