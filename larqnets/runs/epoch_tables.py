"""The tables of a run: `metrics.csv`, a row per finished epoch, and `parameters.csv`, a row per epoch and learned scalar."""

from typing import Annotated

from larqnets.csv_table import CsvTable, Format

_Measured = Annotated[float, Format(".8g")]

# images_per_second covers the training steps of the epoch; seconds is the whole run so far, over all resumes.
METRICS = CsvTable(
    {
        "stage": str,
        "epoch": int,
        "step": int,
        "learning_rate": _Measured,
        "train_loss": _Measured,
        "train_accuracy": _Measured,
        "test_loss": _Measured,
        "test_accuracy": _Measured,
        "images_per_second": Annotated[float, Format(".1f")],
        "seconds": Annotated[float, Format(".2f")],
    }
)
TIMING_COLUMNS = ("images_per_second", "seconds")
PARAMETERS = CsvTable({"epoch": int, "name": str, "value": _Measured})
