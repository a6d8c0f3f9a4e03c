"""What qemu counted of the files of a session, the variants of a network side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from android_bench.record import ModelRecord, Session

RATIOS = (("float", "binary"), ("int8", "binary"), ("float", "int8"))
FILE = "other file"  # of which no manifest says what it is


@dataclass(frozen=True)
class Counted:
    """The instructions of one inference of a network on `cpu`: binary, float, int8, or FILE -> their number."""

    name: str
    cpu: str
    counts: Mapping[str, int]

    def ratio(self, kind: str, other: str) -> float | None:
        """Return how many times as many instructions `kind` takes as `other`; None where one was not counted."""
        if kind not in self.counts or not self.counts.get(other):
            return None
        return self.counts[kind] / self.counts[other]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, with the ratios that are known."""
        ratios = {f"{a}/{b}": self.ratio(a, b) for a, b in RATIOS if self.ratio(a, b) is not None}
        return {**asdict(self), "ratios": ratios}


def kinds_of(rows: Sequence[Counted]) -> list[str]:
    """Return the kinds that some of them have: the columns of a table."""
    return [kind for kind in ("binary", "float", "int8", FILE) if any(kind in row.counts for row in rows)]


def side_by_side(session: Session) -> list[Counted]:
    """Return the networks of a session whose instructions were counted; a file and its twins are one network."""
    networks: dict[str, dict[str, ModelRecord]] = {}
    for model in session.models:
        if model.instructions is not None:
            network, kind = model.twin_of or model.sha256, model.role or FILE
            own = kind in networks.get(network, {})  # the file once more, counted in another way
            networks.setdefault(f"{network} {model.kernels}" if own else network, {})[kind] = model
    return [_counted(variants) for variants in networks.values()]


def _counted(variants: Mapping[str, ModelRecord]) -> Counted:
    first = next(iter(variants.values()))
    counts = {kind: model.instructions for kind, model in variants.items() if model.instructions is not None}
    name = first.name if len(variants) == 1 else _network(first)
    return Counted(name, counts[next(iter(counts))].cpu, {kind: count.instructions for kind, count in counts.items()})


def _network(model: ModelRecord) -> str:
    """Return what the variants in one folder have in common: the name of their run."""
    folders = [part for part in Path(model.file).parent.parts if part != "arm64"]
    return folders[-1] if folders else model.name
