"""Choosing on validation images: which epoch is kept, when training stops, and that nothing of it depends on interruptions."""

import csv
import dataclasses
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import Recorder

from larqnets.config import DataConfig, PaperConfig, StageConfig, list_configs, load_config
from larqnets.errors import LarqnetsError
from larqnets.runs.epoch_tables import TIMING_COLUMNS
from larqnets.runs.run import Run
from larqnets.training import TrainingInterruptedError, build_model, load_trained_model, train
from larqnets.training.choosing import Choice, choice_words
from larqnets.training.stages import Stage

from .test_loop import same_bits
from .test_stages import stage, timeless
from .tiny import MemoryDataset, tiny_experiment

KEEP = {"keep": "best", "epochs": 6, "learning_rate": 0.3, "schedule": "constant", "warmup_epochs": 0.0}


class Validated(MemoryDataset):
    """The last ten of its training images are kept to choose by; every evaluation is noted."""

    def __init__(self):
        super().__init__()
        self.measured = []

    def eval_batches(self, split, batch_size, limit=None):
        self.measured.append(split)
        batches = super().eval_batches("test" if split == "test" else "train", 10_000)
        return batches.map(lambda e: {k: v[-10:] for k, v in e.items()}) if split == "validation" else batches


def chosen(**train):
    last = tiny_experiment(**(KEEP | train | {"keep": "last", "patience": 0}))
    return dataclasses.replace(
        last,
        data=DataConfig("memory", validation=0.125),
        train=dataclasses.replace(last.train, **({"keep": "best"} | train)),
    )


def staged(*stages, **train):
    return dataclasses.replace(chosen(**train), stages=stages)


def train_once(experiment, run, dataset=None, **options):
    """Train in the folder as a new process would; returns the model that the caller has at the end."""
    dataset = dataset or Validated()
    model = build_model(experiment, dataset.info.image_shape, 3)
    return train(experiment, Run.open(run.path), dataset, model, **options)


def rows(run):
    with run.metrics.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def score(model, split):
    """The accuracy by NumPy."""
    dataset = Validated()
    (batch,) = dataset.eval_batches(split, 100).as_numpy_iterator()
    return float((model.predict(batch["image"], verbose=0).argmax(-1) == batch["label"]).mean())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run whose best epoch is not its last."""
    run = Run.create(tmp_path_factory.mktemp("runs"), "whole", chosen())
    recorder, dataset = Recorder(), Validated()
    model = train_once(chosen(), run, dataset, reporter=recorder)
    return Run.open(run.path), model, recorder, dataset


def test_the_test_set_is_measured_once_with_the_best_weights(whole):
    run, model, recorder, dataset = whole
    assert dataset.measured == ["validation"] * 6 + ["test"]
    table = rows(run)
    scores = [float(row["validation_accuracy"]) for row in table]
    best = scores.index(max(scores))
    assert best < len(scores) - 1  # else it would be the last one's weights anyway
    assert [i for i, row in enumerate(table) if row["test_accuracy"]] == [best]
    card = run.card
    assert card.document["chosen"]["epoch"] == best + 1
    assert card.validation_score == pytest.approx(scores[best]) == pytest.approx(score(model, "validation"))
    assert card.score == pytest.approx(float(table[best]["test_accuracy"])) == pytest.approx(score(model, "test"))
    assert card.document["train_loss"] == pytest.approx(float(table[best]["train_loss"]))
    assert same_bits(load_trained_model(run), model)
    assert recorder.lines[-1].startswith(
        f"Test set, measured once, with the weights of epoch {best + 1} (the best vali"
    )
    assert "validation accuracy" in recorder.lines[0]
    assert "test" not in recorder.lines[0]


def test_the_best_weights_are_those_of_a_run_that_ends_there(whole, tmp_path):
    """An independent run of as many epochs: the rate is constant, so its epochs are the same ones."""
    run, model, *_ = whole
    short = dataclasses.replace(tiny_experiment(**(KEEP | {"keep": "last", "epochs": run.card.chosen.epoch})))
    assert same_bits(train_once(short, Run.create(tmp_path, "short", short)), model)


def test_the_last_weights_are_kept_by_default(whole, tmp_path):
    experiment = chosen(keep="last", epochs=2)
    run = Run.create(tmp_path, "last", experiment)
    dataset = Validated()
    train_once(experiment, run, dataset)
    assert dataset.measured == ["validation"] * 2 + ["test"]
    assert [bool(row["test_loss"]) for row in rows(run)] == [False, True]
    assert Run.open(run.path).card.chosen.epoch == 2


def test_an_interrupted_run_keeps_the_same_bits(whole, tmp_path):
    run, model, *_ = whole
    experiment = chosen(checkpoint_every_epochs=4)
    broken = Run.create(tmp_path, "broken", experiment)
    for at in (14, 38):  # between two epochs, and in the last one
        with pytest.raises(TrainingInterruptedError):
            train_once(experiment, broken, stop=lambda step, at=at: step == at)
    assert same_bits(train_once(experiment, broken), model)
    assert rows(broken) == rows(run)
    assert timeless(Run.open(broken.path).card.document) == timeless(run.card.document)


def test_a_signal_while_the_test_set_is_measured_repeats_that_alone(whole, tmp_path):
    run, model, *_ = whole

    class Signalling(Validated):
        def eval_batches(self, split, *args):
            if split == "test":
                os.kill(os.getpid(), signal.SIGINT)
            return super().eval_batches(split, *args)

    broken = Run.create(tmp_path, "broken", chosen())
    with pytest.raises(TrainingInterruptedError, match="after step 42 of 42"):
        train_once(chosen(), broken, Signalling())
    assert Run.open(broken.path).card.score is None
    dataset = Validated()
    assert same_bits(train_once(chosen(), broken, dataset), model)
    assert dataset.measured == ["test"]
    assert rows(broken) == rows(run)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, float("nan")]), min_size=1, max_size=8), st.integers(0, 3))
def test_what_is_kept_and_when_it_ends_follow_from_the_scores(scores, patience):
    """Against a loop over the epochs, as one would write it with a variable for the best so far."""
    config = StageConfig(name="a", epochs=9, keep="best", patience=patience)
    only = Stage(config, 0, 1, 0, 0, 9)
    rows = [{"stage": "a", "epoch": i, "validation_accuracy": s} for i, s in enumerate(scores)]
    best, at, ended = -1.0, 0, None
    for i, value in enumerate(scores):
        if value > best:
            best, at = value, i
        if ended is None and patience and i - at >= patience:
            ended = i
    choice = Choice("accuracy")
    assert choice.kept([only], rows) is rows[at]
    assert choice.ran_out(only, rows) == bool(patience and len(rows) - 1 - at >= patience)
    ends = [i for i in range(len(rows)) if choice.ran_out(only, rows[: i + 1])]
    assert (ends[0] if ends else None) == ended


def test_a_stage_that_extends_another_is_chosen_with_it():
    configs = [StageConfig(name=name, epochs=2, keep="best", extends=name == "c") for name in "abc"]
    stages = [Stage(config, i, 1, 2 * i, 2 * i, 2) for i, config in enumerate(configs)]
    scores = {"a": (0.9, 0.1), "b": (0.5, 0.4), "c": (0.2, 0.3)}
    rows = [{"stage": name, "validation_accuracy": s} for name, found in scores.items() for s in found]
    choice = Choice("accuracy")
    assert [choice.kept(stages[:n], rows) is rows[i] for n, i in ((1, 0), (2, 2), (3, 2))] == [True] * 3
    last = [*stages[:2], dataclasses.replace(stages[2], config=dataclasses.replace(configs[2], keep="last"))]
    assert choice.kept(last, rows) is rows[5]
    assert choice.kept(last, rows[:4]) is rows[2]


EARLY = (
    stage("first", keep="best", patience=1, epochs=6, learning_rate=0.3),
    stage("second", keep="best", patience=2, epochs=4, progress="run"),
)


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """Two stages, the first of which stops early."""
    run = Run.create(tmp_path_factory.mktemp("runs"), "early", staged(*EARLY))
    recorder = Recorder()
    return train_once(staged(*EARLY), run, reporter=recorder), Run.open(run.path), recorder


def test_a_stage_stops_early_and_the_next_one_follows_at_once(early):
    _, run, recorder = early
    first, second = run.card.stages
    assert first.epochs_done < 6
    assert [int(row["epoch"]) for row in rows(run)] == list(range(1, run.card.epochs_done + 1))
    assert [int(row["step"]) for row in rows(run)] == [7 * epoch for epoch in range(1, run.card.epochs_done + 1)]
    assert run.card.epochs_done == first.epochs_done + second.epochs_done
    said = f"Stage first stops early, after epoch {first.epochs_done}: no better validation accuracy since epoch {first.chosen.epoch}."
    assert said in recorder.lines
    assert first.chosen.epoch == first.epochs_done - 1
    assert first.test_accuracy is None
    assert second.test_accuracy == run.card.score is not None


def test_a_run_that_stopped_early_is_resumed_anywhere(early, tmp_path):
    model, whole, _ = early
    border = 7 * whole.card.stages[0].epochs_done
    broken = Run.create(tmp_path, "broken", staged(*EARLY))
    for at in (border, border + 8):
        with pytest.raises(TrainingInterruptedError):
            train_once(staged(*EARLY), broken, stop=lambda step, at=at: step == at)
    assert same_bits(train_once(staged(*EARLY), broken), model)
    assert rows(broken) == rows(whole)
    assert timeless(Run.open(broken.path).card.document) == timeless(whole.card.document)


@pytest.mark.parametrize(("train", "words"), [({"keep": "best"}, 'train.keep = "best"'), ({"patience": 3}, "patience")])
def test_without_validation_images_there_is_nothing_to_choose_by(train, words):
    with pytest.raises(LarqnetsError, match=f"{words} needs validation images.*data.validation = 0.2"):
        tiny_experiment(**train)
    dataclasses.replace(chosen(), data=DataConfig("memory", own_validation=True))


def test_what_is_chosen_is_said():
    assert choice_words(tiny_experiment(), "accuracy") == (
        "Kept are the weights of the last epoch: the test set is measured after every epoch, and nothing is chosen on it."
    )
    paper = dataclasses.replace(tiny_experiment(), paper=PaperConfig("A paper", 0.5))
    assert choice_words(paper, "accuracy").startswith(
        "The recipe of A paper keeps the weights of the last epoch: the test"
    )
    assert choice_words(chosen(patience=4), "miou") == (
        "Kept are the weights of the epoch with the best validation miou; the test set is measured once, with them, at the "
        "end. Training ends early without a better validation miou (patience 4)."
    )


def test_the_recipes_of_papers_keep_the_last_weights():
    papers = [config for config in map(load_config, list_configs()) if config.paper.title]
    assert len(papers) > 20
    assert {(stage.keep, stage.patience) for config in papers for stage in config.training_stages} == {("last", 0)}
