"""The kernels' test program for this machine and for ARM64 under qemu, and doubles of devices.

What is missing is a skip with its reason.
"""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from app_archives import app_library, archive_folder
from doubles import adb, phone, pi, plugged

from android_bench.emulation.emulator import qemu_command
from android_bench.runtime.compile import KERNELS, compile_native
from larqnets.errors import LarqnetsError

__all__ = ["adb", "app_library", "archive_folder", "phone", "pi", "plugged"]  # fixtures

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
