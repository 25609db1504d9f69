"""The risk against its formula, and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.detect.detector import Evidence
from vecguard.detect.risk import HALF_LIFE_S, combined, decayed, together

BUDGET = 0.001


def test_it_is_the_harmonic_mean_of_tail_probabilities() -> None:
    levels = [0.2, 1.4, 0.0, 0.9, 2.0]
    chances = (BUDGET / len(levels)) ** np.array(levels)
    mean = len(levels) / np.sum(1 / chances)
    assert together(levels, BUDGET) == pytest.approx(np.log(mean) / np.log(BUDGET))


@pytest.mark.parametrize("count", [1, 2, 12, 50])
def test_one_detector_at_its_threshold_is_a_risk_of_one(count: int) -> None:
    assert together([1.0] + [0.0] * (count - 1), BUDGET) == pytest.approx(1.0, abs=2e-4)
    assert together([0.0] * count, BUDGET) == pytest.approx(0, abs=1e-12)


def test_it_rises_with_every_level_and_never_runs_over() -> None:
    levels = [0.5, 0.8, 0.1]
    for at in range(3):
        more = [*levels]
        more[at] += 0.2
        assert together(more, BUDGET) > together(levels, BUDGET)
    assert np.isfinite(together([1e6, 0.0], BUDGET))


def test_the_budget_is_kept_for_independent_exponential_tails() -> None:
    """And for wholly dependent ones: the harmonic mean does not ask which it is."""
    random = np.random.default_rng(0)
    count, days = 12, 400_000
    rate = np.log(count / BUDGET)
    independent = random.exponential(1 / rate, (days, count))
    dependent = np.repeat(independent[:, :1], count, axis=1)
    for levels in (independent, dependent):
        rarities = levels * rate
        risks = (np.logaddexp.reduce(rarities, axis=1) - np.log(count)) / -np.log(BUDGET)
        assert (risks >= 1).mean() < 2.5 * BUDGET


def test_without_evidence_it_fades() -> None:
    assert decayed(2.0, HALF_LIFE_S) == pytest.approx(1.0)
    assert combined(2.0, HALF_LIFE_S, []) == pytest.approx(1.0)
    assert combined(2.0, 10 * HALF_LIFE_S, [Evidence("walk", 1.5, "")]) == pytest.approx(1.5)
    assert combined(2.0, -5.0, [Evidence("walk", 1.5, "")]) == 2.0
