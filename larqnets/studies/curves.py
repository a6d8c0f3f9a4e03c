"""`larqnets curves`: loss and accuracy of runs, or their gates and factors, over their epochs as one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqnets import pictures
from larqnets.csv_table import CsvTable
from larqnets.documents import read_csv
from larqnets.errors import LarqnetsError
from larqnets.runs.epoch_tables import PARAMETERS, TEST, VALIDATION, epoch_table
from larqnets.runs.run import Run


def draw_curves(runs: Sequence[Path], output: Path) -> dict[str, Any]:
    """Draw the learning curves of runs into `output` (.png, .svg or .pdf): training dashed, test solid, one colour a run.

    Of a run that keeps validation images those are solid, and the epoch that was kept has a dot for its test images.
    Returns {"picture": path, "runs": {name: {column: [value of each epoch, None where it was not measured]}}}. Raises LarqnetsError for a folder that is no
    run, a run without a finished epoch, an unknown kind of picture, or one that cannot be written.
    """
    pictures.check_kind(output)
    opened = {path: Run.open(path) for path in runs}
    scores = {run.card.headline for run in opened.values()}
    if len(scores) > 1:
        raise LarqnetsError(
            f"These runs are told by different scores, {' and '.join(sorted(scores))}. Draw them apart."
        )
    curves = {path: _read(run) for path, run in opened.items()}
    # The object interface: pyplot would choose a display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    (score,) = scores
    for number, (path, curve) in enumerate(curves.items()):
        for axes, quantity in ((loss, "loss"), (accuracy, score)):
            style: dict[str, Any] = {"color": f"C{number}", "marker": "." if len(curve["epoch"]) == 1 else None}
            if f"train_{quantity}" in curve:
                axes.plot(curve["epoch"], curve[f"train_{quantity}"], linestyle="--", linewidth=1, alpha=0.8, **style)
            validated = f"{VALIDATION}{quantity}" in curve
            solid = curve[f"{VALIDATION if validated else TEST}{quantity}"]
            axes.plot(curve["epoch"], solid, label=pictures.label(path.name), **style)
            if validated:
                tested = zip(curve["epoch"], curve[f"{TEST}{quantity}"], strict=True)
                axes.plot(*_apart([point for point in tested if point[1] is not None]), "o", color=f"C{number}")
    loss.set_ylabel("loss")
    accuracy.set_ylabel(score)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    _over_epochs(loss, accuracy)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    _explain(figure, [f"{VALIDATION}loss" in curve for curve in curves.values()])
    pictures.save(figure, output)
    return {"picture": str(output), "runs": {path.name: curve for path, curve in curves.items()}}


def draw_parameters(runs: Sequence[Path], output: Path) -> dict[str, Any]:
    """Draw what is in the runs' parameters.csv, e.g. the gates of Group-Net: a panel for each run, from dark to light by depth.

    Returns {"picture": path, "runs": {name: {parameter: {"epoch": [...], "value": [...]}}}}. Raises LarqnetsError as
    `draw_curves` does, and for a run whose method has no learned scalar to report.
    """
    pictures.check_kind(output)
    curves = {path: _read_parameters(Run.open(path)) for path in runs}
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 5 * len(curves), 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (path, curve) in zip(panels, curves.items(), strict=True):
        for number, (name, points) in enumerate(curve.items()):
            colour = colormaps["viridis"](0.9 * number / max(1, len(curve) - 1))
            marker = "." if len(points["epoch"]) == 1 else None
            axes.plot(points["epoch"], points["value"], color=colour, marker=marker, label=pictures.label(name))
        axes.set_title(pictures.label(path.name), fontsize=9)
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _over_epochs(*panels)
    pictures.save(figure, output)
    return {"picture": str(output), "runs": {path.name: curve for path, curve in curves.items()}}


def _apart(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _explain(figure: Any, validated: list[bool]) -> None:
    """Write below what the lines are; `validated`, for each run: it keeps validation images."""
    style: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 8, "color": "0.4"}
    if not any(validated):
        figure.text(0.995, 0.005, "solid: test, dashed: training", **style)
        return
    solid = "validation" if all(validated) else "validation, or test of a run without validation images"
    words = f"solid: {solid}, dashed: training, dot: test, with the weights that were kept"
    figure.supxlabel(words, x=0.995, **style)  # a line of its own: it would not fit beside "epoch"


def _over_epochs(*panels: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)


def _rows(path: Path, table: CsvTable) -> list[dict[str, Any]]:
    """Return the rows of a table of a run, none when it is not there."""
    try:
        return table.read(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{path} is damaged: {error}. Restore it from a copy, or resume the run.") from error


def _has_column(path: Path, column: str) -> bool:
    try:
        return column in read_csv(path)[0]
    except (OSError, ValueError):
        return True  # reading the rows says what is wrong


def _read_parameters(run: Run) -> dict[str, dict[str, list[float]]]:
    curves: dict[str, dict[str, list[float]]] = {}
    for row in _rows(run.parameters, PARAMETERS):
        curve = curves.setdefault(row["name"], {"epoch": [], "value": []})
        curve["epoch"].append(float(row["epoch"]))
        curve["value"].append(row["value"])
    if not curves:
        raise LarqnetsError(
            f"{run.path} has no parameters.csv to draw: its method reports no scalars (groupnet and elasticlink do), an "
            "earlier version trained it, or no epoch is finished."
        )
    return curves


def _read(run: Run) -> dict[str, list[Any]]:
    score, validated = run.card.headline, run.data is not None and run.data.keeps_validation
    splits = ["train_", *([VALIDATION] if validated else []), TEST]
    names = [f"{split}{quantity}" for quantity in ("loss", score) for split in splits]
    table = epoch_table((score,), validated=validated).only("epoch", *names)
    if "headline" in run.card.document and not _has_column(run.metrics, f"train_{score}"):
        table = table.only(*(name for name in table.columns if name != f"train_{score}"))  # not summed up in training
    rows = _rows(run.metrics, table)
    curve = {column: [None if row[column] is None else float(row[column]) for row in rows] for column in table.columns}
    if not curve["epoch"]:
        raise LarqnetsError(f"{run.path} has no finished epoch to draw. Train it first.")
    return curve
