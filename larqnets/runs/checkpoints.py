"""Checkpoints that are whole or not there: written beside, hashed, renamed; the newest two are kept.

checkpoints/step-00001200/state.json              step, config, versions, size and SHA-256 of the other files
                          weights.index, weights.data-00000-of-00001
checkpoints/.larqnets-….writing/                  left by a kill during a write; ignored, removed by the next write
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, cannot_write, sync_folder
from larqnets.runs.run import Run

KEEP = 2


@dataclass(frozen=True)
class Saved:
    """A whole checkpoint on disk; `state` is its state.json, `damaged` the newer folders that had to be passed over."""

    path: Path
    state: dict[str, Any]
    damaged: tuple[Path, ...] = ()

    @property
    def prefix(self) -> str:
        """The path that TensorFlow reads weights from."""
        return str(self.path / "weights")


def save(run: Run, step: int, checkpoint: tf.train.Checkpoint, extra: dict[str, Any]) -> Path:
    """Write a checkpoint of the state before `step`, with `extra` in its state.json, and delete all but the newest two.

    Raises LarqnetsError when it cannot be written; earlier checkpoints are then untouched.
    """
    final = run.checkpoints / f"step-{step:08d}"
    try:
        run.checkpoints.mkdir(exist_ok=True)
        with building_folder(run.checkpoints) as writing:
            checkpoint.write(str(writing / "weights"))
            files = {path.name: _fingerprint(path) for path in sorted(writing.iterdir())}
            state = {"step": step, **extra, "files": files}
            (writing / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            for path in writing.iterdir():
                _sync(path)
            sync_folder(writing)
            if final.exists():  # the same step again: interrupted before, and again after, an evaluation
                shutil.rmtree(final)
            writing.rename(final)
            sync_folder(run.checkpoints)
    except OSError as error:
        raise cannot_write(final, error) from error
    except tf.errors.UnavailableError:  # a worker of several is gone, and with it a value to write
        raise
    except tf.errors.OpError as error:  # a full disk reaches us as ResourceExhausted, Unknown or DataLoss
        raise LarqnetsError(
            f"Cannot write the checkpoint {final}: {_reason(error)}. "
            "Free some space and continue with --resume; the earlier checkpoints are unchanged."
        ) from error
    for old in _folders(run)[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest(run: Run) -> Saved | None:
    """Return the newest whole checkpoint, None when the run has none yet.

    Raises LarqnetsError when there are checkpoints and every one is damaged.
    """
    damaged: list[Path] = []
    for folder in _folders(run):
        state = _read_whole(folder)
        if state is not None:
            return Saved(folder, state, tuple(damaged))
        damaged.append(folder)
    if damaged:
        raise LarqnetsError(
            f"Every checkpoint of {run.path} is damaged: {', '.join(p.name for p in damaged)}. "
            "Restore the folder from a copy, or delete its checkpoints/ to train from the start."
        )
    return None


def restore(saved: Saved, checkpoint: tf.train.Checkpoint) -> None:
    """Read everything that `checkpoint` tracks; raises LarqnetsError when the two do not match exactly."""
    try:
        checkpoint.read(saved.prefix).assert_consumed()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise _does_not_fit(saved, error) from error


def restore_model(saved: Saved, model: tf.keras.Model) -> None:
    """Read the model's weights alone; raises LarqnetsError when a weight on either side has no partner."""
    try:
        tf.train.Checkpoint(model=model).read(saved.prefix).assert_existing_objects_matched().expect_partial()
        names = [name for name, _ in tf.train.list_variables(saved.prefix)]
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise _does_not_fit(saved, error) from error
    stored = sum(name.startswith("model/") and ".OPTIMIZER_SLOT" not in name for name in names)
    if stored != len(model.variables):
        raise _does_not_fit(saved, f"it holds {stored} weights, the model has {len(model.variables)}")


def _does_not_fit(saved: Saved, error: object) -> LarqnetsError:
    return LarqnetsError(
        f"The checkpoint {saved.path} does not fit the model of its config: {_reason(error)}. "
        "Use the version of larqnets that wrote it, which is in its state.json, or train again."
    )


def _reason(error: object) -> str:
    """Return the first line of TensorFlow's message without the graph node and op it puts around it."""
    first_line, *_ = str(error).strip().splitlines() or ["the weights differ"]
    return re.sub(r"^\{\{.*?\}\} |\s*\[Op:\w+\].*$", "", first_line).rstrip(".")


def _folders(run: Run) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    return sorted(run.checkpoints.glob("step-*"), reverse=True)


def _read_whole(folder: Path) -> dict[str, Any] | None:
    """Return the state of a checkpoint whose files are all as they were written, else None."""
    try:
        state = read_json(folder / "state.json")
        whole = all(_fingerprint(folder / name) == expected for name, expected in state["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return state if whole else None


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
