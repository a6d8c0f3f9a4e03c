"""A name that is taken: numbered where nobody chose it, replaced where that is asked for, else a sentence with the ways."""

import json
import re
import shutil

import pytest
from PIL import Image

from larqnets import LarqnetsError
from larqnets.config import load_config
from larqnets.reporter import SILENT
from larqnets.runs.names import Order, plan_run
from larqnets.runs.run import Run, numbered_name
from larqnets.training.launch import launch

SMALL = ("model.width=0.0625", "train.epochs=1", "train.batch_size=1347")  # one step


@pytest.fixture
def run(tmp_path, tfds_dir, monkeypatch):
    """A run of the digits that is not begun, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    return Run.create(tmp_path / "runs", "digits-seed0", load_config("digits", SMALL), config_name="digits")


def finish(run):
    run.update_card(status="trained", epochs_done=1)


def test_a_name_that_nobody_chose_is_numbered_behind_a_finished_run(run, cli):
    finish(run)
    before = (run.path / "card.json").read_bytes()
    settings = [part for key in SMALL for part in ("--set", key)]
    for number in (2, 3):
        done = cli("train", "digits", *settings, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["run"] == f"runs/digits-seed0-{number}"
        line = f"runs/digits-seed0 is there, so this run is digits-seed0-{number}; --overwrite would replace that one."
        assert line in done.err
    assert (run.path / "card.json").read_bytes() == before


def test_numbers_pass_over_what_is_there(tmp_path):
    assert numbered_name(tmp_path, "a") == "a"
    for name in ("a", "a-2", "a-4"):
        (tmp_path / name).touch()
    assert numbered_name(tmp_path, "a") == "a-3"


@pytest.mark.parametrize("status", ["created", "training", "interrupted", "failed"])
def test_an_unfinished_run_is_told_with_the_ways_from_there(run, cli, status):
    run.update_card(status=status)
    done = cli("train", "digits")
    said = {"training": "killed"}.get(status, status)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"larqnets: The run runs/digits-seed0 already exists, {said} with 0 of 1 epochs trained. Choose another name with "
        "--name, replace it with --overwrite, or continue it with `larqnets train --resume runs/digits-seed0`.\n"
    )


def test_a_run_is_replaced_when_that_is_asked_for(run, cli):
    finish(run)
    (run.path / "mine.txt").touch()
    settings = [part for key in (*SMALL, "seed=0") for part in ("--set", key)]
    done = cli("train", "digits", *settings, "--overwrite")
    assert done.code == 0, done.err
    assert "The run runs/digits-seed0 is replaced." in done.err
    assert not (run.path / "mine.txt").exists()
    assert Run.open(run.path).card.score is not None
    assert [path.name for path in run.path.parent.iterdir()] == ["digits-seed0"]


def test_what_cannot_be_trained_replaces_nothing(run, cli):
    finish(run)
    before = sorted(run.path.parent.rglob("*"))
    Image.new("RGB", (8, 8)).save("alone.png")
    for wrong in ("data.dataset=folder:absent", "train.batch_size=5000", "model.backbone=resnet88"):
        assert cli("train", "digits", "--set", wrong, "--overwrite").code == 1
    assert sorted(run.path.parent.rglob("*")) == before


def test_a_failed_rename_leaves_the_run(run, monkeypatch):
    (run.path / "mine.txt").touch()
    rename = type(run.path).rename

    def broken(self, target):
        if target == run.path and self.name.endswith(".writing"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(run.path), "rename", broken)
    with pytest.raises(LarqnetsError):
        Run.create(run.path.parent, run.name, run.experiment, overwrite=True)
    assert (run.path / "mine.txt").exists()
    assert [path.name for path in run.path.parent.iterdir()] == [run.name]


def test_a_run_that_is_trained_is_not_replaced(run, cli):
    with run.locked():
        done = cli("train", "digits", "--overwrite")
    assert done.code == 1
    assert "already exists and is being trained. Choose another name" in done.err


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_run_is_not_replaced(run, cli, kind):
    other = shutil.move(run.path, run.path.parent / "other")
    if kind == "folder":
        run.path.mkdir()
        (run.path / "thesis.tex").touch()
    elif kind == "file":
        run.path.touch()
    else:
        run.path.symlink_to(other)
    done = cli("train", "digits", "--overwrite")
    assert done.code == 1
    assert "runs/digits-seed0 already exists and is no run folder. Choose another name" in done.err
    assert (other / "card.json").is_file()


def test_what_the_new_run_learns_from_is_not_replaced(run):
    finish(run)
    teacher = f"train.teacher={run.path}"
    for order in (
        Order("digits", init_from="runs/digits-seed0", overwrite=True),
        Order("digits", overrides=(teacher,), overwrite=True),
    ):
        with pytest.raises(LarqnetsError, match=r"^The new run learns from runs/digits-seed0, which --overwrite would"):
            plan_run(order)
    with pytest.raises(LarqnetsError, match="Leave one of them out"):
        plan_run(Order("digits", resume=True, overwrite=True))


def test_a_damaged_run_is_told_and_replaced(run, tfds_dir):
    (run.path / "card.json").write_text("{")
    for name in (run.name, None):
        with pytest.raises(LarqnetsError, match=r"already exists and cannot be read\. .* replace it with --overwrite"):
            launch(Order("digits", name=name), SILENT)
    assert launch(Order("digits", name=run.name, overrides=SMALL, overwrite=True), SILENT).is_finished


def test_imported_and_decomposed_runs_are_replaced_alike(run, cli, tmp_path):
    finish(run)
    assert re.search("already exists", cli("decompose", run.path, "--name", run.name, "--no-evaluate").err)
    done = cli("decompose", run.path, "--name", run.name, "--no-evaluate", "--overwrite")
    assert "--overwrite would replace" in done.err
    import tensorflow as tf

    tf.keras.Sequential([tf.keras.layers.Flatten(input_shape=(8, 8, 1)), tf.keras.layers.Dense(10)]).save("net.keras")
    arguments = ("import", "net.keras", "--dataset", "digits", "--no-evaluate")
    assert cli(*arguments).code == 0
    again = cli(*arguments)
    assert (again.code, "runs/net already exists, imported. Choose another name" in again.err) == (1, True)
    (tmp_path / "runs/net/mine.txt").touch()
    assert cli(*arguments, "--overwrite").code == 0
    assert not (tmp_path / "runs/net/mine.txt").exists()
    assert cli("decompose", "runs/net", "--name", "small", "--no-evaluate").code == 0
    assert cli("decompose", "runs/net", "--name", "small", "--no-evaluate").code == 1
    assert cli("decompose", "runs/net", "--name", "small", "--no-evaluate", "--overwrite").code == 0
