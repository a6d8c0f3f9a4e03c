"""Which first convolutions are cheaper as SPACE_TO_DEPTH and one of stride 1: the table of those that were counted.

`stems.json` beside this file holds the executed ARM64 instructions of stems on images of about 112 x 112, in both forms, as
float and as int8, on every core that is counted (`make bench-stems` makes it anew). One decision comes of it for the float
rest of a binary network and for both of its twins, so that what is compared has the same form: a stem is rewritten where
that is cheaper in every one of its rows, and no file gets dearer on any core. `--stem rewritten` overrules it.

A stem with more filters than were counted takes the row with the most, one in between that of the next fewer: the ops before
the convolution cost the same for any number of filters, and weigh less the more there are. One with other kernels, strides or
channels, or fewer filters, is not known.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from larqnets.documents import read_json
from larqnets.schema import from_mapping

TABLE = Path(__file__).with_name("stems.json")


@dataclass(frozen=True)
class Shape:
    """A stem of a square kernel; `padded`: rewritten, it needs more zeros or fewer pixels than SAME puts around an image."""

    kernel: int
    stride: int
    channels: int
    filters: int
    padded: bool

    def __str__(self) -> str:
        return f"{self.kernel}x{self.kernel}, stride {self.stride}, {self.channels} channels to {self.filters} filters"


@dataclass(frozen=True)
class Counted(Shape):
    """Executed instructions of a stem alone, with bias and ReLU, on every core that was counted.

    Of one inference in steady state on one thread.
    """

    numbers: Literal["float", "int8"]
    as_trained: dict[str, int]
    rewritten: dict[str, int]

    @property
    def is_cheaper(self) -> bool:
        """Whether the rewritten one takes fewer on every core."""
        return all(self.rewritten[cpu] < count for cpu, count in self.as_trained.items())


def is_cheaper(shape: Shape) -> bool | None:
    """Return whether a stem is cheaper rewritten, in every row of its shape; None where there is none."""
    alike = [row for row in _table() if _but_filters(row) == _but_filters(shape) and row.filters <= shape.filters]
    nearest = max((row.filters for row in alike), default=None)
    if nearest is None:
        return None
    return all(row.is_cheaper for row in alike if row.filters == nearest)


def _but_filters(of: Shape) -> tuple[int, int, int, bool]:
    return of.kernel, of.stride, of.channels, of.padded


@cache
def _table() -> tuple[Counted, ...]:
    return tuple(from_mapping(Counted, row, "", TABLE.name) for row in read_json(TABLE)["rows"])
