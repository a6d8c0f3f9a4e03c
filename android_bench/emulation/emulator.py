"""ARM64 programs on another machine: qemu's user mode with Debian's ARM64 libraries, and a plugin that counts.

Results are those of a device, executed instructions are exact and repeat, time means nothing. A program marks regions
(native/mark.h), the plugin counts each of them (native/icount.c).
"""

import platform
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from android_bench.runtime.compile import NATIVE, zig
from android_bench.runtime.cross import SYSROOT, cross_libraries_missing
from larqnets import processes
from larqnets.environment import EMULATION_LIMIT
from larqnets.errors import LarqnetsError

I8MM = "i8mm"
CPUS = ("cortex-a72", "cortex-a76", I8MM)  # Raspberry Pi 4 and 5, a current phone
# qemu knows no core of a phone that multiplies int8 matrices (FEAT_I8MM). Its "max" has every instruction that it emulates,
# and stands in; without SME, which those phones have not.
I8MM_STAND_IN = "max,sme=off"
SAMPLE_LIMIT_S = 30.0  # for every sample that an emulated program runs, beside what EMULATION_LIMIT allows it


@dataclass(frozen=True)
class InstructionCounts:
    """Executed instructions of a region; simd and loads_stores by the main encoding groups of A64, disjoint."""

    instructions: int
    simd: int
    loads_stores: int

    def __add__(self, other: "InstructionCounts") -> "InstructionCounts":
        return InstructionCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def described(cpu: str) -> str:
    """Return how the CPU is called where people read what it executes: with what stands in for it."""
    return f"{cpu} (qemu's {I8MM_STAND_IN}, in the place of a current phone)" if cpu == I8MM else cpu


def missing() -> str | None:
    """Return what is missing to run ARM64 programs here and how to get it, None when nothing is."""
    for tool, package in (("qemu-aarch64", "qemu-user"), ("setarch", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} is not installed. Debian: apt-get install {package}."
    return cross_libraries_missing()


def qemu_command(cpu: str = CPUS[0], plugin: str | None = None) -> list[str]:
    """Return what comes before an ARM64 program and its arguments to run it here.

    Addresses are not randomised: with an empty environment and one thread, every count repeats exactly. Raises
    LarqnetsError on ARM64 itself, and when something is missing.
    """
    if platform.machine() == "aarch64":
        raise LarqnetsError("This machine is ARM64 itself and needs no emulator. Leave out --device qemu.")
    if (reason := missing()) is not None:
        raise LarqnetsError(f"Running on ARM64 needs an emulator here: {reason}")
    command = ["setarch", "-R", "qemu-aarch64", "-L", str(SYSROOT), "-cpu", I8MM_STAND_IN if cpu == I8MM else cpu]
    return [*(shutil.which(word) or word for word in command), *(["-plugin", plugin] if plugin else [])]


def build_counter(folder: Path) -> Path:
    """Compile the plugin into `folder` with the C compiler of this machine, or zig."""
    output = folder / "libicount.so"
    compiler = next(([c] for name in ("cc", "gcc", "clang") if (c := shutil.which(name))), None) or [*zig(), "cc"]
    done = processes.run([*compiler, "-O2", "-fPIC", "-shared", "-o", str(output), str(NATIVE / "icount.c")])
    if done.returncode != 0:
        said = done.stderr.decode(errors="backslashreplace")
        raise LarqnetsError(f"Compiling the instruction counter failed: {said.strip()[-2000:]}")
    return output


def read_counts(path: Path) -> dict[int, InstructionCounts]:
    """Return region -> counts of a file that the plugin wrote; region 0 is what lies outside of the marks."""
    lines = [[int(value) for value in line.split()] for line in path.read_text().splitlines()]
    return {region: InstructionCounts(*counts) for region, *counts in lines}


def count_regions(counter: Path, command: Sequence[str], cpu: str = CPUS[0]) -> dict[int, InstructionCounts]:
    """Run an ARM64 program and its arguments; return region -> counts. Raises LarqnetsError when the program fails."""
    with processes.temporary_folder() as folder:
        out = folder / "counts"
        name = Path(command[0]).name
        done = run_emulated([*qemu_command(cpu, f"{counter},out={out}"), *command], name)
        if done.returncode != 0 or not out.is_file():
            said = done.stderr.decode(errors="backslashreplace")
            raise LarqnetsError(f"{name} failed under qemu: {said.strip()[-2000:]}")
        return read_counts(out)


def run_emulated(
    command: Sequence[str], name: str, *, samples: int = 1, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run what `qemu_command` begins to its end, with an empty environment; `name` is what it runs, in messages.

    Raises LarqnetsError when that takes longer than LARQNETS_EMULATION_LIMIT allows, and
    SAMPLE_LIMIT_S for every sample together.
    """
    limit_s = _limit_s()
    try:
        return processes.run(command, timeout_s=limit_s + SAMPLE_LIMIT_S * samples, cwd=folder, env={})
    except TimeoutError as error:
        raise LarqnetsError(
            f"{name} was ended after {limit_s + SAMPLE_LIMIT_S * samples:,.0f} s on the emulated ARM64. Allow it more with "
            f"{EMULATION_LIMIT.name}=SECONDS in the environment, now {limit_s:g}, beside which every sample has "
            f"{SAMPLE_LIMIT_S:g}."
        ) from error


def _limit_s() -> float:
    text = EMULATION_LIMIT.read() or EMULATION_LIMIT.default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX / 2:
        raise LarqnetsError(f"{EMULATION_LIMIT.name} is '{text}'. Set it to a number of seconds above 0, or remove it.")
    return seconds
