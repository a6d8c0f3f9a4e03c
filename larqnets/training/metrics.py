"""`metrics.csv`, one row per finished epoch, and the same numbers as TensorBoard scalars.

`parameters.csv` beside it has what a method's few learned scalars were after each epoch: gates, factors of links. A layer
that has such a scalar tells it by `reported()`: a dictionary from a name to a tensor ().
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.runs.epoch_tables import PARAMETERS, TEST, epoch_table
from larqnets.tasks import Metric
from larqnets.training.evaluation import Scores

MetricsRow = dict[str, Any]  # "parameters": {name: value}, else a number or a word


def reported(model: tf.keras.Model) -> dict[str, float]:
    """Return {"layer/name": value} of the scalars that layers report, in the order of the layers."""
    layers = [layer for layer in model.layers if hasattr(layer, "reported")]
    return {f"{layer.name}/{name}": float(value) for layer in layers for name, value in layer.reported().items()}


def results_of(metric: Metric) -> list[str]:
    """Return those of the columns of `metrics.csv` that a card has."""
    return ["train_loss", "test_loss", *(f"test_{name}" for name in metric.names)]


def measured(scores: Scores, split: str) -> MetricsRow:
    """Return the part of a row that was measured on a split, TEST or VALIDATION."""
    return {f"{split}loss": scores.loss, **{f"{split}{name}": value for name, value in scores.scores.items()}}


def scores_of(row: MetricsRow, split: str = TEST) -> dict[str, float]:
    """Return the scores of a row's network on the images of a split, by their names; none where it was not measured."""
    found = {key.removeprefix(split): row[key] for key in row if key.startswith(split) and key != f"{split}loss"}
    return {name: value for name, value in found.items() if value is not None}


def write_rows(path: Path, rows: list[MetricsRow], metric: Metric, *, validated: bool = False) -> None:
    """Replace the file by these rows, atomically."""
    table = epoch_table(metric.names, trained=metric.summed, validated=validated)
    table.write(path, [{name: row[name] for name in table.columns} for row in rows])


def write_parameters(path: Path, rows: list[MetricsRow]) -> None:
    """Replace the file by the rows' parameters, a line for each value, atomically; without any there is no file."""
    lines = [
        {"epoch": row["epoch"], "name": name, "value": value}
        for row in rows
        for name, value in row.get("parameters", {}).items()  # a run of an earlier version has none
    ]
    if lines:
        PARAMETERS.write(path, lines)
    else:
        path.unlink(missing_ok=True)  # of epochs behind the checkpoint that a run goes on from


class Summaries:
    """TensorBoard scalars of a run against its steps. A resumed run writes its earlier rows anew, so none is doubled."""

    def __init__(self, folder: Path, rows: list[MetricsRow]) -> None:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = tf.summary.create_file_writer(str(folder))
        for row in rows:
            self.add(row)

    def add(self, row: MetricsRow) -> None:
        """Write every number of a row, or of a part of it with its step, and flush."""
        with self._writer.as_default(step=int(row["step"])):
            for name, value in {**row, **row.get("parameters", {})}.items():
                if name not in ("stage", "step", "parameters") and value is not None:
                    tf.summary.scalar(name, value)
        self._writer.flush()
