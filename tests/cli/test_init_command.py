"""`larqnets init photos` writes a config that explains itself and trains as it is."""

import json

import numpy as np
import pytest
from PIL import Image
from recorder import Recorder

from larqnets.cli.first_config import first_config
from larqnets.config import load_config
from larqnets.errors import LarqnetsError
from larqnets.runs.names import Order
from larqnets.training.launch import launch


def fill(root, counts, size=(70, 90)):
    rng = np.random.default_rng(2)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8))
            picture.save(root / label / f"{number}.png")
    return root


def test_it_writes_a_config_that_reads_back(tmp_path, cli):
    fill(tmp_path / "my photos", {"boat": 10, "tree": 12})
    done = cli("init", "photos", "my photos")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2:] == ["written: my-photos.toml", "Next: larqnets train my-photos.toml"]
    assert done.out.startswith("data: 14 train, 4 validation, 4 test images of 2 labels")
    experiment = load_config(str(tmp_path / "my-photos.toml"))
    data, train = experiment.data, experiment.train
    assert (data.dataset, data.size) == (f"folder:{tmp_path}/my photos", (64, 64))
    assert (data.augment, data.validation, train.keep) == ("photos", 0.2, "best")
    assert (train.epochs, train.batch_size) == (300, 0)
    text = (tmp_path / "my-photos.toml").read_text()
    assert all("#" in line for line in text.splitlines() if " = " in line)
    again = cli("init", "photos", "my photos")
    assert (again.code, again.out) == (1, "")
    assert "my-photos.toml exists already" in again.err
    other = cli("init", "photos", "my photos", "--output", "b.toml", "--json")
    assert json.loads(other.out)["config"] == "b.toml"
    assert load_config(str(tmp_path / "b.toml")) == experiment


def test_it_trains_as_it_is(tmp_path):
    """All but the width and the number of epochs, for time."""
    fill(tmp_path / "photos", {"boat": 8, "tree": 8}, (20, 24))
    written = first_config(tmp_path / "photos", tmp_path / "own.toml")
    assert written.experiment.data.size == (32, 32)
    recorder = Recorder()
    overrides = ["train.epochs=1", "model.width=0.0625"]
    run = launch(Order(str(written.path), runs=tmp_path / "runs", overrides=overrides), recorder)
    assert run.is_finished
    assert any("batch" in line and "per epoch" in line for line in recorder.lines)


def test_validation_images_are_those_that_can_be_had(tmp_path):
    own = tmp_path / "own"
    for split in ("train", "val", "test"):
        fill(own / split, {"a": 3, "b": 3})
    data = first_config(own, tmp_path / "own.toml").experiment.data
    assert (data.own_validation, data.validation) == (True, 0.0)
    few = first_config(fill(tmp_path / "few", {"a": 2, "b": 9}), tmp_path / "few.toml")
    assert (few.experiment.data.validation, few.experiment.train.keep) == (0.0, "last")
    assert few.notes[-1].startswith("no validation images are kept: The label 'a' has 1 image")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"only": 9}, "has 1 class folders, but at least 2 are needed"),
        ({"a": 1, "b": 5}, "2 different ones are needed"),
        ({"a": 0, "b": 5}, "'a'|/a "),
    ],
)
def test_a_folder_that_cannot_be_trained_on_gets_no_config(tmp_path, counts, words):
    fill(tmp_path / "photos", counts)
    with pytest.raises(LarqnetsError, match=words):
        first_config(tmp_path / "photos", tmp_path / "own.toml")
    assert not (tmp_path / "own.toml").exists()


def test_other_mistakes_too(tmp_path):
    with pytest.raises(LarqnetsError, match="There is no folder"):
        first_config(tmp_path / "none", tmp_path / "own.toml")
    fill(tmp_path / "photos", {"a": 4, "b": 4})
    with pytest.raises(LarqnetsError, match=r"Let it end in \.toml"):
        first_config(tmp_path / "photos", tmp_path / "own.txt")
    (tmp_path / "photos/a/broken.jpg").write_bytes(b"no picture")
    with pytest.raises(LarqnetsError, match=r"broken\.jpg cannot be read as an image"):
        first_config(tmp_path / "photos", tmp_path / "own.toml")
