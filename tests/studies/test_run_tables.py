"""Tables of finished runs, which are filled as runs are trained: months may lie between two rows."""

from dataclasses import dataclass

import pytest
from run_tables import write_rows

from larqnets.csv_table import CsvTable
from larqnets.errors import LarqnetsError


@dataclass(frozen=True)
class Row:
    """A file of a run."""

    run: str
    variant: str
    score: float


TABLE = CsvTable.of(Row)
KEY = ("run", "variant")


def runs(tmp_path):
    """A binary run and its real twin, converted."""
    for name, files in {"binary": ["binary", "float"], "real": ["float", "int8"]}.items():
        (tmp_path / name / "arm64").mkdir(parents=True)
        for file in files:
            (tmp_path / name / "arm64" / f"{file}.tflite").touch()
    return {name: str(tmp_path / name) for name in ("binary", "real")}


def written(tmp_path):
    return [(row["run"], row["variant"], row["score"]) for row in TABLE.read(tmp_path / "table.csv")]


def test_rows_of_other_runs_stay_and_a_run_measured_again_keeps_its_place(tmp_path, capsys):
    folders, path = runs(tmp_path), str(tmp_path / "table.csv")
    write_rows(TABLE, path, [folders["real"]], KEY, lambda run, file: Row(run.name, file.stem, 0.5))
    write_rows(TABLE, path, [folders["binary"]], KEY, lambda run, file: Row(run.name, file.stem, 0.25))
    write_rows(TABLE, path, [folders["real"]], KEY, lambda run, file: Row(run.name, file.stem, 0.75))
    assert written(tmp_path) == [("real", "float", 0.75), ("real", "int8", 0.75), ("binary", "binary", 0.25)]
    assert capsys.readouterr().out.count("'score': 0.75") == 2


def test_what_was_measured_before_a_failure_is_kept(tmp_path):
    folders, path = runs(tmp_path), str(tmp_path / "table.csv")

    def measured(run, file):
        if file.stem == "int8":
            raise RuntimeError("no runtime")
        return Row(run.name, file.stem, 0.5)

    with pytest.raises(RuntimeError, match="no runtime"):
        write_rows(TABLE, path, [folders["real"]], KEY, measured)
    assert written(tmp_path) == [("real", "float", 0.5)]


def test_a_second_process_is_told_that_the_table_is_being_filled(tmp_path):
    folders, path = runs(tmp_path), str(tmp_path / "table.csv")

    def measured(run, file):
        with pytest.raises(LarqnetsError, match=r"table\.csv"):
            write_rows(TABLE, path, [folders["binary"]], KEY, lambda run, file: Row(run.name, file.stem, 0.5))
        return Row(run.name, file.stem, 0.25)

    write_rows(TABLE, path, [folders["real"]], KEY, measured)
    assert written(tmp_path) == [("real", "float", 0.25), ("real", "int8", 0.25)]
