"""Segmenters through `sweep`, `curves`, `pareto` and `benchmark`: everywhere the score is mIoU, and it is the run's."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from larqnets.runs.run import Run

CONFIG = Path(__file__).parents[2] / "configs/nuclei/nuclei_birealnet.toml"
TINY = ("--set", "train.epochs=1", "--set", "data.image_size=32", "--set", "model.width=0.125")


@pytest.fixture(scope="module")
def swept(tmp_path_factory, forked):
    """A binary segmenter of nuclei and its real twin."""
    folder = tmp_path_factory.mktemp("segmenters")
    text = CONFIG.read_text()
    (folder / "nuclei_real.toml").write_text(text.replace('method = "birealnet"', 'method = "real"'))
    done = forked("sweep", "nuclei_birealnet", "nuclei_real.toml", *TINY, "--csv", "t.csv", "--json", cwd=folder)
    assert done.code == 0, done.err
    runs = [folder / f"runs/{name}-seed0" for name in ("nuclei_birealnet", "nuclei_real")]
    return SimpleNamespace(folder=folder, result=json.loads(done.out), runs=runs)


def test_the_table_has_the_miou_of_the_runs_and_of_their_files(swept):
    with (swept.folder / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["birealnet", "real"]
    assert not [column for column in rows[0] if "accuracy" in column]
    for row, run in zip(rows, swept.runs, strict=True):
        card = Run.open(run).card
        assert float(row["test_miou"]) == card.scores["miou"]
        assert float(row["validation_miou"]) == card.chosen.validation_scores["miou"]
        assert float(row["converted_test_miou"]) == card.converted_scores["miou"]
        assert card.converted_test_images == 60
        assert [(each.name, each.licence) for each in card.history] == [("nuclei", "CC0 1.0")]
    assert swept.result["score"] == "miou"
    best = max(swept.runs, key=lambda run: Run.open(run).card.chosen.validation_scores["miou"])
    assert swept.result["chosen"]["run"].endswith(best.name)


def test_curves_and_pareto_draw_miou(swept, cli, tmp_path):
    done = cli("curves", *swept.runs, "--output", tmp_path / "curves.png", "--json")
    assert done.code == 0, done.err
    for run in swept.runs:
        (drawn,) = json.loads(done.out)["runs"][run.name]["test_miou"]
        assert drawn == pytest.approx(Run.open(run).card.scores["miou"], abs=1e-6)  # as metrics.csv rounds it
    done = cli("pareto", swept.folder / "t.csv", "--cost", "file_bytes", "--output", tmp_path / "pareto.png", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["score"] == "miou"
    assert {point["method"] for point in found["points"]} == {"birealnet", "real"}
    assert all(0 <= point["miou"] <= 1 for point in found["points"])
    for name in ("curves", "pareto"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size[0] > 700


def test_classifiers_and_segmenters_are_not_drawn_together(swept, demo, cli, tmp_path):
    done = cli("curves", swept.runs[0], demo.run, "--output", tmp_path / "curves.png")
    assert done.code == 1
    assert "told by different scores, accuracy and miou. Draw them apart" in done.err


def test_a_segmenter_is_counted_and_its_record_has_its_miou(swept, bundle, cli, tmp_path):
    file = swept.runs[0] / "arm64/binary.tflite"
    record = json.loads(cli("benchmark", file, "--device", "qemu", "--rounds", "1", "-o", tmp_path, "--json").out)
    (model,) = record["models"]
    card = Run.open(swept.runs[0]).card
    assert (model["score"], model["accuracy"]) == ("miou", card.converted_scores["miou"])
    assert model["equality"]["equal"] is True
    (path,) = tmp_path.glob("*.json")
    assert cli("report", path, "--html", tmp_path / "x.html").code == 0
    page = (tmp_path / "x.html").read_text()
    assert 'data-label="miou"' in page
    assert f"{model['accuracy']:.2%}" in page.replace("\xa0", " ")
