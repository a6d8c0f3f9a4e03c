"""`larqnets convert --app`: a file as assets of an Android app, which Java reads as Python wrote them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from box_files import box_file
from colours import LABELS, PREPROCESS, colour_file, pixel_file, plain_file
from java_classes import classes, run_java  # noqa: F401  # a fixture

from deploy.app import assets
from deploy.app.properties import to_properties
from deploy.export import edit
from larqnets import Classifier, LarqnetsError, __version__
from larqnets.manifest import sha256
from larqnets.shipped import list_models, model_file
from larqnets.tflite.reading import read_model

HOSTILE = [
    "Käse",
    "a=b",
    "x:y",
    "#1",
    "!",
    "back\\slash",
    "\\u0041",
    "  two  ",
    "",
    "日本",
    "🦔",
    "tab\there",
    "\u0085\u2028",
]


def written(content: bytes, folder: Path, name: str = "net") -> assets.Assets:
    return assets.write_assets(read_model(content), folder, name)


def properties_of(folder: Path, name: str = "net") -> dict[str, str]:
    lines = (folder / f"{name}.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def read_by_java(folder: Path, classpath: list[Path], name: str = "net", *, whole: bool) -> dict[str, list[str]]:
    """Return what Java reads: key -> the value, and of a whole model -source and -label."""
    files = [folder / f"{name}.properties", *([folder / f"{name}.labels.txt"] if whole else [])]
    found: dict[str, list[str]] = {}
    for line in run_java(classpath, "larqnets.ReadAssets", *files).splitlines():
        key, digits = line.split(" ")
        found.setdefault(key, []).append(bytes.fromhex(digits[1:]).decode())
    return found


def test_java_reads_what_python_wrote(tmp_path, classes):  # noqa: F811
    content = edit.add_metadata(
        plain_file(), {"preprocess": PREPROCESS | {"labels": HOSTILE[:3]}, "source": HOSTILE[5]}
    )
    written(content, tmp_path)
    labels, facts = assets.described(read_model(content))
    read = read_by_java(tmp_path, classes, whole=True)
    assert read.pop("-label") == list(labels) == HOSTILE[:3]
    assert read.pop("-source") == [HOSTILE[5]]
    assert read == {key: [value] for key, value in facts.items()}


def test_java_reads_every_text(tmp_path, classes):  # noqa: F811
    texts = {f"key.{i}": text for i, text in enumerate([*HOSTILE, "two\nlines\r\n", "\f", " \\", "ends in \\"])}
    (tmp_path / "net.properties").write_text(to_properties(texts, "hostile"), newline="")
    assert read_by_java(tmp_path, classes, whole=False) == {key: [text] for key, text in texts.items()}


@pytest.mark.parametrize("key", ["", "a b", "a=b", "ä", "#"])
def test_what_is_no_key(key):
    with pytest.raises(ValueError, match="is no key"):
        to_properties({key: "x"}, "comment")


def test_every_label_is_a_line_and_without_names_a_number(tmp_path):
    labels = tmp_path / "net.labels.txt"
    written(edit.add_metadata(plain_file(), {"preprocess": PREPROCESS | {"labels": HOSTILE[3:6]}}), tmp_path)
    assert labels.read_bytes() == "".join(f"{label}\n" for label in HOSTILE[3:6]).encode()
    written(edit.add_metadata(plain_file(), {"preprocess": PREPROCESS | {"labels": []}}), tmp_path)
    assert labels.read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("label", ["two\nlines", "two\rlines"])
def test_a_label_that_is_no_line(tmp_path, label):
    content = edit.add_metadata(plain_file(), {"preprocess": PREPROCESS | {"labels": ["red", label, "blue"]}})
    with pytest.raises(LarqnetsError, match=r"label of class 1, .*, cannot stand in a line of a text file"):
        written(content, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_label_that_is_no_text():
    """As a folder's name may be, whose bytes are no UTF-8."""
    with pytest.raises(LarqnetsError, match=r"label of class 1, 'half .*, cannot stand in a line of a text file"):
        assets.check_told(PREPROCESS | {"labels": ["red", "half \udce4"]}, "runs/net")


def test_how_pictures_are_prepared_and_what_the_numbers_are(tmp_path):
    written(colour_file(), tmp_path)
    found = properties_of(tmp_path)
    assert {found.pop("larqnets"), found.pop("source")} == {__version__, "The model"}
    assert found == {
        "format": "1",
        "task": "classification",
        "image.height": "6",
        "image.width": "8",
        "image.channels": "3",
        "image.mean": "0.5,0.5,0.5",
        "image.std": "0.25,0.25,0.25",
        "image.resize": "crop",
        "image.crop_fraction": "1.0",
        "output": "logits",
    }
    said = {"preprocess": PREPROCESS | {"crop_fraction": 0.1 + 0.2, "mean": [0, 1, 1e-7]}, "output": "softmax"}
    written(edit.add_metadata(plain_file(), said), tmp_path)
    found = properties_of(tmp_path)
    assert (found["image.crop_fraction"], found["image.mean"]) == ("0.30000000000000004", "0.0,1.0,1e-07")
    assert found["output"] == "softmax"


def test_masks(tmp_path):
    written(pixel_file(), tmp_path)
    found = properties_of(tmp_path)
    assert found["colors"] == "200 40 30,20 190 60,10 60 220"
    assert (found["task"], found["ignore_label"], found["output.resize"]) == (
        "segmentation",
        "255",
        "bilinear_half_pixel",
    )
    written(pixel_file(output="mask"), tmp_path)
    assert properties_of(tmp_path)["output"] == "mask"
    assert (tmp_path / "net.labels.txt").read_text().split() == LABELS


def test_boxes_are_thinned_out_as_run_does_it(tmp_path):
    nms = {"iou": 0.5, "per_class": True, "score": 0.05, "max_per_class": 20, "max": 30}
    written(box_file("letterbox", nms=nms), tmp_path)
    found = properties_of(tmp_path)
    assert {key: value for key, value in found.items() if key.startswith(("nms", "boxes"))} == {
        "boxes": "ymin_xmin_ymax_xmax_relative",
        "nms.iou": "0.5",
        "nms.score": "0.3",
        "nms.max_per_class": "20",
        "nms.max": "30",
    }
    assert (found["task"], found["image.resize"]) == ("detection", "letterbox")


def test_a_file_of_somebody_else_is_refused_with_what_it_lacks(tmp_path):
    with pytest.raises(
        LarqnetsError, match=r"does not say how its pictures are prepared \(size, mean and std\) nor what its classes"
    ):
        written(plain_file(), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        lambda: box_file(names=("scores", "boxes")),
        lambda: box_file(names=("boxes", "scores", "more")),
        lambda: pixel_file(task="detection"),
        lambda: pixel_file(task="classification"),
    ],
)
def test_answers_that_an_app_is_not_given(tmp_path, content):
    with pytest.raises(LarqnetsError, match=r"no labels, mask or boxes\. Take another file of the network"):
        written(content(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_files_of_two_networks_lie_side_by_side_and_a_changed_one_is_kept(tmp_path):
    (tmp_path / "other.txt").write_text("mine")
    written(colour_file(), tmp_path, "one")
    written(pixel_file(), tmp_path, "two")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written(colour_file(), tmp_path, "one").warnings == ()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    listed = json.loads((tmp_path / "one.manifest.json").read_text())["files"]
    assert listed == {name: sha256(tmp_path / name) for name in ("one.tflite", "one.properties", "one.labels.txt")}
    (tmp_path / "one.labels.txt").write_text("rot\ngrün\nblau\n")
    (warning,) = written(colour_file(), tmp_path, "one").warnings
    assert "one.labels.txt was not the file that the manifest listed" in warning
    assert (tmp_path / "one.labels.txt.kept").read_text() == "rot\ngrün\nblau\n"
    assert (tmp_path / "two.tflite").read_bytes() == before["two.tflite"]


def test_nobody_elses_file_is_overwritten(tmp_path):
    (tmp_path / "net.labels.txt").write_text("mine")
    for call in (lambda: written(colour_file(), tmp_path), lambda: assets.check_place(tmp_path, "net")):
        with pytest.raises(LarqnetsError, match=r"net\.labels\.txt is there and was not written by this command"):
            call()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("file", "metadata", "due"),
    [
        ("cats.tflite", {"source": "photos"}, "cats"),
        ("binary.tflite", {"source": "photos"}, "photos"),
        ("float.tflite", {"source": "photos"}, "photos"),
        ("float.tflite", {"source": "photos", "variant": "float"}, "photos_float"),
        ("int8.tflite", {"source": "photos", "variant": "int8"}, "photos_int8"),
        ("binary_int8_full.tflite", {"source": "photos"}, "photos_int8_full"),
        ("binary.tflite", {"source": "net.keras"}, "net"),
        ("binary.tflite", {"source": "zoo:quicknet"}, "zoo_quicknet"),
        ("binary.tflite", {}, "binary"),
        (".hidden näme.tflite", {}, "hidden_n_me"),
    ],
)
def test_what_they_are_called(tmp_path, file, metadata, due):
    (tmp_path / file).write_bytes(edit.add_metadata(plain_file(), {"preprocess": PREPROCESS, **metadata}))
    assert assets.write_assets(read_model(tmp_path / file), tmp_path / "app").name == due


@pytest.mark.parametrize("model", list_models())
def test_every_shipped_model(cli, tmp_path, model, classes):  # noqa: F811
    done = cli("convert", f"model:{model}", "--app", "app", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["name"] == model
    assert sorted(told["files"]) == sorted(path.name for path in (tmp_path / "app").iterdir())
    assert (tmp_path / f"app/{model}.tflite").read_bytes() == model_file(model).read_bytes()
    read, labels = (
        read_by_java(tmp_path / "app", classes, model, whole=True),
        assets.described(read_model(model_file(model)))[0],
    )
    assert read["-label"] == list(labels)
    assert read["-source"] == read["source"]
    assert f'which the Java API opens as "{model}"' in cli("convert", f"model:{model}", "--app", "app").out


def test_nothing_is_converted_of_what_is_converted(cli, tmp_path):
    done = cli("convert", "model:digits", "--app", "app", "--twins")
    assert done.code == 2
    assert "--twins is for a conversion" in re.sub(r"[\s│]+", " ", done.err)
    done = cli("convert", "nothing.tflite", "--app", "app")
    assert (done.code, done.out) == (1, "")
    assert "nothing.tflite cannot be read" in done.err
    assert not (tmp_path / "app").exists()


def test_a_run_is_converted_proven_and_written_for_an_app(cli, tmp_path, demo):
    shutil.copytree(demo.run, tmp_path / "runs/käse 1")
    done = cli("convert", "runs/käse 1", "--app", "app/src/main/assets", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["verification"]["equal"]
    folder = tmp_path / "app/src/main/assets"
    names = [f"k_se_1{end}" for end in (".tflite", ".properties", ".labels.txt", ".manifest.json")]
    assert told["app"] == {"folder": "app/src/main/assets", "name": "k_se_1", "files": names, "warnings": []}
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert (folder / "k_se_1.tflite").read_bytes() == (tmp_path / "runs/käse 1/arm64/binary.tflite").read_bytes()
    assert properties_of(folder, "k_se_1")["source"] == "käse 1"
    labels = (folder / "k_se_1.labels.txt").read_text().splitlines()
    assert tuple(labels) == Classifier(str(folder / "k_se_1.tflite")).labels
    (folder / "k_se_1.manifest.json").unlink()
    again = cli("convert", "runs/käse 1", "--app", "app/src/main/assets")
    assert (again.code, "was not written by this command" in again.err) == (1, True)
    assert "verify" not in again.err  # it is said before the work
