"""A start from a config: where its weights come from, and that nothing is made twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from calls import counted
from PIL import Image
from recorder import Recorder

from larqnets.cli.tables.training import card as training_card
from larqnets.data import load_dataset
from larqnets.errors import LarqnetsError
from larqnets.models import create_model
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.transfer import start_from
from larqnets.runs.weights import load_trained_model, transfer_weights
from larqnets.training.launch import launch
from larqnets.training.teacher import load_teacher

from .test_loop import notes, same_bits

SMALL = ("model.width=0.0625", "train.epochs=1", "train.batch_size=1347")  # one step


@pytest.fixture(scope="module")
def origin(tmp_path_factory, tfds_dir):
    """A run of the digits whose weights others start from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tfds_dir))
        return launch(Order("digits", runs=tmp_path_factory.mktemp("runs"), overrides=SMALL), SILENT)


@pytest.fixture
def start(origin, tmp_path, tfds_dir, monkeypatch):
    """Train the digits in two stages under a teacher, from the weights of another run."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    taught = [*SMALL, f"train.teacher={origin.path}"]

    def call(name="new", reporter=SILENT, **options):
        options = {"runs": tmp_path, "overrides": taught, "init_from": origin.path, "name": name} | options
        return launch(Order("digits_stages", **options), reporter)

    return call


def test_a_start_makes_every_model_teacher_and_data_set_once(start, monkeypatch):
    functions = (create_model, load_dataset, load_teacher, load_trained_model, start_from, transfer_weights)
    counts = counted(monkeypatch, *functions)
    recorder = Recorder()
    run = start(reporter=recorder)
    # the models of two stages, the run that the weights are from, the run that teaches both stages
    assert counts == {
        "create_model": 4,
        "load_trained_model": 2,
        "load_teacher": 1,
        "load_dataset": 1,
        "start_from": 1,
        "transfer_weights": 1,  # from stage to stage
    }
    assert f"Starting from the weights of {run.card.init_from}." in recorder.lines
    descent = "digits (CC BY 4.0); digits-seed0 (a run of larqnets); digits (CC BY 4.0, by digits-seed0)"
    assert f"The weights descend from {descent}." in recorder.lines
    assert [ancestor["name"] for ancestor in run.card.document["history"]] == ["digits", "digits-seed0", "digits"]
    counts.clear()
    launch(Order(str(run.path), resume=True), recorder)
    assert counts == {"create_model": 1, "load_trained_model": 1, "load_dataset": 1}  # it is finished


class Stopped(Exception):  # noqa: N818
    """What a killed process is here."""


class Killed(Reporter):
    """That of a process that dies before its first step."""

    def count(self, done, total=None, what=""):
        raise Stopped


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_same_weights(start, tmp_path, monkeypatch):
    whole = start("whole")
    with pytest.raises(Stopped):
        start("killed", reporter=Killed())
    recorder = Recorder()
    run = launch(Order(str(tmp_path / "killed"), resume=True), recorder)
    assert "The run was killed before its first checkpoint: it starts again." in notes(recorder)
    assert f"Starting from the weights of {whole.card.init_from}." in recorder.lines
    assert same_bits(load_trained_model(run), load_trained_model(whole))
    other = load_trained_model(start("other", init_from=None))
    assert not same_bits(other, load_trained_model(whole))


def test_an_origin_that_does_not_fit_leaves_no_run(start, tmp_path, origin):
    wider = [*SMALL, "model.width=0.125"]
    with pytest.raises(
        LarqnetsError,
        match=r"Nothing of .* can be taken: stem_conv/kernel is \(3, 3, 1, 1\) there and \(3, 3, 1, 2\) here",
    ):
        start(overrides=wider)
    with pytest.raises(LarqnetsError, match="There is no run at"):
        start(init_from=Path("absent"))
    assert not list(tmp_path.iterdir())
    assert Run.open(origin.path).card.status == "trained"


def test_what_is_taken_is_told_and_stands_in_the_card(cli, origin, tmp_path):
    """Two classes in a folder, larger images, a frozen body: the whole way, with --json, and interrupted by no epoch."""
    random = np.random.default_rng(0)
    for place in (f"{split}/{label}" for split in ("train", "test") for label in "ab"):
        (tmp_path / "two" / place).mkdir(parents=True)
        for i in range(8):
            pixels = random.integers(0, 256, (12, 10), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "two" / place / f"{i}.png")
    words = ["train", "digits", "--name", "two", "--init-from", str(origin.path)]
    settings = ["data.dataset=folder:two", "data.image_size=12", "train.freeze=true", *SMALL[:2], "train.batch_size=8"]
    done = cli(*words, *(part for setting in settings for part in ("--set", setting)), "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert (len(card["transfer"]["taken"]), card["transfer"]["unused"]) == (45, [])
    assert card["transfer"]["new"] == dict.fromkeys(
        ["classifier/kernel", "classifier/bias"], "the head is new, for other classes"
    )
    assert f"Starting from the weights of {origin.path}." in done.err
    assert "45 of 47 weights are taken from there." in done.err
    assert "Not taken: classifier/kernel, classifier/bias (the head is new, for other classes)." in done.err
    run = Run.open(tmp_path / "runs/two")
    assert f"45 of 47 weights of {origin.path}" in "".join(str(cell) for cell in card_cells(run))
    kernels = [load_trained_model(r).get_layer("stem_conv").kernel.numpy() for r in (origin, run)]
    np.testing.assert_array_equal(*kernels)


def card_cells(run):
    """The values in the table that ends a training."""
    (table, _) = training_card(run.card, run.path)
    return [cell for column in table.columns for cell in column.cells]


@pytest.mark.parametrize("key", ["freeze=true", "body_rate=0.1"])
def test_a_body_of_random_weights_is_not_held(key, tmp_path):
    with pytest.raises(LarqnetsError, match=f"train.{key.split('=')[0]} is for a body that is trained already"):
        launch(Order("digits", runs=tmp_path, overrides=[f"train.{key}"]), SILENT)
    assert not list(tmp_path.iterdir())
