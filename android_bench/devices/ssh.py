"""Boards through the system's OpenSSH client: keys, config file, agent and jump hosts of the user just work.

It never asks for anything (BatchMode), so it cannot hang on a password. One connection is kept open for all commands.
"""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from shlex import quote

from android_bench.devices.link import (
    OUTPUT_LIMIT,
    SHELL_PATIENCE_S,
    Bundle,
    Client,
    DeviceLostError,
    Output,
    framed,
    last_line,
    refused,
    send_patience_s,
    unframed,
)
from android_bench.record import Kind
from larqnets import processes
from larqnets.environment import DEVICE_FOLDER
from larqnets.errors import LarqnetsError, excerpt

_CONNECT_S = 10
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(_CONNECT_S),
    "ServerAliveInterval": "5",  # a connection that is gone is noticed after 15 s
    "ServerAliveCountMax": "3",
    "ControlPersist": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
}
_CONNECTION_FAILED = 255
_SAID_LIMIT = 64 * 2**10  # bytes of what ssh says while it connects


class Ssh:
    """One board. `address`: user@host, a host of the user's ssh config, or either with :port."""

    kind: Kind = "ssh"
    bundle: Bundle = "arm64"
    launcher: tuple[str, ...] = ()
    emulator: str | None = None

    def __init__(self, address: str) -> None:
        self.address = address
        self.name = f"ssh:{address}"
        self.folder = DEVICE_FOLDER.read() or ".cache"  # scripts start in the home folder
        host, _, port = address.partition(":")
        self._port = port if port.isdecimal() else ""
        self._host = host if self._port else address
        self._client = Client()
        self._master: subprocess.Popen[bytes] | None = None
        self._open = contextlib.ExitStack()
        self._sockets: Path | None = None

    def open(self) -> None:
        """Connect; raises LarqnetsError with what to do when the board cannot be reached or asks for a password."""
        self._end()
        # a socket's path is limited to about 100 bytes, which a folder in TMPDIR can exceed
        parent = "/tmp" if Path("/tmp").is_dir() else None
        self._sockets = self._open.enter_context(processes.temporary_folder(parent))
        command = self._ssh("-M", "-N", self._host)
        with self._said.open("wb") as said:
            self._master = processes.start(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        deadline = time.monotonic() + 3 * _CONNECT_S
        while not self._socket.exists():
            if self._master.poll() is not None:
                raise self._failure()
            if time.monotonic() > deadline or self._said.stat().st_size > _SAID_LIMIT:  # a banner without an end
                self._end()
                raise LarqnetsError(f"{self.name} does not answer. Check with: ssh {self._by_hand()}")
            time.sleep(0.02)

    def shell(self, script: str, timeout_s: float = SHELL_PATIENCE_S, limit: int = OUTPUT_LIMIT) -> Output:
        """See Link."""
        done = self._run("sh", framed(script).encode(), timeout_s, limit)
        output = unframed(done.stdout)
        if output is None:
            raise self._lost(last_line(done.stderr, done.stdout))
        return output

    def send(self, content: bytes, path: str) -> None:
        """See Link."""
        done = self._run(f"cat > {quote(path)}", content, send_patience_s(len(content)))
        if done.returncode == _CONNECTION_FAILED:
            raise self._lost(last_line(done.stderr))
        if done.returncode != 0:
            raise refused(self.name, path, last_line(done.stderr).rpartition(": ")[2], len(content))

    def abort(self) -> None:
        """See Link."""
        self._client.abort()

    def resume(self) -> None:
        """See Link."""
        self._client.resume()

    def close(self) -> None:
        """See Link."""
        self._end()

    def _run(
        self, command: str, stdin: bytes, timeout_s: float, limit: int = OUTPUT_LIMIT
    ) -> subprocess.CompletedProcess[bytes]:
        if self._master is None or self._master.poll() is not None:
            raise self._lost("the connection was closed")
        try:
            return self._client.run(
                self._ssh(self._host, command),
                timeout_s,
                stdin=stdin,
                limit=limit,
            )
        except TimeoutError as error:
            raise self._lost(f"no answer within {timeout_s:.0f} s") from error

    @property
    def _said(self) -> Path:
        assert self._sockets is not None
        return self._sockets / "said"

    @property
    def _socket(self) -> Path:
        assert self._sockets is not None
        return self._sockets / "s"

    def _ssh(self, *arguments: str) -> list[str]:
        found = shutil.which("ssh")
        if found is None:
            raise LarqnetsError("ssh is not installed. Debian: apt-get install openssh-client")
        options = [word for key, value in _OPTIONS.items() for word in ("-o", f"{key}={value}")]
        port = ["-p", self._port] if self._port else []
        return [found, *options, *port, "-S", str(self._socket), *arguments]

    def _failure(self) -> LarqnetsError:
        """Return the error for a connection that did not come about."""
        with self._said.open("rb") as file:
            said = file.read(_SAID_LIMIT).decode(errors="backslashreplace")
        self._end()
        return LarqnetsError(explain(said, self.name, self._by_hand()))

    def _by_hand(self) -> str:
        return f"-p {self._port} {self._host}" if self._port else self._host

    def _lost(self, reason: str) -> DeviceLostError:
        return DeviceLostError(
            f"The connection to {self.name} broke ({reason.rstrip('.')}). Check the board and its network."
        )

    def _end(self) -> None:
        if self._master is not None:
            processes.end(self._master, ask=True)
            self._master = None
        self._open.close()
        self._sockets = None


def explain(said: str, name: str, by_hand: str) -> str:
    """Return in one sentence why ssh could not connect and what to do."""
    host = by_hand.rpartition("@")[2].rpartition(" ")[2]
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return (
            f"{name} has another host key than before: another machine answers, or its system was installed anew. If that "
            f"is so, run `ssh-keygen -R {host}` and connect once with `ssh {by_hand}`."
        )
    if "Host key verification failed" in said:
        return f"The host key of {name} is not known yet. Connect once by hand and accept it: ssh {by_hand}"
    if "Permission denied" in said or "Too many authentication failures" in said:
        return f"{name} asks for a password or refuses the key. Give it your key once: ssh-copy-id {by_hand}"
    reasons = [line.strip() for line in said.splitlines() if line.strip()] or ["ssh did not say why"]
    known = ("Could not resolve", "refused", "timed out", "No route", "unreachable", "closed", "reset")
    reason = next((line for line in reversed(reasons) if any(word in line for word in known)), reasons[-1])
    return f"{name} cannot be reached: {excerpt(reason).rstrip('.')}. Check that it is on and in the network: ssh {by_hand}"
