"""`larqnets report --compare A B`: is a model faster or slower in the second session than in the first, for CI.

Two sessions have no rounds in common, so Mann-Whitney's test and not Wilcoxon's. What differs between any two sessions is in
no interval; a difference counts from max(2 %, 3 x noise of the baseline) on.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from android_bench.record import ModelRecord, Session, read_session
from android_bench.reporting.stats import MIN_ROUNDS, Ratio, Verdict, round_medians, threshold, unpaired_ratio, verdict
from larqnets.errors import LarqnetsError


@dataclass(frozen=True)
class ComparedModel:
    """One model in both sessions. Ratio: the second's latency over the first's."""

    name: str
    matched_by: str
    baseline_ms: float | None  # None: no round counts
    candidate_ms: float | None
    ratio: Ratio | None  # None: in one of the sessions no round counts
    threshold: float | None  # the smallest relative difference that counts
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """The second session against the first."""

    baseline: str
    candidate: str
    rows: tuple[ComparedModel, ...]
    unmatched: tuple[str, ...]  # a sentence each
    differences: tuple[str, ...]  # between the sessions, that may explain a difference

    @property
    def slower(self) -> list[str]:
        """The models that became slower."""
        return [row.name for row in self.rows if row.verdict == "slower"]

    def check(self) -> None:
        """Raise LarqnetsError when a model became slower or can no longer be measured, or when nothing could be judged."""
        if slower := self.slower:
            raise LarqnetsError(
                f"{', '.join(slower)} became slower. Look for what changed, and measure again to see whether it stays."
            )
        if lost := [row.name for row in self.rows if row.baseline_ms is not None and row.candidate_ms is None]:
            raise LarqnetsError(
                f"In the second session no round of {', '.join(lost)} counts. See in its report why, and measure again."
            )
        if not any(row.verdict != "undecided" for row in self.rows):
            raise LarqnetsError(
                f"No model could be judged: of each, fewer than {MIN_ROUNDS} rounds count in one of the sessions. Measure "
                "again, and see in the report why rounds were discarded."
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "regression": bool(self.slower)}


def compare_files(baseline: Path, candidate: Path) -> Comparison:
    """Read two sessions and compare them; raises LarqnetsError."""
    return compare_sessions(read_session(baseline), read_session(candidate))


def compare_sessions(baseline: Session, candidate: Session) -> Comparison:
    """Compare every model that both sessions have.

    Sessions on different kinds of device, cores or threads are refused: any difference would be the device's. A system, a
    clock limit, a protocol or a runtime that changed is what one may want to measure, and is named. Raises LarqnetsError.
    """
    _refuse_other_conditions(baseline, candidate)
    pairs = list(match(baseline.models, candidate.models))
    matched = [{a.name for a, _, _ in pairs}, {b.name for _, b, _ in pairs}]
    unmatched = [f"{m.name} is in the first session only" for m in baseline.models if m.name not in matched[0]]
    unmatched += [f"{m.name} is in the second session only" for m in candidate.models if m.name not in matched[1]]
    if not pairs:
        raise LarqnetsError(
            f"The sessions have no model in common, neither by content nor by name: {'; '.join(unmatched)}. Measure the same "
            "models in both."
        )
    rows = tuple(_row(*pair) for pair in pairs)
    return Comparison(
        baseline.session, candidate.session, rows, tuple(unmatched), tuple(_differences(baseline, candidate))
    )


def match(
    baseline: tuple[ModelRecord, ...], candidate: tuple[ModelRecord, ...]
) -> Iterator[tuple[ModelRecord, ModelRecord, str]]:
    """Pair models, each once: the same file, under the same name if it is there twice; else the same name and role."""
    left = list(candidate)
    rules = (
        ("SHA-256", lambda a, b: (a.sha256, a.name) == (b.sha256, b.name)),
        ("SHA-256", lambda a, b: a.sha256 == b.sha256),
        ("name", lambda a, b: (a.name, a.role) == (b.name, b.role)),
    )
    found: dict[str, tuple[ModelRecord, str]] = {}
    for word, same in rules:
        for model in baseline:
            partner = next((other for other in left if model.name not in found and same(model, other)), None)
            if partner is not None:
                left.remove(partner)
                found[model.name] = (partner, word)
    for model in baseline:
        if model.name in found:
            yield (model, *found[model.name])


def _row(a: ModelRecord, b: ModelRecord, matched_by: str) -> ComparedModel:
    name = a.name if a.name == b.name else f"{a.name}, {b.name}"
    before, after = (round_medians([r.latencies_ms for r in m.kept]) if m.kept else [] for m in (a, b))
    was_ms, is_ms = (float(np.median(values)) if values else None for values in (before, after))
    if not before or not after:
        return ComparedModel(name, matched_by, was_ms, is_ms, None, None, "undecided")
    ratio, smallest = unpaired_ratio(before, after), threshold(before)
    return ComparedModel(name, matched_by, was_ms, is_ms, ratio, smallest, verdict(ratio, smallest))


def _refuse_other_conditions(baseline: Session, candidate: Session) -> None:
    for session in (baseline, candidate):
        if session.device.functional_only:
            raise LarqnetsError(
                f"The session {session.session} was run by an emulator: its times mean nothing. Compare sessions on ARM64 "
                "hardware."
            )
    facts = {
        "device": lambda s: f"{s.device.model or 'an unknown device'} ({s.device.soc or 'unknown SoC'})",
        "cores": lambda s: f"core {', '.join(map(str, s.cores.cores))}",
        "number of threads": lambda s: str(s.cores.threads),
    }
    for what, fact in facts.items():
        if fact(baseline) != fact(candidate):
            raise LarqnetsError(
                f"The sessions differ in their {what}: {fact(baseline)}, then {fact(candidate)}. Measure again under the "
                "same conditions, or show both with `larqnets report` without --compare."
            )


def _differences(baseline: Session, candidate: Session) -> Iterator[str]:
    facts: dict[str, Callable[[Session], Any]] = {
        "the device's address": lambda s: s.device.address or None,
        "the link": lambda s: s.device.kind,
        "the system": lambda s: s.device.os,
        "the kernel": lambda s: s.device.kernel,
        "the governor": lambda s: ", ".join(c.governor or "?" for c in s.device.clusters) or None,
        "the clock limit of the cores in MHz": _clock_limits,
        "TensorFlow Lite": lambda s: s.runtime and s.runtime.tflite,
        "the runtime's sources": lambda s: s.runtime and s.runtime.sources[:12],
        "XNNPACK": lambda s: s.protocol.xnnpack,
        "how 1-bit convolutions count": lambda s: ", ".join({m.kernels: None for m in s.models if m.kernels}) or None,
        "low memory": lambda s: s.protocol.low_memory,
        "invocations of a round": lambda s: s.protocol.round_runs,
        "ms of a round": lambda s: s.protocol.round_ms,
    }
    for what, fact in facts.items():
        before, after = fact(baseline), fact(candidate)
        if before != after:
            yield f"{what}: {_word(before)}, then {_word(after)}"


def _clock_limits(session: Session) -> str | None:
    """Return the limits of the cores that were used, over all rounds that count."""
    states = [s for model in session.models for r in model.kept for s in (r.before, r.after)]
    cores = map(str, session.cores.cores)
    limits = {state.clock_limits_mhz[core] for core in cores for state in states if core in state.clock_limits_mhz}
    return " and ".join(f"{mhz:.0f}" for mhz in sorted(limits)) or None


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not known" if value is None else str(value)
