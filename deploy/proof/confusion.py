"""The confusion between classes as a picture."""

from typing import Any

import numpy as np

from larqnets import pictures
from larqnets.legend import Legend
from larqnets.tasks import Confusion

NUMBERED, NAMED = 25, 100  # with more classes no number stands in a cell, and no name at the edge
_CELL, _EDGE = 0.34, 2.2  # inches: a cell, and what stands beside the cells


def confusion_picture(confusion: Confusion, title: str, kind: str = "png", legend: Legend | None = None) -> bytes:
    """Return a picture: a row for every true label, a column for what was given.

    A cell's colour is its share of the row, its number the images, of pixels that share again. The diagonal is what was right.
    What the font cannot draw is put into the legend.
    """
    from matplotlib.figure import Figure  # the object interface: pyplot would choose a display
    from matplotlib.ticker import PercentFormatter

    legend = legend or Legend()
    counts, classes = confusion.counts, len(confusion.labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inner = float(np.clip(_CELL * classes, 2.0, 12.0))
    figure = Figure(figsize=(inner + _EDGE + 0.8, inner + _EDGE), layout="constrained")
    axes: Any = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("given label")
    axes.set_ylabel("true label")
    axes.set_title(pictures.label(legend.drawn(title)), fontsize=10)
    if classes <= NAMED:
        names = [_short(legend.drawn(name)) for name in confusion.labels]
        size = min(8.0, 0.6 * 72 * inner / classes)  # points: no name into its neighbour's row
        axes.set_xticks(range(classes), names, rotation=90, fontsize=size)
        axes.set_yticks(range(classes), names, fontsize=size)
    if classes <= NUMBERED:
        for row, column in np.argwhere(counts):
            ink = "white" if shares[row, column] > 0.6 else "black"
            text = f"{counts[row, column]}" if confusion.of == "images" else f"{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
    bar = figure.colorbar(image, shrink=0.6, format=PercentFormatter(1.0))
    bar.set_label(f"share of the true label's {confusion.of}", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return pictures.content(figure, kind)


def _short(name: str) -> str:
    return pictures.label(name if len(name) <= 24 else f"{name[:12]}…{name[-11:]}")
