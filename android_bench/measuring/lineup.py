"""Which files a session measures: those that were named, and beside every binary one its float and int8 twin."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from android_bench.emulation.qemu import GROUPS
from android_bench.record import ModelRecord, Role, Stem
from android_bench.runtime.runner import Kernels
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


@dataclass(frozen=True)
class Entrant:
    """One file of a session. `entry`: what the manifest beside it says of it, empty when there is none."""

    name: str
    path: Path
    model: Model
    sha256: str
    role: Role | None
    twin_of: str | None
    entry: dict[str, Any]
    kernels: Kernels | None = None  # how its 1-bit convolutions count; None: it has none
    headline: str = "accuracy"  # the score of its task, as the manifest says

    def record(self) -> ModelRecord:
        """Return its record before anything was measured."""
        accuracy, score = self.entry.get("test_accuracy"), "accuracy"
        stem = (own_metadata(self.model) or {}).get("stem")
        if (scores := self.entry.get("scores")) and self.headline in scores:
            accuracy, score = scores[self.headline], self.headline
        return ModelRecord(
            name=self.name,
            file=str(self.path),
            sha256=self.sha256,
            bytes=len(self.model.content),
            role=self.role,
            twin_of=self.twin_of,
            kernels=self.kernels,
            stem=next((form for form in get_args(Stem) if form == stem), None),
            accuracy=accuracy,
            accuracy_source=None if accuracy is None else f"test set, {self.path.parent / 'manifest.json'}",
            init_ms=(),
            first_inference_ms=(),
            rounds=(),
            peak_memory_kb=None,
            profile=None,
            equality=None,
            instructions=None,
            fault=None,
            score=score,
        )


def line_up(files: Sequence[Path], kernels: Sequence[Kernels] = ("chosen",)) -> list[Entrant]:
    """Return the files, each once, and the twins that `convert --twins` wrote beside the binary ones.

    A file with 1-bit convolutions is there once for each of `kernels`, one after the other. Raises LarqnetsError when none has
    any and `kernels` are named, a file is damaged or needs an op that the runtime lacks, or a twin is not the file that its
    manifest describes.
    """
    found: dict[str, tuple[Path, Model, dict[str, Any], str]] = {}
    binary_of: dict[str, str] = {}
    for path in files:
        model = _read(path)
        sha256 = _sha256(model)
        headline, entries = _manifest(path)
        found.setdefault(sha256, (path, model, _entry(entries, sha256), headline))
        if entries.get("binary", {}).get("sha256") == sha256:
            for twin in (entries[role] for role in ("float", "int8") if role in entries):
                twin_path = path.parent / twin["file"]
                twin_model = _read(twin_path)
                if _sha256(twin_model) != twin["sha256"]:
                    raise LarqnetsError(
                        f"{twin_path} is not the file that its manifest describes. Convert the run again with --twins."
                    )
                found.setdefault(twin["sha256"], (twin_path, twin_model, twin, headline))
                binary_of[twin["sha256"]] = sha256
    names = _names([path for path, *_ in found.values()])
    entrants = []
    for name, (sha256, (path, model, entry, headline)) in zip(names, found.items(), strict=True):
        ways = kernels if any(GROUPS.get(op.name) == "binary" for op in model.subgraphs[0].operators) else (None,)
        for way in ways:
            own = name if way in (None, "chosen") else f"{name} ({way})"
            entrants.append(
                Entrant(own, path, model, sha256, _role(entry), binary_of.get(sha256), entry, way, headline)
            )
    if tuple(kernels) != ("chosen",) and all(entrant.kernels is None for entrant in entrants):
        raise LarqnetsError("--kernels says how 1-bit convolutions count, and these files have none. Leave it out.")
    return entrants


def without_twin(entrants: Sequence[Entrant]) -> list[Entrant]:
    """Return the entrants that are nobody's twin and have none: their latency has nothing to be compared with."""
    have = {entrant.twin_of for entrant in entrants}
    return [entrant for entrant in entrants if entrant.twin_of is None and entrant.sha256 not in have]


def _read(path: Path) -> Model:
    model = read_model(path)
    if model.unknown_ops:
        raise LarqnetsError(
            f"{path} needs the op {sorted(model.unknown_ops)[0]}, which the runtime does not have. Convert the network "
            "again without that op."
        )
    return model


def _manifest(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the score of the task, and variant -> entry of the manifest beside a file, empty when there is none to read."""
    try:
        manifest = read_json(path.parent / "manifest.json")
        entries = {role: entry for role, entry in manifest["files"].items() if {"file", "sha256"} <= entry.keys()}
        return str(manifest.get("headline", "accuracy")), entries
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "accuracy", {}


def _entry(entries: dict[str, dict[str, Any]], sha256: str) -> dict[str, Any]:
    return next(({"role": role, **entry} for role, entry in entries.items() if entry["sha256"] == sha256), {})


def _role(entry: dict[str, Any]) -> Role | None:
    role = entry.get("role") or Path(entry.get("file", "")).stem
    return next((known for known in get_args(Role) if known == role), None)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ, without arm64/ and .tflite."""
    parts = [[part for part in path.resolve().with_suffix("").parts if part != "arm64"] for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _sha256(model: Model) -> str:
    return hashlib.sha256(model.content).hexdigest()
