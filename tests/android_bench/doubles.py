"""Doubles of devices as fixtures, which a conftest.py imports: phones behind the real adb, a board behind a real sshd.

What is missing is a skip with its reason.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Generator

import pytest
import sshd
from adbd import Adbd
from guest import Guest
from sshd import Sshd


@pytest.fixture(scope="session")
def adb(tmp_path_factory) -> Generator[Callable, None, None]:
    """The real adb client with a server of its own: its port, and a home without the user's keys."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed. Debian: apt-get install adb.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = {"HOME": str(tmp_path_factory.mktemp("adb home"))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.delenv("ANDROID_SERIAL", raising=False)

        def call(*arguments: str) -> str:
            done = subprocess.run(
                ["adb", *arguments], capture_output=True, text=True, timeout=60, env=os.environ | home
            )
            return done.stdout + done.stderr

        call("start-server")
        yield call
        call("kill-server")


@pytest.fixture
def plugged(adb, tmp_path) -> Generator[Callable[[], Adbd], None, None]:
    """Make phones that adb sees, each with a system of its own; they are gone after the test."""
    phones: list[Adbd] = []

    def plug() -> Adbd:
        phone = Adbd(Guest.make(tmp_path / f"phone {len(phones)}".replace(" ", "-"), android=True))
        phones.append(phone)
        adb("connect", phone.serial)
        return phone

    yield plug
    for phone in phones:
        adb("disconnect", phone.serial)
        phone.unplug()


@pytest.fixture
def phone(plugged) -> Adbd:
    """One phone."""
    return plugged()


@pytest.fixture
def pi(tmp_path, monkeypatch) -> Generator[Sshd, None, None]:
    """A board that the system's ssh client knows as `pi`, and as `far` behind itself."""
    if (reason := sshd.missing()) is not None:
        pytest.skip(reason)
    board = Sshd(Guest.make(tmp_path / "pi", android=False), tmp_path / "sshd")
    monkeypatch.setenv("PATH", f"{board.bin}{os.pathsep}{os.environ['PATH']}")
    yield board
    board.stop()
