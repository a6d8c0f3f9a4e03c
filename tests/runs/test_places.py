"""Images are found from every folder: a config's own beside it, a run's by their whole path, those of before as they were."""

import json
import os
import shutil
from pathlib import Path

import pytest
from photos import CONFIG
from PIL import Image

from larqnets.config import load_config
from larqnets.errors import MovedWarning
from larqnets.places import whole_dataset, whole_path
from larqnets.runs.run import Run


def paint(folder: Path) -> Path:
    """A folder of two labels with five 8x8 images each."""
    for label, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (*colour[:2], colour[2] + number)).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "project").mkdir()
    file = tmp_path / "project" / "mine.toml"
    file.write_text(CONFIG.format(folder="photos", more="batch_size = 4"))
    return file


@pytest.mark.parametrize("written", ["photos", "./photos", "../project/photos", "sub/../photos"])
def test_a_path_in_a_config_is_that_beside_it(config, tmp_path, monkeypatch, written):
    (config.parent / "sub").mkdir()
    photos = paint(config.parent / "photos")
    config.write_text(CONFIG.format(folder=written, more="batch_size = 4"))
    for folder in (tmp_path, config.parent, Path("/")):
        monkeypatch.chdir(folder)
        for name in (str(config), os.path.relpath(config)):
            assert load_config(name).placed().data.dataset == f"folder:{photos.resolve()}"


def test_a_path_of_before_is_that_of_the_working_folder_with_a_line(config, tmp_path, monkeypatch):
    photos = paint(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(
        MovedWarning, match=r"mine\.toml: there is no photos beside it, so that of the working folder is"
    ):
        assert load_config("project/mine.toml").placed().data.dataset == f"folder:{photos.resolve()}"


def test_a_typed_path_is_that_of_the_working_folder(config, tmp_path, monkeypatch):
    paint(config.parent / "photos")
    typed = paint(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    experiment = load_config("project/mine.toml", ["data.dataset=folder:photos", "data.data_dir=prepared"])
    assert experiment.placed().data.dataset == f"folder:{typed.resolve()}"
    assert experiment.placed().data.data_dir == str(tmp_path.resolve() / "prepared")


def test_what_has_no_whole_path_stays_as_it_is(monkeypatch, tmp_path):
    assert whole_dataset("digits") == "digits"
    assert whole_path("~") == str(Path.home().resolve())
    assert whole_dataset("folder:a\0b") == "folder:a\0b"
    odd = tmp_path / os.fsdecode(b"\xff")
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert whole_dataset("folder:photos") == "folder:photos"  # no TOML file can hold the name of the folder above


def test_a_run_is_used_from_every_folder(config, tmp_path, monkeypatch, cli):
    photos = paint(config.parent / "photos")
    (tmp_path / "other").mkdir()
    done = cli("train", "project/mine.toml", "--name", "a")
    assert done.code == 0, done.err
    run = tmp_path / "runs/a"
    assert Run.open(run).experiment.data.dataset == f"folder:{photos.resolve()}"
    monkeypatch.chdir(tmp_path / "other")
    for subject in (run, "../runs/a"):
        measured = cli("evaluate", subject, "--json")
        assert measured.code == 0, measured.err
        assert json.loads(measured.out)["images"] == 2
    assert cli("train", "../project/mine.toml", "--runs", "../runs", "--name", "a", "--resume").code == 0


def test_a_run_of_before_is_used_where_it_was_made(config, tmp_path, monkeypatch, cli):
    """Its config says `folder:photos`, meant from the working folder; nothing of it is written anew."""
    paint(tmp_path / "photos")
    shutil.move(config, tmp_path / "mine.toml")
    assert cli("train", "mine.toml", "--name", "a").code == 0
    file = tmp_path / "runs/a/config.toml"
    old = file.read_text().replace(f"folder:{(tmp_path / 'photos').resolve()}", "folder:photos")
    assert 'dataset = "folder:photos"' in old
    file.write_text(old)
    for arguments in (("train", "--resume", "runs/a"), ("train", "mine.toml", "--name", "a", "--resume")):
        done = cli(*arguments)
        assert done.code == 0, done.err
    assert cli("evaluate", "runs/a", "--limit", "1").code == 0
    assert file.read_text() == old
