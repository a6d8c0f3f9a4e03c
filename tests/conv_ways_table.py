"""results/conv_ways.csv, of which docs/develop/kernels.md has a table: what a 1-bit convolution keeps, loads and executes beside its counts.

    python tests/conv_ways_table.py results/conv_ways.csv

counts the 3x3 convolutions of ResNet-18 under qemu (minutes): with all pixels equal and on four threads the kernels alone, to load them and what is
kept beside the weights in files of one convolution each.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from android_bench.emulation.instructions import SQUARES, Bconv, count_ops, count_threads
from android_bench.emulation.qemu import count
from android_bench.runtime.runner import Kernels
from larqnets import processes
from larqnets.csv_table import CsvTable
from larqnets.studies.bench_models import COMPARED, single_bconv

WAYS: tuple[Kernels, ...] = ("popcount", "chosen")


@dataclass(frozen=True)
class Row:
    """A number of a shape: instructions or bytes."""

    what: str
    height: int  # = width of the image, by which docs name the shapes
    value: int


TABLE = CsvTable.of(Row)


def measured(folder: Path) -> Iterator[Row]:
    """Yield the rows, counted with programs in `folder`."""
    for size, channels in SQUARES:
        op = Bconv(size, size, channels, channels, pixels="equal")
        yield Row("equal pixels", size, count_ops(folder, [op])[op].instructions)
    for size, channels in SQUARES:
        threads = count_threads(folder, Bconv(size, size, channels, channels, threads=4))
        yield Row("most of four threads", size, max(thread.instructions for thread in threads))
    files = {shape.size: single_bconv(shape) for shape in COMPARED}
    for way in WAYS:
        counted = {size: count(file, per_op=False, kernels=way) for size, file in files.items()}
        for size, found in counted.items():
            yield Row(f"load {way}", size, found.load_instructions)
        for size, found in counted.items():
            yield Row(f"kept bytes {way}", size, found.prepared_bytes)


if __name__ == "__main__":
    rows = []
    with processes.temporary_folder() as folder:
        for row in measured(folder):
            rows.append(asdict(row))
            print(*rows[-1].values(), flush=True)
    TABLE.write(Path(sys.argv[1]), rows)
