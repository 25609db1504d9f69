"""Figures of merit, held to what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.calibrate import calibrated, tail_threshold
from benchmarks.detection.days import Day
from benchmarks.detection.measures import rate, roc, share_at, threshold_for


def test_without_an_alarm_the_bound_is_the_rule_of_three() -> None:
    found = rate(0, 3_000)
    assert found.rate == 0
    assert found.upper == pytest.approx(3 / 3_000, rel=0.01)


def test_the_bound_is_above_the_rate() -> None:
    found = rate(4, 4_000)
    assert found.rate == 1e-3
    assert found.upper == pytest.approx(2.29e-3, rel=0.01)  # Clopper-Pearson: chi-square(0.95, 10) / 2 = 9.15
    assert rate(5, 5).upper == 1.0


def test_a_threshold_lets_the_budget_through_and_no_more() -> None:
    worst = list(range(1, 2_001))
    threshold = threshold_for(worst, 1e-3)
    assert sum(one >= threshold for one in worst) == 2
    assert threshold_for(worst, 1e-4) > 2_000


def test_equal_values_are_on_one_side() -> None:
    worst = [0.0] * 990 + [5.0] * 10
    threshold = threshold_for(worst, 1e-3)
    assert sum(one >= threshold for one in worst) == 0


def test_roc_ends_in_its_corners_and_of_a_perfect_judge_has_area_one() -> None:
    false, true = roc([0.1, 0.2, 0.3], [0.4, 0.5])
    assert (false[0], true[0]) == (0, 0)
    assert (false[-1], true[-1]) == (1, 1)
    assert np.trapezoid(true, false) == pytest.approx(1.0)
    false, true = roc([0.4, 0.5], [0.1, 0.2])
    assert np.trapezoid(true, false) == pytest.approx(0.0)


def test_share_told() -> None:
    assert share_at([0.1] * 1_000, [0.05, 0.2, 0.3, 0.4]) == 0.75


def test_the_tail_of_an_exponential_is_extrapolated() -> None:
    random = np.random.default_rng(1)
    draws = [tail_threshold(random.exponential(2.0, 4_000), 1e-4) for _ in range(200)]
    # Its quantile of 1e-4 is 2 ln 1e4 = 18.4.
    assert np.mean(draws) == pytest.approx(18.4, rel=0.03)
    assert np.std(draws) < 2.5


def test_thresholds_are_in_the_statistics_units_and_not_below_their_floors() -> None:
    days = [Day("some", 1, {}, {"novelty": 0.5, "walk": 0.0}) for _ in range(100)]
    found = calibrated(days, {"novelty": 4.0, "walk": 10.0}, {"walk": 7.0})
    assert found == {"novelty": 2.0, "walk": 7.0}
