"""Trainings of segmenters: killed and resumed bit for bit, in stages, by several workers; scores, card, evaluation."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from masked import NAMES, write_folder
from PIL import Image

from deploy.proof.evaluation import WIDE_TILE
from larqnets.cli.preflight import check_train
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.weights import load_trained_model
from larqnets.studies.curves import draw_curves
from larqnets.training import TrainingInterruptedError
from larqnets.training.launch import launch

from .test_distribution import Pair, finish
from .test_loop import same_bits

TOML = """
[model]
method = "{method}"
backbone = "resnet5"
[data]
dataset = "folder:{root}"
image_size = 16
image_width = 24
random_scale = [0.5, 2.0]
flip = true
[task]
kind = "segmentation"
class_weights = "median_frequency"
[train]
epochs = 2
batch_size = 4
learning_rate = 0.01
schedule = "poly"
head_rate = 10.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images with masks, and a config beside it."""
    root = tmp_path_factory.mktemp("masks")
    write_folder(root / "data", (("train", 11), ("test", 3)))
    (root / "cells.toml").write_text(TOML.format(root=root / "data", method="birealnet"))
    return root


def order(folder, name, *overrides, **options):
    return Order(str(folder / "cells.toml"), name, folder / "runs", list(overrides), **options)


@pytest.fixture(scope="module")
def whole(folder) -> Run:
    return launch(order(folder, "whole"), SILENT)


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics.open() as file:
        return [
            {k: v for k, v in row.items() if k not in ("images_per_second", "seconds")} for row in csv.DictReader(file)
        ]


def test_scores_stand_in_the_tables_and_in_the_card(whole):
    first, last = rows(whole)
    for split in ("train", "test"):
        for name in ("loss", "miou", "pixel_accuracy", "class_accuracy"):
            assert np.isfinite(float(last[f"{split}_{name}"]))
    assert float(last["train_loss"]) < float(first["train_loss"])
    card = whole.card
    assert (card.headline, card.score) == ("miou", pytest.approx(float(last["test_miou"])))
    assert {f"iou_{name}" for name in NAMES} <= set(card.scores)
    assert card.images is not None
    assert card.images.labels == NAMES
    (curve,) = draw_curves([whole.path], whole.path.parent.parent / "curves.png")["runs"].values()
    assert curve["test_miou"][-1] == pytest.approx(card.score)


def test_killed_and_resumed_it_ends_bit_for_bit_the_same(folder, whole, monkeypatch):
    """After the first step of the second epoch of the data, in the middle of augmented parts."""
    import larqnets.training.launch as module

    plain = module.train

    def stopped(*args, **options):
        return plain(*args, **options, stop=lambda step: step == 3)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", stopped)
        with pytest.raises(TrainingInterruptedError):
            launch(order(folder, "parts"), SILENT)
    run = launch(Order(str(folder / "runs/parts"), resume=True), SILENT)
    assert same_bits(load_trained_model(run), load_trained_model(whole))
    assert rows(run) == rows(whole)


def test_two_workers_learn_what_one_does(folder):
    """Real weights: signs amplify the rounding of sums over replicas."""
    (folder / "real.toml").write_text(
        TOML.format(root=folder / "data", method="real").replace("epochs = 2", "epochs = 1")
    )
    config = (str(folder / "real.toml"), "--set", "model.backbone=resnet5")
    pair = Pair(folder, folder)
    for code, err in finish(*pair.both(*config, "--name", "two")):
        assert code == 0, err
    one = launch(Order(str(folder / "real.toml"), "one", folder / "runs"), SILENT)
    (mine,), (theirs,) = rows(one), rows(Run.open(folder / "runs/two"))
    for name in ("train_loss", "test_loss"):
        assert float(theirs[name]) == pytest.approx(float(mine[name]), rel=2e-2)
    pixels = 11 // 4 * 4  # images of an epoch
    assert pixels == 8
    assert float(theirs["train_pixel_accuracy"]) == pytest.approx(float(mine["train_pixel_accuracy"]), abs=0.05)


def test_stages_and_validation(folder):
    stages = '{name="real", precision="real", surrogate="tanh", epochs=1}, {name="binary", epochs=1}'
    run = launch(order(folder, "staged", f"stages=[{stages}]", "data.validation=0.3", "train.keep=best"), SILENT)
    assert [row["stage"] for row in rows(run)] == ["real", "binary"]
    assert rows(run)[-1]["validation_miou"]
    assert json.loads((run.path / "card.json").read_text())["split"]["stratified"] is False


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ['task={kind="classification"}'],
            r"the class of every pixel is known, and a network for classification learns from labels",
        ),
        (
            ["data.dataset=digits", "data.image_size=16"],
            r"Of the images of digits a label is known, and a network for segmentation",
        ),
        (["task.class_weights=[1.0, 2.0]"], r"task.class_weights has 2 numbers, and there are 3 classes"),
        (["train.loss=squared_hinge"], r"learns by the cross entropy of its pixels"),
        (["data.augment=photos", "data.flip=false", "data.random_scale=none"], r"'data.random_scale' must be a list"),
        (["data.image_size=3"], r"'data.image_size' is 3, but must lie between 4"),
    ],
)
def test_what_a_segmenter_cannot_be_trained_with_is_told_before_a_run_exists(
    folder, tfds_dir, monkeypatch, overrides, sentence
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    asked = order(folder, "refused", *overrides)

    def both():
        check_train(asked)  # where it can be known without TensorFlow
        launch(asked, SILENT)

    with pytest.raises(LarqnetsError, match=sentence):
        both()
    assert not (folder / "runs/refused").exists()


def test_a_class_of_a_mask_beyond_the_named_ones_is_told_before_a_run_exists(tmp_path):
    write_folder(tmp_path / "data", (("train", 5), ("test", 2)))
    (tmp_path / "data/classes.txt").write_text("ground\nhouse\n")
    (tmp_path / "cells.toml").write_text(TOML.format(root=tmp_path / "data", method="birealnet"))
    with pytest.raises(
        LarqnetsError, match=r"The mask \S+train0.png has pixels of the value 2, and there are 2 classes"
    ):
        launch(order(tmp_path, "bad"), SILENT)
    assert not Path(tmp_path / "runs/bad").exists()


def test_an_evaluation_shows_image_truth_answer_and_errors(whole, cli, tmp_path):
    asked = ("--sheet", "worst.png", "--confusion", "confusion.png", "--wrong", "wrong.csv")
    found = json.loads(cli("evaluate", whole.path, *asked, "--json").out)
    assert found["scores"]["miou"] == pytest.approx(whole.card.score)
    assert [row["label"] for row in found["classes"]] == list(NAMES)
    assert found["confusion"]["of"] == "pixels"
    assert np.sum(found["confusion"]["counts"]) == 3 * 15 * 24  # the last row of every mask has no class
    sheet = np.asarray(Image.open(tmp_path / "worst.png"))
    assert min(sheet.shape[:2]) > 3 * WIDE_TILE  # three rows of four
    red = (sheet == (200, 30, 30)).all(axis=-1)
    assert red.any()  # errors
    with (tmp_path / "wrong.csv").open() as file:
        worst = list(csv.DictReader(file))
    accuracies = [float(row["pixel_accuracy"]) for row in worst]
    assert accuracies == sorted(accuracies)
    said = cli("evaluate", whole.path)
    assert said.code == 0, said.err
    assert "with wrong pixels: 3 of 3 images; --wrong CSV lists them, --sheet PNG shows them" in said.out
    assert "iou_ground" not in said.out.replace(" ", "_").split("label")[0]
    page = cli("report", whole.path, "--html", "report.html")
    assert page.code == 0, page.err
    html = (tmp_path / "report.html").read_text()
    assert "test images with wrong pixels" in html
    assert "those with the most wrong pixels first" in html
