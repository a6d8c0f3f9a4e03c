"""The lock of a run: one process trains it, the others are told which."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, lock

PATIENCE_S = 1.0  # `in_use` of another process holds the lock for a moment
_POLL_S = 0.05


class RunLock:
    """The file `.lock` in the folder `run`, which the process that trains holds and writes its number into."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._file = run / ".lock"
        self.mine = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training while the block runs.

        The system releases the lock of a process that ends, however it ends. Raises LarqnetsError when another process
        has it, or the folder cannot be written.
        """
        if fcntl is None:
            yield
            return
        try:
            file = self._file.open("a+b", buffering=0)
        except OSError as error:
            raise cannot_write(self._file, error) from error
        with file:
            deadline = time.monotonic() + PATIENCE_S
            while not lock(file.fileno()):
                if time.monotonic() > deadline:
                    file.seek(0)
                    who = file.read(20).decode("ascii", "replace").strip() or "not known"
                    raise LarqnetsError(
                        f"{self._run} is being trained by another process (PID {who}). Wait for it, or stop it first."
                    )
                time.sleep(_POLL_S)
            with contextlib.suppress(OSError):  # a full disk must not keep anybody from locking
                file.truncate(0)
                file.write(f"{os.getpid()}\n".encode())
            self.mine = True
            try:
                yield
            finally:
                self.mine = False

    def in_use(self) -> bool:
        """Return whether a process holds it now; False where the system has no file locks."""
        if self.mine or fcntl is None:
            return self.mine
        try:
            with self._file.open("rb") as file:
                return not lock(file.fileno(), shared=True)
        except OSError:
            return False
