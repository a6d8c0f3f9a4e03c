"""Devices to measure on: adb, ssh, this machine. `open_board` turns what --device names into one.

A link (adb.py, ssh.py, local.py) runs a shell script and sends a file; everything else is the same for all (device.py).
What a device says is parsed by pure functions (linux.py, android.py, raspberry.py, probe.py).
"""

import re

from android_bench.devices.adb import Adb
from android_bench.devices.device import Board
from android_bench.devices.link import Link
from android_bench.devices.local import Local
from android_bench.devices.ssh import Ssh
from larqnets.errors import LarqnetsError, printable
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
        return Local()
    raise LarqnetsError(f"There is no device '{printable(spec)}'. Use {FORMS}.")


def _is_address(text: str) -> bool:
    """Return whether adb and ssh take a text for nothing else: no option, and nothing that a shell reads in a ProxyCommand."""
    return not (text.startswith("-") or "@-" in text or _NOT_IN_ADDRESSES.search(text)) and text.isprintable()


def open_board(spec: str, reporter: Reporter = SILENT) -> Board:
    """Return the device that --device names, connected; raises LarqnetsError."""
    board = Board(link_to(spec), reporter)
    board.open()
    return board
