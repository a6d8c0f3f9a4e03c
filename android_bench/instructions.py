"""Count executed instructions under qemu-aarch64: deterministic, and no latency.

`python -m android_bench.instructions` prints what LceBconv2d and LceQuantize execute per shape, one thread, the second
run, and how four threads share the convolutions. A program marks regions (native/mark.h), a plugin of ours counts them (native/icount.c).
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.compile import KERNELS, NATIVE, compile_native, zig
from larqnets.errors import LarqnetsError

SYSROOT = Path("/usr/aarch64-linux-gnu")  # where Debian's libc6-arm64-cross lies
CPUS = ("cortex-a72", "cortex-a76")  # Raspberry Pi 4 and 5


@dataclass(frozen=True)
class Counts:
    """Executed instructions of a region; simd and loads_stores by the main encoding groups of A64, disjoint."""

    instructions: int
    simd: int
    loads_stores: int


@dataclass(frozen=True)
class Bconv:
    """One LceBconv2d, batch 1, SAME padding."""

    height: int
    width: int
    channels_in: int
    channels_out: int
    filter: int = 3
    stride: int = 1
    pad: str = "one"  # or "zero"
    output: str = "float"  # or "int8", "bits"
    threads: int = 1

    @property
    def macs(self) -> int:
        """Binary products."""
        outputs = -(-self.height // self.stride) * -(-self.width // self.stride) * self.channels_out
        return outputs * self.filter**2 * self.channels_in

    @property
    def argument(self) -> str:
        sizes = (self.height, self.width, self.channels_in, self.channels_out, self.filter, self.stride)
        return f"bconv:{','.join(map(str, sizes))},{self.pad},{self.output},{self.threads}"

    def __str__(self) -> str:
        text = f"{self.filter}x{self.filter} {self.height}x{self.width} {self.channels_in}->{self.channels_out}"
        return f"{text} /{self.stride} {self.pad} {self.output}"


@dataclass(frozen=True)
class Quantize:
    """One LceQuantize of float32 (rows, channels)."""

    rows: int
    channels: int
    threads: int = 1

    @property
    def argument(self) -> str:
        return f"quantize:{self.rows},{self.channels},{self.threads}"

    def __str__(self) -> str:
        return f"quantize {self.rows}x{self.channels}"


_REGIONS = 32  # per op, in count_ops.cc
SQUARES = ((56, 64), (28, 128), (14, 256), (7, 512))  # height = width, channels in = out: the 3x3 shapes of ResNet-18
OPS = (
    *(Bconv(size, size, c, c) for size, c in SQUARES),
    *(Bconv(size, size, c, c, pad="zero") for size, c in SQUARES),
    Bconv(28, 28, 128, 128, output="int8"),
    Bconv(28, 28, 128, 128, output="bits"),
    Bconv(28, 28, 256, 256, filter=1),
    Bconv(28, 28, 128, 256, stride=2),
    Bconv(56, 56, 32, 32),
    Bconv(28, 28, 96, 96),
    *(Quantize(size * size, c) for size, c in SQUARES),
)


def qemu_command(cpu: str = "cortex-a72") -> list[str]:
    """Return what comes before an ARM64 program to run it here; LarqnetsError when something is missing."""
    if platform.machine() == "aarch64":
        raise LarqnetsError("Instructions are counted on x86-64. Measure time on this machine instead.")
    qemu = shutil.which("qemu-aarch64")
    if qemu is None:
        raise LarqnetsError("Running ARM64 programs here needs qemu-aarch64. On Debian: apt install qemu-user.")
    if not (SYSROOT / "lib" / "ld-linux-aarch64.so.1").is_file():
        raise LarqnetsError(f"There is no ARM64 libc in {SYSROOT}. On Debian: apt install libc6-arm64-cross.")
    return [qemu, "-L", str(SYSROOT), "-cpu", cpu]


def build_counter(folder: Path) -> Path:
    """Compile the plugin into `folder` with the C compiler of this machine, or zig."""
    output = folder / "libicount.so"
    compiler = next(([c] for name in ("cc", "gcc", "clang") if (c := shutil.which(name))), None) or [*zig(), "cc"]
    done = subprocess.run(
        [*compiler, "-O2", "-fPIC", "-shared", "-o", str(output), str(NATIVE / "icount.c")],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LarqnetsError(f"Compiling the instruction counter failed: {done.stderr.strip()[-2000:]}")
    return output


def count_regions(counter: Path, command: Sequence[str], cpu: str = "cortex-a72") -> dict[int, Counts]:
    """Run an ARM64 program and its arguments; return region -> counts. Region 0 is what lies outside of the marks.

    Counts repeat exactly for one thread: the environment is empty and addresses are not randomised. Raises
    LarqnetsError when the program fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        program, *arguments = qemu_command(cpu)
        run = ["env", "-i", "setarch", "-R", program, *arguments, "-plugin", f"{counter},out={out}", *command]
        done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode != 0 or not out.is_file():
            raise LarqnetsError(f"{Path(command[0]).name} failed under qemu: {done.stderr.strip()[-2000:]}")
        lines = [[int(value) for value in line.split()] for line in out.read_text().splitlines()]
    return {region: Counts(*counts) for region, *counts in lines}


def count_ops(
    folder: Path, ops: Sequence[Bconv | Quantize] = OPS, cpu: str = "cortex-a72"
) -> dict[Bconv | Quantize, Counts]:
    """Compile kernels and counter into `folder` and count each op alone, as it is called by the TFLite adapter.

    Of an op with several threads only what is not shared among them is counted here.
    """
    regions = _count_each(folder, ops, cpu)
    return {op: regions[_REGIONS * i] for i, op in enumerate(ops, 1)}


def count_threads(folder: Path, op: Bconv | Quantize, cpu: str = "cortex-a72") -> list[Counts]:
    """Count what each of an op's threads executes; the tasks are run one after the other, so that it repeats exactly."""
    regions = _count_each(folder, [op], cpu)
    return [regions[i] for i in range(_REGIONS + 1, 2 * _REGIONS) if i in regions]


def _count_each(folder: Path, ops: Sequence[Bconv | Quantize], cpu: str) -> dict[int, Counts]:
    program = folder / "count_ops"
    compile_native([*KERNELS, NATIVE / "count_ops.cc"], program, "aarch64")
    return count_regions(build_counter(folder), [str(program), *(op.argument for op in ops)], cpu)


def main() -> int:
    """Print the table; returns the exit code."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            counted = count_ops(Path(folder))
            squares = [Bconv(size, size, c, c, threads=4) for size, c in SQUARES]
            shared = {op: count_threads(Path(folder), op) for op in squares}
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'op':34} {'instructions':>12} {'SIMD':>10} {'loads/stores':>12}  per MAC or value")
    for op, counts in counted.items():
        size = op.macs if isinstance(op, Bconv) else op.rows * op.channels
        numbers = f"{counts.instructions:12,} {counts.simd:10,} {counts.loads_stores:12,}"
        print(f"{op!s:34} {numbers}  {counts.instructions / size:.4f}")
    print("\nfour threads, instructions of each")
    for op, threads in shared.items():
        print(f"{op!s:34} " + " ".join(f"{counts.instructions:12,}" for counts in threads))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
