"""The report of a decomposition as one picture: bits per weight and SQNR of every layer."""

from collections.abc import Sequence
from typing import Any

from larqnets import pictures


def draw_layers(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """Return a PNG of the rows that `launch.layer_row` makes: bars are bits per weight, dots the SQNR in dB.

    Layers that were kept at int8, or otherwise not done as asked for, have lighter bars.
    """
    # The object interface: pyplot would choose a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 0.16 * len(rows) + 2), 4.2), layout="constrained")
    bits, quality = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    places = range(len(rows))
    colours = ["#9bb8d9" if row["note"] else "#2f6db3" for row in rows]
    bits.bar(places, [row["bits_per_weight"] for row in rows], color=colours)
    mean = sum(row["bits_per_weight"] * row["weights"] for row in rows) / sum(row["weights"] for row in rows)
    bits.axhline(mean, color="0.3", linewidth=1, linestyle="--")
    bits.text(len(rows) - 0.5, mean, f" {mean:.2f}", va="bottom", ha="right", fontsize=8)
    bits.set_ylabel("bits per weight")
    bits.set_title(title, fontsize=10)
    measured = [(i, row["sqnr_db"]) for i, row in enumerate(rows) if row["sqnr_db"] is not None]
    quality.plot([i for i, _ in measured], [value for _, value in measured], "o", markersize=3, color="#c0504d")
    quality.set_ylabel("SQNR in dB")
    for axes in (bits, quality):
        axes.grid(axis="y", alpha=0.3)
    step = max(1, len(rows) // 60)
    quality.set_xticks(list(places)[::step], [row["layer"] for row in rows][::step], rotation=90, fontsize=6)
    return pictures.content(figure)
