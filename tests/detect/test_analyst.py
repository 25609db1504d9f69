"""Observations become states, risks, rungs and verdicts; one failing detector does not blind the others."""

import asyncio

import numpy as np
import pytest

from detect.observations import observed
from vecguard.detect.analyst import Analyst, weigh
from vecguard.detect.detector import Evidence
from vecguard.detect.memory import MemoryStore
from vecguard.detect.risk import HALF_LIFE_S
from vecguard.detect.store import Profile
from vecguard.detect.verdicts import Verdict, Verdicts
from vecguard.errors import Unavailable
from vecguard.policy.detection import DetectionRule, Ladder

RULE = DetectionRule(mode="enforce", block_for="60s", ladder=Ladder(slow=1.5, degrade=2.0, block=3.0))


class Counts:
    """A detector whose level is the number of ids that were ever returned, over ten."""

    name = "counts"
    most_bytes = 8

    def fresh(self):
        return {"n": np.zeros(1)}

    def update(self, state, batch):
        state["n"] += sum(len(one.ids) for one in batch)
        return Evidence(self.name, float(state["n"][0]) / 10, f"{state['n'][0]:.0f} ids")


class Broken(Counts):
    """One with a bug."""

    name = "broken"

    def update(self, state, batch):
        raise RuntimeError("a bug")


class Endless(Counts):
    """One whose level is no number."""

    name = "endless"

    def update(self, state, batch):
        state["n"] += 1
        return Evidence(self.name, float("nan"), "")


class Events(list):
    def __call__(self, event, **fields):
        self.append({"event": event, **fields})


def house(detectors=None, rule=RULE):
    events, verdicts, store = Events(), Verdicts(), MemoryStore()
    return (
        Analyst(store, verdicts, lambda name: rule, events, detectors or {"counts": Counts()}),
        verdicts,
        store,
        events,
    )


def seen(count, time=1_000.0, **given):
    return observed(ids=range(count), time=time, **given)


def test_a_risk_rises_with_what_is_found_and_halves_in_its_half_life():
    profile = Profile()
    weigh(profile, [seen(5)], {"counts": Counts()}, RULE)
    assert (profile.risk, profile.rung, profile.at) == (0.5, "log", 1_000.0)
    weigh(profile, [seen(10, 1_001.0), seen(5, 1_002.0)], {"counts": Counts()}, RULE)
    assert (profile.risk, profile.rung) == (2.0, "degrade")
    assert profile.evidence["counts"].reason == "20 ids"
    assert profile.risk_at(1_002.0 + HALF_LIFE_S) == 1.0
    weigh(profile, [seen(0, 1_002.0 + HALF_LIFE_S)], {}, RULE)
    assert (profile.risk, profile.rung, profile.evidence) == (1.0, "alert", {})


def test_a_detector_that_is_off_says_nothing():
    rule = RULE.model_copy(update={"detectors": {"counts": False}})
    profile = Profile()
    weigh(profile, [seen(50)], {"counts": Counts()}, rule)
    assert (profile.risk, profile.states, profile.rung) == (0.0, {}, "")


def test_a_block_has_an_end_and_is_laid_again_while_the_risk_is_there():
    profile = Profile()
    weigh(profile, [seen(30)], {"counts": Counts()}, RULE)
    assert (profile.rung, profile.blocked_until) == ("block", 1_060.0)
    weigh(profile, [seen(1, 1_030.0)], {"counts": Counts()}, RULE)
    assert profile.blocked_until == 1_060.0
    weigh(profile, [seen(1, 1_070.0)], {"counts": Counts()}, RULE)
    assert profile.blocked_until == 1_130.0


def test_a_pin_counts_in_place_of_what_is_found():
    profile = Profile(pinned=0.0)
    weigh(profile, [seen(100)], {"counts": Counts()}, RULE)
    assert (profile.rung, profile.risk_at(1e6), profile.blocked_until) == ("", 0.0, 0.0)
    assert profile.risk == 10.0


def test_the_trend_has_a_point_each_150_seconds_of_the_last_hour():
    profile = Profile()
    for second in range(0, 3 * 3_600, 20):
        weigh(profile, [seen(0, 1e6 + second)], {"counts": Counts()}, RULE)
    assert len(profile.trend) == 24
    assert all(later - one >= 150 for (one, _), (later, _) in zip(profile.trend, profile.trend[1:], strict=False))


def test_a_detector_with_a_bug_begins_anew_and_the_others_go_on():
    profile = Profile()
    weigh(profile, [seen(5)], {"broken": Broken(), "counts": Counts()}, RULE)
    assert profile.risk == 0.5
    assert profile.states["broken"]["n"].tolist() == [0.0]


def test_a_level_that_is_no_number_is_a_failure():
    profile = Profile()
    weigh(profile, [seen(5)], {"endless": Endless(), "counts": Counts()}, RULE)
    assert (profile.risk, list(profile.evidence)) == (0.5, ["counts"])
    assert profile.states["endless"]["n"].tolist() == [0.0]


def test_verdicts_follow_and_changes_of_rung_are_told_once():
    analyst, verdicts, _, events = house()
    asyncio.run(analyst.take([seen(12, request_id="a"), seen(0, 1_001.0, request_id="b", principal="alice")]))
    assert verdicts.of(("mallory", "notes")).risk == 1.2
    assert verdicts.of(("alice", "notes")) is None
    asyncio.run(analyst.take([seen(1, 1_002.0)]))
    (event,) = events
    assert event == {
        "event": "detection",
        "principal": "mallory",
        "collection": "notes",
        "rung": "alert",
        "risk": 1.2,
        "reasons": ["12 ids"],
        "detectors": {"counts": 1.2},
        "enforced": True,
        "acknowledged": False,
        "request_id": "a",
    }
    asyncio.run(analyst.take([seen(40, 1_003.0)]))
    assert (events[-1]["rung"], events[-1]["blocked_s"]) == ("block", 60)


def test_many_observations_of_one_principal_go_in_order_and_none_is_lost():
    analyst, _, store, _ = house()
    asyncio.run(analyst.take([seen(1, float(i)) for i in range(1_000)]))
    (profile,) = asyncio.run(store.look([("mallory", "notes")]))
    assert (profile.states["counts"]["n"][0], profile.at) == (1_000, 999.0)


@pytest.mark.parametrize("rule", [None, DetectionRule(mode="off")])
def test_what_is_not_watched_any_more_is_not_analysed(rule):
    analyst, _, store, events = house(rule=rule)
    asyncio.run(analyst.take([seen(100)]))
    assert (asyncio.run(store.keys()), events) == ([], [])


def test_a_store_that_is_away_is_told_of():
    analyst, _, store, events = house()

    async def away(key, change):
        raise Unavailable("the store is away")

    store.change = away
    asyncio.run(analyst.take_or_report([seen(1), seen(1)]))
    assert events == [{"event": "detection_failed", "observations": 2, "why": "the store is away"}]


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_a_verdict_decays_and_a_block_ends_on_the_rung_below():
    verdict = Verdict(4.0, 1_000.0, 1_060.0, pinned=False)
    assert verdict.rung(RULE, 1_059.0) == "block"
    assert verdict.seconds_left(RULE, 1_030.5) == 30
    assert verdict.rung(RULE, 1_061.0) == "degrade"
    assert verdict.rung(RULE, 1_000.0 + HALF_LIFE_S * 1.1) == "slow"
    assert verdict.rung(RULE, 1_000.0 + HALF_LIFE_S * 4) is None
    bare = DetectionRule(ladder=Ladder(log="off", alert="off", slow="off", degrade="off", block=1.0))
    assert verdict.rung(bare, 1_061.0) is None


def test_a_pinned_verdict_stays():
    pinned = Verdict(5.0, 1_000.0, 0.0, pinned=True)
    assert pinned.rung(RULE, 1e9) == "block"
    assert pinned.seconds_left(RULE, 1e9) == 60


def test_only_risks_are_kept():
    verdicts = Verdicts()
    verdicts.publish(("a", "c"), Profile(risk=1.0, at=5.0))
    assert verdicts.of(("a", "c")).risk == 1.0
    verdicts.publish(("a", "c"), Profile())
    assert verdicts.of(("a", "c")) is None
    verdicts.publish(("a", "c"), Profile(pinned=0.0))
    assert verdicts.of(("a", "c")).pinned


@pytest.mark.parametrize("waiting", [1, 15, 17, 50, 65, 300])
def test_calls_of_one_principal_are_looked_at_in_parts_that_are_alike(waiting):
    taken = []

    class Sizes(Counts):
        def update(self, state, batch):
            taken.append(len(batch))
            return super().update(state, batch)

    analyst, *_ = house({"counts": Sizes()})
    asyncio.run(analyst.take([seen(1, 1_000.0 + i) for i in range(waiting)]))
    assert sum(taken) == waiting
    assert max(taken) <= 64
    assert min(taken) >= min(waiting, 11)  # a few cost as much as many: no part is much smaller than a slice takes
