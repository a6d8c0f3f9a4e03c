"""Stages of a run: where each one begins and ends, and how the weights go from one to the next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from larqnets.config import Experiment, StageConfig
from larqnets.errors import LarqnetsError
from larqnets.runs.weights import build_model, transfer_weights
from larqnets.tasks import Metric, get_task
from larqnets.training.metrics import Row, results_of
from larqnets.training.schedules import check_schedule
from larqnets.training.teacher import load_teacher

if TYPE_CHECKING:
    from larqnets.data import Dataset


@dataclass(frozen=True)
class Stage:
    """A stage in its run. Steps and epochs count on over the whole run; both begin at 0."""

    config: StageConfig
    index: int
    steps_per_epoch: int
    first_epoch: int
    first_step: int

    @property
    def last_epoch(self) -> int:
        """The number of epochs that are done when the stage ends."""
        return self.first_epoch + self.config.epochs

    @property
    def last_step(self) -> int:
        """The number of steps that are done when the stage ends."""
        return self.first_step + self.config.epochs * self.steps_per_epoch

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
    epoch = step = 0
    for config in experiment.training_stages:
        check_schedule(config)
        task.loss(config)
        stage = Stage(config, len(stages), dataset.steps_per_epoch(config.batch_size), epoch, step)
        stages.append(stage)
        epoch, step = stage.last_epoch, stage.last_step
    return stages


def check_stages(experiment: Experiment, dataset: "Dataset") -> tf.keras.Model:
    """Return the model of the first stage, after every stage's model was built and every teacher loaded once.

    Raises LarqnetsError for whatever would stop a later stage: an impossible precision, a teacher that does not fit.
    """
    models = [_stage_model(experiment, dataset, stage) for stage in plan_stages(experiment, dataset)]
    for config in experiment.training_stages:
        teacher = load_teacher(config, dataset.info, experiment.task)
        if teacher is not None:
            get_task(experiment.task).distil(teacher.model, config)
    return models[0]


def next_model(
    experiment: Experiment, dataset: "Dataset", stage: Stage, previous: tf.keras.Model | None
) -> tuple[tf.keras.Model, list[str]]:
    """Return the model of a stage with the weights of the stage before, and the names of the weights that start anew.

    Without `previous` the weights are initial ones, for a checkpoint to replace. Raises LarqnetsError naming a weight
    without partner; only what a sign owns that the stage before did not take may be one (`transfer_weights`).
    """
    model = _stage_model(experiment, dataset, stage)
    return model, [] if previous is None else transfer_weights(previous, model)


def stage_results(stages: list[Stage], rows: list[Row], metric: Metric) -> list[dict[str, Any]]:
    """Return for the card what each stage was and did, from the rows of its finished epochs."""
    results, before = [], 0.0
    for stage in stages:
        mine = rows[stage.first_epoch : stage.last_epoch]
        entry = {"name": stage.config.name, "precision": stage.config.precision, "epochs_done": len(mine)}
        if stage.config.teacher:
            entry["teacher"] = stage.config.teacher
        if mine:
            last = mine[-1]
            entry |= {"seconds": round(last["seconds"] - before, 2)}
            entry |= {name: last[name] for name in results_of(metric)}
            before = last["seconds"]
        results.append(entry)
    return results


def _stage_model(experiment: Experiment, dataset: "Dataset", stage: Stage) -> tf.keras.Model:
    try:
        return build_model(experiment, dataset.info.image_shape, dataset.info.num_classes, stage.config)
    except LarqnetsError as error:
        if not experiment.stages:
            raise
        raise LarqnetsError(f"Stage '{stage.config.name}': {error}") from error
