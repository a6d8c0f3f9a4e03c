"""Which epoch's weights are the result, and when a stage stops early: chosen on validation images, never on the test set.

All of it follows from the rows of the finished epochs, which a checkpoint holds, so a resumed run chooses as a whole one.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.config import Experiment
from larqnets.runs.epoch_tables import VALIDATION
from larqnets.training.metrics import MetricsRow, scores_of
from larqnets.training.stages import Stage


class KeptWeights(tf.Module):
    """A copy of a model's weights in the order of `model.variables`, at first of those that a stage begins with."""

    def __init__(self, model: tf.keras.Model) -> None:
        super().__init__()
        self.weights = [tf.Variable(tf.constant(np.asarray(weight)), trainable=False) for weight in model.variables]

    def take(self, model: tf.keras.Model) -> None:
        """Copy the weights that the model has now."""
        for copy, weight in zip(self.weights, model.variables, strict=True):
            copy.assign(np.asarray(weight))

    def give(self, model: tf.keras.Model) -> None:
        """Set the model's weights to the copy."""
        for copy, weight in zip(self.weights, model.variables, strict=True):
            weight.assign(np.asarray(copy))


class Choice:
    """What is chosen of a run's epochs by the score `headline` of its validation images."""

    def __init__(self, headline: str) -> None:
        self._column = f"{VALIDATION}{headline}"

    def kept(self, stages: Sequence[Stage], rows: Sequence[MetricsRow]) -> MetricsRow | None:
        """Return the row of the epoch whose weights the last of these stages has at its end, None before it has any.

        With keep = "best" that of the highest score, of several the first; a stage that extends another is taken with it.
        """
        *before, stage = stages
        own = _rows_of(stage, rows)
        earlier = self.kept(before, rows) if stage.config.extends else None
        candidates = ([] if earlier is None else [earlier]) + own
        if not candidates or stage.config.keep == "last":
            return candidates[-1] if candidates else None
        return max(candidates, key=self._score)

    def epochs_without_gain(self, stage: Stage, rows: Sequence[MetricsRow]) -> int:
        """Return how many epochs of the stage came after its best one, of several the first."""
        scores = [self._score(row) for row in _rows_of(stage, rows)]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def ran_out(self, stage: Stage, rows: Sequence[MetricsRow]) -> bool:
        """Return whether the stage has no patience left."""
        patience = stage.config.patience
        return 0 < patience <= self.epochs_without_gain(stage, rows)

    def _score(self, row: MetricsRow) -> float:
        score = row[self._column]
        return score if math.isfinite(score) else -math.inf


def chosen(row: MetricsRow, keep: str) -> dict[str, Any]:
    """Return what a card says of the epoch whose weights are kept."""
    return {
        "keep": keep,
        "epoch": row["epoch"],
        "validation_loss": row[f"{VALIDATION}loss"],
        "validation_scores": scores_of(row, VALIDATION),
    }


def choice_words(experiment: Experiment, headline: str) -> str:
    """Return in a sentence or two what will be chosen by which images."""
    last, stages = experiment.training_stages[-1], experiment.training_stages
    if not experiment.data.keeps_validation:
        whose = f"The recipe of {experiment.paper.title} keeps" if experiment.paper.title else "Kept are"
        return f"{whose} the weights of the last epoch: the test set is measured after every epoch, and nothing is chosen on it."
    which = "the last epoch" if last.keep == "last" else f"the epoch with the best validation {headline}"
    words = f"Kept are the weights of {which}; the test set is measured once, with them, at the end."
    if last.keep == "last" and experiment.paper.title:
        words = f"The recipe of {experiment.paper.title} keeps the weights of the last epoch; the test set is measured once, with them, at the end."
    for stage in stages:
        if stage.patience:
            name = f"Stage {stage.name}" if len(stages) > 1 else "Training"
            words += f" {name} ends after {stage.patience} epochs without a better validation {headline}."
    return words


def _rows_of(stage: Stage, rows: Sequence[MetricsRow]) -> list[MetricsRow]:
    return [row for row in rows if row["stage"] == stage.config.name]
