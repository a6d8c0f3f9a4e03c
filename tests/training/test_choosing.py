"""Choosing on validation images: which epoch is kept, when training stops, and that nothing of it depends on interruptions."""

import csv
import dataclasses
import json
import os
import random
import signal
from functools import partial

import numpy as np
import pytest
from forked import Forked
from hypothesis import given
from hypothesis import strategies as st
from recorder import Recorder

from larqnets.config import DataConfig, PaperConfig, StageConfig, list_configs, load_config
from larqnets.errors import LarqnetsError
from larqnets.runs.epoch_tables import TIMING_COLUMNS
from larqnets.runs.run import Run
from larqnets.tasks import get_task
from larqnets.training import TrainingInterruptedError, build_model, evaluate, load_trained_model, train
from larqnets.training.choosing import Choice, choice_words
from larqnets.training.stages import Stage, as_they_went

from .kill_points import arm
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
    last = tiny_experiment(**(KEEP | train | {"keep": "last"}))
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


@pytest.mark.parametrize("stops", [[3, 41], [7, 14, 41]], ids=str)
@pytest.mark.parametrize("every", [1, 4])
def test_an_interrupted_run_keeps_the_same_bits(whole, tmp_path, stops, every):
    run, model, *_ = whole
    experiment = chosen(checkpoint_every_epochs=every)
    broken = Run.create(tmp_path, "broken", experiment)
    for at in stops:
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
