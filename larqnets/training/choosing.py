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

    def ran_out(self, stage: Stage, rows: Sequence[MetricsRow]) -> bool:
        """Return whether `patience` epochs of the stage came after its best one, of several the first."""
        own, patience = _rows_of(stage, rows), stage.config.patience
        if not patience or not own:
            return False
        scores = [self._score(row) for row in own]
        return len(scores) - 1 - scores.index(max(scores)) >= patience

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
    stages, title = experiment.training_stages, experiment.paper.title
    last = stages[-1].keep == "last"
    whose = f"The recipe of {title} keeps" if title and last else "Kept are"
    words = f"{whose} the weights of {'the last epoch' if last else f'the epoch with the best validation {headline}'}"
    if not experiment.data.keeps_validation:
        return f"{words}: the test set is measured after every epoch, and nothing is chosen on it."
    words += "; the test set is measured once, with them, at the end."
    for stage in stages:
        if stage.patience:
            name = f"Stage {stage.name}" if len(stages) > 1 else "Training"
            words += f" {name} ends early without a better validation {headline} (patience {stage.patience})."
    return words


def _rows_of(stage: Stage, rows: Sequence[MetricsRow]) -> list[MetricsRow]:
    return [row for row in rows if row["stage"] == stage.config.name]
