"""Tables as CSV files: typed columns by name, filled row by row by one process, read again by it or by others.

A cell of a column of type `X | None` may be empty. A file is always whole: with every row it is written anew beside its
place and renamed.
"""

import contextlib
import csv
import dataclasses
import io
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from larqnets.documents import finite_number, read_csv, read_text, whole_number
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, locked, write_atomically

_READERS = {str: str, int: whole_number, float: finite_number}


@dataclass(frozen=True)
class Format:
    """How the numbers of a column are written, e.g. Annotated[float, Format(".8g")]; else as Python shows them."""

    spec: str


@dataclass(frozen=True)
class CsvTable:
    """A kind of table. `columns`: name -> str, int, float, one of them with `| None` or a Format, or Any: any text."""

    columns: Mapping[str, Any]

    @classmethod
    def of(cls, row: type) -> Self:
        """Return the table whose rows are those of a dataclass."""
        hints = typing.get_type_hints(row, include_extras=True)
        return cls({field.name: hints[field.name] for field in dataclasses.fields(row)})

    def with_texts(self, names: Iterable[str]) -> Self:
        """Return the table with columns of any text behind its own."""
        return type(self)({**self.columns, **dict.fromkeys(names, Any)})

    def only(self, *names: str) -> Self:
        """Return the table with these of its columns."""
        return type(self)({name: self.columns[name] for name in names})

    @property
    def head(self) -> str:
        """The first line of a file."""
        return ",".join(self.columns)

    def read(self, path: Path) -> list[dict[str, Any]]:
        """Return the rows of a file, which may have further columns.

        Raises OSError when it cannot be read, ValueError for a missing column and a cell of another type, with a phrase
        that fits behind "is damaged: ".
        """
        _, rows = read_csv(path)
        return [{name: _read(name, hint, row) for name, hint in self.columns.items()} for row in rows]

    def write(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the file by these rows, atomically.

        Raises ValueError for a row of other columns or a value of another type than its column has, LarqnetsError when it
        cannot be written.
        """
        lines = [list(self.columns)]
        for row in rows:
            if row.keys() != self.columns.keys():
                raise ValueError(f"a row has the columns {', '.join(row)}, the table {', '.join(self.columns)}")
            lines.append([_written(name, hint, row[name]) for name, hint in self.columns.items()])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        write_atomically(path, text.getvalue())

    @contextlib.contextmanager
    def filling(self, path: Path, what: str, earlier: Iterable[Self] = ()) -> Iterator[None]:
        """Keep other processes from a file that the block fills; its folder is made.

        Raises LarqnetsError when another process fills it, it cannot be written, or what is there is neither this table
        nor an earlier form of it; `what` it is for people: "the table of a sweep".
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        with locked(path):
            head = _head(path)
            if head and head not in (self.head, *(table.head for table in earlier)):
                raise LarqnetsError(f"{path} is there and is not {what}. Choose another file with --csv.")
            yield


def _head(path: Path) -> str:
    """Return the first line of a file, "" where there is none yet."""
    try:
        return read_text(path).partition("\n")[0].strip() if path.is_file() else ""
    except ValueError as error:
        raise LarqnetsError(f"{path} is there and is not a CSV file. Choose another file with --csv.") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _plain(hint: Any) -> tuple[type | None, bool, str]:
    """Return the type of a column, None for any; whether its cells may be empty; how it is written."""
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        kind, may_be_empty, _ = _plain(inner)
        return kind, may_be_empty, next((note.spec for note in notes if isinstance(note, Format)), "")
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (some,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
        kind, _, spec = _plain(some)
        return kind, True, spec
    return None if hint is Any else hint, False, ""


def _read(name: str, hint: Any, row: Mapping[str, str]) -> Any:
    if name not in row:
        raise ValueError(f"it has no column {name}")
    kind, may_be_empty, _ = _plain(hint)
    text = row[name]
    return None if may_be_empty and not text else _READERS[kind or str](text)


def _written(name: str, hint: Any, value: Any) -> Any:
    """Return what the CSV writer takes: text, or a number that it shows as Python does; None is an empty cell."""
    kind, may_be_empty, spec = _plain(hint)
    if kind is None or (value is None and may_be_empty):
        return value
    if not isinstance(value, (float, int) if kind is float else kind) or isinstance(value, bool):
        raise ValueError(f"the column {name} takes {kind.__name__}, not {value!r}")
    return format(value, spec) if spec else value
