"""A finished run is made longer by `--resume --set train.epochs=N`: a stage is added, with a schedule of its own."""

import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from larqnets.config import Experiment, StageConfig, TrainConfig, apply_override
from larqnets.errors import LarqnetsError
from larqnets.runs.run import Run
from larqnets.schema import convert

_KEY = "train.epochs"


def epochs_asked(overrides: Sequence[str]) -> int | None:
    """Return how many epochs a run shall have in all, None where the overrides do not say; raises LarqnetsError for nonsense."""
    tables: dict[str, Any] = {}
    for override in overrides:
        apply_override(tables, override)
    train = tables.get("train")
    if not isinstance(train, dict) or "epochs" not in train:
        return None
    hint = typing.get_type_hints(TrainConfig, include_extras=True)["epochs"]
    return convert(train["epochs"], hint, _KEY, "--set")


def asks_nothing_else(overrides: Sequence[str]) -> bool:
    """Return whether the overrides set the number of epochs at most."""
    return all(override.partition("=")[0].strip() == _KEY for override in overrides)


def is_longer(run: Experiment, asked: Experiment) -> bool:
    """Return whether a run was started as `asked`, but for the number of epochs, and stages that were added since."""
    stages = tuple(
        replace(mine, epochs=theirs.epochs) if mine.epochs == asked.train.epochs else mine
        for mine, theirs in zip(asked.training_stages, run.training_stages, strict=False)
    )
    same = replace(run, stages=()) == replace(asked, stages=(), train=replace(asked.train, epochs=run.train.epochs))
    return (
        same
        and len(stages) == len(asked.training_stages)
        and run.training_stages[: len(stages)] == stages
        and all(stage.extends for stage in run.training_stages[len(stages) :])
    )


def added_stage(run: Run, epochs: int) -> StageConfig | None:
    """Return the stage that gives a run so many epochs in all; None where it is to have them already.

    Its rate begins where the last stage's began, without warm-up, and falls as that one's did; that of a step schedule stays
    where it ended. Raises LarqnetsError for fewer epochs, and more ones for a run that is not finished.
    """
    stages = run.experiment.training_stages
    planned = sum(stage.epochs for stage in stages)
    if epochs == planned:
        return None
    if epochs < planned:
        raise LarqnetsError(
            f"{run.path} has {planned} epochs, and {_KEY}={epochs} would take some away. Name a larger number to make it "
            "longer, or train under a new name."
        )
    if not run.is_finished:
        raise LarqnetsError(
            f"{run.path} is not finished: {run.card.epochs_done} of {planned} epochs are trained. Finish it first with "
            f"`larqnets train --resume {run.path}`; then {_KEY}={epochs} makes it longer."
        )
    last = stages[-1]
    rate = last.learning_rate
    schedule = {}
    if last.schedule == "step":
        rate *= last.step_factor ** len(last.step_epochs)
        schedule = {"schedule": "constant", "step_epochs": ()}
    return replace(
        last,
        name=_free_name([stage.name for stage in stages]),
        epochs=epochs - planned,
        learning_rate=rate,
        warmup_epochs=0.0,
        extends=True,
        **schedule,
    )


def _free_name(taken: Sequence[str]) -> str:
    names = ("longer", *(f"longer-{number}" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)


def longer_words(stages: Sequence[StageConfig]) -> list[str]:
    """Return a sentence or two for each stage that makes a run longer: how its rate goes, and what the run is no more."""
    said, epochs = [], 0
    for stage in stages:
        before, epochs = epochs, epochs + stage.epochs
        if not stage.extends:
            continue
        way = "stays there"
        if stage.schedule != "constant":
            way = f"goes to {stage.final_learning_rate:g} ({stage.schedule})"
        said.append(
            f"Stage {stage.name} makes it longer, from {before} to {epochs} epochs, with a new optimizer and a schedule of its own: the "
            f"learning rate starts at {stage.learning_rate:g} and {way}. The result is not that of a run of {epochs} epochs "
            "from the start, whose rate goes its way once."
        )
    return said
