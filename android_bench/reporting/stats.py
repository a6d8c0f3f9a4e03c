"""Statistics of latencies: pure functions on lists of floats, in which a round is the unit and not an invocation.

Invocations of one round share its clock, its heat and its place in the schedule; fifty of them are not fifty independent
samples. So a round counts with its median, intervals come from resampling rounds, and tests rank rounds.

Two models of one session were run in the same rounds, in random order. What a round does to one it does to the other, so
they are compared within rounds: ratios per round, and Wilcoxon's signed-rank test on their logarithms, whose assumption
(the difference is as likely up as down) the random order makes true when the models are equally fast. Mann-Whitney's test
would take the drift that both share for noise. Two sessions have no rounds in common; there Mann-Whitney's is the right one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line

try:
    from scipy import stats
except ModuleNotFoundError as missing:
    raise LarqnetsError(f"Statistics need scipy, which is not installed: {pip_line('bench')}") from missing

Verdict = Literal["faster", "slower", "no difference", "undecided"]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
MIN_DIFFERENCE = 0.02  # smaller ones are no regression, however significant
MIN_ROUNDS = 6  # with fewer, Wilcoxon's test cannot reach p < 0.05, and not even the range covers a median in 95 %
RESAMPLES = 5000  # for an interval; 0 where none is wanted


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """What the rounds of one model say, in ms. `noise`: see there; `interval_ms` of the median: None with too few rounds."""

    rounds: int
    runs: int
    median_ms: float
    interval_ms: Interval | None
    p90_ms: float
    noise: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long `b` takes as `a`. `p`: of the rank test; interval and p are None with too few rounds."""

    ratio: float
    interval: Interval | None
    p: float | None
    test: Literal["wilcoxon", "mann-whitney"]
    rounds: int  # of the one with fewer; of one session: common ones


@dataclass(frozen=True)
class Steadiness:
    """Whether the rounds tell of one state of the device.

    `trend`: Kendall's tau between round medians and time, with its `p`; `change`: median of the second half of the rounds
    over that of the first, less 1. `settling`: the same of the first and the last quarter of the invocations of a round.
    """

    trend: float | None
    p: float | None
    change: float | None
    settling: float | None

    @property
    def drifts(self) -> bool:
        """Later rounds are slower or faster than earlier ones, by more than chance and by more than matters."""
        if self.p is None or self.change is None:
            return False
        return self.p < SIGNIFICANCE and abs(self.change) > MIN_DIFFERENCE

    @property
    def settles(self) -> bool:
        """Rounds become faster while they last: the warm-up is too short."""
        return self.settling is not None and self.settling < -MIN_DIFFERENCE


def latency(rounds: Sequence[Sequence[float]]) -> Latency:
    """Summarise the latencies in ms of every round that counts, at least one; raises ValueError without any.

    median: of the round medians. p90: of all invocations, a round having the weight of its samples.
    """
    medians = round_medians(rounds)
    return Latency(
        rounds=len(medians),
        runs=sum(map(len, rounds)),
        median_ms=float(np.median(medians)),
        interval_ms=median_interval(medians),
        p90_ms=float(np.percentile(np.concatenate([np.asarray(r) for r in rounds]), 90)),
        noise=noise(medians),
    )


def round_medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return the median of every round; raises ValueError when there is no round, or one without finite values above 0."""
    if not rounds or any(len(r) == 0 for r in rounds):
        raise ValueError("There is no round, or one without latencies.")
    medians = [float(np.median(r)) for r in rounds]
    if not all(math.isfinite(median) and median > 0 for median in medians):
        raise ValueError("A latency is no number above 0.")
    return medians


def noise(medians: Sequence[float]) -> float:
    """Return the median distance of the round medians from their median, relative to it (relative MAD, not scaled).

    Of normally distributed rounds it is 0.67 of their relative standard deviation; outliers hardly move it.
    """
    return float(stats.median_abs_deviation(medians) / np.median(medians))


def median_interval(medians: Sequence[float]) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of the median of round medians; None with fewer than 6 rounds."""
    return _bootstrap((medians,), lambda a, axis: np.median(a, axis=axis), RESAMPLES)


def paired_ratio(a: Sequence[float], b: Sequence[float], resamples: int = RESAMPLES) -> Ratio:
    """Compare the round medians of two models of one session, a[i] and b[i] of the same round.

    ratio = exp(median_i log(b_i / a_i)); the interval resamples rounds; p of Wilcoxon's signed-rank test.
    """
    logs = np.log(b) - np.log(a)
    p = None
    if len(logs) >= MIN_ROUNDS:
        p = float(stats.wilcoxon(logs).pvalue) if np.any(logs) else 1.0  # pyright: ignore[reportAttributeAccessIssue]  # SciPy's decorators hide its type
    interval = _bootstrap((logs,), lambda x, axis: np.exp(np.median(x, axis=axis)), resamples)
    return Ratio(float(np.exp(np.median(logs))), interval, p, "wilcoxon", len(logs))


def unpaired_ratio(a: Sequence[float], b: Sequence[float], resamples: int = RESAMPLES) -> Ratio:
    """Compare the round medians of one model in two sessions.

    ratio = median(b) / median(a); the interval resamples the rounds of each session; p of Mann-Whitney's U test. What
    differs between any two sessions (room, charge, what else runs) is in no interval: that is what the threshold is for.
    """
    rounds = min(len(a), len(b))
    p = float(stats.mannwhitneyu(a, b).pvalue) if rounds >= MIN_ROUNDS else None
    interval = _bootstrap((a, b), lambda x, y, axis: np.median(y, axis=axis) / np.median(x, axis=axis), resamples)
    return Ratio(float(np.median(b) / np.median(a)), interval, p, "mann-whitney", rounds)


def threshold(baseline: Sequence[float]) -> float:
    """Return the smallest relative change that counts: max(2 %, 3 x noise of the baseline's round medians)."""
    return max(MIN_DIFFERENCE, 3 * noise(baseline))


def verdict(ratio: Ratio, smallest: float = 0.0) -> Verdict:
    """Return what b is beside a: faster or slower when the rank test says so (p < 0.05) and it is by more than `smallest`.

    "no difference" means none of that size was found. "undecided": fewer than 6 rounds, with which nothing can be shown.
    """
    if ratio.p is None:
        return "undecided"
    if ratio.p >= SIGNIFICANCE or abs(math.log(ratio.ratio)) <= math.log1p(smallest):
        return "no difference"
    return "slower" if ratio.ratio > 1 else "faster"


def steadiness(rounds: Sequence[Sequence[float]]) -> Steadiness:
    """Look for a trend over the rounds, in the order of time, and for one inside of them."""
    medians = round_medians(rounds)
    half = len(medians) // 2
    trend = p = change = None
    if len(medians) >= MIN_ROUNDS:
        change = float(np.median(medians[-half:]) / np.median(medians[:half]) - 1)
        if len(set(medians)) > 1:
            trend, p = map(float, stats.kendalltau(range(len(medians)), medians))
    quarters = [(r[: len(r) // 4], r[-(len(r) // 4) :]) for r in rounds if len(r) >= 8]
    changes = [np.median(last) / np.median(first) - 1 for first, last in quarters]
    return Steadiness(trend, p, change, float(np.median(changes)) if changes else None)


def _bootstrap(
    samples: tuple[Sequence[float] | np.ndarray, ...], statistic: Callable[..., np.ndarray], resamples: int
) -> Interval | None:
    """Resample the rounds of every sample by itself, always with the same seed."""
    if min(map(len, samples)) < MIN_ROUNDS or resamples == 0:
        return None
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
