"""What `larqnets train` does: config or run in, trained run folder out."""

import dataclasses
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from larqnets.config import dump_config
from larqnets.data import Dataset, load_dataset, reading_errors
from larqnets.errors import LarqnetsError
from larqnets.published import IMAGENET, is_published
from larqnets.reporter import Reporter
from larqnets.runs import checkpoints
from larqnets.runs.batch_size import batch_lines, fitting, with_batch_size
from larqnets.runs.card import Card
from larqnets.runs.history import history_line, history_of, history_of_training
from larqnets.runs.longer import longer_words
from larqnets.runs.names import Order, longer_by, plan_run
from larqnets.runs.run import BODY_FILE, Run, default_name
from larqnets.runs.weights import body_content
from larqnets.tasks import get_task
from larqnets.training.choosing import choice_words
from larqnets.training.distribution import Workers, join
from larqnets.training.loop import train
from larqnets.training.published import as_body_takes, preparation_lines
from larqnets.training.stages import StageParts

REMARKED = 2000  # training images at most that a task looks at before it starts


def launch(order: Order, reporter: Reporter) -> Run:
    """Train the experiment of a config, or with `resume` continue a run; returns the finished run.

    With `resume` and a config whose run does not exist yet, the run is started. Raises LarqnetsError as its parts do.
    """
    workers = join(order.strategy)
    run: Run | None = None
    parts: StageParts | None = None
    with ExitStack() as held:
        held.enter_context(workers.losses())
        with workers.together():
            if workers.is_chief:
                run, parts = _open_or_create(order, workers, reporter)
                held.enter_context(run.locked())
                if parts is None:
                    _make_longer(run, order)
        with workers.together():
            if not workers.is_chief:
                run, parts = _open_or_create(
                    dataclasses.replace(order, resume=True, overwrite=False), workers, reporter
                )
        assert run is not None
        dataset = load_dataset(run.experiment.data) if parts is None else parts.dataset
        model_words = f"{run.experiment.model.method} on {run.experiment.model.backbone}"
        reporter.line(f"{run.path}: {model_words}, {dataset.info.num_train:,} training images of {dataset.info.name}.")
        if dataset.survey is not None:
            for line in dataset.survey.lines():
                reporter.line(line)
        if workers.replicas > 1:
            where = f" on {workers.count} machines; this is worker {workers.index}" if workers.count > 1 else ""
            reporter.line(f"Every batch is shared by {workers.replicas} devices{where}.")
        with workers.own_copy(run) as mine, workers.strategy.scope():
            _train(mine, dataset, parts, workers, reporter)
        with workers.together():  # until the chief has written the last of it
            pass
        workers.heard()
        return run if workers.is_chief else Run.open(run.path)


def _train(run: Run, dataset: Dataset, parts: StageParts | None, workers: Workers, reporter: Reporter) -> None:
    saved = checkpoints.latest(run)
    if workers.count > 1:
        workers.check_same("run", [dump_config(run.experiment), dataset.fingerprint(), saved and saved.state["step"]])
    # The card remembers where the weights come from: a run killed before its first checkpoint starts there again.
    origin = run.card.init_from if saved is None else None
    if not run.is_finished:
        if run.card.status not in ("created", "trained"):
            reporter.line(_continuation(run.card, saved))
        for line in batch_lines(dataset.info.num_train, run.experiment.training_stages):
            reporter.line(line)
        task = get_task(run.experiment.task)
        reporter.line(choice_words(run.experiment, task.headline))
        for line in (*longer_words(run.experiment.training_stages), *preparation_lines(run)):
            reporter.line(line)
        if saved is None:
            for line in task.remarks(lambda: dataset.eval_batches("train", limit=REMARKED), dataset.info):
                reporter.line(line)
    if parts is None or workers.count > 1:  # what the chief made alone is not in the strategy of all
        parts = StageParts(run.experiment, dataset, transfer=run.card.transfer)
        if saved is None:
            parts.begin_again(run)
    if origin is not None:
        file = run.card.document.get("init_weights")
        reporter.line(f"Starting from the weights of {origin}{'' if file is None else f' in {file}'}.")
        for line in parts.transfer.lines() if parts.transfer is not None else []:
            reporter.line(line)
    if line := history_line(history_of(run.card)):
        reporter.line(line)
    with reading_errors(dataset):
        train(run.experiment, run, dataset, parts=parts, workers=workers, reporter=reporter)


def _make_longer(run: Run, order: Order) -> None:
    """Give a locked run the stage that the order adds to it."""
    now = plan_run(order)  # another process may have trained it, or made it longer, until it was ours
    assert isinstance(now, Run)
    run.config = now.config
    if (stage := longer_by(now, order)) is not None:
        run.lengthen(stage)


def _continuation(card: Card, saved: checkpoints.Saved | None) -> str:
    """Return how the run ended before and where it goes on. A card that says "training" is that of a process that died."""
    ended = {"training": "was killed", "interrupted": "was interrupted", "failed": "failed"}
    how = ended.get(card.status, f"is {card.status}")
    if saved is None:
        return f"The run {how} before its first checkpoint: it starts again."
    return f"The run {how}: it goes on from {saved.path.name}, in epoch {saved.state['epoch'] + 1}."


def _open_or_create(order: Order, workers: Workers, reporter: Reporter) -> tuple[Run, StageParts | None]:
    """Return the run, and of a new one what was made to see that it can be trained."""
    planned = plan_run(order)
    if isinstance(planned, Run):
        return planned, None
    experiment, name = planned
    if not workers.is_chief:
        raise LarqnetsError(
            f"The chief's run is not to be seen here as {order.runs / name}. --runs must be a folder that all machines share."
        )
    # Everything that can be wrong with data or model is said before a folder exists.
    with workers.strategy.scope() if workers.count == 1 else nullcontext():
        dataset = load_dataset(experiment.data)
        get_task(experiment.task).check_annotation(dataset.info.annotation, dataset.info.name)
        experiment = with_batch_size(experiment, fitting(dataset.info.num_train))
        experiment, dataset = as_body_takes(experiment, dataset)
        parts = StageParts(experiment, dataset)
        parts.make_all()
        model = parts.begin(None if order.init_from is None else str(order.init_from), order.init_weights or IMAGENET)
        published = is_published(experiment.model.backbone)
        files = {BODY_FILE: body_content(experiment, model)} if published else {}
    if order.resume:
        reporter.line(f"There is no run {order.runs / name} yet, so it starts now.")
    config_name = Path(order.config_or_run).stem
    if order.name is None and name != (usual := default_name(config_name, experiment.seed)):
        reporter.line(f"{order.runs / usual} is there, so this run is {name}; --overwrite would replace that one.")
    if order.overwrite and (order.runs / name).exists():
        reporter.line(f"The run {order.runs / name} is replaced.")
    facts: dict[str, Any] = {}  # from the first moment on: a run that is killed now begins again as it was to
    if parts.dataset.survey is not None and parts.dataset.survey.division is not None:
        facts["split"] = parts.dataset.survey.division
    if parts.transfer is not None:
        facts |= {"init_from": str(order.init_from), "transfer": dataclasses.asdict(parts.transfer)}
    if order.init_weights is not None:
        facts["init_weights"] = order.init_weights
    teachers = dict.fromkeys(stage.teacher for stage in experiment.training_stages if stage.teacher)
    history = history_of_training(
        experiment.placed().data.dataset, facts.get("init_from"), order.init_weights, teachers
    )
    facts["history"] = [dataclasses.asdict(ancestor) for ancestor in history]
    run = Run.create(order.runs, name, experiment, files, facts, config_name=config_name, overwrite=order.overwrite)
    return run, parts
