"""`larqnets data check` as somebody calls it, and what a training from a folder says and records."""

import itertools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from recorder import Recorder

from deploy.proof.check import evaluate_subject
from larqnets.errors import LarqnetsError
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.training.launch import launch


@pytest.fixture
def photos(tmp_path):
    """Two labels of ten and twelve small photos, and a list beside them; the label with a bracket is no markup."""
    rng = np.random.default_rng(1)
    for label, count in (("[b]oat", 10), ("tree", 12)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (16, 24, 3)).astype(np.uint8))
            picture.save(tmp_path / "photos" / label / f"{number}.jpg")
    (tmp_path / "photos" / "readme.txt").write_text("")
    return tmp_path / "photos"


TABLE = """\
label   train  validation  test
[b]oat      6           2     2  fewer than 10 to train on
tree        7           3     2  fewer than 10 to train on
all        13           5     4

images          folder:photos
split           one folder, split by seed 0, the same share of every label: 20 % for test, 25 % of train for validation
channels        3, RGB
height x width  all 16x24
formats         22 JPEG

left out:
  1 .txt beside the class folders: without a label

careful:
  '[b]oat' has 6 training images, 1 more label has fewer than 10

contact sheet: sheet.png
"""


def without_ends(text):
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_what_is_printed(photos, cli):
    done = cli("data", "check", "folder:photos", "--set", "data.validation=0.25", "--sheet", "sheet.png")
    assert done.code == 0
    assert without_ends(done.out) == TABLE
    assert Image.open("sheet.png").format == "PNG"
    same = cli("data", "check", "./photos", "--set", "data.validation=0.25", "--json")
    found = json.loads(same.out)
    assert found["splits"]["validation"]["labels"] == {"[b]oat": 2, "tree": 3}
    assert found["contact_sheet"] is None


def test_damage_is_listed_and_fails(photos, cli):
    for number in range(12):
        (photos / "tree" / f"bad{number}.jpg").write_text("no image")
    done = cli("data", "check", "photos", "--json")
    assert done.code == 1
    assert len(json.loads(done.out)["damaged"]) == 12
    assert "12 files of folder:photos cannot be read as an image. Replace or delete what is damaged." in done.err
    done = cli("data", "check", "photos")
    assert done.out.count("is not an image of a kind") == 10
    assert "  and 2 more; --json lists all" in done.out


MISTAKES = {
    "digitz": "neither a folder nor a data set 'digitz'. Did you mean 'digits'?",
    "no/such": "There is no folder no/such",
    "folder:absent": "There is no folder absent",
    "cifar10": "cifar10 is not prepared in",
    "photos --set train.epochs=3": "only keys of [data] say which images",
    "photos --set data.valdation=0.2": "Did you mean 'validation'?",
    "photos --set data.validation=1": "must lie between 0 and 0.9",
    "photos --set data.validation=nan": "data.validation",
    "photos --set data.test=0": "must lie between 0.01 and 0.9",
    "photos --set data.own_validation=true": "has no folder validation/",
    "digits --set data.own_validation=true": "digits has no validation images of its own",
    "photos --sheet sheet.jpg": "Let it end in .png",
    "photos --sheet readme/sheet.png": "no folder readme",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_a_sentence(photos, cli, arguments):
    done = cli("data", "check", *arguments.split())
    assert (done.code, done.out) == (1, "")
    assert MISTAKES[arguments] in done.err.splitlines()[-1]


def test_a_folder_is_checked_without_tensorflow(photos):
    """As on a board: none of its modules is loaded."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.argv = ['larqnets', 'data', 'check', 'photos', '--json']; "
        "from larqnets.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=photos.parent, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"]["train"]["images"] == 18


SMALL = ("model.width=0.0625", "train.epochs=1", "train.batch_size=6", "data.image_size=8")


def test_a_training_says_and_records_how_its_images_were_split(photos, tmp_path):
    recorder = Recorder()
    overrides = [*SMALL, f"data.dataset=folder:{photos}", "data.validation=0.25"]
    run = launch(Order("digits", runs=tmp_path / "runs", overrides=overrides, name="own"), recorder)
    assert recorder.lines[1:4] == [
        "data: 13 train, 5 validation, 4 test images of 2 labels, 6 to 7 of each in train; one folder, split by seed 0, the "
        "same share of every label: 20 % for test, 25 % of train for validation.",
        "left out: 1 .txt beside the class folders: without a label.",
        "careful: '[b]oat' has 6 training images, 1 more label has fewer than 10. "
        f"`larqnets data check folder:{photos}` says more.",
    ]
    card = json.loads((Run.open(run.path).path / "card.json").read_text())
    assert card["split"] == {
        "seed": 0,
        "stratified": True,
        "shares": {"test": 0.2, "validation": 0.25},
        "images": {"train": 13, "validation": 5, "test": 4},
    }
    moved = photos.rename(tmp_path / "moved")
    subject = open_subject(run.path, dataset=f"folder:{moved}")
    assert subject.images.info.num_validation == 5
    assert [example["label"].tolist() for example in subject.images.eval_batches("test").as_numpy_iterator()] == [
        [0, 0, 1, 1]
    ]


def test_a_table_of_labels_goes_the_whole_way(photos, tmp_path):
    """Trained on, made longer, evaluated; where a label of it changes, the run does not go on as if it were the same data."""
    pictures = sorted(photos.glob("*/*.jpg"))
    (photos / "all").mkdir()
    lines = []
    for number, picture in enumerate(pictures):
        picture.rename(photos / "all" / f"{number}.jpg")
        lines.append(f"all/{number}.jpg;{picture.parent.name}")
    for label in ("[b]oat", "tree"):
        (photos / label).rmdir()
    (photos / "labels.csv").write_text("\n".join(["file;label", *lines]))
    recorder = Recorder()
    overrides = [*SMALL, f"data.dataset=folder:{photos}", "data.validation=0.25", "train.keep=best"]
    run = launch(Order("digits", runs=tmp_path / "runs", overrides=overrides, name="own"), recorder)
    assert recorder.lines[1].startswith(
        "data: 13 train, 5 validation, 4 test images of 2 labels, 6 to 7 of each in train, "
    )
    assert "labels from labels.csv; one folder, split by seed 0" in recorder.lines[1]
    assert json.loads((run.path / "card.json").read_text())["split"]["images"] == {
        "train": 13,
        "validation": 5,
        "test": 4,
    }
    longer = Order(str(run.path), resume=True, overrides=["train.epochs=2"])
    assert launch(longer, Recorder()).is_finished
    found = evaluate_subject(run.path, "train", wrong=tmp_path / "wrong.csv")
    said = dict(line.split(";") for line in lines)
    assert found["images"] == 13
    assert all(said[f"all/{row['image'].rpartition('/')[2]}"] == row["true"] for row in found["wrong"])
    assert 0 < len(found["wrong"]) == round(13 * (1 - found["accuracy"]))
    lines[0], lines[-1] = f"{lines[0].split(';')[0]};tree", f"{lines[-1].split(';')[0]};[b]oat"
    (photos / "labels.csv").write_text("\n".join(["file;label", *lines]))
    with pytest.raises(LarqnetsError, match=r"not those that the run was started with: .* or has another label"):
        launch(Order(str(run.path), resume=True, overrides=["train.epochs=3"]), Recorder())


def test_other_images_need_no_validation_folder(photos, tmp_path):
    """A run that chose by a folder's own validation/ is evaluated on a set that has none."""
    root = tmp_path / "splits"
    for (first, split), label in itertools.product(enumerate(("train", "val", "test")), ("[b]oat", "tree")):
        (root / split / label).mkdir(parents=True)
        for number in range(first, 9, 3):
            shutil.copy(photos / label / f"{number}.jpg", root / split / label)
    overrides = [*SMALL, f"data.dataset=folder:{root}", "data.own_validation=true"]
    run = launch(Order("digits", runs=tmp_path / "runs", overrides=overrides, name="own"), Recorder())
    assert open_subject(run.path).images.info.num_validation == 6
    assert open_subject(run.path, dataset=f"folder:{photos}").images.info.num_test == 4
    assert "split" not in json.loads((run.path / "card.json").read_text())


@pytest.mark.parametrize("augment", ["none", "light", "photos"])
def test_how_a_training_varies_images_is_drawn(photos, tmp_path, cli, augment):
    done = cli("data", "check", photos, "--augment", "varied.png", "--set", f"data.augment={augment}", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["augmented_sheet"] == "varied.png"
    sheet = np.asarray(Image.open(tmp_path / "varied.png"))
    columns = [sheet[74 : 74 + 112, 16 + 120 * i : 16 + 120 * i + 112] for i in range(8)]
    assert all(column.shape == (112, 112, 3) for column in columns)
    same = [np.array_equal(columns[0], column) for column in columns[1:]]
    assert all(same) if augment == "none" else not any(same)
    again = cli("data", "check", photos, "--augment", "again.png", "--set", f"data.augment={augment}")
    assert again.out.splitlines()[-1] == "augmented sheet: again.png"
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "varied.png").read_bytes()


def test_a_sheet_of_presets_is_no_place_for_a_jpeg(photos, cli):
    done = cli("data", "check", photos, "--augment", "varied.jpg")
    assert (done.code, done.out) == (1, "")
