"""JSON, TOML and CSV of strangers: read within limits, so that whatever works on the values need not fear them.

A document is at most MAX_DEPTH deep; its whole numbers fit into 64 bits, its other numbers are finite, its texts are
Unicode without NUL. What is not so raises ValueError with a phrase that fits behind "is damaged: ".
"""

import csv
import io
import json
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from larqnets.errors import printable

MAX_BYTES = 256 * 2**20
MAX_DEPTH = 32
_MAX_INT = 2**63

# A TOML key of very many parts, which tomllib needs quadratic time for.
_LONG_KEY = re.compile(
    r"(?<![\w-])(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){%d}" % MAX_DEPTH  # noqa: UP031
)


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return the text of a UTF-8 file; raises OSError when it cannot be read, ValueError when it is none or over `limit`."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; raises OSError when it cannot be read, ValueError when it is not proper."""
    return parse_json(read_text(path))


def parse_json(text: str, *, shown: bool = False) -> Any:
    """Return the value of a JSON text; raises ValueError when it is not proper.

    `shown`: its texts are for people, of devices and strangers' files: they are made printable, whatever they hold.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=finite_number, parse_int=_whole)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if shown:
        return _printable(_check(value, any_text=True))
    return checked(value)


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raises tomllib.TOMLDecodeError for its syntax, ValueError for what is over a limit."""
    if _LONG_KEY.search(text):
        raise ValueError(_TOO_DEEP)
    try:
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise ValueError("it holds a number or a date that cannot be") from error
    return checked(tables)


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header of a CSV file and its rows by column.

    Raises OSError when it cannot be read, ValueError for a row of fewer or more fields than the header, or a damaged one.
    """
    return parse_csv(read_text(path))


def parse_csv(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return what `read_csv` does, of a text."""
    lines = [fields for _, fields in csv_lines(text)]
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a line has another number of fields than the first")
    return header, checked([dict(zip(header, row, strict=True)) for row in rows])


def csv_lines(text: str, delimiter: str = ",", *, stripped: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of every line that is not empty, the number that of its end; `stripped` of spaces around them.

    Raises ValueError for a damaged line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=stripped, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, checked([field.strip() for field in fields] if stripped else fields)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def finite_number(text: str) -> float:
    """Return the finite number that a text is; raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{_short(text)!r} is no number, or too large a one")
    return value


def whole_number(text: str) -> int:
    """Return the whole number of 64 bits that a text is; raises ValueError."""
    return _whole(text.strip())


def checked(value: Any) -> Any:
    """Return a value of a document as it is; raises ValueError when it breaks a limit of this module."""
    return _check(value, any_text=False)


def _check(value: Any, *, any_text: bool) -> Any:
    check_text = (lambda text: None) if any_text else _check_text
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                check_text(item)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise ValueError(f"{item} is no number")
            elif isinstance(item, int):
                if not -_MAX_INT <= item < _MAX_INT:
                    raise ValueError("a whole number in it is too large")
            elif isinstance(item, dict):
                for key in item:
                    check_text(key)
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return value
        level = inner
    raise ValueError(_TOO_DEEP)


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(key): _printable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_printable(entry) for entry in value]
    return printable(value) if isinstance(value, str) else value


_TOO_DEEP = f"it is nested too deep, over {MAX_DEPTH} levels"


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text in it holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("a text in it is not Unicode") from error


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or not -_MAX_INT <= (value := int(text)) < _MAX_INT:
        raise ValueError(f"{_short(text)!r} is no whole number, or too large a one")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}..."
