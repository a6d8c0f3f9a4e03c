"""What a session says: latency with intervals, twins, Pareto front, breakdown, and what to hold against it.

Pure functions of a record. A session that no ARM64 hardware ran has no times here, whatever its rounds hold.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from android_bench.measuring.profile import Breakdown, breakdown
from android_bench.record import ModelRecord, Session
from android_bench.reporting.counted import side_by_side
from android_bench.reporting.stats import (
    MIN_DIFFERENCE,
    MIN_ROUNDS,
    Latency,
    Ratio,
    Steadiness,
    Verdict,
    latency,
    paired_ratio,
    round_medians,
    steadiness,
    verdict,
)
from larqnets.pareto_front import on_front

NOISY = MIN_DIFFERENCE / 3  # above it, 3 x noise and not 2 % is the smallest difference that counts


@dataclass(frozen=True)
class Pairing:
    """Another model beside this one, in the rounds that both have: `other` takes `ratio` times as long."""

    other: str
    role: str | None
    ratio: Ratio
    verdict: Verdict  # of the other: slower means that this model is faster


@dataclass(frozen=True)
class ModelSummary:
    """One model; without rounds that count most of it is None."""

    record: ModelRecord
    latency: Latency | None = None
    init_ms: float | None = None  # median over the processes
    first_inference_ms: float | None = None
    steadiness: Steadiness | None = None
    breakdown: Breakdown | None = None
    pairings: tuple[Pairing, ...] = ()  # with its twins; of what has none, with the first model of the session
    has_twin: bool = False  # or is one
    on_front: bool = False  # of known accuracy, and no other model is faster and at least as accurate


@dataclass(frozen=True)
class Summary:
    """One session."""

    session: Session
    models: tuple[ModelSummary, ...]
    warnings: tuple[str, ...]

    @property
    def score(self) -> str:
        """What the accuracies are: the score of the networks' task, "score" where there are several."""
        names = {record.score for record in self.session.models if record.accuracy is not None}
        return names.pop() if len(names) == 1 else "score" if names else "accuracy"

    @property
    def timed(self) -> bool:
        """Whether its times mean anything."""
        return not self.session.device.functional_only

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, without the raw rounds."""
        session = self.session
        kept = ("session", "created", "complete")
        return {
            **{key: getattr(session, key) for key in kept},
            "device": asdict(session.device),
            "cores": asdict(session.cores),
            "models": [_to_json(model, timed=self.timed) for model in self.models],
            "instructions": [row.to_json() for row in side_by_side(session)],
            "warnings": list(self.warnings),
        }


def summarise(session: Session) -> Summary:
    """Return the numbers of a session and the warnings that belong to them."""
    if session.device.functional_only:
        models = tuple(ModelSummary(record, has_twin=_has_twin(record, session)) for record in session.models)
    else:
        latencies = {m.name: latency([r.latencies_ms for r in m.kept]) for m in session.models if m.kept}
        points = {
            m.name: (latencies[m.name].median_ms, m.accuracy)
            for m in session.models
            if m.name in latencies and m.accuracy is not None
        }
        if len({m.score for m in session.models if m.accuracy is not None}) > 1:
            points = {}  # what a network for one task does and one for another is not compared
        front = {name for name, on in zip(points, on_front(list(points.values())), strict=True) if on}
        models = tuple(_summarise(m, session, latencies.get(m.name), on_front=m.name in front) for m in session.models)
    return Summary(session, models, tuple(_warnings(session, models)))


def pair(this: ModelRecord, other: ModelRecord) -> Pairing | None:
    """Compare two models in the rounds that count for both; None when there are none."""
    mine, theirs = ({r.number: r.latencies_ms for r in model.kept} for model in (this, other))
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return None
    ours, others = (round_medians([rounds[number] for number in common]) for rounds in (mine, theirs))
    ratio = paired_ratio(ours, others)
    return Pairing(other.name, other.role, ratio, verdict(ratio))


def _summarise(record: ModelRecord, session: Session, own: Latency | None, *, on_front: bool) -> ModelSummary:
    twins = [model for model in session.models if model.twin_of == record.sha256]
    first = session.models[0]
    others = twins or ([first] if record.twin_of is None and record is not first else [])
    same = next(model for model in session.models if model.sha256 == record.sha256)  # and perhaps in other ways
    others += [same] if same is not record and same not in others else []
    pairings = [pair(record, other) for other in others]
    in_time = sorted(record.kept, key=lambda r: r.started_s)
    return ModelSummary(
        record=record,
        latency=own,
        init_ms=float(np.median(record.init_ms)) if record.init_ms else None,
        first_inference_ms=float(np.median(record.first_inference_ms)) if record.first_inference_ms else None,
        steadiness=steadiness([r.latencies_ms for r in in_time]) if in_time else None,
        breakdown=breakdown(record.profile, own.median_ms) if record.profile and own else None,
        pairings=tuple(p for p in pairings if p is not None),
        has_twin=_has_twin(record, session),
        on_front=on_front,
    )


def _has_twin(record: ModelRecord, session: Session) -> bool:
    return record.twin_of is not None or any(model.twin_of == record.sha256 for model in session.models)


def _warnings(session: Session, models: Sequence[ModelSummary]) -> list[str]:
    """Return one sentence for everything that a reader has to know before using the numbers."""
    found = [] if session.complete else ["The session was not completed: something that was asked for is missing."]
    for model in models:
        found += [f"{model.record.name}: {text}" for text in _doubts(model, session)]
    for event in session.events:
        if event.kind != "note":
            found.append(f"{event.model}: {event.text}" if event.model else event.text)
    return list(dict.fromkeys(found))


def _doubts(model: ModelSummary, session: Session) -> list[str]:
    record, own, steady = model.record, model.latency, model.steadiness
    found = [] if record.fault is None else [record.fault]
    if record.equality is not None and not record.equality.equal:
        found.append("its outputs on the device differ from those on the host: do not use it before that is explained.")
    if session.device.functional_only:
        return found
    asked, kept = session.protocol.rounds, len(record.kept)
    if kept == 0:
        what = "every round was discarded" if record.rounds else "no round was run"
        return [*found, f"{what}, so there is no latency."]
    if kept < asked:
        found.append(f"only {kept} of {asked} rounds count.")
    if kept < MIN_ROUNDS:
        found.append(f"fewer than {MIN_ROUNDS} rounds: no interval and no comparison.")
    if own is not None and own.noise > NOISY:
        found.append(
            f"its rounds scatter by {own.noise:.1%}: beside another session only differences above {3 * own.noise:.1%} count."
        )
    if steady is not None and steady.drifts:
        found.append(
            f"later rounds are {_change(steady.change)} than earlier ones: the device was not in a steady state."
        )
    if steady is not None and steady.settles:
        found.append(f"rounds end {_change(steady.settling)} than they begin: the warm-up is too short.")
    return found


def _change(change: float | None) -> str:
    assert change is not None
    return f"{abs(change):.1%} {'slower' if change > 0 else 'faster'}"


def _to_json(model: ModelSummary, *, timed: bool) -> dict[str, Any]:
    record = model.record
    facts = ("name", "file", "sha256", "bytes", "role", "twin_of", "accuracy", "score", "fault")
    return {
        **{key: getattr(record, key) for key in facts},
        "peak_memory_kb": record.peak_memory_kb if timed else None,  # an emulator's own memory is in it
        "latency": None if model.latency is None else asdict(model.latency),
        "init_ms": model.init_ms,
        "first_inference_ms": model.first_inference_ms,
        "steadiness": None if model.steadiness is None else asdict(model.steadiness),
        "breakdown": None if model.breakdown is None else asdict(model.breakdown),
        "pairings": [asdict(pairing) for pairing in model.pairings],
        "on_front": model.on_front,
        "discarded": [{"round": r.number, "reason": r.discarded} for r in record.rounds if r.discarded is not None],
        "equality": None if record.equality is None else asdict(record.equality),
        "instructions": None if record.instructions is None else record.instructions.instructions,
    }
