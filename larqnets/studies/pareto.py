"""`larqnets pareto`: the score against the cost of the experiments in a sweep's table, as rows and as one picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from larqnets import pictures
from larqnets.documents import read_csv
from larqnets.errors import LarqnetsError, nearest
from larqnets.pareto_front import on_front
from larqnets.studies.sweep_table import converted_column, scores_in, sweep_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = {
    "arm64_instructions": "instructions per inference (ARM64, one thread)",
    "file_bytes": "file size in bytes",
    "binary_macs": "1-bit multiply-accumulates",
    "float_macs": "real multiply-accumulates",
}


@dataclass(frozen=True)
class Point:
    """A method on a backbone over its seeds; the score is that of the converted file, a fraction of the test set."""

    method: str
    backbone: str
    seeds: int
    score: float  # the mean
    lowest: float
    highest: float
    cost: float
    options: tuple[str, ...] = ()  # values of the table's further columns, by which methods differ
    on_front: bool = False  # no other is at least as accurate at no more cost


def pareto(table: Path, output: Path, cost: str = "arm64_instructions", title: str = "") -> dict[str, Any]:
    """Draw the table of a sweep into `output` (.png, .svg or .pdf): a point a method, bars from its worst to best seed.

    Returns {"picture", "cost", "score": name, "points": [...]}, the best first; a point has its mean score under that name. Raises LarqnetsError for a file that is no such
    table, a column that is not there or empty, an unknown kind of picture, or one that cannot be written.
    """
    pictures.check_kind(output)
    if cost not in COSTS:
        raise LarqnetsError(f"There is no cost '{cost}'.{nearest(cost, COSTS)} Use one of: {', '.join(COSTS)}.")
    score, points = _read(table, cost)
    points = with_front(points)
    pictures.save(_draw(points, score, cost, title), output)
    named = [{score if key == "score" else key: value for key, value in asdict(point).items()} for point in points]
    return {"picture": str(output), "cost": cost, "score": score, "points": named}


def with_front(points: Sequence[Point]) -> list[Point]:
    """Return the points, the best first, with `on_front` set on those that no other one dominates."""

    front = on_front([(p.cost, p.score) for p in points])
    marked = [Point(**{**asdict(p), "on_front": on}) for p, on in zip(points, front, strict=True)]
    return sorted(marked, key=lambda p: (-p.score, p.cost))


def _read(table: Path, cost: str) -> tuple[str, list[Point]]:
    """Return the name of the score, and the points."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[tuple[float, float]]] = {}
    try:
        header, _ = read_csv(table)
        if header and cost not in header:
            raise ValueError(f"it has no column {cost}")
        score, *others = scores_in(header) or ["accuracy"]
        if others:
            raise ValueError("it has several scores")
        of_sweep = sweep_table(score, validated=True)
        options = [name for name in header if name not in of_sweep.columns]
        converted = converted_column(score)
        rows = of_sweep.only("method", "backbone", "seed", converted, cost).with_texts(options).read(table)
        for row in rows:
            if row[cost] is None:
                raise LarqnetsError(
                    f"{table} has no {cost} for {row['method']}, seed {row['seed']}. Give the sweep's command again "
                    "where it can be measured."
                )
            if row[converted] is None:
                raise ValueError("a score is missing")
            if row[cost] < 0:
                raise ValueError(f"{cost} is negative")
            network = (row["method"], row["backbone"], tuple(row[option] for option in options))
            groups.setdefault(network, []).append((row[converted], float(row[cost])))
    except OSError as error:
        raise LarqnetsError(f"Cannot read {table}: {error.strerror}.") from error
    except ValueError as error:
        raise LarqnetsError(f"{table} is not the table of a sweep with the column {cost}.") from error
    if not groups:
        raise LarqnetsError(f"{table} has no rows yet. Let the sweep finish an experiment first.")
    result = []
    for (method, backbone, options), seeds in groups.items():
        scores, costs = zip(*seeds, strict=True)
        spread = fmean(scores), min(scores), max(scores)
        result.append(Point(method, backbone, len(seeds), *spread, fmean(costs), options))
    return score, result


def _draw(points: Sequence[Point], score: str, cost: str, title: str) -> "Figure":
    # The object interface: pyplot would choose a display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    front = sorted((p for p in points if p.on_front), key=lambda p: p.cost)
    axes.step([p.cost for p in front], [p.score for p in front], where="post", color="0.6", linewidth=1, zorder=1)
    several = len({p.backbone for p in points}) > 1
    for p in points:
        colour = "C0" if p.on_front else "C7"
        bars = [[p.score - p.lowest], [p.highest - p.score]]
        axes.errorbar([p.cost], [p.score], yerr=bars, fmt="o", color=colour, capsize=3, markersize=5)
    if all(p.cost > 0 for p in points):  # a real network has no binary MACs, and 0 has no place on a logarithmic axis
        axes.set_xscale("log")
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks(EngFormatter(sep=" "))
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel(f"test {pictures.label(score)} of the converted file")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3, which="both")
    if title:
        axes.set_title(pictures.label(title), fontsize=10)
    note = "bars: worst to best seed; line: Pareto front"
    axes.text(0.99, 0.02, note, transform=axes.transAxes, ha="right", fontsize=8, color="0.4")
    figure.draw_without_rendering()  # places what the labels must not cover
    taken: list[Any] = []
    for p in points:
        label = " ".join([p.method, *([p.backbone] if several else []), *p.options])
        taken.append(_label(axes, label, (p.cost, p.score), taken))
    return figure


def _label(axes: Any, label: str, point: tuple[float, float], taken: Sequence[Any]) -> Any:
    """Write a label beside its point, at the first place that is free and within the axes; returns its box."""
    places = [((7, 4), "left"), ((7, -12), "left"), ((-7, 4), "right"), ((-7, -12), "right"), ((7, 16), "left")]
    text = box = None
    for offset, side in places:
        text = axes.annotate(
            pictures.label(label), point, xytext=offset, textcoords="offset points", fontsize=9, ha=side
        )
        box = text.get_window_extent()
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
        if inside and not any(box.overlaps(other) for other in taken):
            break
        text.remove()
    else:  # a crowd: rather one label over another than none
        assert text is not None
        axes.add_artist(text)
    return box
