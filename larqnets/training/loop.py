"""The training loop: set up, restore, then step by step to the last epoch; it continues whatever its folder holds."""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import tensorflow as tf

from larqnets.config import Experiment, from_mapping
from larqnets.errors import LarqnetsError
from larqnets.run_folder import Run
from larqnets.tasks.classification import make_loss
from larqnets.training import checkpoints, environment, metrics
from larqnets.training.evaluation import Evaluator
from larqnets.training.interrupt import TrainingInterruptedError, stop_on_signals
from larqnets.training.progress import Progress, Silent
from larqnets.training.schedules import check_schedule, learning_rate
from larqnets.training.step import EpochTotals, all_finite, in_mixed_precision, make_optimizer, make_train_step

if TYPE_CHECKING:
    from larqnets.data import Dataset

REPORT_EVERY = 20  # steps between two looks at the loss: each look waits for the device

# Keys of the config that may change between start and resume: they move no weight.
_FREE_KEYS = ("description", "paper.", "data.data_dir", "train.checkpoint_every_epochs")


def _locked(function: Callable[..., None]) -> Callable[..., None]:
    """Let `function(experiment, run, ...)` have the run for itself."""

    @functools.wraps(function)
    def call(experiment: Experiment, run: Run, *args: Any, **options: Any) -> None:
        with run.locked():
            function(experiment, run, *args, **options)

    return call


@_locked
def train(
    experiment: Experiment,
    run: Run,
    dataset: "Dataset",
    model: tf.keras.Model,
    *,
    progress: Progress | None = None,
    stop: Callable[[int], bool] = lambda step: False,
) -> None:
    """Train `model`, fresh from `build_model`, as `experiment` says, and record everything in the folder of `run`.

    A run that was interrupted or killed continues from its newest checkpoint, on the same number of CPUs with the same
    bits as if nothing had happened; a finished run is left alone. The state before step s follows from (experiment, s).
    SIGINT, SIGTERM or `stop(steps done)` returning True end the run after the current step, with a checkpoint.

    Raises TrainingInterruptedError after such an end; LarqnetsError when the loss is no longer finite, the config is not the
    checkpoint's, or something cannot be written.
    """
    progress = progress or Silent()
    if run.card["status"] == "trained":
        progress.note(f"{run.path} is finished: {run.card['epochs_done']} epochs are trained. There is nothing to do.")
        return

    # Set up.
    config = experiment.train
    check_schedule(config)
    loss = make_loss(config)
    steps_per_epoch = dataset.steps_per_epoch(config.batch_size)
    total_steps = config.epochs * steps_per_epoch
    optimizer = make_optimizer(config)
    optimizer.build(model.trainable_weights)  # its slots must exist before they can be restored
    totals = EpochTotals()
    state = tf.train.Checkpoint(model=model, optimizer=optimizer, totals=totals)

    hardware = environment.hardware()
    provenance = {
        "config": dataclasses.asdict(experiment),
        "steps_per_epoch": steps_per_epoch,
        "versions": environment.versions(),
        "cpu_count": hardware["cpu_count"],
        "data": dataset.fingerprint(),
    }

    # Continue where the folder's newest checkpoint stands.
    step, epoch, rows, started = 0, 0, [], time.monotonic()
    saved = checkpoints.latest(run)
    if saved is not None:
        for note in check_resumable(saved, provenance):
            progress.note(note)
        checkpoints.restore(saved, state)
        step, epoch, rows = saved.state["step"], saved.state["epoch"], saved.state["rows"]
        started -= saved.state["seconds"]
    run.update_card(
        status="training",
        images=dataclasses.asdict(dataset.info),
        parameters=model.count_params(),
        versions=provenance["versions"],
        hardware=hardware,
        determinism=environment.determinism(hardware["gpu"]),
    )
    metrics.write_rows(run.metrics, rows)
    summaries = metrics.Summaries(run.tensorboard, rows)

    def save() -> None:
        """Write a checkpoint of this moment, if it is worth continuing from."""
        if int(totals.first_bad_step) >= 0:
            fail(int(totals.first_bad_step))
        if not all_finite([*model.weights, *optimizer.variables]):
            fail(step - 1)
        seconds = time.monotonic() - started
        checkpoints.save(run, step, state, {"epoch": epoch, "seconds": seconds, **provenance, "rows": rows})
        run.update_card(epochs_done=epoch, step=step, seconds=round(seconds, 2), **_results(experiment, rows))

    def interrupt() -> NoReturn:
        save()
        run.update_card(status="interrupted")
        raise TrainingInterruptedError(
            f"Stopped after step {step} of {total_steps} with a checkpoint. "
            f"Continue with `larqnets train --resume {run.path}`."
        )

    def fail(bad_step: int) -> NoReturn:
        run.update_card(status="failed", seconds=round(time.monotonic() - started, 2))
        raise LarqnetsError(
            f"The loss is no longer finite at step {bad_step} (epoch {bad_step // steps_per_epoch + 1}); "
            "the last good checkpoint is kept. Train under a new name with a lower train.learning_rate or with "
            "train.warmup_epochs."
        )

    train_step = make_train_step(model, optimizer, totals, loss, config, steps_per_epoch)
    if config.mixed_precision:
        train_step = in_mixed_precision(train_step)
    evaluator = Evaluator(model, loss)
    batches = iter(dataset.train_batches(config.batch_size, experiment.seed, start_step=step))
    progress.start(step, total_steps, config.epochs)

    # Step by step. `epoch` counts the epochs that are trained and evaluated, `step` the steps that are done.
    with stop_on_signals() as signalled:
        while epoch < config.epochs:
            epoch_step, epoch_started, images_per_second = step, time.monotonic(), 0.0
            while step < (epoch + 1) * steps_per_epoch:
                if signalled() or stop(step):
                    interrupt()
                train_step(batches)
                step += 1
                if step % REPORT_EVERY == 0 or step % steps_per_epoch == 0:
                    if int(totals.first_bad_step) >= 0:
                        fail(int(totals.first_bad_step))
                    images = (step - epoch_step) * config.batch_size
                    images_per_second = images / (time.monotonic() - epoch_started)
                    progress.step(step, *totals.means(), images_per_second)

            test = evaluator(dataset.eval_batches("test", config.batch_size), stop=signalled)
            if test is None:
                interrupt()
            if not math.isfinite(test.loss):
                fail(step - 1)
            train_loss, train_accuracy = totals.means()
            epoch += 1
            row: metrics.Row = {
                "epoch": epoch,
                "step": step,
                "learning_rate": float(learning_rate(config, steps_per_epoch, step - 1)),
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "test_loss": test.loss,
                "test_accuracy": test.accuracy,
                "images_per_second": images_per_second,
                "seconds": time.monotonic() - started,
            }
            rows = [*rows, row]
            totals.reset()
            metrics.write_rows(run.metrics, rows)
            summaries.add(row)
            if epoch % config.checkpoint_every_epochs == 0 or epoch == config.epochs:
                save()
            progress.epoch(row)
    run.update_card(status="trained", epochs_done=epoch, step=step, **_results(experiment, rows))


def check_resumable(saved: checkpoints.Saved, provenance: dict[str, Any]) -> list[str]:
    """Return what the user should know before this run goes on from a checkpoint.

    Raises LarqnetsError naming the first key of the config that is not the checkpoint's, or a changed training set.
    """
    # A key that the checkpoint's version of larqnets did not know yet had the value that is the default now.
    started_with = from_mapping(Experiment, _without_none(saved.state["config"]), "", str(saved.path))
    then, now = (
        _flat(json.loads(json.dumps(config))) for config in (dataclasses.asdict(started_with), provenance["config"])
    )
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key) and not key.startswith(_FREE_KEYS):
            raise LarqnetsError(
                f"The config has {key} = {now.get(key)!r}, but the run was started with {then.get(key)!r}. "
                "Restore the run's config.toml, or train under a new name."
            )
    if saved.state["steps_per_epoch"] != provenance["steps_per_epoch"]:
        raise LarqnetsError(
            f"The training set gives {provenance['steps_per_epoch']} steps per epoch, but gave "
            f"{saved.state['steps_per_epoch']} when the run was started. Restore the data, or train under a new name."
        )
    if saved.state.get("data", provenance["data"]) != provenance["data"]:
        raise LarqnetsError(
            f"The images in {provenance['config']['data']['dataset']} are not those that the run was started with: a file "
            "was changed, added or taken away. Restore the data, or train under a new name."
        )
    notes = [
        f"The checkpoint {folder.name} is damaged; continuing from the older {saved.path.name}."
        for folder in saved.damaged
    ]
    changed = {
        name: (saved.state["versions"].get(name), version)
        for name, version in provenance["versions"].items()
        if saved.state["versions"].get(name) != version
    }
    if saved.state["cpu_count"] != provenance["cpu_count"]:
        changed["CPUs"] = (saved.state["cpu_count"], provenance["cpu_count"])
    if changed:
        listed = ", ".join(f"{name} {before} -> {after}" for name, (before, after) in changed.items())
        notes.append(f"Continuing with {listed}: the result may differ in the last bits from an uninterrupted run.")
    return notes


def _results(experiment: Experiment, rows: list[metrics.Row]) -> dict[str, Any]:
    """Return the card's results after the last finished epoch; the gap is ours minus the paper's, as a fraction."""
    if not rows:
        return {}
    results: dict[str, Any] = {name: rows[-1][name] for name in ("train_loss", "test_loss", "test_accuracy")}
    paper = experiment.paper
    if paper.test_accuracy is not None:
        gap = round(results["test_accuracy"] - paper.test_accuracy, 6)
        results["paper"] = {"title": paper.title, "test_accuracy": paper.test_accuracy, "gap": gap}
    return results


def _without_none(tables: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tables.items() if v is not None}


def _flat(tables: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"train.epochs": 3, ...} of nested tables."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
