"""`larqnets init detection`, and `larqnets data check` of images with boxes."""

import json

import numpy as np
import pytest
from boxed import NAMES, write_folder
from masked import save
from PIL import Image

from larqnets.cli.first_config import first_detection
from larqnets.config import load_config
from larqnets.errors import LarqnetsError


def test_a_first_config_of_own_boxes_trains_as_it_is(cli, tmp_path):
    write_folder(tmp_path / "animals", "roboflow", (("train", 24), ("test", 8)), size=(64, 96))
    done = cli("init", "detection", tmp_path / "animals")
    assert done.code == 0, done.err
    assert "boxes: " in done.out
    experiment = load_config("animals.toml")
    data = experiment.data
    assert (data.size, data.resize, data.validation, experiment.task.kind) == ((64, 96), "warp", 0.2, "detection")
    smaller = ("train.epochs=1", "train.warmup_epochs=0", "model.width=0.125", "task.fpn_width=8", "task.levels=2")
    short = [word for change in smaller for word in ("--set", change)]
    trained = cli("train", "animals.toml", "--name", "first", *short)
    assert trained.code == 0, trained.err
    assert "boxes: " in trained.err + trained.out
    card = json.loads((tmp_path / "runs/first/card.json").read_text())
    assert 0 <= card["scores"]["map50"] <= 1


@pytest.mark.parametrize(
    ("size", "expected"), [((360, 480), (144, 192)), ((40, 56), (64, 64)), ((300, 100), (192, 64))]
)
def test_its_images_are_small_and_in_multiples_of_the_stride(tmp_path, size, expected):
    write_folder(tmp_path / "animals", "coco beside", (("train", 3), ("valid", 1), ("test", 1)), size=size)
    written = first_detection(tmp_path / "animals", tmp_path / "own.toml")
    assert written.experiment.data.size == expected
    assert written.experiment.data.own_validation


def test_a_folder_of_labels_is_not_for_a_detector(tmp_path):
    for label in ("cat", "dog"):
        for split in ("train", "test"):
            save(tmp_path / split / label / "1.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(LarqnetsError, match="a label is known, and a network for detection learns from boxes"):
        first_detection(tmp_path, tmp_path / "own.toml")


def test_data_check_counts_and_draws_boxes(cli, tmp_path):
    written = write_folder(tmp_path / "animals", "voc beside", (("train", 6), ("val", 3)), size=(60, 90))
    sheet, varied = tmp_path / "sheet.png", tmp_path / "varied.png"
    done = cli(
        *("data", "check", tmp_path / "animals", "--sheet", sheet, "--augment", varied, "--json"),
        *("--set", "data.flip=true", "--set", "data.image_size=48"),
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)
    of_train = [thing for name, some in written.items() if name.startswith("train") for thing in some]
    counts = {name: sum(thing[0] == i for thing in of_train) for i, name in enumerate(NAMES)}
    assert told["boxes"]["train"]["classes"] == counts
    assert told["labels_from"] == "VOC's XML files"
    for picture in (sheet, varied):
        with Image.open(picture) as opened:
            assert opened.format == "PNG"
    shown = cli("data", "check", tmp_path / "animals")
    assert "boxes in train" in shown.out
