"""`larqnets curves`: loss and accuracy of runs over their epochs, as one picture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqnets.errors import LarqnetsError
from larqnets.run_folder import Run, write_atomically

_COLUMNS = ("epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy")


def draw_curves(runs: Sequence[Path], output: Path) -> dict[str, Any]:
    """Draw the learning curves of runs into `output` (.png, .svg or .pdf): training dashed, test solid, one colour a run.

    Returns {"picture": path, "runs": {name: {column: [value of each epoch]}}}. Raises LarqnetsError for a folder that is no
    run, a run without a finished epoch, an unknown kind of picture, or one that cannot be written.
    """
    if output.suffix not in (".png", ".svg", ".pdf"):
        raise LarqnetsError(f"{output} names no kind of picture. Let it end in .png, .svg or .pdf.")
    curves = {path: _read(Run.open(path)) for path in runs}
    # The object interface: pyplot would choose a display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for number, (path, curve) in enumerate(curves.items()):
        for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
            style: dict[str, Any] = {"color": f"C{number}", "marker": "." if len(curve["epoch"]) == 1 else None}
            axes.plot(curve["epoch"], curve[f"train_{quantity}"], linestyle="--", linewidth=1, alpha=0.8, **style)
            axes.plot(curve["epoch"], curve[f"test_{quantity}"], label=path.name, **style)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    figure.text(0.995, 0.005, "solid: test, dashed: training", ha="right", va="bottom", fontsize=8, color="0.4")
    picture = io.BytesIO()
    figure.savefig(picture, format=output.suffix[1:], dpi=110)
    write_atomically(output, picture.getvalue())
    return {"picture": str(output), "runs": {path.name: curve for path, curve in curves.items()}}


def _read(run: Run) -> dict[str, list[float]]:
    try:
        with run.metrics.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        curve = {column: [float(row[column]) for row in rows] for column in _COLUMNS}
    except FileNotFoundError:
        curve = {"epoch": []}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LarqnetsError(
            f"{run.metrics} is damaged: {error!r}. Restore it from a copy, or resume the run."
        ) from error
    if not curve["epoch"]:
        raise LarqnetsError(f"{run.path} has no finished epoch to draw. Train it first.")
    return curve
