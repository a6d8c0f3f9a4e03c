"""The script that makes the table on transfer: a row for every run, the mean and the range over the seeds of a way."""

import csv
from dataclasses import replace

import pytest
from transfer_table import TABLE, Row, asdict, lines, measured

from larqnets.runs.run import Run

ROW = Row("", "none", "", 40, 0, 10, 0.6, 0.5, 0.4)


def test_the_mean_and_the_range_over_seeds():
    transferred = replace(ROW, init_from="cifar10", options="body_rate 0.1", test_accuracy=0.9)
    rows = [ROW, transferred, replace(ROW, seed=1, test_accuracy=0.8), replace(ROW, seed=2, test_accuracy=0.8)]
    assert lines(rows)[2:] == [
        "| from scratch, augment none | 0, 1, 2 | 60.0% (60.0% to 60.0%) | 70.0% (50.0% to 80.0%) | 40.0% (40.0% to 40.0%) |",
        "| init-from cifar10, augment none, body_rate 0.1 | 0 | 60.0% (60.0% to 60.0%) | 90.0% (90.0% to 90.0%) | 40.0% (40.0% to 40.0%) |",
    ]


def test_a_run_is_measured_and_its_labels_count_alike(demo, monkeypatch, tmp_path):
    """The evaluation has its own tests; of labels with 3 and 1 images one each is right."""
    run = Run.open(demo.run)
    classes = [{"accuracy": 1 / 3}, {"accuracy": 1.0}]
    result = {"accuracy": run.card.test_accuracy, "images": 4, "classes": classes}
    monkeypatch.setattr("transfer_table.evaluate_subject", lambda path: result)
    with pytest.raises(AssertionError):  # nothing was kept to choose by
        measured(demo.run)
    monkeypatch.setattr(type(run.card), "validation_score", 0.25)
    row = measured(demo.run)
    assert (row.init_from, row.augment, row.seed, row.epochs) == ("", "none", 0, 2)
    assert row.label_accuracy == pytest.approx(2 / 3)
    TABLE.write(tmp_path / "t.csv", [asdict(row)])
    (written,) = csv.DictReader((tmp_path / "t.csv").open())
    assert float(written["label_accuracy"]) == pytest.approx(2 / 3, abs=1e-6)
