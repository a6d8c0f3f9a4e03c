"""Typed tables: what is written is read again, what does not fit is refused, one process fills a table."""

import csv
import io
import math
from dataclasses import asdict, dataclass
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from larqnets.csv_table import CsvTable, Format
from larqnets.errors import LarqnetsError
from larqnets.files import BusyError
from larqnets.runs.epoch_tables import PARAMETERS, epoch_table
from larqnets.studies.sweep_table import earlier_tables, sweep_table


@dataclass(frozen=True)
class Row:
    name: str
    seed: int
    bytes: int | None
    accuracy: float
    cost: float | None


TABLE, EARLIER = sweep_table("accuracy"), earlier_tables("accuracy")
TABLES = {
    "row": CsvTable.of(Row),
    "sweep": TABLE,
    "metrics": epoch_table(["accuracy"]),
    "chosen": epoch_table(["accuracy"], validated=True),
    "parameters": PARAMETERS,
}
GOOD = {"name": "a", "seed": 1, "bytes": None, "accuracy": 0.5, "cost": 2.0}
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=8)
whole = st.integers(-(2**63), 2**63 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.builds(Row, text, whole, st.none() | whole, real, st.none() | real), max_size=4))
def test_rows_come_back_as_they_were_and_the_bytes_are_those_of_the_csv_module(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    TABLES["row"].write(path, map(asdict, rows))
    assert [Row(**entry) for entry in TABLES["row"].read(path)] == rows
    expected = io.StringIO()
    writer = csv.DictWriter(expected, list(GOOD), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    assert path.read_bytes() == expected.getvalue().encode()


def test_metrics_have_the_digits_that_they_always_had(tmp_path):
    row = {
        **{
            "stage": "train",
            "epoch": 2,
            "step": 42,
            "learning_rate": 0.1 / 3,
            "train_loss": 2 / 3,
            "train_accuracy": 1,
        },
        **{"test_loss": 1e-9, "test_accuracy": 1 / 3, "images_per_second": 1234.56, "seconds": 3},
    }
    epoch_table(["accuracy"]).write(tmp_path / "m.csv", [row])
    assert (tmp_path / "m.csv").read_text() == (
        "stage,epoch,step,learning_rate,train_loss,train_accuracy,test_loss,test_accuracy,images_per_second,seconds\n"
        "train,2,42,0.033333333,0.66666667,1,1e-09,0.33333333,1234.6,3.00\n"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "1"}, "the column seed takes int, not '1'"),
        ({"seed": True}, "the column seed takes int"),
        ({"seed": 1.0}, "the column seed takes int"),
        ({"seed": None}, "the column seed takes int"),
        ({"accuracy": "0.5"}, "the column accuracy takes float"),
        ({"name": 3}, "the column name takes str"),
        ({"more": 1}, "a row has the columns .*more"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_file_stays(tmp_path, change, words):
    path = tmp_path / "t.csv"
    TABLES["row"].write(path, [GOOD])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        TABLES["row"].write(path, [GOOD, GOOD | change])
    with pytest.raises(ValueError, match="a row has the columns"):
        TABLES["row"].write(path, [{"name": "a"}])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,seed\na,1\n", "it has no column bytes"),
        ("name,seed,bytes,accuracy,cost\na,1,,0.5\n", "another number of fields"),
        ("name,seed,bytes,accuracy,cost\na,1.5,,0.5,\n", "'1.5' is no whole number"),
        ("name,seed,bytes,accuracy,cost\na,,,0.5,\n", "'' is no whole number"),
        ("name,seed,bytes,accuracy,cost\na,1,,nan,\n", "'nan' is no number"),
        ("name,seed,bytes,accuracy,cost\na,1,,,\n", "'' is no number"),
        ('name,seed,bytes,accuracy,cost\n"a,1,,0.5,\n', "line"),
    ],
)
def test_a_file_that_is_no_such_table_is_a_phrase(tmp_path, content, words):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        TABLES["row"].read(tmp_path / "t.csv")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_found_by_name_in_any_order_among_others(tmp_path, table):
    names = list(table.columns)
    cells = dict.fromkeys(names, "1") | {"extra": "x"}
    order = ["extra", *reversed(names)]
    (tmp_path / "t.csv").write_text(",".join(order) + "\n" + ",".join(cells[name] for name in order) + "\n")
    (row,) = table.only(names[-1], names[0]).with_texts(["extra"]).read(tmp_path / "t.csv")
    assert list(row) == [names[-1], names[0], "extra"]
    assert row["extra"] == "x"
    assert math.isclose(float(row[names[-1]]), 1)


def test_one_process_fills_a_table(tmp_path):
    path = tmp_path / "results/t.csv"
    with TABLE.filling(path, "the table of a sweep"):
        assert not path.exists()
        with pytest.raises(BusyError, match="is being written by another process"), TABLE.filling(path, "it"):
            pass
    with TABLE.filling(path, "the table of a sweep"):
        TABLE.write(path, [])
    assert path.read_text() == TABLE.head + "\n"
    assert [p.name for p in path.parent.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n", "is there and is not the table of a sweep. Choose another file with --csv"),
        (b"\xff\n", "is there and is not a CSV file. Choose another file with --csv"),
        ((TABLE.head + ",t_min\n").encode(), "is not the table of a sweep"),
    ],
)
def test_what_is_not_the_table_is_not_replaced(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(LarqnetsError, match=words), TABLE.filling(path, "the table of a sweep", EARLIER):
        path.write_bytes(b"")
    assert path.read_bytes() == content


def test_earlier_forms_of_a_table_are_taken(tmp_path):
    path = tmp_path / "t.csv"
    for earlier in EARLIER:
        path.write_text(earlier.head + "\n")
        with TABLE.with_texts(["k"]).filling(path, "the table of a sweep", EARLIER):
            pass


@pytest.mark.parametrize("hint", [Annotated[float | None, Format(".3g")], Annotated[float, Format(".3g")] | None])
def test_a_format_is_for_writing_alone(tmp_path, hint):
    table = CsvTable({"value": hint})
    table.write(tmp_path / "t.csv", [{"value": 1 / 3}, {"value": None}])
    assert (tmp_path / "t.csv").read_text() == 'value\n0.333\n""\n'
    assert table.read(tmp_path / "t.csv") == [{"value": 0.333}, {"value": None}]
