"""From a folder of photos to a network in use, by the commands of the README, on crops of real pictures.

As far as two ways lead to one number, they are held against each other: what a file gives for every image against what its
evaluation counts, the labels of a folder against those of Classifier, the instructions of a session against its record.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import small_backbones
from forked import Outcome
from PIL import Image
from real_photos import PICTURES, write_photos

import larqnets

LABELS = sorted(PICTURES["train"])
SMALL = ("--set", "model.backbone=resnet5", "--set", "data.image_size=32")
OWN = ("--set", "data.own_validation=true")


class Walk(NamedTuple):
    folder: Path  # with photos/, photos.toml and runs/
    counts: dict[str, dict[str, int]]  # split -> label -> photos
    init: Outcome
    train: Outcome
    convert: Outcome

    @property
    def run(self) -> Path:
        return self.folder / "runs/photos-seed0"

    @property
    def file(self) -> Path:
        return self.run / "arm64/binary.tflite"

    @property
    def card(self) -> dict:
        return json.loads((self.run / "card.json").read_text())


@pytest.fixture(scope="module")
def walk(tmp_path_factory, forked) -> Generator[Walk, None, None]:
    """The photos, a config for them, a trained and converted run of the smallest backbone."""
    folder = tmp_path_factory.mktemp("walk")
    counts = write_photos(folder / "photos", 10)
    outcomes = []
    for arguments in (
        ("init", "photos", "photos"),
        ("train", "photos.toml", "--epochs", "3", *SMALL),
        ("convert", "runs/photos-seed0"),
    ):
        outcomes.append(forked(*arguments, cwd=folder))
        assert outcomes[-1].code == 0, outcomes[-1].err
    with small_backbones.registered():
        yield Walk(folder, counts, *outcomes)


@pytest.fixture
def command(walk, cli, monkeypatch):
    """`larqnets ARGUMENTS` in the folder of the walk, which must succeed; returns what it prints."""

    def call(*arguments):
        monkeypatch.chdir(walk.folder)
        done = cli(*arguments)
        assert done.code == 0, done.err
        return done.out

    return call


def test_no_picture_lies_on_two_sides(walk):
    pictures = {
        split: {path.name.rpartition("-")[0] for path in (walk.folder / "photos" / split).rglob("*.jpg")}
        for split in walk.counts
    }
    assert sum(map(len, pictures.values())) == len(set().union(*pictures.values())) >= 20
    stereo = {"motorcycle_left", "motorcycle_right"}
    assert [stereo & names for names in pictures.values()] == [stereo, set(), set()]


def test_the_data_are_what_lies_there(walk, command):
    found = json.loads(command("data", "check", "photos", *OWN, "--json"))
    assert {split: entry["labels"] for split, entry in found["splits"].items()} == walk.counts
    assert found["split_by"] == "train/, validation/ and test/"
    assert (found["damaged"], found["left_out"], found["duplicates"]) == ([], [], [])
    assert found["formats"] == {"JPEG": sum(sum(counts.values()) for counts in walk.counts.values())}
    said = "data: 40 train, 20 validation, 20 test images of 4 labels, 10 of each in train."
    assert said in walk.init.out
    assert said in walk.train.err


def test_the_pictures_of_the_data_are_drawn(walk, command):
    command(
        "data", "check", "photos", "--sheet", "sheet.png", "--augment", "varied.png", "--set", "data.augment=photos"
    )
    for name in ("sheet.png", "varied.png"):
        with Image.open(walk.folder / name) as picture:
            assert picture.width > 8 * 112
            assert np.asarray(picture).std(axis=(0, 1)).min() > 20


def test_the_network_is_the_one_that_was_chosen_on_the_validation_photos(walk):
    card = walk.card
    with (walk.run / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    scores = [float(epoch["validation_accuracy"]) for epoch in epochs]
    assert len(scores) == 3
    assert card["stages"][0]["chosen"]["epoch"] == scores.index(max(scores)) + 1
    assert card["images"]["labels"] == LABELS
    measured = {epoch["epoch"]: epoch["test_accuracy"] for epoch in epochs if epoch["test_accuracy"]}
    assert measured == {str(scores.index(max(scores)) + 1): f"{card['test_accuracy']:.4g}"}
    assert "40 images, batch 16: 2 steps per epoch." in walk.train.err


def test_the_labels_of_the_photos_are_what_the_evaluation_counts(walk, command):
    """A label for every photo of the test set, by three ways; what is right is told by the folder that a photo lies in."""
    command("run", walk.file, "photos/test", "--csv", "labels.csv")
    with (walk.folder / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["rank"] == "1"]
    given = {row["input"]: row["label"] for row in rows}
    truth = {name: Path(name).parent.name for name in given}
    right = Counter(truth[name] for name, label in given.items() if truth[name] == label)
    of_file = json.loads(command("evaluate", walk.file, "--json"))
    of_run = json.loads(command("evaluate", walk.run, "--wrong", "wrong.csv", "--confusion", "c.png", "--json"))
    assert of_file["images"] == of_run["images"] == len(given) == 20
    assert of_file["accuracy"] == pytest.approx(right.total() / 20)
    assert of_run["accuracy"] == pytest.approx(walk.card["test_accuracy"])
    assert abs(of_run["accuracy"] - of_file["accuracy"]) <= 1 / 20  # a sign that turns may cost an image
    with (walk.folder / "wrong.csv").open() as file:
        assert len(list(csv.DictReader(file))) == round(20 * (1 - of_run["accuracy"]))
    classifier = larqnets.Classifier(walk.file)
    for name, label in given.items():
        assert classifier.classify(walk.folder / name)[0]["label"] == label


def test_the_file_is_proven_and_the_page_tells_it(walk, command):
    verified = json.loads(command("verify", walk.file, "--json"))
    assert verified["equal"] is True
    assert verified["layers"]
    command("report", walk.run, "--html", "page.html")
    page = (walk.folder / "page.html").read_text()
    assert "<script" not in page
    for words in (*LABELS, f"{walk.card['test_accuracy']:.2%}", f"{walk.file.stat().st_size:,}"):
        assert words in page


def test_an_emulated_board_computes_the_same_and_counts(walk, command, bundle):
    assert json.loads(command("verify", walk.file, "--device", "qemu", "--json"))["equal"] is True
    record = json.loads(command("benchmark", walk.file, "--device", "qemu", "--json"))
    (model,) = record["models"]
    assert model["sha256"] == json.loads((walk.run / "arm64/manifest.json").read_text())["files"]["binary"]["sha256"]
    (path,) = (walk.folder / "results").glob("*.json")
    said = command("report", path).splitlines()
    assert said[-3] == "instructions of an inference, cortex-a72 under qemu"  # in one line, however narrow the table is
    assert said[-1].split() == ["binary", f"{model['instructions']['instructions']:,}"]


def test_another_network_begins_with_its_body(walk, forked, command, bundle):
    """Two of the labels, at another size: the head is new, all else is taken, and the file is proven on ARM64 too."""
    for split in PICTURES:
        for label in LABELS[:2]:
            shutil.copytree(walk.folder / "photos" / split / label, walk.folder / "two" / split / label)
    small = ("--data", "two", "--epochs", "1", *SMALL, "--set", "data.image_size=24")
    done = forked("train", "photos.toml", "--init-from", walk.run, "--name", "two", *small, cwd=walk.folder)
    assert done.code == 0, done.err
    card = json.loads((walk.folder / "runs/two/card.json").read_text())
    assert set(card["transfer"]["new"]) == {"classifier/kernel", "classifier/bias"}
    assert card["images"]["labels"] == LABELS[:2]
    proven = json.loads(command("convert", "runs/two", "--arm64-proof", "--json"))["proof"]
    assert proven["line"].startswith("proven on x86 and on ARM64 under qemu: 3 binary layers")
