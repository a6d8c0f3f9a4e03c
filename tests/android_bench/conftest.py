"""The kernels' test program for this machine and for ARM64 under qemu, and doubles of devices.

What is missing is a skip with its reason.
"""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import sshd
from adbd import Adbd
from guest import Guest
from sshd import Sshd

from android_bench.emulation.emulator import qemu_command
from android_bench.runtime.compile import KERNELS, compile_native
from larqnets.errors import LarqnetsError

SOURCES = [*KERNELS, Path(__file__).with_name("cases.cc")]


def _or_skip(call: Callable, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except LarqnetsError as error:
        if "failed" in str(error):  # a compiler that is there and refuses is no skip
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def host_program(tmp_path_factory) -> list[str]:
    """The program of cases.cc for x86-64, warnings as errors."""
    if platform.machine() != "x86_64":
        pytest.skip("compiles for x86-64")
    program = tmp_path_factory.mktemp("host") / "cases"
    _or_skip(compile_native, SOURCES, program, "x86_64", extra=["-pthread"])
    return [str(program)]


@pytest.fixture(scope="session")
def arm_program(tmp_path_factory) -> list[str]:
    """qemu and the program of cases.cc for ARM64."""
    qemu = _or_skip(qemu_command)
    program = tmp_path_factory.mktemp("arm") / "cases"
    _or_skip(compile_native, SOURCES, program, "aarch64", extra=["-pthread"])
    return [*qemu, str(program)]


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
