"""`larqnets run` on several images: one engine, one entry for each, a wrong one named and the others done."""

import csv
import inspect
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from colours import LABELS, PREPROCESS, colour_file, due, picture, plain_file
from PIL import Image

from deploy.export import edit
from deploy.run import classify as commands
from deploy.run.classify import classify, classify_images
from deploy.run.image_files import find_images
from larqnets.reporter import Reporter


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """TensorFlow is loaded here already; test_child.py has the child process."""
    monkeypatch.setattr("deploy.run.classify.CHILD", None)


@pytest.fixture
def photos(tmp_path) -> Path:
    """model.tflite, and photos/ with a picture of every colour: one in a folder of its own, of another kind and size."""
    (tmp_path / "model.tflite").write_bytes(colour_file())
    (tmp_path / "photos" / "more").mkdir(parents=True)
    picture("red").save(tmp_path / "photos" / "b.png")
    picture("green", (8, 6)).save(tmp_path / "photos" / "a.JPG", "JPEG", quality=100)
    picture("blue", (1, 300)).save(tmp_path / "photos" / "more" / "c.bmp")
    return tmp_path / "photos"


def test_a_folder_gives_an_entry_for_every_image_as_it_is_alone(cli, photos):
    done = cli("run", "model.tflite", "photos", "--json")
    assert (done.code, done.err) == (0, "running the images ...\n")
    said = json.loads(done.out)
    assert [entry["input"] for entry in said["images"]] == ["photos/a.JPG", "photos/b.png", "photos/more/c.bmp"]
    assert (said["output_kind"], said["failed"], said["left_out"]) == ("logits", [], {})
    for entry, name in zip(said["images"], ("green", "red", "blue"), strict=True):
        alone = json.loads(cli("run", "model.tflite", entry["input"], "--json").out)
        assert alone["predictions"] == entry["predictions"]
        assert said.keys() & alone.keys() == {"model", "engine", "output_kind"}
        (ranked,) = entry["predictions"]
        assert ranked[0]["label"] == name
        found = {each["label"]: each["probability"] for each in ranked}
        np.testing.assert_allclose([found[label] for label in LABELS], due(name), atol=0.02)


def test_one_image_in_a_folder_is_one_of_several(cli, photos):
    assert len(json.loads(cli("run", "model.tflite", "photos/more", "--json").out)["images"]) == 1


def test_wrong_ones_are_named_and_the_others_done(cli, tmp_path, photos):
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:50])
    Image.new("F", (8, 8)).save(photos / "float.tif")
    (photos / "text.webp").write_text("no picture")
    (photos / "labels.csv").write_text("a,b")
    (photos / "README").write_text("mine")
    (tmp_path / "empty").mkdir()
    done = cli("run", "model.tflite", "absent.png", "photos", "empty", "--csv", "out.csv", "--json", "--top", 1)
    assert done.code == 1
    assert "5 of 8 inputs gave no answer: empty, absent.png, photos/cut.png, ..." in done.err.splitlines()[-1]
    said = json.loads(done.out)
    assert len(said["images"]) == 3
    assert said["left_out"] == {"": 1, ".csv": 1}
    wrong = {entry["input"]: entry["error"] for entry in said["failed"]}
    assert list(wrong) == ["empty", "absent.png", "photos/cut.png", "photos/float.tif", "photos/text.webp"]
    for name, error in wrong.items():
        assert name in error
        assert done.err.count(f"{error}\n") == 1
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["input", "rank", "label", "class", "probability", "error"]
    assert [(row["input"], row["label"], row["rank"]) for row in rows[:3]] == [
        ("photos/a.JPG", "green", "1"),
        ("photos/b.png", "red", "1"),
        ("photos/more/c.bmp", "blue", "1"),
    ]
    assert float(rows[1]["probability"]) == said["images"][1]["predictions"][0][0]["probability"]
    assert {row["input"]: row["error"] for row in rows[3:]} == wrong


def test_only_wrong_ones(cli, photos):
    done = cli("run", "model.tflite", "x.png", "y.png", "--json")
    assert done.code == 1
    assert json.loads(done.out)["images"] == []
    assert "2 of 2 inputs gave no answer: x.png, y.png." in done.err


def test_what_people_read(cli, photos):
    (photos / "notes.txt").write_text("mine")
    picture("red").save(photos / "[bold]\x1b[31m.png")
    done = cli("run", "model.tflite", "photos", "--top", 2)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "image label probability next"
    first = due("red")
    assert lines[1].startswith(f"photos/[bold]\\x1b[31m.png red {first[0]:.2%} green ")
    assert "4 images labelled: red (2), green (1), blue (1)" in lines
    assert "left out of folders, since their names are not those of images: 1 .txt" in lines


@pytest.mark.parametrize("room", [1, 700, 1 << 26])
def test_one_engine_whatever_fits_into_memory_at_once(photos, monkeypatch, room):
    made, batches = [], []

    class Watched(commands.RealInterpreter):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

        def predict(self, x):
            batches.append(len(x))
            return super().predict(x)

    due_answers = [classify(photos.parent / "model.tflite", path)["predictions"] for path in [photos / "b.png"] * 7]
    monkeypatch.setattr(commands, "RealInterpreter", Watched)
    monkeypatch.setattr(commands, "MAX_BYTES", room)
    said = classify_images(photos.parent / "model.tflite", [photos / "b.png"] * 7)
    assert [entry["predictions"] for entry in said["images"]] == due_answers
    assert (len(made), sum(batches)) == (1, 7)
    assert (max(batches) == 7) == (room == 1 << 26)


def test_progress_is_told(photos):
    told = []

    class Listening(Reporter):
        def count(self, done, total=None, what=""):
            told.append((done, total, what))

    classify_images(photos.parent / "model.tflite", [photos], reporter=Listening())
    assert told == [(1, 3, "a.JPG"), (2, 3, "b.png"), (3, 3, "c.bmp")]


def test_an_emulated_board_answers_the_same(request, photos):
    request.getfixturevalue("bundle")
    here, there = (classify_images(photos.parent / "model.tflite", [photos], device=d) for d in (None, "qemu"))
    assert there["engine"] != here["engine"]
    for ours, theirs in zip(here["images"], there["images"], strict=True):
        assert ours["predictions"][0][0] == pytest.approx(theirs["predictions"][0][0], abs=1e-5)


def test_samples_of_an_array_have_rows_of_their_own(cli, tmp_path, photos):
    values = np.stack([np.full((6, 8, 3), np.eye(3)[i], np.float32) for i in (2, 0)])
    np.save(tmp_path / "x.npy", values)
    said = json.loads(cli("run", "model.tflite", "x.npy", "--csv", "y.csv", "--json", "--top", 1).out)
    assert said["csv"] == "y.csv"
    rows = list(csv.DictReader((tmp_path / "y.csv").open()))
    assert [(row["input"], row["label"]) for row in rows] == [("x.npy[0]", "blue"), ("x.npy[1]", "red")]


def test_a_name_that_is_no_unicode(cli, tmp_path, photos):
    picture("red").save(os.fsdecode(os.fsencode(photos) + b"/\xff.png"), "PNG")
    done = cli("run", "model.tflite", "photos", "--csv", "y.csv")
    assert done.code == 0
    assert "photos/\\udcff.png,1,red,0," in (tmp_path / "y.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photos", "--output", "y.npy"], "The raw output of one input alone is written to y.npy"),
        (["photos", "--csv", "y.txt"], "y.txt names no kind of file that is written here. Let it end in .csv"),
        (["photos", "--csv", "none/y.csv"], "there is no folder none"),
        (["photos/b.png", "photos", "--device", "pi"], "There is no device 'pi'"),
    ],
)
def test_arguments_that_do_not_fit(cli, photos, arguments, sentence):
    done = cli("run", "model.tflite", *arguments)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err


def test_files_that_answer_about_no_images(cli, tmp_path, photos):
    (tmp_path / "plain.tflite").write_bytes(plain_file())
    done = cli("run", "plain.tflite", "photos")
    assert "plain.tflite does not say how its images were preprocessed" in done.err
    image = tf.keras.layers.Input((6, 8, 3), batch_size=1)
    map_of = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, 2 * image)).convert()
    (tmp_path / "map.tflite").write_bytes(edit.add_metadata(map_of, {"preprocess": PREPROCESS}))
    for given in ("photos", "photos/b.png"):
        done = cli("run", "map.tflite", given, "--csv", "y.csv")
        assert "map.tflite answers with values that no labels are made of" in done.err
        assert not (tmp_path / "y.csv").exists()


def test_nan_is_an_error_that_names_the_image(cli, photos, monkeypatch):
    nan = np.full((3, 3), np.nan, np.float32)
    monkeypatch.setattr(commands.RealInterpreter, "predict", lambda self, x: nan)
    done = cli("run", "model.tflite", "photos")
    assert "outputs for photos/a.JPG are NaN or infinite" in done.err


def test_folders_are_looked_into_once_and_to_the_end(tmp_path, monkeypatch):
    for name in (
        "b/2.png",
        "b/1.jpeg",
        "a/deep/er/x.TIFF",
        "z.gif",
        ".hidden/x.png",
        "b/.DS_Store",
        "b/x.heif2",
        "b/none",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "again").symlink_to(tmp_path / "b")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "shut").mkdir()
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = find_images([tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in found.paths]
    assert names == ["gone.png", "self.png", "z.gif", "a/again/1.jpeg", "a/again/2.png", "a/deep/er/x.TIFF"]
    assert found.left_out == {".heif2": 1, "": 1}
    assert list(found.wrong) == [tmp_path / "shut"]
    assert "shut cannot be read: Permission denied" in found.wrong[tmp_path / "shut"]


def test_folders_in_folders_are_no_recursion(tmp_path):
    deep = tmp_path.joinpath(*["d"] * 150)
    deep.mkdir(parents=True)
    (deep / "x.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 80)
    try:
        found = find_images([tmp_path])
    finally:
        sys.setrecursionlimit(limit)
    assert found.paths == [deep / "x.png"]
