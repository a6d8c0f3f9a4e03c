"""A run is a folder: `config.toml`, `card.json`, `metrics.csv`, `checkpoints/`, `tensorboard/`, later `arm64/`.

A method with learned scalars to report also has `parameters.csv`.

A run whose network was not trained here, but imported or decomposed, holds the network itself as `model.h5` instead of
metrics and checkpoints, and its config says nothing but which images the network is for. A run that trains the body of a
published network holds that as `body.h5`, with the weights that it began with, so that nobody needs to have it again.

Nothing here imports TensorFlow, so a board that only measures can read the card of what it runs.
"""

import contextlib
import itertools
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from larqnets.config import (
    DataConfig,
    Experiment,
    ModelImages,
    StageConfig,
    TaskConfig,
    dump_config,
    load_model_images,
    load_run_config,
)
from larqnets.errors import LarqnetsError, printable
from larqnets.files import building_folder, cannot_write, locked, write_atomically
from larqnets.reporter import SILENT
from larqnets.runs.batch_size import LARGEST, with_batch_size
from larqnets.runs.card import CARD_FILE, RUN_FORMAT, Card, Kind
from larqnets.runs.run_lock import RunLock

CONFIG_FILE = "config.toml"
MODEL_FILE = "model.h5"
BODY_FILE = "body.h5"


def default_name(config_name: str, seed: int) -> str:
    """Return the name of a run whose user gave none."""
    return f"{config_name}-seed{seed}"


class Run:
    """One run folder. `config` is its resolved config, `card` the record of what was done and measured."""

    def __init__(self, path: Path, config: Experiment | ModelImages, card: Card) -> None:
        self.path = path
        self.config = config
        self.card = card
        self._lock = RunLock(path)

    def __repr__(self) -> str:
        card = self.card
        what = f"{self.path}: {card.method} on {card.backbone}, {card.dataset}, {card.status}"
        return f"<Run {printable(what)}>"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> Kind:
        """How its weights came to be."""
        return self.card.kind

    @property
    def experiment(self) -> Experiment:
        """What was trained; raises LarqnetsError for a run that was not trained here."""
        if isinstance(self.config, Experiment):
            return self.config
        raise LarqnetsError(
            f"{self.path} was {self.kind}, not trained here, so it has no experiment to go on with. "
            "Name a run that `larqnets train` made."
        )

    @property
    def is_finished(self) -> bool:
        """Whether it was trained to its end: all of its stages, also one that was added since."""
        done = max(1, len(self.card.stages))  # a run of a version without stages has one
        return self.card.status == "trained" and done >= len(self.experiment.training_stages)

    @property
    def data(self) -> DataConfig | None:
        """The images that the network is for; None where nobody said."""
        return self.config.data

    @property
    def model_file(self) -> Path:
        """The network of a run that was not trained here."""
        return self.path / MODEL_FILE

    @property
    def body_file(self) -> Path:
        """The published body of a run that was trained here, as it was when the run began."""
        return self.path / BODY_FILE

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def parameters(self) -> Path:
        return self.path / "parameters.csv"

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        experiment: Experiment,
        files: Mapping[str, bytes] = MappingProxyType({}),
        facts: Mapping[str, Any] = MappingProxyType({}),
        *,
        config_name: str = "",
        overwrite: bool = False,
    ) -> Self:
        """Create `root/name` with the resolved config and a first card; appears whole or not at all.

        `files`: contents by name, BODY_FILE where there is one; `facts`: more of the card; `overwrite`: in the place of a run that is called so. Raises LarqnetsError when the name is taken or no plain folder
        name, or the folder cannot be written.
        """
        path = new_run_path(root, name, overwrite)
        model, data = experiment.model, experiment.data
        first = {
            "format_version": RUN_FORMAT,
            "kind": "trained",
            "name": name,
            "config": config_name,
            "method": model.method,
            "backbone": model.backbone,
            "dataset": data.dataset,
            "seed": experiment.seed,
            "status": "created",
            "epochs_done": 0,
            "step": 0,
            "seconds": 0.0,
        }
        return cls._build(path, experiment, {**first, **facts}, files, overwrite)

    @classmethod
    def create_with_model(
        cls,
        root: Path,
        name: str,
        data: DataConfig | None,
        facts: Mapping[str, Any],
        files: Mapping[str, bytes],
        task: TaskConfig | None = None,
        *,
        overwrite: bool = False,
    ) -> Self:
        """Create `root/name` for a network that was not trained here; appears whole or not at all.

        `facts` of its card: kind, method, backbone, dataset and seconds, and what else is to be remembered; `files`: the
        contents by name, MODEL_FILE among them; `overwrite` and errors as in `create`.
        """
        whole = {"format_version": RUN_FORMAT, "name": name, "status": facts["kind"], **facts}
        return cls._build(
            new_run_path(root, name, overwrite), ModelImages(data, task or TaskConfig()), whole, files, overwrite
        )

    @classmethod
    def _build(
        cls,
        path: Path,
        config: Experiment | ModelImages,
        facts: dict[str, Any],
        files: Mapping[str, bytes],
        overwrite: bool,
    ) -> Self:
        root, config = path.parent, config.placed()
        card = Card.of(facts | ({} if config.data is None else {"dataset": config.data.dataset}), f"The card of {path}")
        try:
            root.mkdir(parents=True, exist_ok=True)
            with building_folder(root) as building:
                write_atomically(building / CONFIG_FILE, dump_config(config))
                for file, content in files.items():
                    write_atomically(building / file, content)
                card.write(building / CARD_FILE)
                with _moved_aside(path) if overwrite and path.exists() else contextlib.nullcontext():
                    building.rename(path)
        except OSError as error:  # another process took the name, or the disk went away
            raise (_taken(path) if path.exists() else cannot_write(path, error)) from error
        return cls(path, config, card)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the run at `path`.

        Raises LarqnetsError when it is not there, no run, of another format version, or its files are damaged.
        """
        if not path.exists():
            raise LarqnetsError(f"There is no run at {path}. `larqnets list runs` shows the runs that exist.")
        if (path / "saved_model.pb").is_file():
            raise LarqnetsError(
                f"{path} is a SavedModel folder, which carries code. Save the model as one file: model.save('model.h5')."
            )
        if not (path / CARD_FILE).is_file() or not (path / CONFIG_FILE).is_file():
            raise LarqnetsError(f"{path} is not a run folder: it needs card.json and config.toml. Give runs/<name>.")
        card, config = Card.read(path / CARD_FILE), path / CONFIG_FILE
        trained = card.kind == "trained"
        if not trained:
            return cls(path, load_model_images(config), card)
        # The config of a run says the size of its batches; one that does not is of a time when it was always this one.
        return cls(path, with_batch_size(load_run_config(config), LARGEST), card)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run while the block runs; may be nested. Errors: see `RunLock.held`."""
        if self._lock.mine:
            yield
            return
        with self._lock.held():
            self.card = Card.read(self.path / CARD_FILE)  # as whoever had the lock before left it
            yield

    def lengthen(self, stage: StageConfig) -> None:
        """Add a stage to its config, atomically."""
        longer = replace(self.experiment, stages=(*self.experiment.training_stages, stage))
        write_atomically(self.path / CONFIG_FILE, dump_config(longer))
        self.config = longer

    def in_use(self) -> bool:
        """Return whether a process trains this run now; False where the system has no file locks."""
        return self._lock.in_use()

    def update_card(self, **facts: Any) -> None:
        """Set facts of `card.json`, atomically; others stay, also those that another process set meanwhile."""
        path = self.path / CARD_FILE
        with locked(path, SILENT):  # the moment that another update takes
            card = Card.read(path).changed(**facts)
            card.write(path)
        self.card = card


def new_run_path(root: Path, name: str, overwrite: bool = False) -> Path:
    """Return where the new run goes; raises LarqnetsError for a name that is none or taken.

    With `overwrite` a run that is called so will be replaced, unless a process trains it.
    """
    if not name or name in (".", "..") or name.startswith(".") or any(c in name for c in "/\\:\0\n"):
        raise LarqnetsError(f"'{name}' cannot name a run. Choose a plain folder name, e.g. --name my-run.")
    path = root / name
    if not os.path.lexists(path):
        return path
    if path.is_symlink() or not all((path / file).is_file() for file in (CARD_FILE, CONFIG_FILE)):
        raise LarqnetsError(f"{path} already exists and is no run folder. Choose another name with --name.")
    if RunLock(path).in_use():
        raise LarqnetsError(f"The run {path} already exists and is being trained. Choose another name with --name.")
    if not overwrite:
        raise _taken(path)
    return path


def numbered_name(root: Path, name: str) -> str:
    """Return the name, or with the first number from 2 on under which there is nothing yet: NAME-2."""
    names = itertools.chain((name,), (f"{name}-{number}" for number in itertools.count(2)))
    return next(free for free in names if not os.path.lexists(root / free))


def _taken(path: Path) -> LarqnetsError:
    """Return the error about a name that is taken: what the run is that has it, and the ways from here."""
    ways = "Choose another name with --name, or replace it with --overwrite"
    try:
        run = Run.open(path)
    except LarqnetsError:
        return LarqnetsError(f"The run {path} already exists and cannot be read. {ways}.")
    if run.kind != "trained":
        return LarqnetsError(f"The run {path} already exists, {run.kind}. {ways}.")
    done, planned = run.card.epochs_done, sum(stage.epochs for stage in run.experiment.training_stages)
    status = "killed" if run.card.status == "training" else run.card.status
    how = "trained to its end" if run.is_finished else f"{status} with {done} of {planned} epochs trained"
    return LarqnetsError(
        f"The run {path} already exists, {how}. Choose another name with --name, replace it with --overwrite, or continue it "
        f"with `larqnets train --resume {shlex.quote(str(path))}`."
    )


@contextlib.contextmanager
def _moved_aside(path: Path) -> Iterator[None]:
    """Move a run that nobody trains aside while another one takes its place, and back if that fails."""
    with building_folder(path.parent) as aside, RunLock(path).held():
        path.rename(aside / path.name)
        try:
            yield
        except BaseException:
            (aside / path.name).rename(path)
            raise
