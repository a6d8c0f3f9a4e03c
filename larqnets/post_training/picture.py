"""Pictures of decompositions: bits per weight and SQNR of every layer; the score against the size of all methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from larqnets import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST = 0.06  # what a picture of methods shows: scores down to this much below the float network's


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
    bits.set_title(
        pictures.label(title) + "; lighter: with a note in the report" * any(row["note"] for row in rows), fontsize=10
    )
    measured = [(i, row["sqnr_db"]) for i, row in enumerate(rows) if row["sqnr_db"] is not None]
    quality.plot([i for i, _ in measured], [value for _, value in measured], "o", markersize=3, color="#c0504d")
    quality.set_ylabel("SQNR in dB")
    for axes in (bits, quality):
        axes.grid(axis="y", alpha=0.3)
    step = max(1, len(rows) // 60)
    quality.set_xticks(
        list(places)[::step], [pictures.label(row["layer"]) for row in rows][::step], rotation=90, fontsize=6
    )
    return pictures.content(figure)


@dataclass(frozen=True)
class DrawnNetwork:
    """What is drawn of a network: its score, and (bytes, score) of every setting by line; scores are fractions."""

    float_score: float
    lines: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def draw_methods(networks: Mapping[str, DrawnNetwork], score: str) -> "Figure":
    """Return a picture with a panel a network: the score called so against the bytes of its kernels, a line a method."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    figure = Figure(figsize=(1 + 4.2 * len(networks), 5.2), layout="constrained")
    styles = {
        line: {"color": f"C{index % 10}", "marker": "osD^vP*Xd<"[index % 10]}
        for index, line in enumerate(dict.fromkeys(line for network in networks.values() for line in network.lines))
    }
    panels = figure.subplots(1, len(networks), squeeze=False)[0]
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        for line, points in network.lines.items():
            sizes, scores = zip(*sorted(points), strict=True)
            axes.plot(sizes, scores, label=line, markersize=5, linewidth=1.2, **styles[line])
        axes.axhline(network.float_score, color="0.3", linewidth=1, linestyle="--")
        best = max((score for points in network.lines.values() for _, score in points), default=0.0)
        axes.set_ylim(network.float_score - LOWEST, max(network.float_score + LOWEST / 10, best + LOWEST / 60))
        axes.xaxis.set_major_formatter(EngFormatter("B"))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(pictures.label(name), fontsize=10)
        axes.set_xlabel("kernels in a .cbd file")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"test {score}; dashed: float; {100 * LOWEST:g} points are shown")
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        columns = min(4, 2 * len(networks))  # as many as are not wider than the panels
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False
        )
    return figure
