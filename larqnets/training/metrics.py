"""`metrics.csv`, one row per finished epoch, and the same numbers as TensorBoard scalars.

`parameters.csv` beside it has what a method's few learned scalars were after each epoch: gates, factors of links. A layer
that has such a scalar tells it by `reported()`: a dictionary from a name to a tensor ().
"""

import csv
import io
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.files import write_atomically
from larqnets.tasks import Metric

Row = dict[str, Any]  # "parameters": {name: value}, else a number or a word

# images_per_second covers the training steps of the epoch; seconds is the whole run so far, over all resumes.
_FORMATS = {"stage": "", "epoch": "d", "step": "d", "images_per_second": ".1f", "seconds": ".2f"}
_NUMBER = ".8g"
TIMING_COLUMNS = ("images_per_second", "seconds")


def reported(model: tf.keras.Model) -> dict[str, float]:
    """Return {"layer/name": value} of the scalars that layers report, in the order of the layers."""
    layers = [layer for layer in model.layers if hasattr(layer, "reported")]
    return {f"{layer.name}/{name}": float(value) for layer in layers for name, value in layer.reported().items()}


def columns(metric: Metric) -> list[str]:
    """Return the columns of `metrics.csv`: train_ and test_ of the loss and of every score of the metric.

    There is no train_ of a metric that is not summed while a network trains.
    """
    trained = [f"train_{name}" for name in metric.names] if metric.summed else []
    tested = [f"test_{name}" for name in metric.names]
    return ["stage", "epoch", "step", "learning_rate", "train_loss", *trained, "test_loss", *tested, *TIMING_COLUMNS]


def results_of(metric: Metric) -> list[str]:
    """Return those of the columns that a card has."""
    return ["train_loss", "test_loss", *(f"test_{name}" for name in metric.names)]


def scores_of(row: Row) -> dict[str, float]:
    """Return the scores of a row's network on the test images, by their names."""
    return {key.removeprefix("test_"): row[key] for key in row if key.startswith("test_") and key != "test_loss"}


def write_rows(path: Path, rows: list[Row], metric: Metric) -> None:
    """Replace the file by these rows, atomically."""
    heads = columns(metric)
    _write(path, [heads, *([format(row[key], _FORMATS.get(key, _NUMBER)) for key in heads] for row in rows)])


def write_parameters(path: Path, rows: list[Row]) -> None:
    """Replace the file by the rows' parameters, a line for each value, atomically; without any there is no file."""
    lines = [
        [row["epoch"], name, format(value, ".8g")]
        for row in rows
        for name, value in row.get("parameters", {}).items()  # a run of an earlier version has none
    ]
    if lines:
        _write(path, [["epoch", "name", "value"], *lines])
    else:
        path.unlink(missing_ok=True)  # of epochs behind the checkpoint that a run goes on from


def _write(path: Path, lines: list[list[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_atomically(path, text.getvalue())


class Summaries:
    """TensorBoard scalars of a run against its steps. A resumed run writes its earlier rows anew, so none is doubled."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = tf.summary.create_file_writer(str(folder))
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Write every number of a row and flush."""
        with self._writer.as_default(step=int(row["step"])):
            for name, value in {**row, **row.get("parameters", {})}.items():
                if name not in ("stage", "step", "parameters"):
                    tf.summary.scalar(name, value)
        self._writer.flush()
