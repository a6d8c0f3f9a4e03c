"""A finished run is made longer: a stage of its own, exact under SIGKILL, and said to be no run of that length."""

import json
import random
import signal

import pytest
from recorder import Recorder

from larqnets.config import load_config
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT
from larqnets.runs.longer import added_stage, is_longer
from larqnets.runs.names import Order, plan_run
from larqnets.runs.run import Run
from larqnets.runs.weights import load_trained_model
from larqnets.training.launch import launch

from .test_choosing import rows
from .test_faults import larqnets  # noqa: F401 - a fixture that is used by being here
from .test_loop import same_bits
from .test_stages import timeless

SMALL = (
    *("model.backbone=resnet5", "model.width=0.0625", "train.batch_size=256", "train.learning_rate=0.05"),
    *("data.validation=0.2", "train.keep=best", "train.warmup_epochs=0.5"),
)
STEPS = 4  # in an epoch


def order(runs, epochs, *settings, **options):
    return Order("digits", runs=runs, overrides=(*SMALL, f"train.epochs={epochs}", *settings), **options)


@pytest.fixture(scope="module", autouse=True)
def prepared(tfds_dir):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tfds_dir))
        yield


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A run of two epochs with a converted file, made longer by two."""
    runs = tmp_path_factory.mktemp("runs")
    run = launch(order(runs, 2), SILENT)
    run.update_card(converted_test_accuracy=0.5, arm64={"instructions": 1, "file_sha256": "x"})
    before, recorder = Run.open(run.path), Recorder()
    return before, launch(order(runs, 4, resume=True), recorder), recorder


def test_it_ends_as_a_run_of_both_stages_from_the_start(longer, tmp_path):
    """An independent run of the config that stands in the folder afterwards: every weight, bit for bit."""
    _, run, _ = longer
    again = launch(Order(str(run.path / "config.toml"), runs=tmp_path, name="again"), SILENT)
    assert same_bits(load_trained_model(again), load_trained_model(run))
    tested = [{k: v for k, v in row.items() if not k.startswith("test_")} for row in rows(run)]
    assert tested == [{k: v for k, v in row.items() if not k.startswith("test_")} for row in rows(again)]
    straight = launch(order(tmp_path, 4, name="straight"), SILENT)
    assert not same_bits(load_trained_model(straight), load_trained_model(run))


def test_card_and_output_say_what_it_is(longer):
    before, run, recorder = longer
    card = run.card
    assert (card.status, card.epochs_done, card.step) == ("trained", 4, 4 * STEPS)
    assert [(s.name, s.epochs_done, s.start_rate) for s in card.stages] == [("train", 2, None), ("longer", 2, 0.05)]
    assert [row["stage"] for row in rows(run)] == ["train"] * 2 + ["longer"] * 2
    assert float(rows(run)[2]["learning_rate"]) < 0.05
    assert run.experiment.training_stages[0] == before.experiment.training_stages[0]
    said = (
        "Stage longer makes it longer, from 2 to 4 epochs, with a new optimizer and a schedule of its own: the learning rate starts "
        "at 0.05 and goes to 0 (cosine). The result is not that of a run of 4 epochs from the start, whose rate goes its way once."
    )
    assert said in recorder.lines
    more = "" if card.chosen.epoch == before.card.chosen.epoch else " more"
    assert recorder.lines[-1].startswith(
        f"Test set, measured once{more}, with the weights of epoch {card.chosen.epoch} "
    )
    assert (card.converted_test_accuracy, card.arm64) == (None, None)
    assert any("have the weights from before" in line for line in recorder.lines)
    best = max(float(row["validation_accuracy"]) for row in rows(run))
    assert card.validation_score == pytest.approx(best)
    first = before.card.chosen.epoch - 1
    assert rows(run)[first]["test_accuracy"] == rows(before)[first]["test_accuracy"] != ""


def test_asked_again_it_is_left_alone(longer):
    _, run, _ = longer
    kept = (run.path / "card.json").read_bytes()
    for again in (order(run.path.parent, 4, resume=True), Order(str(run.path), resume=True)):
        recorder = Recorder()
        launch(again, recorder)
        assert "is finished: 4 epochs are trained" in recorder.lines[-1]
    assert (run.path / "card.json").read_bytes() == kept


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("train.epochs=3",), "has 4 epochs, and train.epochs=3 would take some away"),
        (("train.epochs=0",), "between 1 and 100000"),
        (("train.epochs=many",), "'train.epochs' must be"),
        (("train.epochs=6", "train.learning_rate=1.0"), "keeps its config.*makes a finished run longer"),
        (("train.epochs=6", "seed=1"), "keeps its config"),
    ],
)
def test_what_is_refused_changes_nothing(longer, settings, words):
    _, run, _ = longer
    kept = (run.path / "config.toml").read_bytes()
    with pytest.raises(LarqnetsError, match=words):
        launch(Order(str(run.path), overrides=settings, resume=True), SILENT)
    if settings[-1].startswith("train.learning_rate"):
        with pytest.raises(LarqnetsError, match="The config is not the one that"):
            launch(order(run.path.parent, 6, *settings, resume=True), SILENT)
    assert (run.path / "config.toml").read_bytes() == kept


def test_a_run_that_is_not_finished_is_not_made_longer(tmp_path):
    run = Run.create(tmp_path, "digits-seed0", load_config("digits", (*SMALL, "train.epochs=2")))
    with pytest.raises(LarqnetsError, match=r"is not finished: 0 of 2 epochs are trained. Finish it first with"):
        plan_run(Order(str(run.path), overrides=("train.epochs=4",), resume=True))


@pytest.mark.parametrize(
    ("settings", "rate", "schedule"),
    [
        ((), 0.05, "cosine"),
        (("train.schedule=constant",), 0.05, "constant"),
        (("train.schedule=exponential", "train.final_learning_rate=1e-4"), 0.05, "exponential"),
        (("train.schedule=step", "train.step_epochs=[1, 2]", "train.step_factor=0.1"), 0.0005, "constant"),
    ],
)
def test_every_schedule_has_a_start_and_may_be_longer_again(tmp_path, settings, rate, schedule):
    experiment = load_config("digits", (*SMALL, "train.epochs=3", *settings))
    run = Run.create(tmp_path, "run", experiment)
    run.update_card(status="trained")
    stage = added_stage(run, 8)
    assert (stage.name, stage.epochs, stage.schedule, stage.warmup_epochs) == ("longer", 5, schedule, 0)
    assert stage.learning_rate == pytest.approx(rate)
    run.lengthen(stage)
    assert not Run.open(run.path).is_finished
    run.update_card(stages=[{"name": name, "precision": "binary", "epochs_done": 1} for name in ("train", "longer")])
    second = added_stage(Run.open(run.path), 9)
    assert (second.name, second.epochs) == ("longer-2", 1)
    assert is_longer(Run.open(run.path).experiment, load_config("digits", (*SMALL, "train.epochs=9", *settings)))


def test_a_run_in_stages_is_made_longer(tmp_path):
    settings = ("model.width=0.0625", "train.batch_size=512", "stages.1.epochs=2")
    started = load_config("digits_stages", (*settings, "train.epochs=1"))
    run = Run.create(tmp_path, "run", started)
    run.update_card(status="trained", stages=[{"name": n, "precision": "binary", "epochs_done": 1} for n in "ab"])
    run.lengthen(added_stage(run, 5))
    assert [stage.epochs for stage in run.experiment.stages] == [1, 2, 2]
    assert is_longer(run.experiment, load_config("digits_stages", (*settings, "train.epochs=5")))
    assert not is_longer(run.experiment, load_config("digits_stages", ("stages.1.epochs=3", "train.epochs=5")))


def outcome(run):
    state = json.loads((run / f"checkpoints/step-{4 * STEPS:08d}/state.json").read_text())
    return state["files"], rows(Run.open(run)), timeless(Run.open(run).card.document)


def test_killed_anywhere_it_ends_with_the_same_bits(longer, larqnets, tmp_path):  # noqa: F811 - the fixture
    """Kills while it trains and while it is made longer: at drawn steps, in a checkpoint, between file operations."""
    draw = random.Random(0)
    settings = [part for setting in SMALL for part in ("--set", setting)]
    run = tmp_path / "runs/digits-seed0"

    def go(epochs, kill=None):
        done = larqnets(
            "train", "digits", *settings, "--set", f"train.epochs={epochs}", "--resume", cwd=tmp_path, kill=kill
        )
        assert done.code == (0 if kill is None else -signal.SIGKILL), (kill, done.err)

    go(2, f"step:{draw.randrange(STEPS + 1, 2 * STEPS)}")
    go(2)
    # The first operations of a start are of opening and lengthening, the last ones before a step of the card and tables.
    for kill in (f"file:{draw.randrange(8, 20)}", "step:1", f"file:{draw.randrange(20, 50)}", "save:1"):
        go(4, kill)
    resumed = larqnets("train", "--resume", run, cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    _, whole, _ = longer
    ours, theirs = outcome(run), outcome(whole.path)
    assert ours[:2] == theirs[:2]
    stale = {"converted_test_accuracy", "arm64"}
    assert ours[2] == {key: value for key, value in theirs[2].items() if key not in stale}
