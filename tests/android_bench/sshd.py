"""A board double for ssh: a real sshd on loopback, with keys and files of its own, whose account is a guest (guest.py).

Nothing of the system is changed: configuration, host key and authorised keys lie in a folder, the port is a high one. The
client is the system's, called with a config file of this folder, in which the board is the host `pi`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from guest import Guest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
_CONFIG = """ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication yes
ForceCommand {python} -I -S {program} {root}
"""
_CLIENT = """Host pi
  HostName 127.0.0.1
  Port {port}
Host far
  HostName 127.0.0.1
  Port {port}
  ProxyJump pi
Host *
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


def missing() -> str | None:
    """Return what is missing for it, None when nothing is."""
    if not Path(SSHD).is_file():
        return "sshd is not installed. Debian: apt-get install openssh-server."
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        return "root's sshd needs the folder /run/sshd: mkdir /run/sshd"
    return None


class Sshd:
    """The daemon. `bin` holds the client's wrapper and belongs in front of PATH."""

    def __init__(self, guest: Guest, folder: Path) -> None:
        self.guest, self.folder, self.bin = guest, folder, folder / "bin"
        self.bin.mkdir(parents=True)
        self._process: subprocess.Popen | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.new_key("key")
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        self.new_key("host_key")
        self.trust()
        program = Path(__file__).with_name("guest.py")
        values = {"port": self.port, "folder": folder, "root": guest.root, "python": sys.executable, "program": program}
        (folder / "sshd_config").write_text(_CONFIG.format(**values))
        (folder / "ssh_config").write_text(_CLIENT.format(**values))
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
        (self.bin / "ssh").chmod(0o755)
        self.start()

    @property
    def user(self) -> str:
        """The account: the one that runs the tests."""
        return pwd.getpwuid(os.geteuid()).pw_name

    def new_key(self, name: str) -> None:
        """Make a key pair, in place of one that is there."""
        (self.folder / name).unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def trust(self) -> None:
        """Make the client know the host key."""
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def start(self) -> None:
        """Start the daemon and wait until it takes connections."""
        command = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(1000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text()}")

    def cut(self) -> None:
        """Break the connections that there are, as a network does; what ran for them goes on."""
        for child in self._children():
            os.kill(child, signal.SIGKILL)

    def stop(self) -> None:
        """Break connections and take no others."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # no connection begins between the look and the end
            self.cut()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _children(self) -> list[int]:
        """Return the daemon's processes for connections, which bear its port's session in their name."""
        pid = self._process.pid if self._process is not None else -1
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(status.parent.name))
        return found
