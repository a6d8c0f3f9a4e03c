"""What the tables of finished runs share: which files are measured, and that every row is kept as soon as it is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from larqnets.csv_table import CsvTable


def write_rows(
    table: CsvTable, path: str, runs: Sequence[str], key: Sequence[str], measured: Callable[[Path, Path], Any]
) -> None:
    """Write a row of every file of every run: the binary one, or those of a run that has none, its float and its int8 file.

    A row that the table has already, by its columns `key`, is replaced; others stay: not all runs are there at one time.
    """
    place = Path(path)
    with table.filling(place, "a table of runs"):
        earlier = table.read(place) if place.exists() else []
        rows = {tuple(row[name] for name in key): row for row in earlier}
        for run in map(Path, runs):
            for file in _files_of(run):
                row = asdict(measured(run, file))
                rows[tuple(row[name] for name in key)] = row
                table.write(place, rows.values())
                print(f"{file}: {row}", flush=True)


def _files_of(run: Path) -> list[Path]:
    """Return the files that have the weights of the run itself, not those of a twin."""
    folder = run / "arm64"
    binary = folder / "binary.tflite"
    return [binary] if binary.exists() else [folder / f"{name}.tflite" for name in ("float", "int8")]
