"""What `larqnets train` does: config or run in, trained run folder out."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from larqnets.config import dump_config
from larqnets.data import Dataset, load_dataset, reading_errors
from larqnets.errors import LarqnetsError
from larqnets.runs import checkpoints
from larqnets.runs.names import plan_run
from larqnets.runs.run import Run
from larqnets.runs.weights import build_model, load_trained_model, transfer_weights
from larqnets.training.distribution import Workers, join
from larqnets.training.loop import train
from larqnets.training.progress import Progress
from larqnets.training.stages import check_stages


def launch(
    config_or_run: str,
    *,
    name: str | None = None,
    runs: Path = Path("runs"),
    overrides: Sequence[str] = (),
    init_from: Path | None = None,
    resume: bool = False,
    seed: int | None = None,
    strategy: str | None = None,
    progress: Progress,
) -> Run:
    """Train the experiment of a config, or with `resume` continue a run; returns the finished run.

    With `resume` and a config whose run does not exist yet, the run is started. `strategy` is one of
    `config.STRATEGIES`, None for one device. Raises LarqnetsError as its parts do.
    """
    workers = join(strategy)
    run: Run | None = None
    with ExitStack() as held:
        held.enter_context(workers.losses())
        with workers.together():
            if workers.is_chief:
                run = _open_or_create(config_or_run, name, runs, overrides, init_from, resume, seed, progress)
                held.enter_context(run.locked())
        with workers.together():
            if not workers.is_chief:
                run = _open_or_create(
                    config_or_run, name, runs, overrides, init_from, True, seed, progress, create=False
                )
        assert run is not None
        dataset = load_dataset(run.experiment.data)
        model_words = f"{run.experiment.model.method} on {run.experiment.model.backbone}"
        progress.note(f"{run.path}: {model_words}, {dataset.info.num_train:,} training images of {dataset.info.name}.")
        if workers.replicas > 1:
            where = f" on {workers.count} machines; this is worker {workers.index}" if workers.count > 1 else ""
            progress.note(f"Every batch is shared by {workers.replicas} devices{where}.")
        with workers.own_copy(run) as mine, workers.strategy.scope():
            _train(mine, dataset, workers, progress)
        with workers.together():  # until the chief has written the last of it
            pass
        workers.heard()
        return run if workers.is_chief else Run.open(run.path)


def _train(run: Run, dataset: Dataset, workers: Workers, progress: Progress) -> None:
    saved = checkpoints.latest(run)
    if workers.count > 1:
        workers.check_same("run", [dump_config(run.experiment), dataset.fingerprint(), saved and saved.state["step"]])
    model = build_model(run.experiment, dataset.info.image_shape, dataset.info.num_classes)
    if run.card["status"] not in ("created", "trained"):
        progress.note(_continuation(run.card, saved))
    # The card remembers where the weights come from: a run killed before its first checkpoint starts there again.
    origin = run.card.get("init_from")
    if origin is not None and saved is None:
        transfer_weights(load_trained_model(Run.open(Path(origin))), model)
        progress.note(f"Starting from the weights of {origin}.")
    with reading_errors(dataset):
        train(run.experiment, run, dataset, model, workers=workers, progress=progress)


def _continuation(card: dict[str, Any], saved: checkpoints.Saved | None) -> str:
    """Return how the run ended before and where it goes on. A card that says "training" is that of a process that died."""
    ended = {"training": "was killed", "interrupted": "was interrupted", "failed": "failed"}
    how = ended.get(card["status"], f"is {card['status']}")
    if saved is None:
        return f"The run {how} before its first checkpoint: it starts again."
    return f"The run {how}: it goes on from {saved.path.name}, in epoch {saved.state['epoch'] + 1}."


def _open_or_create(
    config_or_run: str,
    name: str | None,
    runs: Path,
    overrides: Sequence[str],
    init_from: Path | None,
    resume: bool,
    seed: int | None,
    progress: Progress,
    *,
    create: bool = True,
) -> Run:
    planned = plan_run(config_or_run, name, runs, overrides, init_from, resume, seed)
    if isinstance(planned, Run):
        return planned
    experiment, name = planned
    if not create:
        raise LarqnetsError(
            f"The chief's run is not to be seen here as {runs / name}. --runs must be a folder that all machines share."
        )
    # Everything that can be wrong with data or model is said before a folder exists.
    dataset = load_dataset(experiment.data)
    model = check_stages(experiment, dataset)
    if init_from is not None:
        transfer_weights(load_trained_model(Run.open(init_from)), model)
    if resume:
        progress.note(f"There is no run {runs / name} yet, so it starts now.")
    run = Run.create(runs, name, experiment, config_name=Path(config_or_run).stem)
    if init_from is not None:
        run.update_card(init_from=str(init_from))
    return run
