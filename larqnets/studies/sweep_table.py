"""The table that `larqnets sweep` fills and `larqnets pareto` draws.

Its columns `test_` and `converted_test_` are called after the score by which networks of the task are ranked:
`test_accuracy` of classifiers.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from larqnets.csv_table import CsvTable

_SCORE, _CONVERTED = "test_", "converted_test_"
_NAMED = {"score": _SCORE, "converted_score": _CONVERTED}  # field -> what its column is called before the score's name


@dataclass(frozen=True)
class SweepRow:
    """A line of the table. Scores are fractions of the whole test set, `seconds` is training time over all resumes.

    Without a conversion, what is read from the converted file is None. `arm64_instructions` are those of one inference of
    the file on an emulated Cortex-A72, one thread; None where nothing can emulate it.
    """

    method: str
    backbone: str
    seed: int
    score: float
    converted_score: float | None
    file_bytes: int | None
    binary_macs: int | None
    float_macs: int | None
    seconds: float
    arm64_instructions: int | None


def sweep_table(score: str) -> CsvTable:
    """Return the kind of table for networks with this score; behind its columns stand the options that were asked for."""
    return CsvTable({_column(name, score): hint for name, hint in CsvTable.of(SweepRow).columns.items()})


def earlier_tables(score: str) -> tuple[CsvTable, CsvTable]:
    """Return what a sweep without options, and an earlier version, wrote."""
    table = sweep_table(score)
    return table, table.only(*list(table.columns)[:-1])


def cells(row: SweepRow, score: str) -> dict[str, Any]:
    """Return the row by the names of the columns."""
    return {_column(name, score): value for name, value in asdict(row).items()}


def scores_in(columns: Iterable[str]) -> list[str]:
    """Return the scores of which a table has columns."""
    return [name.removeprefix(_CONVERTED) for name in columns if name.startswith(_CONVERTED)]


def converted_column(score: str) -> str:
    """Return the column of the converted files' score."""
    return _CONVERTED + score


def _column(field: str, score: str) -> str:
    return _NAMED[field] + score if field in _NAMED else field
