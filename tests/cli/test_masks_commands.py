"""`larqnets data check` of images with masks, and a first config for them."""

import json

import numpy as np
import pytest
from masked import NAMES, prepare, save, write_folder
from PIL import Image

from larqnets.cli.first_config import first_segmentation
from larqnets.config import load_config
from larqnets.errors import LarqnetsError


def test_a_folder_of_masks_is_counted_and_shown(cli, tmp_path):
    write_folder(tmp_path / "cells", (("train", 5), ("test", 2)), size=(48, 72))
    done = cli("data", "check", "cells", "--sheet", "sheet.png")
    assert done.code == 0, done.err
    for words in (
        "images that show it",
        "pixels in train",
        "ground",
        "tree",
        "pixels without a class",
        "train/ and test/",
    ):
        assert words in done.out
    found = json.loads(cli("data", "check", "cells", "--json").out)
    assert found["labels"] == list(NAMES)
    assert found["splits"]["train"] == {"images": 5, "labels": dict.fromkeys(NAMES, 5)}
    assert sum(found["pixels"]["train"]["classes"].values()) == pytest.approx(1)
    assert found["pixels"]["test"]["without_class"] == pytest.approx(1 / 48)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet == (128, 0, 0)).all(axis=-1).any()  # the colour of a class in the legend


def test_varied_images_are_shown_with_their_masks(cli, tmp_path):
    write_folder(tmp_path / "cells", (("train", 3), ("test", 2)), size=(48, 72))
    sizes = ("--set", "data.image_size=24", "--set", "data.image_width=36")
    done = cli("data", "check", "cells", "--augment", "varied.png", *sizes, "--set", "data.random_scale=[0.5, 2.0]")
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "varied.png").width > 8 * 112


def test_everything_that_does_not_fit_is_listed_at_once(cli, tmp_path):
    root = write_folder(tmp_path / "cells")
    (root / "train/masks/train0.png").unlink()
    save(root / "train/masks/train1.png", np.zeros((5, 5), np.uint8))
    save(root / "train/masks/train2.png", np.full((16, 24), 99, np.uint8))
    done = cli("data", "check", "cells", "--json")
    assert done.code == 1
    assert "3 files of folder:cells cannot be used: damaged, or image and mask do not fit together" in done.err
    said = " ".join(one["why"] for one in json.loads(done.out)["damaged"])
    for words in ("train0.png has no mask", "train1.png has 5x5 pixels", "train2.png has pixels of the value 99"):
        assert words in said


def test_prepared_masks_are_counted_and_shown(cli, tmp_path):
    prepare("camvid", tmp_path)
    done = cli("data", "check", "camvid", "--data-dir", tmp_path, "--sheet", "sheet.png", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["splits"]["train"]["labels"] == dict.fromkeys(NAMES, 7)
    assert Image.open(tmp_path / "sheet.png").width > 480


def test_a_first_config_fits_the_folder_and_trains(cli, tmp_path):
    write_folder(tmp_path / "cells", (("", 12),), size=(32, 40))
    done = cli("init", "segmentation", "cells")
    assert done.code == 0, done.err
    assert "written: cells.toml\nNext: larqnets train cells.toml" in done.out
    text = (tmp_path / "cells.toml").read_text()
    assert "class_weights = " in text
    experiment = load_config(str(tmp_path / "cells.toml"))
    assert (experiment.data.size, experiment.data.random_scale, experiment.task.kind) == (
        (32, 40),
        (0.5, 2.0),
        "segmentation",
    )
    assert (experiment.data.validation, experiment.train.keep) == (0.2, "best")
    short = ("--set", "train.epochs=1", "--set", "model.width=0.125")
    trained = cli("train", "cells.toml", "--name", "first", *short)
    assert trained.code == 0, trained.err
    assert "masks: " in trained.err + trained.out


@pytest.mark.parametrize(("size", "expected"), [((360, 480), (96, 128)), ((20, 28), (16, 32)), ((480, 360), (128, 96))])
def test_its_images_are_small_and_in_multiples_of_the_stride(tmp_path, size, expected):
    write_folder(tmp_path / "cells", (("train", 3), ("val", 1), ("test", 1)), size=size)
    written = first_segmentation(tmp_path / "cells", tmp_path / "own.toml")
    assert written.experiment.data.size == expected
    assert written.experiment.data.own_validation


def test_a_folder_of_labels_is_not_for_a_segmenter(tmp_path):
    for label in ("cat", "dog"):
        for split in ("train", "test"):
            save(tmp_path / split / label / "1.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(LarqnetsError, match="a label is known, and a network for segmentation learns from masks"):
        first_segmentation(tmp_path, tmp_path / "own.toml")


@pytest.mark.parametrize("kind", ["photos", "segmentation"])
def test_a_folder_that_is_not_there_is_told_as_that(cli, tmp_path, kind):
    done = cli("init", kind, tmp_path / "absent")
    assert done.code == 1
    assert f"There is no folder {tmp_path / 'absent'}" in done.err
