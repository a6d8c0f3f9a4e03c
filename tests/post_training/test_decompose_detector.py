"""Decomposition of SSD: judged by mAP on images that are no test images, its head decomposed, at int8 or left float."""

import json

import numpy as np
import pytest
import small_backbones
from boxed import write_folder

from larqnets.data.info import IMAGE
from larqnets.post_training import network as net
from larqnets.post_training.judge import Judge
from larqnets.reporter import SILENT
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.training import load_trained_model
from larqnets.training.launch import launch

TOML = """
[model]
method = "real"
backbone = "vgg3"
width = 2.0
[data]
dataset = "folder:{data}"
image_size = 48
image_width = 64
own_validation = true
[task]
kind = "detection"
detector = "ssd"
levels = 2
sizes = [0.2, 0.4, 0.7]
[train]
epochs = 25
batch_size = 8
learning_rate = 0.01
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with images with boxes and a run of a small SSD that has learned something."""
    folder = tmp_path_factory.mktemp("home")
    write_folder(folder / "data", "yolo beside", (("train", 24), ("val", 8), ("test", 6)), (48, 64))
    (folder / "ssd.toml").write_text(TOML.format(data=folder / "data"))
    with small_backbones.registered():
        launch(Order(str(folder / "ssd.toml"), "ssd", folder / "runs"), SILENT)
    return folder


@pytest.fixture
def runs(home, cli, tmp_path):
    (tmp_path / "runs").symlink_to(home / "runs")
    with small_backbones.registered():
        yield home / "runs"


def is_head(name: str) -> bool:
    return name.startswith("mbox")


@pytest.mark.parametrize("kept", ["decomposed", "int8", "float"])
def test_heads_are_decomposed_or_at_int8_or_float_and_both_sums_are_said(cli, runs, kept):
    options = () if kept == "decomposed" else (f"--keep-{kept}", "mbox*")
    done = cli("decompose", "runs/ssd", "--target-bits", "4.4", *options, "--name", kept, "--json")
    assert done.code == 0, done.err
    card, was, now = json.loads(done.out), *(load_trained_model(Run.open(runs / n)) for n in ("ssd", kept))
    before, after = (net.float_values(net.find_kernels(model)) for model in (was, now))
    heads = [name for name in before if is_head(name)]
    assert len(heads) == 4
    counted = [name for name in before if kept == "decomposed" or not is_head(name)]
    assert card["weights"] == sum(before[name].size for name in counted)
    rows = {row["layer"]: row for row in card["layers"]}
    assert list(rows) == (counted if kept == "float" else list(before))
    assert 8 * sum(rows[name]["file_bytes"] for name in counted) / card["weights"] == pytest.approx(4.4, abs=0.1)
    kernels = sum(value.size for value in before.values())
    floats = card["parameters"] - sum(row["weights"] for row in rows.values())
    bits = 8 * (sum(row["file_bytes"] for row in rows.values()) + 4 * floats) / kernels
    assert card["file_bits_per_weight"] == pytest.approx(bits)
    assert card["file_bits_per_weight"] > card["bits_per_weight"]
    for name in before:
        steps = len(np.unique(after[name]))
        same = np.array_equal(before[name], after[name])
        assert same == (kept == "float" and is_head(name))
        assert same or steps <= (2 * 127 + 1) * (after[name].shape[-1] if kept == "int8" else 1)
    assert card["headline"] == "map50"
    assert card["float_map50"] == Run.open(runs / "ssd").card.score
    assert 0 <= card["test_map50"] <= 1
    assert card["left_out"] == []


def test_the_loss_of_map_is_measured_on_validation_images(cli, runs):
    done = cli("decompose", "runs/ssd", "--max-drop", "5", "--keep-int8", "mbox*", "--name", "drop", "--json")
    assert done.code == 0, done.err
    found, subject = json.loads(done.out)["search"], open_subject(runs / "ssd")
    kept = subject.images.samples(99, "validation")
    assert (found["validation_images"], len(kept[IMAGE])) == (8, 8)
    judge = Judge(subject.model, subject.task, subject.images.info)
    assert found["calibration_map50"] == pytest.approx(judge.score(kept))
    assert found["calibration_map50"] > 0.1  # of next to nothing before it learns
    assert min(trial["drop"] for trial in found["trials"]) <= 5
    shown = cli("decompose", "runs/ssd", "--max-drop", "5", "--keep-int8", "mbox*", "--name", "shown")
    assert "of at most 5 points of map50 on 8 validation images" in " ".join(shown.out.split())
