"""Compile the native sources: for this machine with g++ or zig, for ARM64 Linux with zig (PyPI package `ziglang`)."""

import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from larqnets import processes
from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line
from larqnets.files import building_folder

NATIVE = Path(__file__).parents[1] / "native"
KERNELS = tuple(
    NATIVE / f"{name}.cc"
    for name in (
        *("bconv", "bconv_neon", "bconv_plan", "bconv_portable"),
        *("class_neon", "class_plan", "class_portable"),
        *("sorted_neon", "sorted_plan", "sorted_portable"),
        *("conv8", "conv8_neon", "conv8_plan", "conv8_portable"),
        *("pool", "quantize", "reference"),
    )
)
LIBRARY_SOURCES = (*KERNELS, *(NATIVE / f"{name}.cc" for name in ("larq_ops", "node", "tflite", "xnnpack")))
# The library for Android apps, which finds TensorFlow Lite at run time, and what Java calls.
APP_SOURCES = (
    *LIBRARY_SOURCES,
    *(NATIVE / f"{name}.cc" for name in ("jni", "threads", "tflite_dynamic", "tflite_library")),
)
RUNNER_SOURCES = tuple(
    NATIVE / f"{name}.cc" for name in ("conditions", "json", "npy", "runner", "runner_files", "runner_options")
)
ARCHITECTURES = {
    # Every x86-64 since 2009 has popcnt; without the flag the compiler calls a table lookup.
    "x86_64": ("-mpopcnt",),
    # Raspberry Pi OS bullseye has glibc 2.31. Plain ARMv8.0: one binary for all cores.
    "aarch64": ("-target", "aarch64-linux-gnu.2.28"),
}
# Multiply and add round separately, as in LCE's kernels; both compilers would fuse them for ARM64.
FLAGS = ("-O2", "-ffp-contract=off", "-std=c++17", "-Wall", "-Wextra", "-Werror")


def zig() -> list[str]:
    """Return the command that starts zig; LarqnetsError when there is none."""
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang"]
    program = shutil.which("zig")
    if program is None:
        raise LarqnetsError(f"Compiling for ARM64 needs zig. Install it with: {pip_line('runtime')}.")
    return [program]


def compiler(target: str) -> list[str]:
    """Return the C++ compiler and its flags for "x86_64" or "aarch64"; LarqnetsError when there is none."""
    if target == "x86_64" and (program := shutil.which("g++")) is not None:
        return [program, *ARCHITECTURES[target], *FLAGS]
    return [*zig(), "c++", *ARCHITECTURES[target], *FLAGS]


def zig_version() -> str:
    """Return the version of zig; LarqnetsError when there is none."""
    return processes.run([*zig(), "version"]).stdout.decode().strip()


def compile_native(
    sources: Sequence[Path], output: Path, target: str, *, shared: bool = False, extra: Sequence[str] = ()
) -> None:
    """Compile and link C++ `sources` into a program or shared library; `extra` flags come last.

    The file is written beside and renamed. Raises LarqnetsError with the compiler's own words when it fails.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with building_folder(output.parent) as folder:
        beside = folder / output.name
        command = [*compiler(target), f"-I{NATIVE}", *(["-shared", "-fPIC", "-fvisibility=hidden"] if shared else [])]
        command += [*map(str, sources), "-o", str(beside), *extra]
        run_compiler(command, f"{output.name} for {target}")
        beside.replace(output)


def run_compiler(command: Sequence[str], what: str, env: Mapping[str, str] | None = None) -> None:
    """Compile `what`; raises LarqnetsError with the compiler's own words when it fails."""
    done = processes.run([*command], env=env)
    if done.returncode != 0:
        said = done.stderr.decode(errors="backslashreplace")
        raise LarqnetsError(f"Compiling {what} failed: {said.strip()[-2000:]}")
