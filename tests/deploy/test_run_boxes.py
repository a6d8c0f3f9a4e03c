"""`larqnets run` with a detector: boxes in pixels of photos, drawn photos, tables, and what is never written over."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from box_files import CELL, HEIGHT, NMS, WIDTH, box_file
from colours import PREPROCESS, PURE, colour_file, pixel_file
from PIL import Image

from deploy.export import edit
from deploy.run.detect import BoxRun
from larqnets import Detector


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """TensorFlow is loaded here already; test_child.py has the child process."""
    monkeypatch.setattr("deploy.run.photos.CHILD", None)
    monkeypatch.setattr("deploy.run.classify.CHILD", None)


def shown(width, height, **cells):
    """A grey photo, with colours in cells (row, column) of the network's six."""
    picture = Image.new("RGB", (width, height), (120, 120, 120))
    for name, (row, column) in cells.items():
        box = [column * width * CELL // WIDTH, row * height * CELL // HEIGHT]
        picture.paste(PURE[name], (*box, box[0] + width * CELL // WIDTH, box[1] + height * CELL // HEIGHT))
    return picture


@pytest.fixture
def photos(tmp_path) -> Path:
    """d.tflite, and photos/: one with two things, one with one thing turned by EXIF, one with nothing."""
    (tmp_path / "d.tflite").write_bytes(box_file())
    (tmp_path / "photos" / "more").mkdir(parents=True)
    shown(240, 160, red=(1, 1), blue=(0, 0)).save(tmp_path / "photos" / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = shown(60, 80, green=(0, 2)).transpose(Image.Transpose.ROTATE_90)  # 6: shown after a turn to the right
    turned.save(tmp_path / "photos" / "more" / "a.jpg", quality=100, subsampling=0, exif=exif)
    shown(48, 32).save(tmp_path / "photos" / "none.png")
    return tmp_path / "photos"


BOTH = [("blue", [0, 0, 80, 80]), ("red", [80, 80, 160, 160])]


def told(entry):
    return [(thing["label"], thing["box"]) for thing in entry["predictions"]]


def test_a_photo_gives_an_object_whose_predictions_are_its_things(cli, photos):
    done = cli("run", "d.tflite", "photos/a.png", "--output", "boxes.png", "--csv", "b.csv", "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert told(said) == BOTH
    assert set(said["predictions"][0]) == {"label", "class", "score", "box"}
    assert (said["input"], said["size"], said["boxes"], said["csv"]) == (
        "photos/a.png",
        [160, 240],
        "boxes.png",
        "b.csv",
    )
    with Image.open("boxes.png") as drawn:
        assert (drawn.size, drawn.format) == ((240, 160), "PNG")
        due = Detector("d.tflite")("photos/a.png").drawn()
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(due))
    with Path("b.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["input", "rank", "label", "class", "score", "x0", "y0", "x1", "y1", "error"]
    assert [(row["rank"], row["label"], [float(row[side]) for side in ("x0", "y0", "x1", "y1")]) for row in rows] == [
        ("1", *BOTH[0]),
        ("2", *BOTH[1]),
    ]


def test_what_people_read_of_a_photo(cli, photos):
    done = cli("run", "d.tflite", "photos/a.png", "-o", "boxes.png")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:2] == ["photos/a.png", "label score box"]
    assert [line.split()[0] for line in lines[2:4]] == ["blue", "red"]
    assert lines[3].endswith("% 80 80 160 160")
    assert lines[4] == "drawn: boxes.png"
    assert "nothing was found" in cli("run", "d.tflite", "photos/none.png").out


def test_a_folder_gives_an_entry_and_a_picture_for_every_photo(cli, photos):
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:50])
    (photos / "notes.txt").write_text("mine")
    done = cli("run", "d.tflite", "photos", "-o", "out", "--csv", "b.csv", "--json")
    assert done.code == 1
    assert "1 of 4 inputs gave no answer: photos/cut.png. Replace" in done.err.splitlines()[-1]
    said = json.loads(done.out)
    assert {entry["input"]: told(entry) for entry in said["images"]} == {
        "photos/a.png": BOTH,
        "photos/more/a.jpg": [("green", [40, 0, 60, 40])],
        "photos/none.png": [],
    }
    assert [entry["boxes"] for entry in said["images"]] == ["out/a.png", "out/none.png", "out/a-2.png"]
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "a-2.png", "none.png"}
    with Image.open("out/a-2.png") as upright:
        assert upright.size == (60, 80)
    assert (said["left_out"], [entry["input"] for entry in said["failed"]]) == ({".txt": 1}, ["photos/cut.png"])
    with Path("b.csv").open() as file:
        rows = [(row["input"], row["label"], row["error"] != "") for row in csv.DictReader(file)]
    assert rows == [
        ("photos/a.png", "blue", False),
        ("photos/a.png", "red", False),
        ("photos/none.png", "", False),
        ("photos/more/a.jpg", "green", False),
        ("photos/cut.png", "", True),
    ]


def test_what_people_read_of_several(cli, photos):
    lines = [" ".join(line.split()) for line in cli("run", "d.tflite", "photos", "-o", "out").out.splitlines()]
    assert lines[:4] == [
        "photo things drawn",
        "photos/a.png blue (1), red (1) out/a.png",
        "photos/none.png nothing was found out/none.png",
        "photos/more/a.jpg green (1) out/a-2.png",
    ]
    assert lines[5] == "label things photos"
    assert lines[9] == "3 photos"


def test_thresholds_are_the_files_unless_they_are_given(cli, photos):
    def labels(*arguments):
        return [
            label for label, _ in told(json.loads(cli("run", "d.tflite", "photos/a.png", *arguments, "--json").out))
        ]

    assert labels() == ["blue", "red"]
    assert labels("--score", "0.65") == ["blue"]
    assert labels("--score", "0.01", "--iou", "0.9") == ["blue", "red"]
    Path("d.tflite").write_bytes(box_file(nms={**NMS, "score": 0.65}))
    assert labels() == ["blue"]


def test_of_ready_values_boxes_are_relative_and_raw_output_is_as_of_any_file(cli, photos):
    values = np.stack([np.asarray(shown(WIDTH, HEIGHT, **cells), np.float32) / 255 for cells in ({"red": (1, 2)}, {})])
    np.save("x.npy", values)
    said = json.loads(cli("run", "d.tflite", "x.npy", "-o", "y.npz", "--csv", "y.csv", "--json").out)
    ((thing,), nothing) = said["predictions"]
    assert (thing["label"], nothing) == ("red", [])
    np.testing.assert_allclose(thing["box"], [2 / 3, 0.5, 1, 1], rtol=1e-6)
    with np.load("y.npz") as raw:
        assert {name: raw[name].shape for name in raw} == {"boxes": (2, 6, 4), "scores": (2, 6, 3)}
    assert "output_kind" not in said
    people = cli("run", "d.tflite", "x.npy").out
    assert "nothing was found" in people
    assert "0.6667 0.5 1 1" in people
    with Path("y.csv").open() as file:
        assert [(row["input"], row["label"]) for row in csv.DictReader(file)] == [("x.npy[0]", "red"), ("x.npy[1]", "")]
    values[0, 0, 0, 0] = np.nan
    np.savez("x.npz", **{"input_1": values})
    assert cli("run", "d.tflite", "x.npz").code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["d.tflite", "photos/a.png", "-o", "photos/a.png"], "photos/a.png exists already"),
        (["d.tflite", "photos", "-o", "photos"], "would take pictures in photos for photos"),
        (["d.tflite", "photos", "-o", "x.png"], "x.png has room for the picture of one photo. Name a folder"),
        (["d.tflite", "photos/a.png", "-o", "x.jpg"], "x.jpg names no kind of picture. Let it end in .png"),
        (
            ["d.tflite", "photos/a.png", "-o", "x.npz"],
            "x.npz is for raw output, and d.tflite tells what is where in photos",
        ),
        (["d.tflite", "photos/a.png", "--top", "2"], "d.tflite tells what is where, and --top is for classifiers"),
        (["d.tflite", "photos/a.png", "--score", "1.5"], "must lie between 0 and 1, and score is 1.5"),
        (["d.tflite", "photos", "--iou", "0"], "must lie between 0 and 1, and iou is 0"),
        (["d.tflite", "x.npy", "--score", "nan"], "must lie between 0 and 1, and score is nan"),
        (["c.tflite", "photos/a.png", "--score", "0.5"], "c.tflite is no detector, and --score is for detectors alone"),
        (["p.tflite", "photos/a.png", "--iou", "0.5"], "p.tflite is no detector, and --iou is for detectors alone"),
        (["one.tflite", "photos/a.png"], "one.tflite is no detector of things in images"),
        (["bad.tflite", "photos/a.png"], "how boxes are thinned out is nonsense"),
        (["d.tflite", "absent.png"], "There is no image at absent.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_do_not_fit(cli, photos, arguments, sentence):
    Path("c.tflite").write_bytes(colour_file())
    Path("p.tflite").write_bytes(pixel_file())
    Path("one.tflite").write_bytes(edit.add_metadata(colour_file(), {"preprocess": PREPROCESS, "task": "detection"}))
    Path("bad.tflite").write_bytes(box_file(nms={"iou": 7}))
    np.save("x.npy", np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    before = {path: path.stat().st_mtime_ns for path in photos.parent.rglob("*")}
    done = cli("run", *arguments)
    assert (done.code, done.out) == (1, "")
    assert sentence in " ".join(done.err.split())
    assert {path: path.stat().st_mtime_ns for path in photos.parent.rglob("*")} == before


def test_nan_is_an_error_that_names_the_photo(cli, photos, monkeypatch):
    answers = [np.zeros((1, 6, 4), np.float32), np.full((1, 6, 3), np.nan, np.float32)]
    monkeypatch.setattr("deploy.run.picture_model.RealInterpreter.predict", lambda self, x: answers)
    assert "outputs for photos/a.png are NaN or infinite" in cli("run", "d.tflite", "photos").err


def test_labels_that_the_font_lacks_are_in_a_legend(cli, photos):
    preprocess = PREPROCESS | {"image_shape": [HEIGHT, WIDTH, 3], "mean": [0.0] * 3, "std": [1.0] * 3, "resize": "warp"}
    said = {"preprocess": {**preprocess, "labels": ["赤", "緑", "青"]}, "task": "detection"}
    Path("d.tflite").write_bytes(edit.add_metadata(box_file(), said))
    result = json.loads(cli("run", "d.tflite", "photos/a.png", "-o", "x.png", "--json").out)
    assert set(result["legend"].values()) == {"赤", "青"}
    assert "#1 is" in cli("run", "d.tflite", "photos/a.png", "-o", "y.png").out


def test_an_emulated_board_finds_the_same(request, photos):
    request.getfixturevalue("bundle")
    model, found = photos.parent / "d.tflite", []
    for device in (None, "qemu"):
        out = photos.parent / f"out-{device}"
        result = BoxRun(model, device=device).several([photos / "a.png"], output=out)
        found.append((told(result["images"][0]), (out / "a.png").read_bytes()))
    assert found[0] == found[1]
