"""Stages of a run: where each one begins and ends, what it works with, and how weights go from one to the next."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tensorflow as tf

from larqnets.config import Experiment, StageConfig
from larqnets.data.info import IMAGE
from larqnets.data.presets import PRESETS
from larqnets.errors import LarqnetsError
from larqnets.int8_aware import range_weights
from larqnets.published import IMAGENET, is_published
from larqnets.runs.card import Transfer
from larqnets.runs.names import check_schedule
from larqnets.runs.run import Run
from larqnets.runs.transfer import head_layers, held_layers, start_from
from larqnets.runs.weights import as_measured, build_model, named_weights, transfer_weights
from larqnets.shipped import is_model
from larqnets.tasks import get_task
from larqnets.training.metrics import MetricsRow
from larqnets.training.norms import IMAGES, measure_norms
from larqnets.training.teacher import Teacher, load_teacher

if TYPE_CHECKING:
    from larqnets.data import Dataset


@dataclass(frozen=True)
class Stage:
    """A stage in its run. Steps and epochs count on over the whole run; both begin at 0.

    `epochs` are those of its config, or fewer where it stopped early.
    """

    config: StageConfig
    index: int
    steps_per_epoch: int
    first_epoch: int
    first_step: int
    epochs: int

    @property
    def last_epoch(self) -> int:
        """The number of epochs that are done when the stage ends."""
        return self.first_epoch + self.epochs

    @property
    def last_step(self) -> int:
        """The number of steps that are done when the stage ends."""
        return self.first_step + self.epochs * self.steps_per_epoch

    def data_step(self, step: int) -> int:
        """Return which batch of the data set step `step` of the run takes: epoch e of the run is epoch e of the data.

        It is the step itself as long as all stages have the same batch size.
        """
        return self.first_epoch * self.steps_per_epoch + step - self.first_step


def plan_stages(experiment: Experiment, dataset: "Dataset") -> list[Stage]:
    """Return the stages of an experiment on a data set.

    Raises LarqnetsError when a schedule or loss has no meaning, or a batch is larger than the training set.
    """
    stages: list[Stage] = []
    task = get_task(experiment.task)
    augment = experiment.data.augment
    if augment in PRESETS and PRESETS[augment].mixed and not task.mixes:
        raise LarqnetsError(
            f'data.augment = "{augment}" mixes images, which a network for {task.name} cannot learn from. Use "light".'
        )
    for config in experiment.training_stages:
        check_schedule(config)
        task.loss(config, dataset.info)
        stages.append(Stage(config, len(stages), dataset.steps_per_epoch(config.batch_size), 0, 0, config.epochs))
    return _in_a_row(stages)


def as_they_went(stages: list[Stage], current: int, rows: list[MetricsRow]) -> list[Stage]:
    """Return the stages with those before number `current` as long as the rows of their epochs say: one may stop early."""
    epochs = Counter(row["stage"] for row in rows)
    return _in_a_row([replace(s, epochs=epochs[s.config.name]) if s.index < current else s for s in stages])


def _in_a_row(stages: list[Stage]) -> list[Stage]:
    """Return the stages, each beginning where the one before ends."""
    placed: list[Stage] = []
    for stage in stages:
        epoch, step = (placed[-1].last_epoch, placed[-1].last_step) if placed else (0, 0)
        placed.append(replace(stage, first_epoch=epoch, first_step=step))
    return placed


class StageParts:
    """The model and the teacher of every stage of an experiment, each made once and handed on.

    They belong to the distribution strategy in whose scope they are made. `first` is the first stage's model, where it is
    there already, fresh from `build_model`; `transfer` what the run began with of another network, where that is known.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: "Dataset",
        first: tf.keras.Model | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        self.dataset, self.stages = dataset, plan_stages(experiment, dataset)
        self._experiment, self.transfer = experiment, transfer
        self._models: dict[int, tf.keras.Model] = {} if first is None else {0: first}
        self._teachers: dict[tuple[str, str], Teacher | None] = {}

    def make_all(self) -> None:
        """Make every model and teacher now.

        Raises LarqnetsError for whatever would stop a later stage: an impossible precision, a teacher that does not fit.
        """
        for stage in self.stages:
            self._model(stage)
        for stage in self.stages:
            self._teacher(stage)

    def begin(self, origin: str | None, weights: str = IMAGENET) -> tf.keras.Model:
        """Make the first model, with the weights of the network `origin` that fit (`start_from`) where there is one.

        Those of a shipped model come without statistics of BatchNorms, which are measured on training images.
        """
        model = self._model(self.stages[0])
        if origin is not None:
            self.transfer = start_from(origin, model, self.dataset.info.labels, self._experiment.task, weights)
            if is_model(origin):
                measure_norms(model, self.transfer.taken, self.dataset.samples(IMAGES)[IMAGE])
        return model

    def begin_again(self, run: Run) -> None:
        """As `begin` of a run that has no checkpoint yet; of a published body the run holds the weights."""
        origin = run.card.init_from
        if not is_published(origin):
            self.begin(origin)
            return
        self.begin(str(run.body_file))
        self.transfer = run.card.transfer  # what the file is of, it does not say

    def take(self, stage: Stage, previous: tf.keras.Model | None) -> tuple[tf.keras.Model, list[str], Teacher | None]:
        """Return a stage's model, the names of its weights that start anew, and its teacher; the model is not kept.

        The model has the weights of the stage before. Without `previous` they are initial ones, or those that `begin` set.
        Raises LarqnetsError naming a weight without partner; only what a sign owns that the stage before did not take may
        be one (`transfer_weights`).
        """
        model = self._model(stage)
        del self._models[stage.index]
        fresh = [] if previous is None else transfer_weights(previous, model)
        ranges, weights = range_weights(model), named_weights(model)  # the ranges begin with the stage, as all know
        return model, [name for name in fresh if id(weights[name]) not in ranges], self._teacher(stage)

    def hold(self, stage: Stage, model: tf.keras.Model) -> list[tf.Variable]:
        """Freeze the body of a stage's model where its config says so; returns the weights that learn at its `body_rate`."""
        held = held_layers(model, self.transfer)
        if stage.config.freeze:
            for layer in held:
                layer.trainable = False
        return [weight for layer in held for weight in layer.trainable_weights]

    def measured(self, model: tf.keras.Model) -> tf.keras.Model:
        """Return the trained model of the last stage as it is measured: without what only training rounds."""
        last = self.stages[-1]

        def built(config: StageConfig) -> tf.keras.Model:
            return _stage_model(self._experiment, self.dataset, replace(last, config=config))

        return as_measured(model, last.config, built)

    def _model(self, stage: Stage) -> tf.keras.Model:
        if stage.index not in self._models:
            self._models[stage.index] = _stage_model(self._experiment, self.dataset, stage)
        return self._models[stage.index]

    def _teacher(self, stage: Stage) -> Teacher | None:
        key = (stage.config.teacher, stage.config.teacher_weights)
        if key not in self._teachers:
            teacher = load_teacher(stage.config, self.dataset.info, self._experiment.task)
            if teacher is not None:
                get_task(self._experiment.task).distil(teacher.model, stage.config)  # says what it cannot learn from
            self._teachers[key] = teacher
        return self._teachers[key]


def head_weights(config: StageConfig, model: tf.keras.Model) -> list[tf.Variable]:
    """Return the weights that learn at `head_rate`; none where it is that of all."""
    if config.head_rate == 1:
        return []
    return [weight for layer in head_layers(model) for weight in layer.trainable_weights]


def _stage_model(experiment: Experiment, dataset: "Dataset", stage: Stage) -> tf.keras.Model:
    try:
        return build_model(experiment, dataset.info.image_shape, dataset.info.num_classes, stage.config)
    except LarqnetsError as error:
        if not experiment.stages:
            raise
        raise LarqnetsError(f"Stage '{stage.config.name}': {error}") from error
