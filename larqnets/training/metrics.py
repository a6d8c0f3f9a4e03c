"""`metrics.csv`, one row per finished epoch, and the same numbers as TensorBoard scalars."""

import csv
import io
from pathlib import Path

import tensorflow as tf

from larqnets.run_folder import write_atomically

Row = dict[str, float | int | str]

# images_per_second covers the training steps of the epoch; seconds is the whole run so far, over all resumes.
_FORMATS = {
    "stage": "",
    "epoch": "d",
    "step": "d",
    "learning_rate": ".8g",
    "train_loss": ".8g",
    "train_accuracy": ".8g",
    "test_loss": ".8g",
    "test_accuracy": ".8g",
    "images_per_second": ".1f",
    "seconds": ".2f",
}
TIMING_COLUMNS = ("images_per_second", "seconds")


def write_rows(path: Path, rows: list[Row]) -> None:
    """Replace the file by these rows, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FORMATS)
    writer.writerows([format(row[column], spec) for column, spec in _FORMATS.items()] for row in rows)
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
            for name, value in row.items():
                if name not in ("stage", "step"):
                    tf.summary.scalar(name, value)
        self._writer.flush()
