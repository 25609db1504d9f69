"""Meeting much of what is planted, or naming any of it, raises it; what honest use goes through does not."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from detect.traffic import RECORDS, Desk, told
from vecguard.detect.detectors.canaries import Canaries, rarity
from vecguard.detect.detectors.coverage import PERIOD_S
from vecguard.detect.observation import NAMED, Observation
from vecguard.detect.thresholds import calibrated, threshold
from vecguard.registry import DETECTORS

DETECTOR = Canaries()
PLANTED = 128


def meeting(one: Observation, *numbers: int, planted: int = PLANTED) -> Observation:
    return replace(one, canaries=np.array(numbers, np.uint16), planted=planted)


def searches(desk: Desk, numbers: range) -> list[Observation]:
    """Searches that meet one each."""
    return [meeting(desk.search(desk.question())[0], number) for number in numbers]


def pages(desk: Desk, numbers: range) -> list[Observation]:
    """Pages of a scroll that meet one each."""
    return [meeting(desk.read("scroll", [number]), number) for number in numbers]


def test_level_one_is_the_share_of_the_budget_that_each_detector_has() -> None:
    budget = calibrated().false_positives_per_principal_day
    assert threshold("canaries") == pytest.approx(log(len(DETECTORS.kinds) / budget), abs=0.01)


def test_a_third_by_searches_is_honest_and_most_of_them_are_not() -> None:
    assert told(DETECTOR, searches(Desk(), range(PLANTED // 3))).level < 0.2
    assert told(DETECTOR, searches(Desk(), range(PLANTED * 8 // 10))).level > 1


def test_listing_convicts_of_less() -> None:
    assert told(DETECTOR, pages(Desk(), range(3))).level < 0.2
    found = told(DETECTOR, pages(Desk(), range(16)))
    assert found.level > 1
    assert "listing 16 within a week" in found.reason


def test_one_that_was_named_is_enough_and_is_not_forgotten() -> None:
    desk, state = Desk(), DETECTOR.fresh()
    named = told(DETECTOR, [meeting(desk.read("retrieve", [1]), NAMED + 7)], state=state)
    assert named.level > 3
    desk.now += 30 * 86_400
    assert told(DETECTOR, [desk.search(desk.question())[0]], state=state).level == named.level


def test_the_same_ones_again_count_once() -> None:
    assert told(DETECTOR, searches(Desk(), range(10)) * 40).level == 0


def test_what_was_met_is_forgotten_with_its_window() -> None:
    desk, state = Desk(), DETECTOR.fresh()
    desk.now = 10 * PERIOD_S
    high = told(DETECTOR, searches(desk, range(100)), state=state).level
    desk.now = 11 * PERIOD_S
    assert told(DETECTOR, [meeting(desk.search(desk.question())[0])], state=state).level == high
    desk.now = 12 * PERIOD_S
    assert told(DETECTOR, [meeting(desk.search(desk.question())[0])], state=state).level == 0


def test_who_wrote_the_collection_may_go_through_it_but_names_none() -> None:
    desk = Desk()
    seen = [desk.write(range(RECORDS)), *pages(desk, range(PLANTED))]
    assert told(DETECTOR, seen).level == 0
    assert told(DETECTOR, [*seen, meeting(desk.read("retrieve", [1]), NAMED)]).level > 3


def test_all_of_a_tiny_collection_is_no_extraction() -> None:
    seen = [replace(one, records=50) for one in pages(Desk(), range(PLANTED))]
    assert 0 < told(DETECTOR, seen).level < 0.6


def test_without_any_planted_it_says_nothing() -> None:
    seen = [meeting(one, planted=0) for one in searches(Desk(), range(20))]
    assert told(DETECTOR, seen).level == 0


@pytest.mark.parametrize(("count", "mean"), [(5, 1.0), (20, 6.4), (90, 64.0)])
def test_the_bound_is_below_the_chance_of_poissons_law(count: int, mean: float) -> None:
    terms = [-mean + k * log(mean) - sum(log(i) for i in range(1, k + 1)) for k in range(count, count + 400)]
    exact = -float(np.logaddexp.reduce(terms))
    assert 0 < rarity(count, mean) <= exact
    assert rarity(count, mean) > 0.6 * exact
    assert rarity(int(mean), mean) == 0
