"""Count the executed instructions of the kernels alone, without TFLite: deterministic, and no latency.

`python -m android_bench.emulation.instructions` prints what LceBconv2d, LceQuantize and LarqnetsConv2dInt8 execute per shape, one
thread, the second run, and how four threads share the convolutions.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.emulation.emulator import CPUS, InstructionCounts, build_counter, count_regions
from android_bench.runtime.compile import KERNELS, NATIVE, compile_native
from larqnets import processes
from larqnets.errors import LarqnetsError


@dataclass(frozen=True)
class _Convolution:
    """A convolution of one image, SAME padding."""

    height: int
    width: int
    channels_in: int
    channels_out: int
    filter: int = 3
    stride: int = 1

    @property
    def macs(self) -> int:
        """Products."""
        outputs = -(-self.height // self.stride) * -(-self.width // self.stride) * self.channels_out
        return outputs * self.filter**2 * self.channels_in

    @property
    def sizes(self) -> str:
        """What the program that counts takes, count_ops.cc."""
        sizes = (self.height, self.width, self.channels_in, self.channels_out, self.filter, self.stride)
        return ",".join(map(str, sizes))

    @property
    def shape(self) -> str:
        """The same to be read."""
        text = f"{self.filter}x{self.filter} {self.height}x{self.width} {self.channels_in}->{self.channels_out}"
        return f"{text} /{self.stride}"


@dataclass(frozen=True)
class Bconv(_Convolution):
    """One LceBconv2d, batch 1, SAME padding."""

    pad: str = "one"  # or "zero"
    output: str = "float"  # or "int8", "bits"
    threads: int = 1
    kernels: str = "chosen"  # or "popcount", "classes", "sorted", where the shape can have it
    pixels: str = "random"  # or "equal": all of them, so that every window that lies in the image sorts positions alike

    @property
    def argument(self) -> str:
        return f"bconv:{self.sizes},{self.pad},{self.output},{self.threads},{self.pixels},{self.kernels}"

    def __str__(self) -> str:
        text = f"{self.shape} {self.pad} {self.output}"
        text += "" if self.kernels == "chosen" else f" {self.kernels}"
        return text if self.pixels == "random" else f"{text}, {self.pixels} pixels"


@dataclass(frozen=True)
class Conv8(_Convolution):
    """One LarqnetsConv2dInt8 with a ReLU, batch 1, SAME padding."""

    threads: int = 1

    @property
    def argument(self) -> str:
        return f"conv8:{self.sizes},{self.threads}"

    def __str__(self) -> str:
        return f"int8 {self.shape}"


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
Op = Bconv | Conv8 | Quantize
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
    *(Quantize(size * size, c) for size, c in ((56, 16), (28, 24), (28, 40), (28, 100))),
)
# Of LarqnetsConv2dInt8, which has a kernel for each of CPUS.
STEMS = (Conv8(112, 112, 3, 64, 7, 2), Conv8(112, 112, 3, 64, 3, 2), Conv8(227, 227, 3, 96, 11, 4))


def count_ops(folder: Path, ops: Sequence[Op] = OPS, cpu: str = CPUS[0]) -> dict[Op, InstructionCounts]:
    """Compile kernels and counter into `folder` and count each op alone, as it is called by the TFLite adapter.

    Of an op with several threads only what is not shared among them is counted here.
    """
    regions = _count_each(folder, ops, cpu)
    return {op: regions[_REGIONS * i] for i, op in enumerate(ops, 1)}


def count_threads(folder: Path, op: Op, cpu: str = CPUS[0]) -> list[InstructionCounts]:
    """Count what each of an op's threads executes; the tasks are run one after the other, so that it repeats exactly."""
    regions = _count_each(folder, [op], cpu)
    return [regions[i] for i in range(_REGIONS + 1, 2 * _REGIONS) if i in regions]


def _count_each(folder: Path, ops: Sequence[Op], cpu: str) -> dict[int, InstructionCounts]:
    program = folder / "count_ops"
    compile_native([*KERNELS, NATIVE / "count_ops.cc"], program, "aarch64")
    return count_regions(build_counter(folder), [str(program), *(op.argument for op in ops)], cpu)


def main() -> int:
    """Print the tables; returns the exit code."""
    try:
        with processes.temporary_folder() as folder:
            counted = {"": count_ops(folder)} | {f", {cpu}": count_ops(folder, STEMS, cpu) for cpu in CPUS}
            squares = [Bconv(size, size, c, c, threads=4) for size, c in SQUARES]
            shared = {op: count_threads(folder, op) for op in squares}
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'op':42} {'instructions':>12} {'SIMD':>10} {'loads/stores':>12}  per MAC or value")
    for core, ops in counted.items():
        for op, counts in ops.items():
            size = op.rows * op.channels if isinstance(op, Quantize) else op.macs
            numbers = f"{counts.instructions:12,} {counts.simd:10,} {counts.loads_stores:12,}"
            print(f"{f'{op}{core}':42} {numbers}  {counts.instructions / size:.4f}")
    print("\nfour threads, instructions of each")
    for op, threads in shared.items():
        print(f"{op!s:34} " + " ".join(f"{counts.instructions:12,}" for counts in threads))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
