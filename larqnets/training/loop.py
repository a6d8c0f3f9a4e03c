"""The training loop: set up, restore, then stage by stage and step by step; it continues whatever its folder holds."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import tensorflow as tf

from larqnets.config import Experiment
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.runs import checkpoints
from larqnets.runs.epoch_tables import TEST
from larqnets.runs.run import Run
from larqnets.runs.weights import load_trained_model
from larqnets.tasks import Metric, get_task
from larqnets.training import environment, metrics
from larqnets.training.choosing import Choice, KeptWeights
from larqnets.training.distribution import Workers, join
from larqnets.training.evaluation import Evaluator
from larqnets.training.interrupt import Signalled, TrainingInterruptedError, stop_on_signals
from larqnets.training.optimizers import Optimizers
from larqnets.training.progress import early_line, epoch_line, step_words, test_line
from larqnets.training.results import run_results
from larqnets.training.resuming import check_resumable, check_same_stage
from larqnets.training.schedules import learning_rate
from larqnets.training.stages import Stage, StageParts, as_they_went, head_weights
from larqnets.training.step import EpochTotals, all_finite, in_mixed_precision, make_train_step
from larqnets.training.teacher import Teacher

if TYPE_CHECKING:
    from larqnets.data import Dataset
    from larqnets.data.dataset import SplitName

REPORT_EVERY = 20  # steps between two looks at the loss: each look waits for the device


def _locked(function: Callable[..., tf.keras.Model]) -> Callable[..., tf.keras.Model]:
    """Let `function(experiment, run, ...)` have the run for itself."""

    @functools.wraps(function)
    def call(experiment: Experiment, run: Run, *args: Any, **options: Any) -> tf.keras.Model:
        with run.locked():
            return function(experiment, run, *args, **options)

    return call


@_locked
def train(
    experiment: Experiment,
    run: Run,
    dataset: "Dataset",
    model: tf.keras.Model | None = None,
    *,
    parts: StageParts | None = None,
    workers: Workers | None = None,
    reporter: Reporter = SILENT,
    stop: Callable[[int], bool] = lambda step: False,
) -> tf.keras.Model:
    """Train `model`, fresh from `build_model`, as `experiment` says, and record everything in the folder of `run`.

    Instead of the model `parts` may be given, what is made already for all stages; without either the model is made here.
    Returns the trained model: `model` itself, or where the experiment has stages the model of the last one. A run that was
    interrupted or killed continues from its newest checkpoint, in whatever stage, on the same number of CPUs with the same
    bits as if nothing had happened; a finished run is left alone. The state before step s follows from (experiment, s).
    SIGINT, SIGTERM or `stop(steps done)` returning True end the run after the current step, with a checkpoint. With
    `workers` it is called in the scope of their strategy, by each of them.

    Raises TrainingInterruptedError after such an end; LarqnetsError when the loss is no longer finite, the config is not the
    checkpoint's, a stage finds a weight without partner, or something cannot be written.
    """
    if run.is_finished:
        reporter.line(f"{run.path} is finished: {run.card.epochs_done} epochs are trained. There is nothing to do.")
        return load_trained_model(run)
    parts = parts or StageParts(experiment, dataset, model, run.card.transfer)
    training = _Training(experiment, run, parts, workers or join(None), reporter, stop)
    saved = training.resume()
    training.describe()
    first = saved.state.get("stage", 0) if saved else 0
    previous: tf.keras.Model | None = None
    with stop_on_signals() as signalled:
        for index in range(first, len(training.stages)):
            stage = training.stages[index]
            model, fresh, teacher = parts.take(stage, previous)
            training.announce(stage, fresh)
            training.run_stage(
                _StageState(stage, model, teacher, training.metric, parts.hold(stage, model)), saved, signalled
            )
            previous, saved = model, None
    run.update_card(status="trained", **training.results())
    assert previous is not None  # there is a stage
    return parts.measured(previous)


class _StageState:
    """What a stage changes with every step and a checkpoint holds; the teacher beside it never changes."""

    def __init__(
        self,
        stage: Stage,
        model: tf.keras.Model,
        teacher: Teacher | None,
        metric: Metric,
        slower: list[tf.Variable],
    ) -> None:
        self.stage, self.model, self.teacher = stage, model, teacher
        self.optimizers = Optimizers(stage.config, model.trainable_weights, slower, head_weights(stage.config, model))
        self.totals = EpochTotals(metric)
        tracked = {"model": model, "totals": self.totals, **self.optimizers.tracked}
        self.kept = KeptWeights(model) if stage.config.keep == "best" else None
        self.checkpoint = tf.train.Checkpoint(**tracked, **({} if self.kept is None else {"kept": self.kept}))
        self.record = {
            "stage": stage.index,
            "steps_per_epoch": stage.steps_per_epoch,
            "teacher": None if teacher is None else teacher.fingerprint(),
        }


class _Training:
    """One run: how far it is, over all stages, and what it writes. `step` and `epoch` count what is done."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        parts: StageParts,
        workers: Workers,
        reporter: Reporter,
        stop: Callable[[int], bool],
    ) -> None:
        self.experiment, self.run, self.dataset, self.workers = experiment, run, parts.dataset, workers
        self.reporter, self.stop = reporter, stop
        self.task = get_task(experiment.task)
        self.metric = self.task.metric(parts.dataset.info)
        self.choice = Choice(self.metric.names[0])
        self.validated = experiment.data.keeps_validation
        self.stages = parts.stages
        for stage in self.stages:
            workers.check_divides(stage.config.batch_size)
        self.hardware = environment.hardware()
        self.provenance = {
            "config": dataclasses.asdict(experiment),
            "versions": environment.versions(),
            "cpu_count": self.hardware["cpu_count"],
            "replicas": workers.replicas,
            "data": self.dataset.fingerprint(),
        }
        self.step, self.epoch, self.rows, self.started = 0, 0, [], time.monotonic()
        self.saved = False  # whether the newest checkpoint is of this moment

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole run, as far as no stage stops early."""
        return self.stages[-1].last_step

    def resume(self) -> checkpoints.Saved | None:
        """Stand where the folder's newest checkpoint stands, and return it; its weights are not read yet."""
        saved = checkpoints.latest(self.run)
        if saved is not None:
            for note in check_resumable(saved, self.experiment, self.provenance):
                self.reporter.line(note)
            state = saved.state
            self.step, self.epoch = state["step"], state["epoch"]
            # a run of a version without stages has no such column
            self.rows = [{"stage": self.stages[0].config.name, **row} for row in state["rows"]]
            self.stages = as_they_went(self.stages, state.get("stage", 0), self.rows)
            self.started -= state["seconds"]
            self.saved = True
        return saved

    def describe(self) -> None:
        """Write into the card what is trained and where, and begin the tables."""
        longer = any(stage.config.extends for stage in self.stages)
        stale = self.run.card.of_converted_file() if self.run.card.status == "trained" else []
        if stale:
            self.reporter.line(
                f"The converted files in {self.run.path} have the weights from before. Convert the run again at its end."
            )
        self.run.update_card(
            status="training",
            **(self.results() if longer else {}),
            **dict.fromkeys(stale),
            images=dataclasses.asdict(self.dataset.info),
            versions=self.provenance["versions"],
            hardware=self.hardware,
            distribution=self.workers.describe(),
            determinism=environment.determinism(self.hardware["gpu"], self.workers.replicas),
        )
        self.write_tables()
        self.summaries = metrics.Summaries(self.run.tensorboard, self.rows)
        self.reporter.count(self.step, self.total_steps, "starting")

    def announce(self, stage: Stage, fresh: list[str]) -> None:
        """Say of a run in stages which one begins, or goes on, and which of its weights no earlier stage had."""
        if len(self.stages) == 1:
            return
        words = f"Stage {stage.index + 1} of {len(self.stages)}, {stage.config.name}: {stage.config.precision}"
        words += ", its real-valued rest as int8." if stage.config.int8_rest else "."
        if fresh:
            words += f" State of roundings that starts anew: {', '.join(fresh[:3])}{', ...' if len(fresh) > 3 else ''}."
        self.reporter.line(words)

    def run_stage(self, state: _StageState, saved: checkpoints.Saved | None, signalled: Signalled) -> None:
        """Train a stage to its end, from a checkpoint in it or from the weights that its model has."""
        stage, config, dataset = state.stage, state.stage.config, self.dataset
        if saved is not None:
            check_same_stage(saved, state.record)
            checkpoints.restore(saved, state.checkpoint)
        self.run.update_card(parameters=state.model.count_params())
        train_step = self.step_of(state)
        measure = self.measure_with(state, signalled)
        start = stage.data_step(self.step)
        batches = iter(self.workers.batches(dataset, config.batch_size, self.experiment.seed, start))
        while not self.is_over(stage):
            images_per_second = self.run_steps(state, train_step, batches, signalled)
            split = "validation" if self.validated else "test"
            self.finish_epoch(state, measure(split), images_per_second)
        self.finish_stage(state, measure)

    def is_over(self, stage: Stage) -> bool:
        """Return whether the stage has all its epochs, or no patience left."""
        return self.epoch >= stage.last_epoch or self.choice.ran_out(stage, self.rows)

    def measure_with(self, state: _StageState, signalled: Signalled) -> Callable[["SplitName"], metrics.MetricsRow]:
        """Return what measures the model on a split as a part of a row; a signal interrupts the run meanwhile."""
        config = state.stage.config
        evaluator = Evaluator(state.model, self.task, self.dataset.info, self.task.loss(config, self.dataset.info))
        # Several workers evaluate to the end: one cannot leave the others.
        stop = signalled if self.workers.count == 1 else lambda: False

        def measure(split: "SplitName") -> metrics.MetricsRow:
            scores = evaluator(self.dataset.eval_batches(split, config.batch_size), stop=stop)
            if scores is None:
                self.interrupt(state, signalled)
            assert scores is not None  # it does not come back from there
            if not math.isfinite(scores.loss):
                self.fail(state.stage, self.step - state.stage.first_step - 1)
            return metrics.measured(scores, f"{split}_")

        return measure

    def step_of(self, state: _StageState) -> Callable[[Any], None]:
        """Return what takes the next batch of an iterator and learns from it."""
        stage, config = state.stage, state.stage.config
        train_step = make_train_step(
            state.model,
            state.optimizers,
            state.totals,
            self.task,
            self.dataset.info,
            config,
            stage.steps_per_epoch,
            teacher=state.teacher,
            progress=(stage.first_step, self.total_steps) if config.progress == "run" else None,
        )
        return in_mixed_precision(train_step) if config.mixed_precision else train_step

    def run_steps(
        self, state: _StageState, train_step: Callable[[Any], None], batches: Any, signalled: Signalled
    ) -> float:
        """Train to the end of the epoch; returns the images per second."""
        stage, totals = state.stage, state.totals
        epoch_step, epoch_started, images_per_second = self.step, time.monotonic(), 0.0
        epoch_end = stage.first_step + (self.epoch + 1 - stage.first_epoch) * stage.steps_per_epoch
        self.saved = False
        while self.step < epoch_end:
            if self.must_stop(signalled):
                self.interrupt(state, signalled)
            train_step(batches)
            self.step += 1
            if self.step % REPORT_EVERY == 0 or self.step == epoch_end:
                if int(totals.first_bad_step.numpy()) >= 0:
                    self.fail(stage, int(totals.first_bad_step.numpy()))
                images = (self.step - epoch_step) * stage.config.batch_size
                images_per_second = images / (time.monotonic() - epoch_started)
                words = step_words(*totals.means(), images_per_second)
                self.reporter.count(self.step, self.total_steps, words)
        return images_per_second

    def finish_epoch(self, state: _StageState, measured: metrics.MetricsRow, images_per_second: float) -> None:
        """Write down what the epoch gave, and a checkpoint where one is due; the stage's last one has one at its end."""
        stage, config = state.stage, state.stage.config
        train_loss, train_scores = state.totals.means()
        self.epoch += 1
        last_step = self.step - stage.first_step - 1
        row: metrics.MetricsRow = {
            "stage": config.name,
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": float(learning_rate(config, stage.steps_per_epoch, last_step)),
            "train_loss": train_loss,
            **{f"train_{name}": value for name, value in train_scores.items()},
            **measured,
            **({f"{TEST}{name}": None for name in ("loss", *self.metric.names)} if self.validated else {}),
            "images_per_second": images_per_second,
            "seconds": time.monotonic() - self.started,
            "parameters": metrics.reported(state.model),
        }
        self.rows = [*self.rows, row]
        state.totals.reset()
        self.write_tables()
        self.summaries.add(row)
        kept = self.choice.kept(self.stages[: stage.index + 1], self.rows)
        if state.kept is not None and kept is row:
            state.kept.take(state.model)
        if (self.epoch - stage.first_epoch) % config.checkpoint_every_epochs == 0 and not self.is_over(stage):
            self.save(state)
        self.reporter.line(epoch_line(row, self.stages[-1].last_epoch))

    def finish_stage(self, state: _StageState, measure: Callable[["SplitName"], metrics.MetricsRow]) -> None:
        """Let the model have the weights that are kept; the run's last stage measures them on the test set."""
        stage = state.stage
        if self.epoch < stage.last_epoch and not self.saved:
            who = f"Stage {stage.config.name}" if len(self.stages) > 1 else "Training"
            self.reporter.line(early_line(who, self.epoch, stage.config.patience, self.metric.names[0]))
        self.stages = as_they_went(self.stages, stage.index + 1, self.rows)
        if state.kept is not None:
            state.kept.give(state.model)
        kept = self.choice.kept(self.stages[: stage.index + 1], self.rows)
        if self.validated and stage.index == len(self.stages) - 1:
            assert kept is not None  # a stage has an epoch
            again = any(row["test_loss"] is not None for row in self.rows if row is not kept)
            if kept["test_loss"] is None:
                test = measure("test")
                tested = kept | test
                self.rows = [tested if row is kept else row for row in self.rows]
                self.write_tables()
                self.summaries.add({"step": kept["step"]} | test)
                self.saved = False
                kept = tested
            self.reporter.line(test_line(kept, stage.config.keep, again=again))
        if not self.saved:
            self.save(state)

    def write_tables(self) -> None:
        """Write the rows of the finished epochs, those that a resumed run no longer has left out."""
        metrics.write_rows(self.run.metrics, self.rows, self.metric, validated=self.validated)
        metrics.write_parameters(self.run.parameters, self.rows)

    def must_stop(self, signalled: Signalled) -> bool:
        """Return whether to end before the next step; several workers agree on it, which takes time, now and then."""
        if self.workers.count > 1 and self.step % REPORT_EVERY:
            return False
        return self.workers.any(signalled() or self.stop(self.step))

    def save(self, state: _StageState) -> None:
        """Write a checkpoint of this moment, if it is worth continuing from."""
        if int(state.totals.first_bad_step.numpy()) >= 0:
            self.fail(state.stage, int(state.totals.first_bad_step.numpy()))
        if not all_finite([*state.model.weights, *state.optimizers.variables]):
            self.fail(state.stage, self.step - state.stage.first_step - 1)
        seconds = time.monotonic() - self.started
        extra = {"epoch": self.epoch, "seconds": seconds, **self.provenance, **state.record, "rows": self.rows}
        checkpoints.save(self.run, self.step, state.checkpoint, extra)
        self.saved = True
        self.run.update_card(seconds=round(seconds, 2), **self.results())

    def interrupt(self, state: _StageState, signalled: Signalled) -> NoReturn:
        """End with a checkpoint."""
        self.save(state)
        self.run.update_card(status="interrupted")
        raise TrainingInterruptedError(
            f"Stopped after step {self.step} of {self.total_steps} with a checkpoint. "
            f"Continue with `larqnets train --resume {self.run.path}`.",
            signalled.number,
        )

    def fail(self, stage: Stage, bad_step: int) -> NoReturn:
        """End without one: the loss of step `bad_step` of the stage is not finite."""
        self.run.update_card(status="failed", seconds=round(time.monotonic() - self.started, 2))
        epoch = stage.first_epoch + bad_step // stage.steps_per_epoch + 1
        raise LarqnetsError(
            f"The loss is no longer finite at step {stage.first_step + bad_step} (epoch {epoch}); "
            "the last good checkpoint is kept. Train under a new name with a lower train.learning_rate or with "
            "train.warmup_epochs."
        )

    def results(self) -> dict[str, Any]:
        """Return the card's results after the last finished epoch."""
        done = {"epochs_done": self.epoch, "step": self.step}
        return done | run_results(self.experiment, self.stages, self.rows, self.metric)
