"""Folders as people have them: each is trained on with what is wrong said, or refused in a sentence that says what to do."""

import os
import shutil
import struct
import tracemalloc
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

import larqnets.data.folder
import larqnets.data.image
from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.check import check_folder
from larqnets.data.folder import scan_folder
from larqnets.data.survey import survey_folder

from .conftest import write_image


@pytest.fixture
def flat(tmp_path):
    """Three labels of four images each, without splits."""
    rng = np.random.default_rng(5)
    for label in ("ape", "bee", "cow"):
        for number in range(4):
            write_image(tmp_path / "set" / label / f"{number}.png", rng.integers(0, 256, (9, 9, 3)))
    return tmp_path / "set"


@pytest.fixture
def splits(flat):
    """The same with splits of its own, as (folder, folder of the class folders of training images)."""
    root = flat.parent / "splits"
    for label in ("ape", "bee", "cow"):
        for number in range(4):
            target = root / ("test" if number == 3 else "train") / label / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (flat / label / f"{number}.png").rename(target)
    return root, root / "train"


@pytest.fixture(params=["flat", "splits"])
def folder(request, flat):
    """Both of them."""
    return (flat, flat) if request.param == "flat" else request.getfixturevalue("splits")


def parents(path, train):
    """The folders of class folders."""
    return [train] if path == train else [train, path / "test"]


def config(path, **options):
    return DataConfig(f"folder:{path}", **{"image_size": 9, **options})


def refused(path, says, **options):
    """The training and the check refuse it with the same sentence."""
    with pytest.raises(LarqnetsError, match=says) as training:
        load_dataset(config(path, **options))
    with pytest.raises(LarqnetsError) as check:
        check_folder(config(path, **options))
    assert str(check.value) == str(training.value)


def every_image(path, **options):
    """Open a set and read all of it."""
    dataset = load_dataset(config(path, **options))
    for split in ("train", "test"):
        assert len(dataset.samples(1000, split)["label"]) == dataset.info.num_images(split)
    return dataset


def said(path, **options):
    """What is said before a training, which begins: every image of it is read."""
    dataset = every_image(path, **options)
    assert check_folder(config(path, **options)).problem() is None
    return " ".join(dataset.survey.lines())


def test_a_class_folder_without_images(folder):
    path, train = folder
    for file in (train / "bee").iterdir():
        file.unlink()
    (train / "bee" / "notes.txt").write_text("")
    (train / "bee" / ".DS_Store").write_text("")
    refused(path, r"class folder .*/bee has no \.png.* but 1 hidden, 1 \.txt\. Put images into it, or delete it")


def test_one_class(folder):
    path, train = folder
    for parent in parents(path, train):
        for label in ("bee", "cow"):
            shutil.rmtree(parent / label)
    refused(path, r"has 1 class folders, but at least 2 are needed\. Expected are .*/train/LABEL/\*\.jpg .* or ")


def test_nothing_at_all(tmp_path):
    refused(tmp_path, "has 0 class folders|has no folder train/")


def test_images_without_labels(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", np.zeros((9, 9, 3)))
    refused(tmp_path, "Expected are .*LABEL")


def test_one_image_per_class(folder):
    path, train = folder
    for label in ("ape", "bee", "cow"):
        for number in (1, 2, 3) if path == train else (1, 2):
            (train / label / f"{number}.png").unlink()
    if path == train:
        refused(path, "The label 'ape' has 1 image, but 2 different ones are needed to take a test set from it")
    else:
        assert "careful: 'ape' has 1 training image, 2 more labels have fewer than 10" in said(path)
        refused(path, "'ape' has 1 image, but 2 different ones are needed to take a validation set", validation=0.2)


def test_labels_that_differ_by_case(folder):
    path, train = folder
    for parent in parents(path, train):
        shutil.copytree(parent / "ape", parent / "Ape")
    assert "'Ape' and 'ape' differ in upper and lower case alone" in said(path)


def test_labels_that_differ_by_case_between_the_splits(splits):
    path, train = splits
    (train / "ape").rename(train / "APE")
    refused(path, r"'APE' is in .*/train but not in .*/test\. 'ape' is there, which differs in upper and lower case")


COMPOSED = "\u00fcber"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def test_labels_that_differ_by_their_form_of_unicode(folder):
    path, train = folder
    for parent in parents(path, train):
        shutil.copytree(parent / "ape", parent / COMPOSED)
        shutil.copytree(parent / "ape", parent / DECOMPOSED)
    refused(path, f"Two class folders in .* are called '{COMPOSED}', in two forms of Unicode")


def test_labels_that_differ_by_their_form_of_unicode_between_the_splits(splits):
    path, train = splits
    (train / "ape").rename(train / COMPOSED)
    (path / "test" / "ape").rename(path / "test" / DECOMPOSED)
    refused(path, "is there, which differs in its form of Unicode alone: give both the same name")


def test_a_label_that_is_no_text(flat):
    (flat / "cow").rename(flat / os.fsdecode(b"c\xf6w"))
    refused(flat, r"class folder .*c\\udcf6w is no UTF-8 text\. Rename it")


def test_a_file_whose_name_is_no_text(flat):
    (flat / "cow" / "2.png").rename(flat / "cow" / os.fsdecode(b"\xf6.png"))
    assert said(flat).startswith("data: 9 train, 3 test images")
    load_dataset(config(flat)).fingerprint()


def png_claiming(height, width):
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


DAMAGE = {
    "text": lambda file: file.write_text("hello"),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "larger than memory": lambda file: file.write_bytes(png_claiming(400_000, 400_000)),
    "turns and twists": lambda file: file.write_bytes(file.read_bytes()[:40] + b"\xff" * 60 + file.read_bytes()[100:]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_unreadable_files_in_the_middle(folder, kind):
    path, train = folder
    bad = [train / "ape" / "1.png", train / "cow" / "2.png"]
    for file in bad:
        DAMAGE[kind](file)
    with pytest.raises(LarqnetsError, match=r"(ape/1|cow/2)\.png cannot be read as an image"):
        every_image(path)
    found = check_folder(config(path))
    assert sorted(one.path for one in found.damaged) == bad
    assert all(str(one.path) in one.why for one in found.damaged)
    assert str(found.problem()).startswith(f"2 files of folder:{path} cannot be read as an image. ")
    for file in bad:
        file.unlink()
    said(path)


def test_more_damage_than_is_left_names_it(flat):
    for number in range(3):
        (flat / "bee" / f"{number}.png").write_text("x")
    refused(
        flat, r"'bee' has 1 image, but .*\. Not counted: 3 files that cannot be read as an image, such as .*bee/0\.png"
    )


def test_the_same_image_in_two_classes(folder):
    path, train = folder
    shutil.copy(train / "ape" / "0.png", train / "cow" / "twin.png")
    assert "1 picture is in two classes (such as " in said(path)


def test_the_same_image_many_times_in_a_class_stays_on_one_side(flat):
    for number in range(4, 10):
        shutil.copy(flat / "ape" / "0.png", flat / "ape" / f"{number}-copy.png")
        write_image(flat / "ape" / f"{number}.png", np.full((9, 9, 3), number))
    for seed in range(10):
        images = config(flat, split_seed=seed, validation=0.3)
        text = " ".join(survey_folder(scan_folder(flat, images), images).lines())
        assert "both sides" not in text


def test_images_that_are_larger_than_what_is_safe_are_not_decoded(flat, monkeypatch):
    """Nothing of their size is ever allocated."""
    (flat / "ape" / "huge.png").write_bytes(png_claiming(100_000, 100_000))
    tracemalloc.start()
    found = check_folder(config(flat))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    assert "more than 89,478,485 pixels" in found.damaged[0].why


def test_nested_folders_are_named_and_not_taken(folder):
    path, train = folder
    for deep in ("more", "more/still"):
        write_image(train / "ape" / deep / "x.png", np.zeros((9, 9, 3)))
    text = said(path)
    assert "2 in a folder inside a class folder: images belong directly into the class folder" in text
    for file in [*(train / "ape").glob("*.png")]:
        file.unlink()
    refused(path, "ape has no .* but 2 in a folder inside a class folder")


def test_links_that_go_in_circles(folder):
    path, train = folder
    (train / "ape" / "up").symlink_to("..")
    (train / "ape" / "top").symlink_to(path)
    (train / "ape" / "self.png").symlink_to("self.png")
    (train / "ape" / "gone.png").symlink_to("nowhere.png")
    (train / "bee" / "in").mkdir()
    (train / "bee" / "in" / "back").symlink_to("../..")
    (train / "circle").symlink_to("circle")
    text = said(path)
    assert "2 linking to a folder: links to folders are not followed within a class" in text
    assert "2 linking to nothing: no file" in text
    assert "1 without suffix beside the class folders" in text


def test_a_class_that_is_a_link_to_all_classes(flat):
    (flat / "dog").symlink_to(".")
    refused(flat, "class folder .*/dog has no .* but 12 in a folder inside a class folder")


def test_linked_images_and_class_folders_are_taken(flat, tmp_path):
    write_image(tmp_path / "elsewhere" / "0.png", np.full((9, 9, 3), 1))
    write_image(tmp_path / "elsewhere" / "1.png", np.full((9, 9, 3), 2))
    (flat / "dog").symlink_to(tmp_path / "elsewhere")
    (flat / "ape" / "9.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    assert load_dataset(config(flat)).survey.total == {"train": 11, "test": 4}


def test_pipes_and_devices_are_not_waited_for(flat):
    os.mkfifo(flat / "ape" / "pipe.png")
    assert "1 device or pipe: no file" in said(flat)


def test_a_test_set_without_images(splits):
    path, train = splits
    for label in ("ape", "bee", "cow"):
        shutil.rmtree(path / "test" / label)
    refused(path, r"The class 'ape' is in .*/train but not in .*/test\. Both need the same class folders")
    for label in ("ape", "bee", "cow"):
        (path / "test" / label).mkdir()
    refused(path, r"The class folder .*/test/ape has no \.png")
    shutil.rmtree(path / "test")
    refused(path, r"has no folder test/ .* folder:.*/train takes a part of the images there for the test")
    assert said(train, test=0.4).startswith("data: 6 train, 3 test images")


def test_a_folder_of_trains_is_a_class_called_train(flat):
    """What holds images and no folders is no split."""
    (flat / "ape").rename(flat / "train")
    (flat / "bee").rename(flat / "test")
    assert load_dataset(config(flat)).info.labels == ("cow", "test", "train")


def test_a_folder_that_may_not_be_read(flat, monkeypatch):
    listed = larqnets.data.folder.Path.iterdir

    def iterdir(path):
        if path.name == "bee":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(larqnets.data.folder.Path, "iterdir", iterdir)
    refused(flat, r"Cannot read .*/bee: Permission denied\. Check its permissions")


@pytest.mark.parametrize("table", [False, True])
def test_what_many_files_cost(tmp_path, monkeypatch, table):
    """Of 100,000 images every one costs what one of 2,000 does: a header that is read once, a kilobyte; a few lines say it all."""
    rng = np.random.default_rng(0)
    for label in "abcd":
        (tmp_path / label).mkdir()
        for number in range(500):
            Image.fromarray(rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)).save(
                tmp_path / label / f"{number:06}.bmp"
            )
    if table:
        lines = [f"{label}/{number:06}.bmp,{label}" for label in "abcd" for number in range(500)]
        (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    opened = []
    opening = larqnets.data.image.open_at_once
    monkeypatch.setattr(larqnets.data.image, "open_at_once", lambda path: opened.append(path) or opening(path))
    tracemalloc.start()
    folder = scan_folder(tmp_path, config(tmp_path, validation=0.2))
    survey = survey_folder(folder, config(tmp_path, validation=0.2))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(opened) == 2000
    assert kept / 2000 < 1500
    assert len(" ".join(survey.lines())) < 300
