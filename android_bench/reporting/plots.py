"""The report's pictures as SVG to be put into a page: accuracy against latency, and the session over time."""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from android_bench.record import Session, State
from android_bench.reporting.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType  # only newer ones have it

# Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = {"binary": "#0072B2", "real": "#E69F00", "glue": "#888888"}
ROLES = {"binary": "#0072B2", "float": "#D55E00", "int8": "#009E73", None: "#333333"}
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
_STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a $ in a name is a $
}
_WIDTH = 4.0  # inches: about a phone's screen, so that letters keep their size there
_MAX_NAME = 24


def accuracy_against_latency(summary: Summary, page: int = 1) -> str | None:
    """Return the models whose score is known as points, the Pareto front as a line; None with fewer than two, or several scores.

    `page` tells the pictures of several sessions in one document apart.
    """
    points = [
        (model, model.latency, 100 * model.record.accuracy)
        for model in summary.models
        if model.latency is not None and model.record.accuracy is not None
    ]
    if len(points) < 2 or len({model.record.score for model, _, _ in points}) > 1:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"front {page}"}):
        figure = Figure(figsize=(_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        latencies = [latency.median_ms for _, latency, _ in points]
        if max(latencies) > 10 * min(latencies):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        front = sorted((latency.median_ms, accuracy) for model, latency, accuracy in points if model.on_front)
        axes.plot(
            *zip(*front, strict=True), color="#999999", linestyle="--", linewidth=1, drawstyle="steps-post", zorder=1
        )
        middle = math.sqrt(max(latencies) * min(latencies))
        for model, latency, y in points:
            x, colour = latency.median_ms, ROLES[model.record.role]
            if (interval := latency.interval_ms) is not None:
                axes.plot([interval.low, interval.high], [y, y], color=colour, linewidth=1)
            axes.plot([x], [y], "o", color=colour, markersize=6, fillstyle="full" if model.on_front else "none")
            left = x > middle
            axes.annotate(
                _short(model.record.name),
                (x, y),
                xytext=(-6 if left else 6, 5),
                textcoords="offset points",
                ha="right" if left else "left",
                color=colour,
            )
        axes.margins(0.2, 0.25)
        axes.set_xlabel("latency, ms")
        axes.set_ylabel(f"{_short(summary.score)}, %")
        return _svg(figure, f"{_short(summary.score)} against latency")


def over_time(summary: Summary, page: int = 1) -> str | None:
    """Return round medians, temperature and clocks over the minutes of the session; None when no round was run."""
    session = summary.session
    if not any(r.latencies_ms for model in session.models for r in model.rounds):
        return None
    states = sorted(_states(session), key=lambda state: state.at_s)
    temperatures = {zone: degrees for zone, degrees in _zones(states).items() if len(degrees) > 1}
    clocks = _clocks(session, states)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"time {page}"}):
        panels = 1 + bool(temperatures) + bool(clocks)
        figure = Figure(figsize=(_WIDTH, 0.5 + 1.45 * panels), layout="constrained")
        top, *rest = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
        _draw_rounds(top, summary)
        if temperatures:
            _draw_lines(rest.pop(0), temperatures, "°C")
        if clocks:
            _draw_lines(rest[0], clocks, "MHz", bottom=0)
        figure.axes[-1].set_xlabel("minutes since the start")
        figure.align_ylabels()
        return _svg(figure, "the session over time")


def _draw_rounds(axes: "Axes", summary: Summary) -> None:
    timed = [(model, model.latency.median_ms) for model in summary.models if model.latency is not None]
    kept: dict[str, Any] = {"marker": "o", "linewidth": 1}
    discarded: dict[str, Any] = {"marker": "x", "linestyle": "none"}
    for number, (model, usual) in enumerate(timed):
        colour = _LINES[number % len(_LINES)]
        for rounds, style in (
            ([r for r in model.record.rounds if r.discarded is None], kept),
            ([r for r in model.record.rounds if r.discarded and r.latencies_ms], discarded),
        ):
            minutes = [r.started_s / 60 for r in rounds]
            change = [100 * (_median(r.latencies_ms) / usual - 1) for r in rounds]
            label = _short(model.record.name) if style is kept else None
            axes.plot(minutes, change, color=colour, markersize=4, label=label, **style)
    axes.set_ylabel("latency, % off\nits median")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, handlelength=1)


def _draw_lines(
    axes: "Axes", lines: dict[str, list[tuple[float, float]]], unit: str, bottom: float | None = None
) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, (name, points) in enumerate(lines.items()):
        minutes, values = zip(*((at / 60, value) for at, value in points), strict=True)
        axes.plot(minutes, values, color=_LINES[number % len(_LINES)], linewidth=1.2, label=_short(name))
    axes.set_ylabel(unit)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if bottom is not None:
        axes.set_ylim(bottom=bottom)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, handlelength=1)


def _states(session: Session) -> list[State]:
    rounds = [state for model in session.models for r in model.rounds for state in (r.before, r.after)]
    return [*session.trace, *rounds]


def _zones(states: Sequence[State], limit: int = 4) -> dict[str, list[tuple[float, float]]]:
    """Return the temperatures of the zones that became hottest."""
    zones: dict[str, list[tuple[float, float]]] = {}
    for state in states:
        for zone, degrees in state.temperatures_c.items():
            zones.setdefault(zone, []).append((state.at_s, degrees))
    hottest = sorted(zones, key=lambda zone: -max(degrees for _, degrees in zones[zone]))[:limit]
    return {zone: zones[zone] for zone in hottest}


def _clocks(session: Session, states: Sequence[State]) -> dict[str, list[tuple[float, float]]]:
    """Return the clocks of the cores that were used."""
    lines = {}
    for core in map(str, session.cores.cores):
        points = [(state.at_s, state.clocks_mhz[core]) for state in states if core in state.clocks_mhz]
        if len(points) > 1:
            lines[f"core {core}"] = points
    return lines


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"…{name[-_MAX_NAME + 1 :]}"


def _svg(figure: "Figure", label: str) -> str:
    """Return the figure for use inside of a page: no header, no metadata, and no name that another figure may have too."""
    file = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    svg = re.sub(r"<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)  # a page's style is for all of it
    used = set(re.findall(r"#([\w-]+)[\")]", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{label}">', svg, count=1)
