"""The statistics on synthetic latencies with fixed seeds: how often they cry wolf, what they find, what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.reporting.stats import (
    MIN_DIFFERENCE,
    MIN_ROUNDS,
    Ratio,
    latency,
    median_interval,
    noise,
    paired_ratio,
    round_medians,
    steadiness,
    threshold,
    unpaired_ratio,
    verdict,
)

ROUNDS, RUNS = 10, 50  # the defaults of the protocol
TRIALS = 1000
AT_MOST_5 = 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)  # 5 % within three standard errors of a binomial count
CALM = {"spread": 0.01, "spikes": 0.0, "drift": 0.0}
PHONE = {"spread": 0.01, "spikes": 0.03, "drift": 0.05}  # every 33rd invocation is interrupted; 5 % slower at the end


def simulate(rng, factors, *, spread, spikes, drift, rounds=ROUNDS):
    """Round medians of a model per factor, interleaved: all share the drift, each has its own level in each round.

    Levels are lognormal with `spread`, so are invocations around them; a spike takes exponentially longer, 50 % on average.
    """
    shared = np.exp(np.linspace(0, drift, rounds))[:, None]
    result = []
    for factor in factors:
        level = 10 * factor * shared * np.exp(rng.normal(0, spread, (rounds, 1)))
        spike = 1 + (rng.random((rounds, RUNS)) < spikes) * rng.exponential(0.5, (rounds, RUNS))
        result.append(level * np.exp(rng.normal(0, 0.02, (rounds, RUNS))) * spike)
    return [round_medians(list(latencies)) for latencies in result]


def verdicts(factor, kind, conditions, seed):
    """The shares of every verdict over TRIALS comparisons of a model with one that takes `factor` times as long."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(TRIALS):
        if kind == "one session":
            a, b = simulate(rng, [1, factor], **conditions)
            found.append(verdict(paired_ratio(a, b, resamples=0)))
        else:
            ((a,), (b,)) = (simulate(rng, [f], **conditions) for f in (1, factor))
            found.append(verdict(unpaired_ratio(a, b, resamples=0), threshold(a) if kind == "regression" else 0.0))
    return {word: found.count(word) / TRIALS for word in ("faster", "slower", "no difference", "undecided")}


@pytest.mark.parametrize("conditions", [CALM, PHONE], ids=["calm", "phone"])
@pytest.mark.parametrize("kind", ["one session", "two sessions", "regression"])
def test_equal_models_are_seldom_called_different(kind, conditions):
    shares = verdicts(1.0, kind, conditions, seed=1)
    assert shares["undecided"] == 0
    assert shares["faster"] + shares["slower"] <= AT_MOST_5
    assert kind != "regression" or shares["slower"] <= 0.01, "2 % or 3 x noise beside p < 0.05 leave next to nothing"


@pytest.mark.parametrize(
    ("kind", "conditions"),
    [("one session", CALM), ("one session", PHONE), ("two sessions", CALM), ("regression", CALM)],
)
@pytest.mark.parametrize("factor", [1.03, 1 / 1.03])
def test_three_percent_are_found_at_one_percent_noise(kind, conditions, factor):
    shares = verdicts(factor, kind, conditions, seed=2)
    right, wrong = ("slower", "faster") if factor > 1 else ("faster", "slower")
    assert shares[right] >= 0.8
    assert shares[wrong] == 0


def test_pairing_sees_through_the_drift_that_an_unpaired_test_takes_for_noise():
    rng = np.random.default_rng(3)
    found = {"paired": 0, "unpaired": 0}
    for _ in range(200):
        a, b = simulate(rng, [1, 1.02], spread=0.005, spikes=0.03, drift=0.15)
        found["paired"] += verdict(paired_ratio(a, b, resamples=0)) == "slower"
        found["unpaired"] += verdict(unpaired_ratio(a, b, resamples=0)) == "slower"
    assert found["paired"] > 180
    assert found["unpaired"] < 40


def test_intervals_cover_the_truth():
    """A percentile bootstrap of 10 medians is a little narrow; 300 trials, three standard errors below 0.92."""
    rng = np.random.default_rng(4)
    covered = {"median": 0, "ratio": 0}
    for _ in range(300):
        a, b = simulate(rng, [1, 1.5], **CALM)
        interval = median_interval(a)
        covered["median"] += interval.low <= 10 <= interval.high
        interval = paired_ratio(a, b).interval
        covered["ratio"] += interval.low <= 1.5 <= interval.high
    assert min(covered.values()) / 300 > 0.92 - 3 * math.sqrt(0.92 * 0.08 / 300)


def test_same_numbers_same_interval():
    a = list(np.random.default_rng(5).normal(10, 0.1, 10))
    assert median_interval(a) == median_interval(list(a))
    assert paired_ratio(a, a[::-1]) == paired_ratio(list(a), a[::-1])


LATENCIES = st.floats(1e-4, 1e5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(LATENCIES, min_size=1, max_size=9), min_size=1, max_size=12))
def test_summary_lies_within_the_latencies(rounds):
    summary = latency(rounds)
    low, high = min(map(min, rounds)), max(map(max, rounds))
    tolerance = 1e-9 * high
    assert low - tolerance <= summary.median_ms <= high + tolerance
    assert low - tolerance <= summary.p90_ms <= high + tolerance
    assert summary.noise >= 0
    assert (summary.interval_ms is None) == (len(rounds) < MIN_ROUNDS)
    if summary.interval_ms is not None:
        assert low - tolerance <= summary.interval_ms.low <= summary.interval_ms.high <= high + tolerance


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LATENCIES, LATENCIES), min_size=1, max_size=12))
def test_swapping_models_inverts_the_ratio(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    there, back = paired_ratio(a, b, resamples=0), paired_ratio(b, a, resamples=0)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.p == pytest.approx(back.p)
    assert {verdict(there), verdict(back)} in ({"faster", "slower"}, {"no difference"}, {"undecided"})


@settings(deadline=None, max_examples=50)
@given(st.lists(LATENCIES, min_size=1, max_size=12))
def test_a_model_is_not_different_from_itself(medians):
    for ratio in (paired_ratio(medians, medians), unpaired_ratio(medians, medians)):
        assert ratio.ratio == 1
        assert verdict(ratio) == ("undecided" if len(medians) < MIN_ROUNDS else "no difference")


def test_known_values():
    a = [10.0, 10.1, 9.9, 10.2, 10.0, 9.8, 10.3, 10.0, 10.1, 9.9]
    assert noise(a) == pytest.approx(0.01)
    assert threshold(a) == pytest.approx(0.03)
    assert threshold([10.0] * 10) == MIN_DIFFERENCE
    ratio = paired_ratio(a, [2 * x for x in a])
    assert ratio.ratio == pytest.approx(2)
    assert ratio.p == pytest.approx(2 / 2**10), "all ten rounds say the same: the smallest exact p"
    assert (ratio.interval.low, ratio.interval.high) == (pytest.approx(2), pytest.approx(2))
    summary = latency([[1, 2, 3], [2, 3, 4], [3, 4, 50]])
    assert (summary.median_ms, summary.rounds, summary.runs) == (3, 3, 9)


@pytest.mark.parametrize(
    ("ratio", "p", "smallest", "expected"),
    [
        (1.021, 0.01, 0.02, "slower"),
        (1.019, 0.01, 0.02, "no difference"),
        (1 / 1.021, 0.01, 0.02, "faster"),
        (1 / 1.019, 0.01, 0.02, "no difference"),
        (2.0, 0.06, 0.02, "no difference"),
        (2.0, None, 0.02, "undecided"),
    ],
)
def test_verdict_needs_both_size_and_significance(ratio, p, smallest, expected):
    assert verdict(Ratio(ratio, None, p, "wilcoxon", 10), smallest) == expected


def test_drift_is_seen_and_calm_is_not_called_drift():
    rng = np.random.default_rng(6)
    false = sum(steadiness(list(rng.lognormal(2, 0.01, (ROUNDS, RUNS)))).drifts for _ in range(300))
    assert false <= 15
    heating = rng.lognormal(2, 0.01, (ROUNDS, RUNS)) * np.linspace(1, 1.1, ROUNDS)[:, None]
    found = steadiness(list(heating))
    assert found.drifts
    assert found.trend == pytest.approx(1)
    assert found.change == pytest.approx(0.055, abs=0.01)
    assert not found.settles


def test_too_short_a_warm_up_is_seen():
    rng = np.random.default_rng(7)
    warming = rng.lognormal(2, 0.01, (ROUNDS, RUNS)) * (1 + 0.3 * np.exp(-np.arange(RUNS) / 8))
    assert steadiness(list(warming)).settles
    assert not steadiness(list(warming)).drifts


@pytest.mark.parametrize("rounds", [[], [[]], [[1.0], []], [[math.nan]], [[math.inf]], [[-1.0]], [[0.0]]])
def test_nothing_is_made_up_of_no_latencies(rounds):
    with pytest.raises(ValueError, match=r"no round|no number"):
        latency(rounds)


@pytest.mark.parametrize("count", range(1, MIN_ROUNDS))
def test_few_rounds_have_a_median_and_nothing_that_needs_more(count):
    rounds = [[10.0, 10.1]] * count
    assert latency(rounds).interval_ms is None
    found = steadiness(rounds)
    assert (found.trend, found.p, found.change, found.settling, found.drifts) == (None, None, None, None, False)
