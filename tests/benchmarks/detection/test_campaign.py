"""Campaigns deal every recorded call once, and stop where accounts are blocked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from small_world import RECORDS, attacker, named, offline, small_world

from benchmarks.detection.campaign import Ladder, Variant, block_only, run_campaign
from benchmarks.detection.judges import See
from benchmarks.detection.recording import Recording
from vecguard.detect.observation import Observation

WORLD = small_world()


class Counter:
    """Says how many calls an account made, and remembers all."""

    name = "counter"

    def __init__(self) -> None:
        self.accounts: list[list[Observation]] = []

    def fresh(self) -> See:
        mine: list[Observation] = []
        self.accounts.append(mine)

        def see(batch: Sequence[Observation]) -> float:
            mine.extend(batch)
            return float(len(mine))

        return see


@pytest.fixture(scope="module")
def recording() -> Recording:
    target = offline(WORLD)
    found = attacker(WORLD, target, 60)
    named("random crawler").run(found)
    return Recording("random crawler", "records", tuple(target.seen), ((30, 1.0), (60, 2.0)), RECORDS)


def _crowd() -> list[Observation]:
    target = offline(WORLD)
    named("random crawler").run(attacker(WORLD, target, 30, seed=9))
    return target.seen


def test_nothing_is_asked_twice_or_left_out(recording: Recording) -> None:
    judge = Counter()
    outcome = run_campaign(recording, [], judge, block_only(1e9), Variant(sybils=8))
    assert outcome.spent == 60
    assert not outcome.stopped
    dealt = sorted(tuple(one.ids.tolist()) for account in judge.accounts for one in account)
    assert dealt == sorted(tuple(one.ids.tolist()) for one in recording.seen)
    assert {len(account) for account in judge.accounts} == {7, 8}
    assert len({one.principal for account in judge.accounts for one in account}) == 8


def test_answers_that_nobody_is_given_leave_nothing_and_are_not_seen(recording: Recording) -> None:
    judge = Counter()
    outcome = run_campaign(recording, [], judge, block_only(1e9), Variant(), refuses=lambda one: len(one.ids) > 0)
    assert outcome.refused == outcome.spent == len(recording.seen)
    assert outcome.end.records == 0
    assert not any(judge.accounts)


def test_a_blocked_account_drops_out_and_the_others_go_on(recording: Recording) -> None:
    judge = Counter()
    outcome = run_campaign(recording, [], judge, Ladder((("alert", 3.0), ("block", 5.0))), Variant(sybils=2))
    assert outcome.stopped
    assert outcome.spent == 10
    assert outcome.calls == {"alert": 5, "block": 9}
    assert outcome.gone["alert"].records < outcome.gone["block"].records <= outcome.end.records
    assert outcome.got == {"alert": 0.0, "block": 0.0}


def test_without_stopping_all_calls_are_seen(recording: Recording) -> None:
    outcome = run_campaign(recording, [], Counter(), block_only(5.0), Variant(), stops=False)
    assert (outcome.spent, outcome.stopped, outcome.worst) == (60, False, 60.0)
    assert outcome.calls == {"block": 5}


@pytest.mark.parametrize(("mix", "calls"), [(0.0, 60), (0.5, 120), (0.9, 600)])
def test_honest_calls_are_the_share_that_was_asked_for(recording: Recording, mix: float, calls: int) -> None:
    judge = Counter()
    outcome = run_campaign(recording, _crowd(), judge, block_only(1e9), Variant(mix=mix))
    assert len(judge.accounts[0]) == pytest.approx(calls, abs=1)
    assert outcome.spent == 60


def test_drip_is_slow(recording: Recording) -> None:
    judge = Counter()
    run_campaign(recording, [], judge, block_only(1e9), Variant(pace="drip"))
    times = [one.time for one in judge.accounts[0]]
    assert times[-1] - times[0] == pytest.approx(59 * 300.0)


def test_progress_is_that_of_the_calls_so_far(recording: Recording) -> None:
    assert recording.reached(29) == 0.0
    assert recording.reached(30) == 1.0
    assert recording.calls_to(1.5) == 60
    assert recording.calls_to(2.5) is None
