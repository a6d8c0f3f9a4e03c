"""Folders whose labels stand in labels.csv: the same sets as class folders are, or refused in a sentence that says what to do."""

import csv
import io
import json
import shutil
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import larqnets.data.labels_table
from larqnets import LarqnetsError
from larqnets.cli.first_config import first_config
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.check import check_folder
from larqnets.data.folder import find_layout, scan_folder
from larqnets.data.survey import survey_folder

from .conftest import write_image


@pytest.fixture
def photos(tmp_path):
    """Two labels of six images each, in a folder for each label."""
    for number in range(12):
        write_image(tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png", np.full((9, 9, 3), 20 * number))
    return tmp_path / "set"


def rows(photos):
    """[file, label] of every image, as its folder says it."""
    return [[file.relative_to(photos).as_posix(), file.parent.name] for file in sorted(photos.glob("[ab]/*.png"))]


def write(photos, lines, encoding="utf-8"):
    (photos / "labels.csv").write_bytes("\n".join(lines).encode(encoding))


def config(photos, **options):
    return DataConfig(f"folder:{photos}", **{"image_size": 9, **options})


def listed(photos, **options):
    """What is known of every image, by split."""
    folder = scan_folder(photos, config(photos, **options))
    assert not folder.damaged
    labels = folder.layout.labels
    return {
        split: [(name, labels[i]) for name, i in zip(files.names(), files.labels, strict=True)]
        for split, files in folder.splits.items()
    }


def left_out(photos, **options):
    return {(one.path.name, one.what) for one in scan_folder(photos, config(photos, **options)).left_out}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "form",
    [
        lambda line: line,
        lambda line: [f" {field} " for field in line],
        lambda line: [f'"{field}"' for field in line],
        lambda line: [f' "{field}"' for field in line],
        lambda line: [line[0].replace("/", "\\"), line[1]],
        lambda line: [f"./{line[0].replace('/', '//')}" if "/" in line[0] else line[0], line[1]],
        lambda line: [*line, ""],  # as spreadsheets leave it
    ],
)
def test_a_table_says_what_folders_say(photos, delimiter, encoding, form):
    expected = listed(photos, validation=0.3)
    write(photos, [delimiter.join(form(line)) for line in [["file", "label"], *rows(photos), ["", ""]]], encoding)
    assert listed(photos, validation=0.3) == expected
    text = " ".join(survey_folder(scan_folder(photos, config(photos)), config(photos)).lines())
    assert ", labels from labels.csv; one folder, split by seed 0" in text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "header", ["file,label", "Filename,Class", "label,path", "IMAGE,id,Category", "file_name,label,sex"]
)
def test_columns_by_any_of_their_names(photos, header, line_end):
    expected = listed(photos)
    kinds = ["label" if name.lower() in ("label", "class", "category") else name for name in header.split(",")]
    others = {"id": "7", "sex": "f"}
    lines = [",".join({"label": label, **others}.get(kind, file) for kind in kinds) for file, label in rows(photos)]
    (photos / "labels.csv").write_bytes(line_end.join([header, *lines]).encode())
    assert listed(photos) == expected


names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text.strip() and text == text.strip()
)


@given(
    labels=st.lists(names, min_size=2, max_size=4, unique_by=lambda s: unicodedata.normalize("NFC", s)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_labels_are_any_text(tmp_path_factory, labels, seed):
    """Written by Python's own writer of CSV, they come back as they are."""
    root = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(seed)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=",;\t"[seed % 3])
    writer.writerow(["file", "label"])
    expected = {}
    for number in range(2 * len(labels)):
        write_image(root / "pictures" / f"{number}.png", rng.integers(0, 256, (2, 2, 3)))
        expected[f"pictures/{number}.png"] = labels[number % len(labels)]
        writer.writerow([f"pictures/{number}.png", labels[number % len(labels)]])
    (root / "labels.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    found = listed(root)
    assert dict(found["train"] + found["test"]) == expected
    assert find_layout(root, config(root)).labels == tuple(sorted(labels))


def test_its_own_splits_are_taken(photos):
    words = ["train", "Train", "test", "TEST", "val", "valid", "validation", "train", "train", "train", "test", "train"]
    lines = [
        f"{file},{label},{word}" for (file, label), word in zip(rows(photos), [*words[:6], *words[:6]], strict=True)
    ]
    write(photos, ["file,label,split", *lines])
    given_to = {"train": [], "test": [], "validation": []}
    for line in lines:
        file, label, word = line.split(",")
        given_to["validation" if word.lower().startswith("val") else word.lower()].append((file, label))
    assert listed(photos, own_validation=True) == given_to
    assert listed(photos) == {name: given_to[name] for name in ("train", "test")}
    assert len([what for _, what in left_out(photos) if what == "of split validation in labels.csv"]) == 4
    survey = load_dataset(config(photos)).survey
    assert survey.lines()[0] == "data: 4 train, 4 test images of 2 labels, 2 of each in train, labels from labels.csv."
    assert (survey.split_by, survey.division) == ("column split of labels.csv", None)
    assert first_config(photos, photos.parent / "own.toml").experiment.data.own_validation
    without_test = [line.replace("test", "train").replace("TEST", "train") for line in lines]
    write(photos, ["file,label,split", *without_test])
    assert listed(photos)["test"] == given_to["validation"]  # as with folders
    refused(photos, "has no image of split validation in the column split", own_validation=True)


def test_a_run_knows_its_labels_again(photos):
    """Whatever else changes in the table, the set is the same; with another label of an image it is another."""
    write(photos, ["file,label", *(",".join(row) for row in rows(photos))])
    before = load_dataset(config(photos)).fingerprint()
    write(
        photos, ["author;class;image", *(f"me;{label};{file}" for file, label in reversed(rows(photos)))], "utf-8-sig"
    )
    assert load_dataset(config(photos)).fingerprint() == before
    swapped = [
        [file, "ab"["ba".index(label)] if i in (0, 11) else label] for i, (file, label) in enumerate(rows(photos))
    ]
    write(photos, ["file,label", *(",".join(row) for row in swapped)])
    assert load_dataset(config(photos)).fingerprint() != before


def test_images_and_labels_belong_together(photos):
    """The level of an image says which it is."""
    write(photos, ["file,label", *(f"{file},{'even' if label == 'a' else 'odd'}" for file, label in rows(photos))])
    dataset = load_dataset(config(photos))
    assert dataset.info.labels == ("even", "odd")
    for split in ("train", "test"):
        some = dataset.samples(100, split)
        levels = np.rint((some["image"] * dataset.info.std + dataset.info.mean) * 255)[:, 0, 0, 0]
        assert (levels // 20 % 2 == some["label"]).all()
    assert dataset.names("train", [0])[0].startswith(str(photos / "a"))


def refused(photos, says, **options):
    """Before anything is read, in the training, and in the check, with the same sentence."""
    with pytest.raises(LarqnetsError, match=says) as training:
        scan_folder(photos, config(photos, **options))
    with pytest.raises(LarqnetsError) as check:
        check_folder(config(photos, **options))
    assert str(check.value) == str(training.value)


BAD = {
    "no columns": (["name,kind", "a/00.png,a"], r"labels\.csv is no table of labels: it has no column for files \(file, .*\) or none"),
    "no label": (["file,kind", "a/00.png,a"], "or none for labels .*Its first line is to name them, e.g. file,label"),
    "no header": (["a/00.png,a", "b/01.png,b"], "Its first line is to name them"),
    "empty": ([""], "Its first line is to name them"),
    "two columns of files": (["file,path,label", "a/00.png,a/00.png,a"], "Of the columns file and path of .* Rename all but one"),
    "no rows": (["file,label"], "has no labels, but at least 2 are needed"),
    "one label": (["file,label", "a/00.png,a", "a/02.png,a"], "has the one label 'a', but at least 2"),
    "up": (["file,label", "a/00.png,a", "../x.png,b"], r"Line 3 of .* names \.\./x\.png, which leads out of the folder"),
    "up in the middle": (["file,label", "a/../../x.png,b"], "Line 2 .* leads out"),
    "up with backslashes": (["file,label", "a\\..\\..\\x.png,b"], "Line 2 .* leads out"),
    "absolute": (["file,label", "/etc/x.png,b"], "Line 2 .* leads out"),
    "a drive": (["file,label", "C:\\x.png,b"], "Line 2 .* leads out"),
    "a share": (["file,label", "\\\\server\\x.png,b"], "Line 2 .* leads out"),
    "no file": (["file,label", ",a"], "Line 2 of .* names no file"),
    "two labels": (
        ["file,label", "a/00.png,a", "b/01.png,b", "./a/00.png,b", "b/01.png,a"],
        r"gives a/00\.png the label 'a' in line 2 and 'b' in line 4\. 1 more line says otherwise than before, too\. Delete all but one",
    ),
    "two splits": (
        ["file,label,split", "a/00.png,a,train", "a/00.png,a,test", "b/01.png,b,test"],
        r"gives a/00\.png the split 'train' in line 2 and 'test' in line 3",
    ),
    "a split that is none": (["file,label,split", "a/00.png,a,dev"], "Line 2 of .* has 'dev' in the column split. Write train,"),
    "an empty split": (["file,label,split", "a/00.png,a,"], "Line 2 of .* has nothing in the column split"),
    "no test": (["file,label,split", "a/00.png,a,train", "b/01.png,b,train"], "No line of .* has test in the column split"),
    "no train": (["file,label,split", "a/00.png,a,test", "b/01.png,b,test"], "No line of .* has train in the column split"),
    "labels that are not tested": (
        ["file,label,split", "a/00.png,a,train", "b/01.png,b,train", "a/02.png,a,test"],
        "has the label 'b' in split train but not in test. Both need images of every label",
    ),
    "labels of other capitals in the test": (
        ["file,label,split", "a/00.png,a,train", "b/01.png,b,train", "a/02.png,a,test", "b/03.png,B,test"],
        "has the label 'B' in split test but not in train. 'b' is there, which differs in upper and lower case alone",
    ),
    "labels of two forms": (["file,label", "a/00.png,\u00fc", "b/01.png,u\u0308"], "Two labels of .* are written '\u00fc', in two forms"),
    "more fields": (["file,label", "a/00.png,a", "b/01.png,b,c"], "Line 3 of .* has 3 fields and the first line 2. Put quotes"),
    "fewer fields": (["file,label", "a/00.png"], "Line 2 of .* has 1 fields"),
    "an open quote": (["file,label", '"a/00.png,a', "b/01.png,b"], r"cannot be read: line \d: .*Save it as CSV in UTF-8"),
    "a NUL": (["file,label", "a\0.png,a"], "cannot be read: a text in it holds a NUL character"),
    "images of no kind": (["file,label", "a/00.png,a", "a/02.png,a", "b/notes.txt,b"], r"'b' of .* has no image, but 1 \.txt: no image format"),
    "one image of a label": (["file,label", "a/00.png,a", "a/02.png,a", "b/01.png,b"], "'b' has 1 image, but 2 different ones are needed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_table_that_says_no_set(photos, kind):
    lines, says = BAD[kind]
    (photos / "b" / "notes.txt").write_text("")
    write(photos, lines)
    if "first line is to name them" in says or kind == "no columns":
        shutil.rmtree(photos / "b")  # else the folders would be the labels
    refused(photos, says)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_a_table_in_another_encoding(photos, encoding):
    write(photos, ["file,label", "a/00.png,\u00fc"], encoding)
    refused(photos, r"labels\.csv cannot be read: it is not UTF-8 text\. Save it as CSV in UTF-8")


def test_files_that_are_not_there(photos):
    """They are counted and the first named; the check lists all, whatever else is wrong."""
    gone = ["a/gone.png", "b/01.PNG", "deep/er/x.png", "b"]
    lines = [",".join(row) for row in rows(photos) if row[0] != "b/01.png"]
    write(photos, ["file,label", *lines, *(f"{file},a" for file in gone), "b/loop.png,b"])
    (photos / "b" / "loop.png").symlink_to("loop.png")
    with pytest.raises(
        LarqnetsError, match=r"labels\.csv names 5 images that are not there: a/gone\.png, b, b/01\.PNG and 2 more\."
    ):
        load_dataset(config(photos))
    found = check_folder(config(photos))
    whys = [one.why for one in found.missing]
    assert sorted(one.path.relative_to(photos).as_posix() for one in found.missing) == sorted([*gone, "b/loop.png"])
    assert any(why.endswith("names b/01.PNG, which is not there, but b/01.png is") for why in whys)
    assert "labels.csv of " in str(found.problem())
    assert "names 5 images that are not there" in str(found.problem())
    assert len(found.to_json()["missing"]) == 5
    write(photos, ["file,label", *lines, "a/gone.png,a"])
    with pytest.raises(
        LarqnetsError, match=r"Line 13 of .*names a/gone\.png, which is not there\. Put it there, or delete the line"
    ):
        first_config(photos, photos.parent / "own.toml")
    (photos / "a" / "00.png").write_text("no image")
    with pytest.raises(LarqnetsError, match=r"00\.png cannot be read as an image\. .* Line 13 of .* is not there"):
        load_dataset(config(photos))
    write(photos, ["file,label", "a/02.png,a", "a/04.png,a", "b/01.png,b", "b/x.png,b", "b/y.png,b"])
    refused(photos, r"'b' has 1 image, .* Not counted: 2 files that are not there, such as .*b/x\.png\.")


def test_what_is_not_taken_is_said(photos):
    lines = [",".join(row) for row in rows(photos)]
    write(photos, ["file,label", *lines[:9], lines[0], "b/notes.txt,b", f"{lines[9].split(',')[0]},"])
    (photos / "b" / "notes.txt").write_text("")
    write_image(photos / ".hidden" / "x.png", np.zeros((9, 9, 3)))
    (photos / "a" / "round").symlink_to("..")
    assert left_out(photos) == {
        ("09.png" if lines[9].startswith("b/09") else lines[9].split(",")[0][2:], "without a label in labels.csv"),
        *((line.split(",")[0][2:], "not in labels.csv") for line in lines[10:]),
        ("00.png", "twice in labels.csv"),
        ("notes.txt", ".txt"),
    }
    text = " ".join(load_dataset(config(photos)).survey.lines())
    assert "2 not in labels.csv: without a label" in text


def test_a_table_about_something_else_leaves_folders_as_they_are(photos):
    """Such as names for the numbers of classes."""
    expected = listed(photos)
    fingerprint = load_dataset(config(photos)).fingerprint()
    write(photos, ["ClassId,Name", "0,a", "1,b"])
    assert listed(photos) == expected
    assert load_dataset(config(photos)).fingerprint() == fingerprint
    (one,) = scan_folder(photos, config(photos)).left_out
    assert (one.what, one.why.startswith("it has no column for files")) == ("labels.csv", True)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_the_form_of_unicode_of_a_name_does_not_matter(photos, stored):
    """A Mac decomposes the names of files that it copies."""
    other = {"NFC": "NFD", "NFD": "NFC"}[stored]
    (photos / "a" / "00.png").rename(photos / "a" / unicodedata.normalize(stored, "\u00fc.png"))
    write(photos, ["file,label", *(unicodedata.normalize(other, ",".join(row)) for row in rows(photos))])
    assert load_dataset(config(photos)).info.num_train == 10
    assert not left_out(photos)


def test_a_folder_that_may_not_be_entered_is_not_called_missing(photos, monkeypatch):
    write(photos, ["file,label", *(",".join(row) for row in rows(photos))])
    looked = larqnets.data.labels_table.Path.stat

    def stat(path, **options):
        if path.parent.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path, **options)

    monkeypatch.setattr(larqnets.data.labels_table.Path, "stat", stat)
    refused(photos, r"Cannot read .*Permission denied\. Check its permissions")


def test_the_command_shows_where_labels_come_from(photos, cli):
    write(photos, ["file,label", *(",".join(row) for row in rows(photos)), "a/gone.png,a"])
    done = cli("data", "check", photos)
    assert done.code == 1
    assert "labels.csv names a/gone.png, which is not there" in " ".join(done.out.split())
    assert "labels          labels.csv" in done.out
    found = json.loads(cli("data", "check", photos, "--json").out)
    assert (found["labels_from"], [one["file"] for one in found["missing"]]) == (
        "labels.csv",
        [str(photos / "a/gone.png")],
    )
