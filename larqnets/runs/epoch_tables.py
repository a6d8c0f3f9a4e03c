"""The tables of a run: `metrics.csv`, a row per finished epoch, and `parameters.csv`, a row per epoch and learned scalar."""

from collections.abc import Sequence
from typing import Annotated

from larqnets.csv_table import CsvTable, Format

_Measured = Annotated[float, Format(".8g")]
_MeasuredAtTheEnd = Annotated[float | None, Format(".8g")]

TIMING_COLUMNS = ("images_per_second", "seconds")
VALIDATION, TEST = "validation_", "test_"  # of columns: before the name of a score, or "loss"
PARAMETERS = CsvTable({"epoch": int, "name": str, "value": _Measured})


def epoch_table(scores: Sequence[str], *, trained: bool = True, validated: bool = False) -> CsvTable:
    """Return the table `metrics.csv`: train_ and test_ of the loss and of every score.

    There is no train_ of scores that are not summed up while a network trains, of which `trained` is False. A run that keeps
    validation images, `validated`, also has validation_, and test_ only of an epoch whose weights were kept at its end.
    images_per_second covers the training steps of the epoch; seconds is the whole run so far, over all resumes.
    """
    tested = _MeasuredAtTheEnd if validated else _Measured
    return CsvTable(
        {
            "stage": str,
            "epoch": int,
            "step": int,
            "learning_rate": _Measured,
            "train_loss": _Measured,
            **{f"train_{name}": _Measured for name in scores if trained},
            **{f"{VALIDATION}{name}": _Measured for name in ("loss", *scores) if validated},
            **{f"{TEST}{name}": tested for name in ("loss", *scores)},
            "images_per_second": Annotated[float, Format(".1f")],
            "seconds": Annotated[float, Format(".2f")],
        }
    )
