"""`larqnets evaluate` of a detector's file: its scores, its errors by kinds, and the sheet of its worst images."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from box_files import CELL, HEIGHT, WIDTH, box_file
from colours import LABELS, PURE
from PIL import Image

# Of every image what is painted and what its boxes say: colours in cells (row, column). Grey is nothing.
RIGHT = {(0, 0): "red", (1, 2): "blue"}
IMAGES = {
    "train/a": (RIGHT, RIGHT),
    "test/a": (RIGHT, RIGHT),
    "test/b": ({(0, 1): "green"}, {(0, 1): "green", (1, 1): "red"}),  # one is missed
    "test/c": ({(0, 1): "red", (1, 0): "blue"}, {(0, 1): "green"}),  # a wrong class, one on background
    "test/d": ({}, {}),
}


@pytest.fixture
def things(tmp_path) -> Path:
    """A folder with YOLO's text files, images four times as large as the network's."""
    for name, (painted, said) in IMAGES.items():
        split, _, stem = name.partition("/")
        for kind in ("images", "labels"):
            (tmp_path / "things" / split / kind).mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (4 * WIDTH, 4 * HEIGHT), (120, 120, 120))
        for (row, column), color in painted.items():
            picture.paste(PURE[color], tuple(4 * CELL * n for n in (column, row, column + 1, row + 1)))
        picture.save(tmp_path / "things" / split / "images" / f"{stem}.png")
        lines = [
            f"{LABELS.index(label)} {(column + 0.5) / 3} {(row + 0.5) / 2} {1 / 3} {1 / 2}\n"
            for (row, column), label in said.items()
        ]
        (tmp_path / "things" / split / "labels" / f"{stem}.txt").write_text("".join(lines))
    (tmp_path / "things" / "classes.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (tmp_path / "d.tflite").write_bytes(box_file())
    return tmp_path / "things"


def test_a_file_is_scored_and_its_errors_are_told(cli, things, monkeypatch):
    monkeypatch.setattr("deploy.proof.evaluation.CHILD", None)
    asked = ("--sheet", "worst.png", "--wrong", "wrong.csv", "--confusion", "confusion.png")
    done = cli("evaluate", "d.tflite", "--dataset", "folder:things", *asked, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    scores = said["scores"]
    # red: found in a, missed in b, an alarm in c that is less sure than no hit; green: found in b, missed in c; blue: a hit
    assert (scores["ap50_green"], scores["ap50_blue"]) == (pytest.approx(0.5), pytest.approx(1))
    assert scores["map50"] == pytest.approx(np.mean([scores[f"ap50_{label}"] for label in LABELS]))
    assert scores["map"] == pytest.approx(
        scores["map50"], abs=0.01
    )  # boxes are exact; 101 recalls are not quite the area
    assert (said["map50"], said["precision"], said["recall"]) == (scores["map50"], 3 / 5, 3 / 5)
    kinds = {
        row["label"]: {kind: n for kind, n in row.items() if n and kind not in ("label", "ap50")}
        for row in said["classes"]
    }
    assert kinds == {
        "red": {"images": 2, "objects": 2, "missed": 1, "wrong_class": 1},
        "green": {"images": 2, "objects": 2, "missed": 1},
        "blue": {"images": 1, "objects": 1, "background": 1},
    }
    assert said["confusion"]["of"] == "objects"
    assert said["confusion"]["labels"] == [*LABELS, "nothing"]
    assert said["confusion"]["counts"] == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    with Path("wrong.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"].rpartition("/")[2] for row in rows] == ["c.png", "b.png"]  # the worst first
    with Image.open("worst.png") as sheet:
        assert sheet.width > 4 * 400  # image, truth, answer and errors, large enough to be read
    assert Path("confusion.png").stat().st_size > 0


def test_what_people_read(cli, things, monkeypatch):
    monkeypatch.setattr("deploy.proof.evaluation.CHILD", None)
    done = cli("evaluate", "d.tflite", "--dataset", "folder:things")
    assert done.code == 0, done.err
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any(line.startswith("map50 ") and line.endswith("%") for line in lines)
    assert not any(line.startswith("ap50 red") for line in lines)  # it stands in the table of classes
    assert (
        "label images objects missed wrong class badly placed duplicate background ap50 most often taken for" in lines
    )
    assert any(line.endswith("nothing, 1 object") for line in lines)
    assert "with wrong objects: 2 of 4 images; --wrong CSV lists them, --sheet PNG shows them" in lines
    assert "1 of a wrong class" in " ".join(lines)
