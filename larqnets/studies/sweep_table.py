"""The table that `larqnets sweep` fills and `larqnets pareto` draws.

Its columns `test_` and `converted_test_` are called after the score by which networks of the task are ranked:
`test_accuracy` of classifiers. A sweep with experiments that keep validation images also has the column `validation_`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from larqnets.csv_table import CsvTable

_SCORE, _CONVERTED, _VALIDATION = "test_", "converted_test_", "validation_"
_NAMED = {
    "score": _SCORE,
    "converted_score": _CONVERTED,
    "validation_score": _VALIDATION,
}  # field -> what its column is called before the score's name


@dataclass(frozen=True)
class SweepRow:
    """A line of the table. Scores are fractions of the whole test set, `seconds` is training time over all resumes.

    `validation_score` is None without validation images, and without a conversion what is read from the converted file.
    `arm64_instructions` are those of one inference of
    the file on an emulated Cortex-A72, one thread; None where nothing can emulate it.
    """

    method: str
    backbone: str
    seed: int
    validation_score: float | None
    score: float
    converted_score: float | None
    file_bytes: int | None
    binary_macs: int | None
    float_macs: int | None
    seconds: float
    arm64_instructions: int | None


def sweep_table(score: str, *, validated: bool = False) -> CsvTable:
    """Return the kind of table for networks with this score; behind its columns stand the options that were asked for.

    `validated`: some of them keep validation images.
    """
    columns = CsvTable.of(SweepRow).columns
    return CsvTable({_column(name, score): columns[name] for name in _fields(columns, validated)})


def earlier_tables(score: str) -> tuple[CsvTable, ...]:
    """Return what a sweep without options, or of networks without validation images, and an earlier version wrote."""
    table = sweep_table(score)
    return sweep_table(score, validated=True), table, table.only(*list(table.columns)[:-1])


def cells(row: SweepRow, score: str, *, validated: bool) -> dict[str, Any]:
    """Return the row by the names of the columns of `sweep_table`."""
    values = asdict(row)
    return {_column(name, score): values[name] for name in _fields(values, validated)}


def scores_in(columns: Iterable[str]) -> list[str]:
    """Return the scores of which a table has columns."""
    return [name.removeprefix(_CONVERTED) for name in columns if name.startswith(_CONVERTED)]


def converted_column(score: str) -> str:
    """Return the column of the converted files' score."""
    return _CONVERTED + score


def validation_column(score: str) -> str:
    """Return the column of the score on the validation images."""
    return _VALIDATION + score


def _fields(names: Iterable[str], validated: bool) -> list[str]:
    return [name for name in names if validated or name != "validation_score"]


def _column(field: str, score: str) -> str:
    return _NAMED[field] + score if field in _NAMED else field
