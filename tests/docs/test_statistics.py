"""The figures of docs/guides/statistics.md, computed again."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_stats import CALM, PHONE, ROUNDS, RUNS, TRIALS, verdicts

from android_bench.reporting.stats import MIN_DIFFERENCE, MIN_ROUNDS, RESAMPLES
from deploy.proof.intervals import paired_difference, wilson

PAGE = (Path(__file__).parents[2] / "docs/guides/statistics.md").read_text()
TROUBLED = "; interrupts, and 5 % slower by the end"


def rows() -> dict[str, tuple[float, float]]:
    found = re.findall(r"^\| ([^|]*sessions?[^|]*) \| ([\d.]+) % \| ([\d.]+) % \|$", PAGE, re.MULTILINE)
    return {name: (float(wrong), float(right)) for name, wrong, right in found}


@pytest.mark.parametrize(
    ("row", "kind", "conditions"),
    [
        ("one session", "one session", CALM),
        (f"one session{TROUBLED}", "one session", PHONE),
        ("two sessions, `--compare`", "regression", CALM),
        (f"two sessions, `--compare`{TROUBLED}", "regression", PHONE),
    ],
)
def test_how_often_it_errs(row, kind, conditions):
    assert (ROUNDS, RUNS, TRIALS) == (10, 50, 1000)
    assert len(rows()) == 4
    equal, slower = verdicts(1.0, kind, conditions, seed=1), verdicts(1.03, kind, conditions, seed=2)
    due = (100 * (equal["faster"] + equal["slower"]), 100 * slower["slower"])
    assert rows()[row] == pytest.approx(due, abs=0.05)


def test_constants_that_the_page_states():
    assert f"{RESAMPLES:,} resamples" in PAGE
    assert f"max({MIN_DIFFERENCE:.0%}, 3 x noise".replace("%", " %") in PAGE
    assert MIN_ROUNDS == 6
    assert "Fewer than six rounds" in PAGE


def test_intervals_of_accuracies_that_the_page_states():
    digits = wilson(np.arange(450) < 445)
    assert "98.9 % is anything from 97.4 to 99.5" in PAGE
    assert [round(100 * value, 1) for value in (digits.value, digits.low, digits.high)] == [98.9, 97.4, 99.5]
    cifar = wilson(np.arange(10_000) < 6_500)
    assert "near 65 % is sure to about 0.9 points" in PAGE
    assert 100 * (cifar.high - cifar.low) / 2 == pytest.approx(0.93, abs=0.01)
    ours, theirs = np.arange(10_000) < 6_500, np.roll(np.arange(10_000) < 6_500, 200)
    assert np.mean(ours != theirs) == 0.04
    of_both = paired_difference(ours, theirs)
    assert "disagree on 4 % of 10,000 images the difference is sure to 0.4 points" in PAGE
    assert 100 * (of_both.high - of_both.low) / 2 == pytest.approx(0.39, abs=0.01)
