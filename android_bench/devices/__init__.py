"""Devices to measure on: adb, ssh, this machine, qemu. `open_board` turns what --device names into one.

A link (adb.py, ssh.py, local.py) runs a shell script and sends a file; everything else is the same for all (device.py).
What a device says is parsed by pure functions (linux.py, android.py, raspberry.py, probe.py).
"""

import re
from collections.abc import Sequence

from android_bench.devices.adb import Adb
from android_bench.devices.device import Board
from android_bench.devices.link import Link
from android_bench.devices.local import Local, Qemu
from android_bench.devices.ssh import Ssh
from android_bench.emulation.emulator import CPUS
from larqnets.errors import LarqnetsError, on_arm64_linux, printable
from larqnets.reporter import SILENT, Reporter

_NOT_IN_ADDRESSES = re.compile(r"""[\s'"`$\\;&<>|(){}*?!#]""")
FORMS = "adb, adb:SERIAL, ssh:USER@HOST, local or qemu"


def link_to(spec: str) -> Link:
    """Return the link that --device names: split at the first colon, for a serial may hold some itself."""
    kind, colon, rest = spec.partition(":")
    if kind == "adb" and (rest or not colon) and _is_address(rest):
        return Adb(rest)
    if kind == "ssh" and rest and _is_address(rest):
        return Ssh(rest)
    if spec == "local":
        return Local() if on_arm64_linux() else Qemu()
    if kind == "qemu":
        if colon and rest not in CPUS:
            raise LarqnetsError(f"There is no CPU '{printable(rest)}'. Use one of: {', '.join(CPUS)}.")
        return Qemu(rest or CPUS[0])
    raise LarqnetsError(f"There is no device '{printable(spec)}'. Use {FORMS}.")


def renamed(specs: Sequence[str]) -> str | None:
    """Return the line to be said where --device has an emulator's old word, None where it has not."""
    if "local" in specs and not on_arm64_linux():
        return "local is this machine, which is not ARM64: taken as --device qemu, which emulates one."
    return None


def _is_address(text: str) -> bool:
    """Return whether adb and ssh take a text for nothing else: no option, and nothing that a shell reads in a ProxyCommand."""
    return not (text.startswith("-") or "@-" in text or _NOT_IN_ADDRESSES.search(text)) and text.isprintable()


def open_board(spec: str, reporter: Reporter = SILENT) -> Board:
    """Return the device that --device names, connected; raises LarqnetsError."""
    board = Board(link_to(spec), reporter)
    board.open()
    return board
