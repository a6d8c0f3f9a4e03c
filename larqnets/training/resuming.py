"""What a run that goes on must have in common with its checkpoint, and what is said where it differs."""

import dataclasses
import json
import re
from typing import Any

from larqnets.config import Experiment
from larqnets.errors import LarqnetsError
from larqnets.runs import checkpoints
from larqnets.schema import from_mapping

# Keys of the config that may change between start and resume: they move no weight.
_FREE_KEYS = ("description", "paper.", "data.data_dir", "train.checkpoint_every_epochs")


def check_resumable(saved: checkpoints.Saved, experiment: Experiment, provenance: dict[str, Any]) -> list[str]:
    """Return what the user should know before this run goes on from a checkpoint.

    Raises LarqnetsError naming the first key of the config that is not the checkpoint's, or other images.
    """
    # A key that the checkpoint's version of larqnets did not know yet had the value that is the default now.
    started = from_mapping(Experiment, _without_none(saved.state["config"]), "", f"{saved.path}/state.json")
    # through JSON: an option's tuple comes back from the checkpoint as a list
    both = (dataclasses.asdict(e) for e in _alike(started, experiment))
    then, now = (_flat(json.loads(json.dumps(tables))) for tables in both)
    for key in sorted(then.keys() | now.keys()):
        free = re.sub(r"^stages\.\d+\.", "train.", key).startswith(_FREE_KEYS)
        if then.get(key) != now.get(key) and not free:
            raise LarqnetsError(
                f"The config has {key} = {now.get(key)!r}, but the run was started with {then.get(key)!r}. "
                "Restore the run's config.toml, or train under a new name."
            )
    if saved.state.get("data", provenance["data"]) != provenance["data"]:
        raise LarqnetsError(
            f"The images in {provenance['config']['data']['dataset']} are not those that the run was started with: a file "
            "was changed, added or taken away, or has another label. Restore the data, or train under a new name."
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
    if saved.state.get("replicas", 1) != provenance["replicas"]:
        changed["replicas"] = (saved.state.get("replicas", 1), provenance["replicas"])
    if changed:
        listed = ", ".join(f"{name} {before} -> {after}" for name, (before, after) in changed.items())
        notes.append(f"Continuing with {listed}: the result may differ in the last bits from an uninterrupted run.")
    return notes


def _alike(then: Experiment, now: Experiment) -> tuple[Experiment, Experiment]:
    """Return two experiments in one form, the later one without the stages that make the earlier one longer."""
    count = len(then.training_stages)
    if len(now.stages) <= count or not all(stage.extends for stage in now.stages[count:]):
        return then, now
    return dataclasses.replace(then, stages=then.training_stages), dataclasses.replace(now, stages=now.stages[:count])


def check_same_stage(saved: checkpoints.Saved, record: dict[str, Any]) -> None:
    """Raise LarqnetsError when the training set or the teacher is not the one of the checkpoint."""
    if saved.state["steps_per_epoch"] != record["steps_per_epoch"]:
        raise LarqnetsError(
            f"The training set gives {record['steps_per_epoch']} steps per epoch, but gave "
            f"{saved.state['steps_per_epoch']} when the run was started. Restore the data, or train under a new name."
        )
    if saved.state.get("teacher") != record["teacher"]:
        raise LarqnetsError(
            f"The teacher has other weights than when {saved.path.name} was written. Restore the teacher, or train under "
            "a new name."
        )


def _without_none(tables: Any) -> Any:
    """Return nested tables without the keys that are None, as a config file has them."""
    if isinstance(tables, dict):
        return {key: _without_none(value) for key, value in tables.items() if value is not None}
    return [_without_none(entry) for entry in tables] if isinstance(tables, list) else tables


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return {"train.epochs": 3, "stages.0.epochs": 2, ...} of nested tables."""
    if isinstance(value, list | tuple) and any(isinstance(entry, dict) for entry in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {name: leaf for key, entry in value.items() for name, leaf in _flat(entry, f"{prefix}{key}.").items()}
