"""`larqnets run` with a segmenter: masks of photos in their own size, what they are called, and what is never written over."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from colours import LABELS, PURE, colour_file, picture, pixel_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deploy.run import photos as photo_runs
from deploy.run.picture_files import picture_files
from deploy.run.segment import MaskRun
from larqnets import LarqnetsError, Segmenter
from larqnets.reporter import Reporter

BLUE = PURE["red"][::-1]


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """TensorFlow is loaded here already; test_child.py has the child process."""
    monkeypatch.setattr("deploy.run.photos.CHILD", None)
    monkeypatch.setattr("deploy.run.classify.CHILD", None)


def halves(width, height):
    """Left red, right a blue as strong, so that their border stays in the middle."""
    shown = picture("red", (width, height))
    shown.paste(BLUE, (width // 2, 0, width, height))
    return shown


@pytest.fixture
def photos(tmp_path) -> Path:
    """p.tflite, and photos/ with three of other shapes than the network's 6x8: one as wide, one wider, one turned by EXIF."""
    (tmp_path / "p.tflite").write_bytes(pixel_file())
    (tmp_path / "photos" / "more").mkdir(parents=True)
    halves(80, 60).save(tmp_path / "photos" / "a.png")
    halves(160, 60).save(tmp_path / "photos" / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    halves(60, 80).save(tmp_path / "photos" / "more" / "a.jpg", quality=100, subsampling=0, exif=exif)
    return tmp_path / "photos"


def read(path):
    with Image.open(path) as stored:
        assert (stored.format, stored.mode) == ("PNG", "P")
        return np.asarray(stored)


def test_the_mask_of_a_photo_has_its_size_and_lies_beside_its_overlay(cli, photos):
    done = cli("run", "p.tflite", "photos/b.png", "--output", "mask.png", "--csv", "shares.csv")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:4] == ["photos/b.png", "label share", "red 50.00%", "blue 50.00%"]
    assert (
        "the network looks at the middle 80x60 of 160x60 pixels; the other 50.00% have no class, 255 in the mask"
        in lines
    )
    assert lines[5:8] == ["mask: mask.png", "over the photo: mask-overlay.png", "labels: shares.csv"]
    mask = read("mask.png")
    due = np.repeat([255, 0, 2, 255], 40)[np.newaxis].repeat(60, 0)
    np.testing.assert_array_equal(mask, due)
    with Image.open("mask-overlay.png") as drawn:
        over = np.asarray(drawn.convert("RGB"))
    assert over.shape == (60, 160, 3)
    assert (over[:, :80] == PURE["red"]).all()  # red under red
    assert over[0, 90].tolist() == [(mine + due) // 2 for mine, due in zip(BLUE, PURE["blue"], strict=True)]
    with Path("shares.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["input"], row["rank"], row["label"], row["class"], row["share"]) for row in rows] == [
        ("photos/b.png", "1", "red", "0", "0.5"),
        ("photos/b.png", "2", "blue", "2", "0.5"),
    ]


def test_json_has_what_the_table_has(cli, photos):
    said = json.loads(cli("run", "p.tflite", "photos/more/a.jpg", "-o", "out/", "--json").out)
    assert said["predictions"] == [[{"label": n, "class": i, "share": 0.5} for n, i in (("red", 0), ("blue", 2))]]
    assert (said["size"], said["seen"]) == ([60, 80], [0, 0, 60, 80])
    assert (said["mask"], said["overlay"]) == ("out/a.png", "out/a-overlay.png")
    np.testing.assert_array_equal(read("out/a.png"), Segmenter(pixel_file())("photos/more/a.jpg").mask)
    assert read("out/a.png")[0, 0] == 0  # what is left in the file is above
    assert read("out/a.png")[-1, 0] == 2


def test_without_output_nothing_is_written(cli, photos):
    before = sorted(photos.parent.rglob("*"))
    said = json.loads(cli("run", "p.tflite", "photos/a.png", "--json").out)
    assert "mask" not in said
    assert "classes" in cli("run", "p.tflite", "photos").out
    assert sorted(photos.parent.rglob("*")) == before


def test_a_folder_gives_files_of_their_own_to_every_photo(cli, photos):
    (photos / "cut.png").write_bytes((photos / "b.png").read_bytes()[:50])
    (photos / "notes.txt").write_text("mine")
    done = cli("run", "p.tflite", "photos", "absent.png", "photos/a.png", "-o", "out", "--json", "--csv", "s.csv")
    assert done.code == 1
    assert "2 of 6 inputs gave no answer: photos/cut.png, absent.png. Replace" in done.err.splitlines()[-1]
    said = json.loads(done.out)
    named = {"photos/a.png": "a", "photos/b.png": "b", "photos/more/a.jpg": "a-2"}
    assert [(entry["input"], entry["mask"]) for entry in said["images"]] == [
        *((photo, f"out/{stem}.png") for photo, stem in named.items()),
        ("photos/a.png", "out/a-3.png"),
    ]
    assert {entry["input"] for entry in said["failed"]} == {"photos/cut.png", "absent.png"}
    for entry in said["failed"]:
        assert done.err.count(f"{entry['error']}\n") == 1
    assert said["left_out"] == {".txt": 1}
    written = {path.name for path in Path("out").iterdir()}
    assert written == {f"{stem}{end}.png" for stem in (*named.values(), "a-3") for end in ("", "-overlay")}
    for photo, stem in named.items():
        alone = json.loads(cli("run", "p.tflite", photo, "-o", f"{stem}.png", "--json").out)
        (entry,) = [each for each in said["images"] if each["mask"] == f"out/{stem}.png"]
        assert alone["predictions"] == entry["predictions"]
        assert Path(f"{stem}.png").read_bytes() == Path(entry["mask"]).read_bytes()
    with Path("s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] != "" for row in rows] == [*[False] * 8, True, True]


def test_what_people_read_of_several(cli, photos):
    lines = [" ".join(line.split()) for line in cli("run", "p.tflite", "photos", "-o", "out").out.splitlines()]
    assert lines[:4] == [
        "photo classes mask",
        "photos/a.png red 50.00%, blue 50.00% out/a.png",
        "photos/b.png red 50.00%, blue 50.00% out/b.png",
        "photos/more/a.jpg red 50.00%, blue 50.00% out/a-2.png",
    ]
    assert lines[5:9] == ["class share photos", "red 50.00% 3", "blue 50.00% 3", "3 photos"]
    assert (
        "the network looks at a middle part of 1 of them; the pixels around it have no class, 255 in the mask" in lines
    )


def test_masks_are_no_photos_of_the_next_run(cli, photos, monkeypatch):
    assert cli("run", "p.tflite", ".", "-o", "out").code == 0
    done = cli("run", "p.tflite", ".", "-o", "out")
    assert (done.code, done.out) == (1, "")
    assert "out/a.png exists already. Name another place with --output, or delete it." in done.err
    for path in Path("out").iterdir():
        path.unlink()
    assert len(json.loads(cli("run", "p.tflite", ".", "-o", "out", "--json").out)["images"]) == 3


NAMES = st.lists(
    st.sampled_from(["a", "A", "a-2", "a-overlay", "a-2-overlay", "b", "x" * 252, "é" * 126]), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_names_never_collide(tmp_path_factory, stems):
    folder = tmp_path_factory.getbasetemp()
    found = picture_files(folder / "out", [Path(f"{stem}.jpg") for stem in stems], MaskRun.endings)
    names = [path.name.casefold() for files in found for path in (files["mask"], files["overlay"])]
    assert len(set(names)) == len(names) == 2 * len(stems)
    for name in names:
        (folder / name).touch()  # a name that a file can have
        (folder / name).unlink()


@pytest.mark.parametrize("there", ["mask.png", "mask-overlay.png"])
def test_what_is_there_is_never_written_over(cli, photos, there):
    Path(there).write_text("mine")
    done = cli("run", "p.tflite", "photos/a.png", "-o", "mask.png")
    assert (done.code, done.out) == (1, "")
    assert f"{there} exists already." in done.err
    assert Path(there).read_text() == "mine"
    assert {path.name for path in photos.parent.glob("mask*")} == {there}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["p.tflite", "photos/a.png", "-o", "photos/a.png"], "photos/a.png exists already"),
        (["p.tflite", "photos", "-o", "photos"], "would take masks in photos for photos"),
        (["p.tflite", "photos", "-o", "x.png"], "x.png has room for the mask of one photo. Name a folder"),
        (["p.tflite", "photos", "-o", "p.tflite"], "p.tflite is no folder"),
        (
            ["p.tflite", "photos/a.png", "-o", "x.jpg"],
            "x.jpg names no kind of mask. Let it end in .png, or name a folder",
        ),
        (["p.tflite", "photos/a.png", "-o", "no/x.png"], "there is no folder no"),
        (
            ["p.tflite", "photos/a.png", "--top", "2"],
            "p.tflite gives every pixel a class, and --top is for classifiers",
        ),
        (["p.tflite", "photos", "--top", "2"], "--top is for classifiers"),
        (["p.tflite", "absent.png", "-o", "x.png"], "There is no image at absent.png"),
        (["p.tflite", "photos", "--csv", "x.txt"], "Let it end in .csv"),
        (["p.tflite", "photos", "--device", "pi"], "There is no device 'pi'"),
        (["p.tflite", "x.npy", "-o", "x.png"], "x.png names no kind of file that is written here. Let it end in .npy"),
        (["p.tflite", "photos", "-o", "x.npy"], "The raw output of one input alone is written to x.npy"),
        (
            ["c.tflite", "photos/a.png", "-o", "x.png"],
            "c.tflite gives no mask and no boxes: it labels whole images. Leave --output out",
        ),
        (["c.tflite", "photos", "-o", "x.png"], "c.tflite gives no mask"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_do_not_fit(cli, photos, arguments, sentence):
    Path("c.tflite").write_bytes(colour_file())
    np.save("x.npy", np.zeros((1, 6, 8, 3), np.float32))
    before = {path: path.stat().st_mtime_ns for path in photos.parent.rglob("*")}
    done = cli("run", *arguments)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert {path: path.stat().st_mtime_ns for path in photos.parent.rglob("*")} == before


def test_arrays_and_raw_output_are_as_they_are_for_any_file(cli, photos):
    values = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    np.save("x.npy", values)
    said = json.loads(cli("run", "p.tflite", "x.npy", "-o", "y.npy", "--json").out)
    np.testing.assert_allclose(np.load("y.npy"), 2 * values)
    shares = [{each["label"]: each["share"] for each in sample} for sample in said["predictions"]]
    classes = values.argmax(-1)
    assert shares == [
        {LABELS[i]: np.mean(one == i) for i in (-np.bincount(one.ravel())).argsort(kind="stable")} for one in classes
    ]
    said = json.loads(cli("run", "p.tflite", "photos/a.png", "-o", "z.npy", "--json").out)
    assert (np.load("z.npy").shape, said["predictions"][0][0]["share"]) == ((1, 6, 8, 3), 0.5)


def test_a_mask_that_cannot_be_written_ends_it(photos, monkeypatch):
    written = []

    def write(path, content):
        if len(written) == 3:
            raise LarqnetsError(f"Cannot write {path}: No space left on device.")
        written.append(path.name)

    monkeypatch.setattr(photo_runs, "write_atomically", write)
    with pytest.raises(LarqnetsError, match=r"Cannot write .*b-overlay\.png"):
        MaskRun(photos.parent / "p.tflite").several([photos], output=photos.parent / "out")


def test_progress_is_told(photos):
    told = []

    class Listening(Reporter):
        def count(self, done, total=None, what=""):
            told.append((done, total, what))

    MaskRun(photos.parent / "p.tflite").several([photos], reporter=Listening())
    assert told == [(1, 3, "a.png"), (2, 3, "b.png"), (3, 3, "a.jpg")]


def test_nan_is_an_error_that_names_the_photo(cli, photos, monkeypatch):
    monkeypatch.setattr(
        "deploy.run.picture_model.RealInterpreter.predict", lambda self, x: np.full((1, 6, 8, 3), np.nan, np.float32)
    )
    assert "outputs for photos/a.png are NaN or infinite" in cli("run", "p.tflite", "photos").err


def test_an_emulated_board_gives_the_same_masks(request, photos):
    request.getfixturevalue("bundle")
    model, files = photos.parent / "p.tflite", []
    for device in (None, "qemu"):
        out = photos.parent / f"out-{device}"
        MaskRun(model, device=device).several([photos / "b.png"], output=out)
        files.append((out / "b.png").read_bytes())
    assert files[0] == files[1]
