"""The indices of poolings, by which an unpooling places its values: like signs they are right, wrong, or decided by rounding.

Two values of a window that are equal but for rounding may come in either order, and then what is placed stands elsewhere:
one index of a quarter of a million moves a logit by some percent. So the trained network is given the file's indices, and
those that it would have found itself are held against them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from larqnets.layers.max_unpool import MaxUnpool2D


@dataclass(frozen=True)
class UnpoolProof:
    """Part (a) for one unpooling: the indices of the largest values in all of its windows, file against Keras."""

    layer: str
    indices: int  # compared
    near_ties: int  # differ, but the values of both are equal within EPS: rounding
    wrong: int  # differ by more: a failure
    worst: float  # largest relative distance of the two values; 0 if none differs


class Windows(NamedTuple):
    """What Keras found in the windows of a map (N, H, W, C), beside another map by which the places were chosen."""

    largest: np.ndarray  # (N, h, w, C)
    samples: np.ndarray  # of the windows in which the other map has another index, (k,)
    channels: np.ndarray
    margins: np.ndarray  # largest value minus that at the other map's index, (k,)


def windows_of(x: np.ndarray, forced: np.ndarray) -> Windows:
    """Hold the indices of a map (N, H, W, C) against those of `forced`, of the same shape; sample by sample, for memory."""
    largest, differ = [], []
    for sample, (mine, theirs) in enumerate(zip(map(_places, x), map(_places, forced), strict=True)):
        largest.append(mine.max(axis=0))
        found = np.argmax(theirs, axis=0)
        rows, columns, channels = at = np.nonzero(np.argmax(mine, axis=0) != found)
        margins = largest[-1][at] - mine[found[at], rows, columns, channels]
        differ.append((np.full(len(channels), sample), channels, margins))
    samples, channels, margins = (np.concatenate(parts) for parts in zip(*differ, strict=True))
    return Windows(np.stack(largest), samples, channels, margins)


def joined_windows(parts: Sequence[Windows]) -> Windows:
    """Return what was found in the windows of all samples, of which the parts have some each."""
    starts = np.cumsum([0, *(len(part.largest) for part in parts[:-1])])
    samples = [start + part.samples for start, part in zip(starts, parts, strict=True)]
    largest, channels, margins = (
        np.concatenate(of_all)
        for of_all in ([p.largest for p in parts], [p.channels for p in parts], [p.margins for p in parts])
    )
    return Windows(largest, np.concatenate(samples), channels, margins)


def _places(x: np.ndarray) -> np.ndarray:
    """Return the four places of all windows of a map (H, W, C), (4, h, w, C), in rows; an odd size is filled up as the layer does it."""
    if x.shape[0] % 2 or x.shape[1] % 2:
        x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
    return np.stack([x[i::2, j::2] for i in (0, 1) for j in (0, 1)])


def unpoolings_of(model: tf.keras.Model) -> list[MaxUnpool2D]:
    """Return the layers that unpool."""
    return [layer for layer in model.layers if isinstance(layer, MaxUnpool2D) and layer.inbound_nodes]


def nearest(x: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return that of the file's maps which a map of the network (N, H, W, C) is; None where none has its size.

    Those of an odd size are filled up in the file. In which order the converter leaves maps of one size depends on names.
    """
    count, height, width, channels = x.shape
    filled = (count, height + height % 2, width + width % 2, channels)
    fitting = [values[:, :height, :width] for values in maps if values.shape == filled]
    return fitting[0] if len(fitting) == 1 else min(fitting, key=lambda values: np.abs(values - x).mean(), default=None)


def compare_windows(
    seen: Windows, nudged: Windows, made_of: np.ndarray | float, num_real: int, eps: float, slack_times: float
) -> tuple[int, int, int, float]:
    """Judge the indices that differ; the first `num_real` samples are real ones, `nudged` is of nudged inputs.

    A margin, less `slack_times` what the nudge moves, is relative to the largest value of the sample's channel, or of the real
    samples', and to what that is made of (`deploy.proof.sizes`). Returns how many indices there are, and of those that differ
    the near ones, the wrong ones and the worst distance, as in UnpoolProof.
    """
    largest = seen.largest.max(axis=(1, 2))  # per sample and channel
    usual = largest[:num_real].max(axis=0, keepdims=True)
    magnitude = np.maximum(largest, usual) + made_of + np.finfo(np.float32).tiny
    slack = slack_times * np.abs(nudged.largest - seen.largest).max(axis=(1, 2))
    at = seen.samples, seen.channels
    distance = np.maximum(seen.margins - slack[at], 0) / magnitude[at]
    wrong = int(np.sum(~(distance <= eps)))
    return seen.largest.size, len(distance) - wrong, wrong, float(distance.max(initial=0))
