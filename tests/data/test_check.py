"""`larqnets data check`: what is counted, found twice, damaged and shown."""

import io
import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.ft2font import FT2Font
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.check import SHEET_LABELS, check_folder
from larqnets.data.check_prepared import check_prepared
from larqnets.data.contact_sheet import TILE, Tile, contact_sheet
from larqnets.data.duplicates import same_files
from larqnets.data.image import formats
from larqnets.errors import printable
from larqnets.legend import Legend, font_file

from .conftest import write_image


def noise(seed, height=12, width=12):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))


@pytest.fixture
def folder(tmp_path):
    """Two labels with their own splits, and in them what there is to say something about."""
    root = tmp_path / "set"
    for split, count in (("train", 12), ("test", 3)):
        for number in range(count):
            write_image(root / split / "apple" / f"{number:02}.png", noise(number + 100 * (split == "test")))
    for number in range(4):
        write_image(root / "train" / "pear" / f"{number}.jpg", noise(200 + number, 20, 30))
    write_image(root / "test" / "pear" / "0.jpg", noise(300, 40, 30))
    (root / "test" / "apple" / "again.png").write_bytes((root / "train" / "apple" / "03.png").read_bytes())
    write_image(root / "train" / "pear" / "other.bmp", noise(7))  # the pixels of train/apple/07.png in another format
    (root / "train" / "pear" / "list.csv").write_text("a,b")
    return root


def check(root, **options):
    return check_folder(DataConfig(f"folder:{root}", **options))


def test_images_are_counted_by_split_and_label(folder):
    found = check(folder).to_json()
    for split in ("train", "test"):
        for label in ("apple", "pear"):
            there = [p for p in (folder / split / label).iterdir() if p.suffix != ".csv"]
            assert found["splits"][split]["labels"][label] == len(there)
        assert found["splits"][split]["images"] == sum(found["splits"][split]["labels"].values())
    assert found["formats"] == {"PNG": 16, "JPEG": 5, "BMP": 1}
    assert found["sizes"] == {"smallest": [12, 12], "median": [12, 12], "largest": [40, 30]}
    assert found["few"] == {"pear": 5}
    assert found["channels"] == 3
    (out,) = found["left_out"]
    assert out["file"].endswith("train/pear/list.csv")
    assert out["what"] == ".csv"


def test_copies_are_found_by_their_pixels_whatever_the_format(folder):
    found = check(folder)
    assert {frozenset(place.file for place in same.places) for same in found.copies} == {
        frozenset({"train/apple/03.png", "test/apple/again.png"}),
        frozenset({"train/apple/07.png", "train/pear/other.bmp"}),
    }
    assert [(same.between_splits, same.between_labels) for same in found.copies] in (
        [(True, False), (False, True)],
        [(False, True), (True, False)],
    )
    cautions = " ".join(found.survey.cautions(found.copies))
    assert "1 picture is on both sides of a split (such as train/apple/03.png and test/apple/again.png)" in cautions
    assert "1 picture is in two classes (such as train/apple/07.png and train/pear/other.bmp)" in cautions


def test_before_a_training_it_is_said_in_three_lines(folder):
    lines = load_dataset(DataConfig(f"folder:{folder}", image_size=8)).survey.lines()
    assert lines == [
        "data: 17 train, 5 test images of 2 labels, 5 to 12 of each in train.",
        f"left out: 1 .csv: no image format that is read here ({', '.join(formats())}).",
        "careful: 'pear' has 5 training images; 1 picture is on both sides of a split (such as train/apple/03.png and "
        f"test/apple/again.png). `larqnets data check folder:{folder}` says more.",
    ]


def test_a_clean_set_is_one_line(image_folder):
    for seed, (split, label, number) in enumerate(itertools.product(("train", "test"), ("cat", "dog"), range(10))):
        write_image(image_folder / split / label / f"{number}.png", noise(seed))
    dataset = load_dataset(DataConfig(f"folder:{image_folder}", image_size=8))
    assert dataset.survey.lines() == ["data: 20 train, 20 test images of 2 labels, 10 of each in train."]


def test_a_split_of_ours_is_said_and_recorded(tmp_path):
    for label in "ab":
        for number in range(20):
            write_image(tmp_path / label / f"{number}.png", noise(number + 100 * (label == "b")))
    survey = load_dataset(DataConfig(f"folder:{tmp_path}", image_size=8, validation=0.25, split_seed=3)).survey
    assert survey.lines() == [
        "data: 24 train, 8 validation, 8 test images of 2 labels, 12 of each in train; one folder, split by seed 3, the same "
        "share of every label: 20 % for test, 25 % of train for validation."
    ]
    assert survey.division == {
        "seed": 3,
        "stratified": True,
        "shares": {"test": 0.2, "validation": 0.25},
        "images": {"train": 24, "validation": 8, "test": 8},
    }


def test_what_is_changed_when_it_is_read_is_said(tmp_path):
    rgb = Image.fromarray(noise(1).astype(np.uint8))
    grey16 = Image.fromarray(noise(2)[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    for seed, (split, label) in enumerate(itertools.product(("train", "test"), "ab")):
        write_image(tmp_path / split / label / "0.png", noise(seed))
    train = tmp_path / "train" / "a"
    transparent = rgb.convert("RGBA")
    transparent.putalpha(9)
    transparent.save(train / "rgba.png")
    grey16.save(train / "16.png")
    rgb.convert("CMYK").save(train / "cmyk.jpg")
    rgb.convert("P").save(train / "p.png", transparency=3)
    rgb.save(train / "moves.gif", save_all=True, append_images=[rgb.rotate(90)])
    rgb.save(train / "turned.jpg", exif=exif)
    assert check(tmp_path).to_json()["changes"] == [
        "1 of several pictures: the first is taken",
        "2 with transparency: it is dropped",
        "1 of more than 8 bits: the upper 8 are taken",
        "1 in CMYK: becomes RGB",
        "1 turned as its EXIF orientation says",
        "1 grey among colours: becomes RGB",
    ]


def test_a_prepared_set_is_counted_and_its_copies_found(data_dir):
    """Image i of the tiny cifar10 has label i % 10."""
    found = check_prepared(DataConfig("cifar10", data_dir=data_dir, validation=0.2))
    numbers = {name: [*counts] for name, counts in found.survey.images.items()}
    assert numbers == {"train": [5] * 3 + [4] * 7, "validation": [1] * 10, "test": [2] * 10}
    assert set(found.sizes) == {(32, 32)}
    assert found.problem() is None
    assert found.to_json()["split_by"].endswith(
        "by seed 0, the same share of every label: 20 % of train for validation"
    )
    rows = found._rows(found.survey.labels)
    for number, (_, tiles) in enumerate(rows):
        for tile in tiles:  # a tile shows an image of its label, which the mean tells
            split, _ = tile.caption
            assert split in ("train", "validation", "test")
            assert int(np.asarray(tile.picture).mean() // 4) % 10 == number


def test_digits_are_those_of_scikit_learn(tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    found = check_prepared(DataConfig("digits"))
    both = np.sum([*found.survey.images.values()], 0)
    assert both.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # sklearn.datasets.load_digits
    assert (found.survey.channels, set(found.sizes)) == (1, {(8, 8)})


@given(
    contents=st.lists(
        st.sampled_from([b"", b"x", b"y", b"x" * 9000, b"x" * 8999 + b"y", b"y" + b"x" * 8999]), max_size=8
    )
)
@settings(max_examples=40, deadline=None)
def test_same_files_are_those_of_equal_content(tmp_path_factory, contents):
    root = tmp_path_factory.mktemp("same")
    paths = [root / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    twice = {content for content, count in Counter(contents).items() if count > 1}
    groups = [[i for i, other in enumerate(contents) if other == content] for content in twice]
    assert same_files(paths) == sorted(groups)


def test_files_that_differ_in_the_middle_alone(tmp_path):
    for name, middle in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(b"0" * 50_000 + middle + b"0" * 50_000)
    assert same_files([tmp_path / name for name in "abc"]) == [[0, 2]]


def tile_at(sheet, row, column):
    """The pixels of a tile, by the margins, heights and gaps that contact_sheet.py states."""
    top, left = 16 + 32 + 26 + row * (26 + TILE + 2 * 14 + 8), 16 + column * (TILE + 8)
    return np.asarray(sheet)[top : top + TILE, left : left + TILE]


def test_a_contact_sheet_shows_its_pictures(folder):
    found = check(folder)
    sheet = Image.open(io.BytesIO(found.sheet()))
    shown = np.asarray(Image.open(folder / "train" / "apple" / "00.png").resize((TILE, TILE), Image.Resampling.NEAREST))
    assert (tile_at(sheet, 0, 0) == shown).all()
    assert (tile_at(sheet, 1, 0) != 255).any()
    captions = [tile.caption for _, tiles in found._rows(found.survey.labels) for tile in tiles]
    assert captions[0] == ("train", "00.png")
    assert Counter(split for split, _ in captions) == {"train": 6 + 5, "test": 2 + 1}


def test_a_sheet_shows_images_from_all_over_a_label(tmp_path):
    """Files of one shooting stand together by their names: the first ones alone would show one of three."""
    for label in ("cat", "dog"):
        for number in range(36):
            name = f"{'abc'[number // 12]}-{number:02}.png"
            write_image(tmp_path / "train" / label / name, noise(number, 8, 8))
            write_image(tmp_path / "test" / label / name, noise(100 + number, 8, 8))
    found = check(tmp_path)
    for _, tiles in found._rows(found.survey.labels):
        shown = [tile.caption for tile in tiles]
        assert Counter((split, name[0]) for split, name in shown if split == "train") == {
            ("train", shooting): 2 for shooting in "abc"
        }
        assert len({name[0] for split, name in shown if split == "test"}) == 2
        assert len(set(shown)) == 8


def test_damaged_images_are_not_on_the_sheet(folder):
    bad = folder / "train" / "apple" / "00.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    found = check(folder)
    assert [one.path for one in found.damaged] == [bad]
    captions = [tile.caption for _, tiles in found._rows(found.survey.labels) for tile in tiles]
    assert ("train", "00.png") not in captions
    assert ("train", "06.png") in captions
    assert found.sheet().startswith(b"\x89PNG")


def test_a_sheet_of_many_labels_says_how_many_are_not_shown(tmp_path):
    for number in range(SHEET_LABELS + 3):
        for i in range(2):
            write_image(tmp_path / f"label {number:02}" / f"{i}.png", noise(number * 2 + i, 4, 4))
    found = check(tmp_path)
    assert Image.open(io.BytesIO(found.sheet())).height < 12_000
    few = found.to_json()["few"]
    assert len(few) == SHEET_LABELS + 3
    assert found.survey.cautions(())[0] == (
        f"'label 00' has 1 training image, {SHEET_LABELS + 2} more labels have fewer than 10"
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (7, 500), (112, 112)])
def test_a_tile_of_any_shape(height, width):
    picture = Image.fromarray(noise(0, height, width).astype(np.uint8))
    sheet = contact_sheet("x" * 300, [("\u202etxt.exe\n" * 40, [Tile(picture, ("a\x00b", "name " * 50))])], "\x1b[2J")
    assert (tile_at(Image.open(io.BytesIO(sheet)), 0, 0) != 255).any()
    assert contact_sheet("nothing", []).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "drawn", "entries"),
    [
        ("cat", "cat", {}),
        ("Žluťoučký κόσμος мир ½ ✓", "Žluťoučký κόσμος мир ½ ✓", {}),
        ("猫", "#1", {"#1": "猫"}),
        ("猫 cat: 3 train", "#1 cat: 3 train", {"#1": "猫"}),
        ("a 子 猫 b", "a #1 b", {"#1": "子 猫"}),
        ("猫12, 猫3 4", "#1, #2 4", {"#1": "猫12", "#2": "猫3"}),
        ("犬/猫/犬", "#1/#2/#1", {"#1": "犬", "#2": "猫"}),
        ("قطة كبيرة", "#1", {"#1": "قطة كبيرة"}),  # the font has these letters, but nobody joins them
        ("חתול 1", "#1 1", {"#1": "חתול"}),
        ("แมว", "#1", {"#1": "แมว"}),
        ("ends with a space 猫 ", "ends with a space #1 ", {"#1": "猫"}),
        ("\u202e猫", "\\u202e#1", {"#1": "猫"}),
        ("", "", {}),
    ],
)
def test_what_the_font_cannot_draw_is_a_number(text, drawn, entries):
    legend = Legend()
    assert legend.drawn(text) == drawn
    assert legend.entries == entries


@given(texts=st.lists(st.text(max_size=12), max_size=4))
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_in_a_legend(texts):
    """Put back, the numbers give the text; and of what is drawn the font has every letter."""
    legend = Legend()
    has = FT2Font(str(font_file())).get_charmap()
    for text in texts:
        if "#" in text:
            continue
        drawn = legend.drawn(text)
        assert all(ord(character) in has or character.isspace() for character in drawn)
        parts = re.split(r"(#\d+)", drawn)
        assert "".join(legend.entries.get(part, part) for part in parts) == printable(text)


def test_labels_in_scripts_that_the_font_lacks(tmp_path, cli):
    for label in ("猫", "犬", "cat"):
        for i in range(3):
            write_image(tmp_path / "set" / label / f"{i}.png", noise(i, 20, 20))
    done = cli(
        "data", "check", tmp_path / "set", "--sheet", "s.png", "--augment", "a.png", "--set", "data.augment=photos"
    )
    assert done.out.splitlines()[-3:] == [
        "letters that the font of pictures lacks are drawn as numbers:", "  #1 is 犬", "  #2 is 猫"
    ]  # fmt: skip
    legend = Legend()
    check(tmp_path / "set").sheet(legend)
    assert legend.entries == {"#1": "犬", "#2": "猫"}
    assert (
        json.loads(cli("data", "check", tmp_path / "set", "--sheet", "s.png", "--json").out)["legend"] == legend.entries
    )
    assert "legend" not in json.loads(cli("data", "check", tmp_path / "set", "--json").out)
