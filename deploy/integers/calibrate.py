"""Between which values the tensors of a file lie on images, as int8 needs it.

The tensors are read from a copy of the file with more outputs, so nothing of what it computes is another. Of every tensor a
histogram of 2,048 bins between its smallest and its largest value is kept, by which a range is chosen:

    minmax       from the smallest to the largest value
    percentile   the middle 99.9 % of the values
    mse          of MSE_STEPS ranges, shrunk evenly on both sides, that with the smallest squared error in 256 steps

Every range holds 0, which paddings need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deploy.export.edit import tap
from deploy.run.interpreter import Interpreter, as_list
from deploy.targets import Calibration
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.model import Model

BINS = 2048
KEPT = 0.999  # of the values, by percentile
MSE_STEPS = np.linspace(0.2, 1.0, 81)  # how much of both sides is kept
MAX_BYTES = 1 << 27  # of the tensors of the images that are run together


class Range(NamedTuple):
    """Real values that integers stand for, low <= 0 <= high."""

    low: float
    high: float

    def with_(self, other: "Range") -> "Range":
        """Return the range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def grown(self, factor: float) -> "Range":
        """Return the range with both sides that much farther from 0."""
        return Range(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Histogram:
    """How often the values of a tensor fall into BINS bins of one width between `low` and `high`."""

    low: float
    high: float
    counts: np.ndarray  # int64 (BINS,)

    def range_by(self, method: Calibration) -> Range:
        """Return the range that a method chooses."""
        low, high = self.low, self.high
        if method == "percentile":
            low, high = self._middle()
        elif method == "mse":
            low, high = self._least_error()
        return Range(min(low, 0.0), max(high, 0.0))

    def _edges(self) -> np.ndarray:
        return np.linspace(self.low, self.high, BINS + 1)

    def _middle(self) -> tuple[float, float]:
        below = np.cumsum(self.counts) / max(1, self.counts.sum())
        left_out = (1 - KEPT) / 2
        first, last = np.searchsorted(below, left_out, "right"), np.searchsorted(below, 1 - left_out, "left")
        edges = self._edges()
        return float(edges[min(first, BINS - 1)]), float(edges[min(last, BINS - 1) + 1])

    def _least_error(self) -> tuple[float, float]:
        edges = self._edges()
        centres = (edges[1:] + edges[:-1]) / 2
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        step = (high - low) / 255 or 1.0

        def error(kept: float) -> float:
            stored = np.clip(np.round(centres / (step * kept)) * (step * kept), low * kept, high * kept)
            return float(np.sum(self.counts * (centres - stored) ** 2))

        kept = min(MSE_STEPS[::-1], key=error)  # of equal ones the widest
        return low * kept, high * kept


def observe(
    file: Model, tensors: Sequence[int], images: np.ndarray, reporter: Reporter = SILENT
) -> dict[int, Histogram]:
    """Return the histogram of each float tensor of subgraph 0 over images (N, H, W, C), by its index.

    They are run twice, for the outermost values and for the bins between these. Raises LarqnetsError where a value is not
    finite.
    """
    wanted = list(dict.fromkeys(tensors))
    if not wanted:
        return {}
    interpreter = Interpreter(tap(file.content, wanted))
    lows, highs = np.full(len(wanted), np.inf), np.full(len(wanted), -np.inf)
    for done, values in _runs(interpreter, images, len(wanted)):
        reporter.count(done, 2 * len(images), "images to calibrate by")
        lows = np.minimum(lows, [x.min() for x in values])
        highs = np.maximum(highs, [x.max() for x in values])
    for tensor, low, high in zip(wanted, lows, highs, strict=True):
        if not np.isfinite([low, high]).all():
            name = file.subgraphs[0].tensors[tensor].name
            raise LarqnetsError(f"'{name}' is not finite on the images to calibrate by. Train the network again.")
    counts = np.zeros((len(wanted), BINS), np.int64)
    for done, values in _runs(interpreter, images, len(wanted)):
        reporter.count(len(images) + done, 2 * len(images), "images to calibrate by")
        for row, x, low, high in zip(counts, values, lows, highs, strict=True):
            row += _binned(x, low, high)
    return {
        tensor: Histogram(float(low), float(high), row)
        for tensor, low, high, row in zip(wanted, lows, highs, counts, strict=True)
    }


def _runs(interpreter: Interpreter, images: np.ndarray, count: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield how many images are done and the first `count` outputs for some of them."""
    sizes = sum(4 * int(np.prod(shape)) for shape in interpreter.output_shapes)
    step = max(1, MAX_BYTES // max(1, sizes))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        yield start + len(part), as_list(interpreter.predict(part))[:count]


def _binned(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return how many values fall into each bin, the largest into the last."""
    places = (x.reshape(-1) - np.float32(low)) * np.float32(BINS / ((high - low) or 1.0))
    return np.bincount(np.clip(places.astype(np.int64), 0, BINS - 1), minlength=BINS)
