"""A `larqnets` for shells whose commands are forked as forked.py does it: what a page of the docs calls by name.

The script sends its arguments, folder, environment and output streams to a socket of the tests, waits, and ends as the
command did.
"""

import json
import os
import socket
import sys
import tempfile
import threading
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Self

from forked import CONTEXT, become

_SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect({path!r})
    socket.send_fds(door, [b"."], [1, 2])
    door.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    door.shutdown(socket.SHUT_WR)
    code = int(door.recv(16) or -signal.SIGKILL)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Door:
    """Writes the script `program` and runs its commands while it is open; one that still runs at the end is killed."""

    def __init__(self, program: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="larqnets-door-")  # a socket's path is short
        path = Path(self._folder.name, "door")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._commands: list[Any] = []
        program.write_text(_SCRIPT.format(python=sys.executable, path=str(path)))
        program.chmod(0o755)

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # which ends accept()
        self._socket.close()
        for command in self._commands:
            command.kill()
        self._folder.cleanup()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:  # it was closed
                return
            threading.Thread(target=self._run, args=(caller,), daemon=True).start()

    def _run(self, caller: socket.socket) -> None:
        with caller:
            _, streams, _, _ = socket.recv_fds(caller, 1, 2)
            with caller.makefile("rb") as said:
                given = json.load(said)
            command = CONTEXT.Process(target=_command, args=(*given, *map(_Stream, streams)), daemon=True)
            command.start()
            for stream in streams:
                os.close(stream)  # whoever reads the other end waits for the command alone
            self._commands.append(command)
            command.join()
            caller.sendall(str(command.exitcode).encode())


class _Stream:
    """A file descriptor that goes to another process, where it is a number again."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._descriptor),)


def _received(passed: Any) -> int:
    return passed.detach()


def _command(arguments: list[str], cwd: str, environment: dict[str, str], out: int, err: int) -> None:
    for descriptor, stream in ((1, out), (2, err)):
        os.dup2(stream, descriptor)
        os.close(stream)
    become(arguments, cwd, environment)
