"""Rows of what was measured: files of results/, and of deploy/export/ the table of stems."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from larqnets.documents import read_csv, read_json
from larqnets.errors import LarqnetsError

ROOT = Path(__file__).parents[2]
Row = Mapping[str, Any]


@functools.cache
def document(name: str) -> Any:
    """Return what a JSON file holds, named from the root of the repository; raises LarqnetsError when it cannot be read."""
    try:
        return read_json(ROOT / name)
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{name} cannot be read: {error}. Make it anew by its command.") from error


@functools.cache
def table(name: str) -> list[Row]:
    """Return the rows of a CSV file, whole numbers as int, others as float, empty cells as None; raises as `document` does."""
    return [{column: _value(cell) for column, cell in row.items()} for row in texts(name)]


def texts(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file as they are written; raises as `document` does."""
    try:
        return read_csv(ROOT / name)[1]
    except (OSError, ValueError) as error:
        raise LarqnetsError(f"{name} cannot be read: {error}. Make it anew by its command.") from error


def _value(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or None


def select(rows: Iterable[Row], **where: Any) -> list[Row]:
    """Return the rows whose columns have these values."""
    return [row for row in rows if all(row[column] == value for column, value in where.items())]


def one(rows: Iterable[Row], **where: Any) -> Row:
    """Return the only such row; raises LarqnetsError unless there is exactly one."""
    found = select(rows, **where)
    if len(found) != 1:
        raise LarqnetsError(
            f"{len(found)} rows have {where}, where the pages need one. Measure it, or mend the selection."
        )
    return found[0]
