"""How a device is reached: a shell there, a way to send a file, and what is common to adb, ssh and this machine.

A script's output is framed by marks, so that a connection that broke is told from a command that failed, whatever the
client's exit code says, and what a login shell prints before is left out.
"""

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal, Protocol

from android_bench.clock import StoppedError
from android_bench.record import Kind
from larqnets import processes
from larqnets.errors import LarqnetsError, excerpt, printable

Bundle = Literal["arm64", "android"]
_BEGIN, _END = "@@begin", "@@end"
OUTPUT_LIMIT = 16 * 2**20  # bytes that a device may send where nothing else is said
_LOOK_S = 0.05  # how often what arrives is measured
SHELL_PATIENCE_S = 60.0  # for scripts that only look around
_SEND_BYTES_PER_S = 100_000  # slower than this no connection is waited for


class DeviceLostError(LarqnetsError):
    """The connection to a device broke; it may come back."""


@dataclass(frozen=True)
class Output:
    """What a script left behind: exit status and standard output."""

    code: int
    text: str


class Link(Protocol):
    """A way to one device."""

    name: str  # as in --device
    kind: Kind
    address: str
    bundle: Bundle  # which build of the runtime it runs
    launcher: tuple[str, ...]  # what comes before the runner
    emulator: str | None  # what translates ARM64 there, None when nothing is known to
    folder: str  # where our cache folder goes

    def open(self) -> None:
        """Find the device; raises LarqnetsError in one sentence when it cannot be used."""
        ...

    def shell(self, script: str, timeout_s: float = SHELL_PATIENCE_S, limit: int = OUTPUT_LIMIT) -> Output:
        """Run a script of POSIX sh; raises DeviceLostError when the connection breaks, LarqnetsError for over `limit` bytes."""
        ...

    def send(self, content: bytes, path: str) -> None:
        """Write a file; raises LarqnetsError when the device refuses it, DeviceLostError when the connection breaks."""
        ...

    def abort(self) -> None:
        """End what is running, from another thread, and refuse everything until `resume`."""
        ...

    def resume(self) -> None:
        """Take commands again."""
        ...

    def close(self) -> None:
        """Leave nothing open here."""
        ...


class Client:
    """Runs client programs, one at a time, each in a session of its own: Ctrl-C reaches larqnets alone, which ends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        timeout_s: float,
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        limit: int = OUTPUT_LIMIT,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end.

        Raises TimeoutError when it takes too long, LarqnetsError as soon as it has printed more than `limit` bytes, and
        StoppedError after `abort`.
        """
        # Files, not pipes: ssh's master holds them too and would keep a pipe open when its client was ended.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            with self._lock:
                if self._stopped:
                    raise StoppedError
                self._process = process = processes.start(command, stdin=given, stdout=out, stderr=err, env=environment)
            try:
                _wait(process, timeout_s, (out, err), limit)
            finally:
                processes.end(process)
            if self._stopped:
                raise StoppedError
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())

    def abort(self) -> None:
        """End the running program and refuse others."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                processes.kill(self._process)

    def resume(self) -> None:
        """Take commands again."""
        self._stopped = False


def _wait(process: subprocess.Popen[bytes], timeout_s: float, outputs: Sequence[IO[bytes]], limit: int) -> None:
    """Wait for the end of a process; raises TimeoutError, and LarqnetsError when a file that it writes grows too large."""
    deadline = time.monotonic() + timeout_s
    running = True
    while running:
        try:
            process.wait(max(0.0, min(_LOOK_S, deadline - time.monotonic())))
            running = False
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= deadline:
                raise TimeoutError from error
        if any(os.fstat(file.fileno()).st_size > limit for file in outputs):
            raise LarqnetsError(
                f"The device sends more than {limit / 2**20:,.0f} MiB where a report is due. Look what its login shell and "
                "its programs print, or measure another device."
            )


def framed(script: str) -> str:
    """Return the script with marks around its output."""
    return f'echo "{_BEGIN}"\n(\n{script}\n)\necho "{_END} $?"\n'


def unframed(out: bytes) -> Output | None:
    """Return the output between the marks, None when it does not end as it should."""
    text = printable(out.decode(errors="backslashreplace").replace("\r\n", "\n"), keep="\n\t")
    found = re.search(rf"^{_BEGIN}\n(.*)^{_END} (\d+)\s*\Z", text, re.DOTALL | re.MULTILINE)
    return Output(int(found[2]), found[1]) if found else None


def send_patience_s(size: int) -> float:
    """Return how long a file of `size` bytes may take."""
    return 30 + size / _SEND_BYTES_PER_S


def last_line(*texts: bytes) -> str:
    """Return an excerpt of the last line that says something, of the first text that does.

    A line that speaks of an error goes before.
    """
    for text in texts:
        lines = [line.strip() for line in text.decode(errors="backslashreplace").splitlines() if line.strip()]
        if lines:
            return excerpt(next((line for line in reversed(lines) if "error" in line), lines[-1]))
    return "it did not say why"


def refused(name: str, path: str, reason: str, size: int) -> LarqnetsError:
    """Return the error for a file that a device could not write."""
    if "No space left" in reason:
        remedy = f"Free {size / 2**20:.0f} MiB there, or remove our files of other runtimes: larqnets devices --clean"
        return LarqnetsError(f"There is no space left on {name}. {remedy}.")
    return LarqnetsError(
        f"{name} cannot write {path}: {reason}. Make its folder writable, or name another one in LARQNETS_DEVICE_FOLDER."
    )
