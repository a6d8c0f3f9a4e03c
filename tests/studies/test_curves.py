"""`larqnets curves`: a picture of what metrics.csv holds."""

import csv
import json

import pytest
from PIL import Image


def test_two_runs_in_one_picture(demo, cli, tmp_path):
    done = cli("curves", demo.run, "--output", tmp_path / "two.png", "--json")
    assert done.code == 0, done.err
    with (demo.run / "metrics.csv").open() as file:
        expected = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert json.loads(done.out)["runs"]["demo"]["test_accuracy"] == expected
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.size[0] > 800
        # blue is the first run's colour; its lines must be there
        colours = picture.convert("RGB").getcolors(1 << 20)
        assert sum(count for count, colour in colours if colour == (31, 119, 180)) > 100


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "has no finished epoch"), ("epoch,train_loss\n1,x\n", "is damaged"), ("epoch\n", "has no finished epoch")],
)
def test_a_run_that_cannot_be_drawn(demo, cli, tmp_path, content, words):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("card.json", "config.toml"):
        (run / name).write_bytes((demo.run / name).read_bytes())
    if content is not None:
        (run / "metrics.csv").write_text(content)
    done = cli("curves", run)
    assert done.code == 1
    assert words in done.err
    assert not (tmp_path / "curves.png").exists()


def test_an_unknown_kind_of_picture(demo, cli):
    done = cli("curves", demo.run, "--output", "curves.bmp")
    assert done.code == 1
    assert "Let it end in .png, .svg or .pdf" in done.err
