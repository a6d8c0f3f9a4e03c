"""A run is a folder: `config.toml`, `card.json`, `metrics.csv`, `checkpoints/`, `tensorboard/`, later `arm64/`.

A method with learned scalars to report also has `parameters.csv`.

A run whose network was not trained here, but imported or decomposed, holds the network itself as `model.h5` instead of
metrics and checkpoints, and its config says nothing but which images the network is for.

Nothing here imports TensorFlow, so a board that only measures can read the card of what it runs.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

from larqnets.config import DataConfig, Experiment, ModelImages, TaskConfig, dump_config, load_config, load_model_images
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError, excerpt
from larqnets.files import building_folder, cannot_write, lock, locked, write_atomically
from larqnets.schema import convert

RUN_FORMAT = 1
MODEL_FILE = "model.h5"
KINDS = ("trained", "imported", "decomposed")
# What is read of a card, and of which type: of every run, of a trained one, and of those where it is known.
_CARD = {"name": str, "method": str, "backbone": str, "dataset": str, "status": str, "seconds": float}
_TRAINED = {"seed": int, "epochs_done": int, "step": int}
_KNOWN = {
    "test_accuracy": float | None,
    "converted_test_accuracy": float | None,
    "converted_test_images": int | None,
    "headline": str,
    "scores": dict[str, float],
    "converted_scores": dict[str, float] | None,
    "init_from": str | None,
    "images": dict[str, Any],
    "settings": dict[str, Any],
    "arm64": dict[str, Any],
    "stages": tuple[dict[str, Any], ...],
    "layers": tuple[dict[str, Any], ...],
}
LOCK_PATIENCE = 1.0  # seconds; `in_use` of another process holds the lock for a moment


def default_name(config_name: str, seed: int) -> str:
    """Return the name of a run whose user gave none."""
    return f"{config_name}-seed{seed}"


class Run:
    """One run folder. `config` is its resolved config, `card` the record of what was done and measured."""

    def __init__(self, path: Path, config: Experiment | ModelImages, card: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.card = card
        self._is_locked = False

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        """How its weights came to be: one of KINDS."""
        return self.card.get("kind", KINDS[0])

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
    def data(self) -> DataConfig | None:
        """The images that the network is for; None where nobody said."""
        return self.config.data

    @property
    def model_file(self) -> Path:
        """The network of a run that was not trained here."""
        return self.path / MODEL_FILE

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
    def create(cls, root: Path, name: str, experiment: Experiment, *, config_name: str = "") -> Self:
        """Create `root/name` with the resolved config and a first card; appears whole or not at all.

        Raises LarqnetsError when the name is taken or no plain folder name, or the folder cannot be written.
        """
        path = new_run_path(root, name)
        model, data = experiment.model, experiment.data
        card: dict[str, Any] = {
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
        return cls._build(path, experiment, card, {})

    @classmethod
    def create_with_model(
        cls,
        root: Path,
        name: str,
        data: DataConfig | None,
        card: dict[str, Any],
        files: dict[str, bytes],
        task: TaskConfig | None = None,
    ) -> Self:
        """Create `root/name` for a network that was not trained here; appears whole or not at all.

        `card`: its kind, method, backbone, dataset and seconds, and what else is to be remembered; `files`: the contents
        by name, MODEL_FILE among them. Raises LarqnetsError as `create` does.
        """
        whole = {"format_version": RUN_FORMAT, "name": name, "status": card["kind"], **card}
        return cls._build(new_run_path(root, name), ModelImages(data, task or TaskConfig()), whole, files)

    @classmethod
    def _build(
        cls, path: Path, config: Experiment | ModelImages, card: dict[str, Any], files: dict[str, bytes]
    ) -> Self:
        root = path.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            with building_folder(root) as building:
                write_atomically(building / "config.toml", dump_config(config))
                for file, content in files.items():
                    write_atomically(building / file, content)
                write_atomically(building / "card.json", _json(card))
                building.rename(path)
        except OSError as error:  # another process took the name, or the disk went away
            raise (_taken(path) if path.exists() else cannot_write(path, error)) from error
        return cls(path, config, card)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the run at `path`.

        Raises LarqnetsError when it is not there, no run, of another format version, or its files are damaged.
        """
        card_path = path / "card.json"
        if not path.exists():
            raise LarqnetsError(f"There is no run at {path}. `larqnets list runs` shows the runs that exist.")
        if (path / "saved_model.pb").is_file():
            raise LarqnetsError(
                f"{path} is a SavedModel folder, which carries code. Save the model as one file: model.save('model.h5')."
            )
        if not card_path.is_file() or not (path / "config.toml").is_file():
            raise LarqnetsError(f"{path} is not a run folder: it needs card.json and config.toml. Give runs/<name>.")
        card = _read_card(card_path)
        version = card.get("format_version")
        if version != RUN_FORMAT:
            newer = isinstance(version, int) and version > RUN_FORMAT
            remedy = "Update larqnets" if newer else "Open it with the version of larqnets that wrote it"
            raise LarqnetsError(
                f"{path} has run format {excerpt(repr(version), 80)}, but this larqnets reads format {RUN_FORMAT}. {remedy}."
            )
        kind = card.setdefault("kind", KINDS[0])
        if kind not in KINDS:
            raise LarqnetsError(
                f"{card_path} is damaged: {excerpt(repr(kind), 80)} is no kind of run. Restore it from a copy."
            )
        trained = kind == "trained"
        due = _CARD | (_TRAINED if trained else {})
        missing = [key for key in due if key not in card]
        if missing:
            raise LarqnetsError(
                f"{card_path} is damaged: it lacks {missing[0]!r}. Restore it from a copy, or train again."
            )
        for key, hint in (due | _KNOWN).items():
            if key in card:
                convert(card[key], hint, key, f"{card_path} is damaged, restore it from a copy")
        config = path / "config.toml"
        return cls(path, load_config(str(config)) if trained else load_model_images(config), card)

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run while the block runs; may be nested.

        The system releases the lock of a process that ends, however it ends. Raises LarqnetsError when another process
        has it, or the folder cannot be written.
        """
        if self._is_locked or fcntl is None:
            yield
            return
        try:
            file = self.lock_file.open("a+b", buffering=0)
        except OSError as error:
            raise cannot_write(self.lock_file, error) from error
        with file:
            patience = time.monotonic() + LOCK_PATIENCE
            while not lock(file.fileno()):
                if time.monotonic() > patience:
                    file.seek(0)
                    who = file.read(20).decode("ascii", "replace").strip() or "not known"
                    raise LarqnetsError(
                        f"{self.path} is being trained by another process (PID {who}). Wait for it, or stop it first."
                    )
                time.sleep(0.05)
            with contextlib.suppress(OSError):  # a full disk must not keep anybody from locking
                file.truncate(0)
                file.write(f"{os.getpid()}\n".encode())
            self.card = _read_card(self.path / "card.json")  # as whoever had the lock before left it
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    def in_use(self) -> bool:
        """Return whether a process trains this run now; False where the system has no file locks."""
        if self._is_locked or fcntl is None:
            return self._is_locked
        try:
            with self.lock_file.open("rb") as file:
                return not lock(file.fileno(), shared=True)
        except OSError:
            return False

    def update_card(self, **fields: Any) -> None:
        """Set fields of `card.json`, atomically; other fields stay, also those that another process set meanwhile."""
        path = self.path / "card.json"
        with locked(path, on_wait=lambda _: None):  # the moment that another update takes
            card = _read_card(path) | fields
            write_atomically(path, _json(card))
        self.card = card


def new_run_path(root: Path, name: str) -> Path:
    """Return where the new run goes; raises LarqnetsError for a name that is taken or none."""
    if not name or name in (".", "..") or name.startswith(".") or any(c in name for c in "/\\:\0\n"):
        raise LarqnetsError(f"'{name}' cannot name a run. Choose a plain folder name, e.g. --name my-run.")
    path = root / name
    if path.exists():
        raise _taken(path)
    return path


def _taken(path: Path) -> LarqnetsError:
    return LarqnetsError(
        f"The run {path} already exists. Choose another name with --name, or continue it with --resume {path}."
    )


def _json(card: dict[str, Any]) -> str:
    # allow_nan=False: NaN is not JSON, and other readers of the card would stumble over it.
    return json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
    except OSError as error:
        raise LarqnetsError(f"Cannot read {path}: {error.strerror}. Check its permissions.") from error
    except ValueError as error:
        raise LarqnetsError(f"{path} is damaged: {error}. Restore it from a copy, or train again.") from error
    if not isinstance(card, dict):
        raise LarqnetsError(f"{path} is damaged: it holds no JSON object. Restore it from a copy, or train again.")
    return card
