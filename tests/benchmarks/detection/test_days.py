"""Honest traffic is the same for the same seed, keeps to its day, and is what its family says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from small_world import RECORDS, offline, sketcher, small_world

from benchmarks.detection.benign import FAMILIES
from benchmarks.detection.benign.user import DAY_S, Family, User, popularity
from benchmarks.detection.days import DAYS_EACH, FIRST_DAY, GATHER, Honest, gathered, judge_family
from benchmarks.detection.judges import VecGuard
from vecguard.policy.detection import DetectionRule

WORLD = small_world()


def _named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


@pytest.fixture(scope="module")
def honest() -> Honest:
    return Honest(WORLD, sketcher(), 1)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.name != "health probes"], ids=lambda family: family.name)
def test_days_are_repeatable_and_in_order(family: Family, honest: Honest) -> None:
    first, again = (list(honest.principal(family, 0)) for _ in range(2))
    assert len(first) == DAYS_EACH
    for day, (seen, same) in enumerate(zip(first, again, strict=True)):
        assert [one.time for one in seen] == [one.time for one in same]
        np.testing.assert_array_equal(seen[0].ids, same[0].ids)
        times = [one.time for one in seen]
        assert times == sorted(times)
        assert FIRST_DAY + day * DAY_S <= times[0] < FIRST_DAY + (day + 1) * DAY_S
        assert seen[0].records == RECORDS


def test_evaluations_take_no_payload_and_re_indexing_writes_what_it_reads(honest: Honest) -> None:
    evaluated = next(honest.principal(_named("batch evaluation"), 0))
    assert all(one.left == {"scores"} for one in evaluated)
    written = next(honest.principal(_named("re-indexing"), 0))
    read = {one for seen in written for one in seen.vector_ids.tolist()}
    assert len(read) == RECORDS
    assert read == {one for seen in written for one in seen.written.tolist()}


def test_batches_hold_calls_that_came_together(honest: Honest) -> None:
    seen = next(honest.principal(_named("deduplication"), 0))
    batches = list(gathered(seen))
    assert [one for batch in batches for one in batch] == seen
    assert max(map(len, batches)) <= GATHER


def test_popularity_is_zipfs() -> None:
    odds = np.sort(popularity(1_000, np.random.default_rng(0)))[::-1]
    assert odds.sum() == pytest.approx(1)
    assert odds[0] / odds[9] == pytest.approx(10)


def test_a_conversation_stays_near_its_first_question() -> None:
    target = offline(WORLD)
    user = User(target, target, WORLD, np.random.default_rng(0), popularity(90, np.random.default_rng(0)))
    asked = user.topic(6)
    assert all(later in WORLD.near[earlier][:10] for earlier, later in pairwise(asked))


def test_judges_say_their_worst_of_each_day(honest: Honest) -> None:
    days = list(judge_family(honest, _named("dashboards"), 0, DAYS_EACH, [VecGuard(DetectionRule())]))
    assert len(days) == DAYS_EACH
    assert all(set(day.worst) == {"VecGuard"} and day.levels for day in days)
    assert all(day.worst["VecGuard"] > 0 for day in days)
    assert max(day.levels["enumeration"] for day in days) > 0
