"""What is odd among a collection's own callers is told sooner, these are let be, and nobody moves it past a bound."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from redis_server import RedisServer
from state.stores import connection, provider

from detect.observations import observed
from detect.traffic import told
from vecguard.detect.analyst import Analyst
from vecguard.detect.desk import Desk, Pardon
from vecguard.detect.detector import State
from vecguard.detect.detectors.crawl import LEAST, LEAST_ASKED, STEPS, Crawl, exponent, typical
from vecguard.detect.linking import Linking
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import Observation
from vecguard.detect.redis import RedisStore
from vecguard.detect.replay import Replay
from vecguard.detect.store import Profile, Store
from vecguard.detect.thresholds import calibrated, threshold
from vecguard.detect.usual import (
    CALLERS,
    HIGHEST,
    LEAST_CALLERS,
    MOST_BYTES,
    PRIOR,
    PRIOR_MEANS,
    REFRESH_S,
    USUAL_QUESTIONS,
    Usual,
    fresh,
    is_caller,
    strictness,
    take,
)
from vecguard.detect.verdicts import Verdicts
from vecguard.errors import Unavailable
from vecguard.policy.detection import DetectionRule
from vecguard.policy.load import loads

RULE = DetectionRule(mode="enforce")
START = 1_800_000_000.0
NEAR, ODD = (0.80, 0.72), (0.62, 0.47)
"""Best and fourth best score: of questions to texts that answer them, and of such as are ordinary elsewhere."""


def asked(seed: int, scores: tuple[float, float], principal: str, time: float = START) -> Observation:
    """A question with ten records that nobody saw before."""
    random = np.random.default_rng(seed)
    best, fourth = scores
    return observed(
        time=time,
        principal=principal,
        queries=random.standard_normal((1, 32)).astype(np.float32),
        ids=random.integers(1, 2**64 - 1, 10, dtype=np.uint64),
        query_of=np.zeros(10, np.int32),
        scores=np.r_[np.linspace(best, fourth, 4), fourth - np.linspace(0.004, 0.02, 6)].astype(np.float32),
        left=frozenset({"payload", "scores"}),
        records=10_000,
    )


def callers(count: int, scores: tuple[float, float], name: str = "person", each: int = 8) -> list[Observation]:
    """Callers who ask `each` questions of a kind, one after the other, a second apart."""
    return [
        asked(crc32(f"{name} {at}".encode()), scores, f"{name} {at // each}", START + at) for at in range(count * each)
    ]


CALM, LOUD = [0.9] * len(STEPS), [HIGHEST] * len(STEPS)


def held(*means: Sequence[float]) -> State:
    state = fresh()
    for at, each in enumerate(means):
        take(state, at + 1, each, START + at)
    return state


def reckoned(means: Sequence[Sequence[float]]) -> float:
    """The strictness that the module's formula gives."""
    rows = [sorted(column)[len(means) // 4 :] for column in zip(*means, strict=True)]
    found = 0.0
    for step, column, prior in zip(STEPS, rows, PRIOR_MEANS, strict=True):
        if (sum(column) + PRIOR * prior) / (len(column) + PRIOR) > 1:
            break
        found = step
    return found


def test_the_step_is_the_largest_that_callers_allow() -> None:
    assert strictness(fresh()) == 0.0
    for means in ([0.6, 0.7, 0.8, 0.9], [0.6, 0.7, 0.99, 1.1], [0.9, 1.2, 0.5, 0.5], [1.1, 1.2, 1.3, 1.4]):
        found = strictness(held(*[means] * 100))
        assert found == reckoned([means] * 100)
    tame = [[0.6, 0.7, 0.8, 0.85]] * CALLERS
    grown = [strictness(held(*tame[:count])) for count in range(CALLERS)]
    assert grown[:LEAST_CALLERS] == [0.0] * LEAST_CALLERS
    assert grown == sorted(grown)  # it takes more callers for more
    assert (grown[LEAST_CALLERS], grown[-1]) == (reckoned(tame[:LEAST_CALLERS]), 1.0)
    assert strictness(held(*[[0.9, 1.2, 0.5, 0.5]] * 100)) == 0.25  # no step above one that is not allowed


def test_a_caller_counts_once_whatever_it_asks() -> None:
    state = held(*[[0.6, 0.7, 0.8, 0.85]] * 100)
    for at in range(10_000):
        take(state, 1, LOUD, START + at)
    assert strictness(state) == 1.0
    for caller in range(100):
        take(state, caller + 1, None, START)
    assert strictness(state) == 0.0


@pytest.mark.parametrize(("means", "bound"), [(LOUD, 0.0), ([0.0] * len(STEPS), STEPS[-1])])
def test_whoever_fills_it_comes_to_the_bounds_and_no_further(means: list[float], bound: float) -> None:
    state = held(*[CALM] * CALLERS)
    for account in range(5_000):
        take(state, 1_000 + account, means, START + account)
    assert strictness(state) == bound
    assert sum(array.nbytes for array in state.values()) == MOST_BYTES


def test_eight_accounts_of_thirty_two_do_not_make_it_stricter() -> None:
    """Honest callers as on SQuAD, and accounts that ask nothing but the tamest questions."""
    honest = [[1.13 + 0.005 * at, 1.23, 1.33, 1.43] for at in range(24)]
    tamest = [exp(exponent() * LEAST)] * len(STEPS)
    assert strictness(held(*honest)) == 0.0
    assert strictness(held(*honest, *[tamest] * 8)) == 0.0
    assert strictness(held(*[tamest] * 8)) == 0.0
    assert strictness(held(*honest[:8], *[tamest] * 8)) == 0.0
    assert strictness(held(*honest, *[tamest] * 100)) == 1.0  # most of the callers do


def test_who_was_away_longest_is_forgotten_first() -> None:
    state = held(*[CALM] * CALLERS)
    take(state, 1, CALM, START + 10_000)
    take(state, 9_999, CALM, START + 10_001)
    assert {1, 9_999} <= set(state["callers"].tolist())
    assert 2 not in state["callers"].tolist()


def test_the_exponent_is_the_share_of_the_budget() -> None:
    """A sum of such drifts comes to the threshold with a probability of b / K at most."""
    given = calibrated()
    share = given.false_positives_per_principal_day / len(given.detectors)
    assert exp(-exponent() * threshold("crawl")) == pytest.approx(share)


def test_what_is_typical_of_a_caller_takes_some_questions_and_not_the_step() -> None:
    detector, state = Crawl(), Crawl().fresh()
    seen = [asked(at, ODD, "ann", START + at) for at in range(LEAST_ASKED)]
    detector.update(state, seen[:-1])
    assert typical(state) is None
    detector.update(state, seen[-1:])
    found = typical(state)
    assert found is not None
    assert found == sorted(found)
    stricter = Crawl(step=0.5)
    state = stricter.fresh()
    stricter.update(state, seen)
    assert typical(state) == pytest.approx(found, rel=1e-3)


def test_typical_is_the_mean_of_what_each_question_would_add() -> None:
    seen = [asked(at, ODD, "ann", START) for at in range(8)]
    state = Crawl().fresh()
    Crawl().update(state, seen)
    for step, found in zip(STEPS, typical(state) or [], strict=True):
        # Each alone adds to a sum of zero what it adds, where that is above zero.
        total, drifts = 0.0, list[float]()
        for at in range(8):
            summed = Crawl(1.0, step)
            kept = summed.fresh()
            kept["sums"][1] = 100.0
            for one in seen[: at + 1]:
                level = summed.update(kept, [one]).level
            drifts.append(level - 100.0 - total)
            total = level - 100.0
        assert found == pytest.approx(np.mean(np.exp(exponent() * np.array(drifts))), rel=1e-3)


def test_queries_whose_scores_say_nothing_are_left_as_they_are() -> None:
    seen = [replace(one, scores=np.full(10, np.nan, np.float32)) for one in crawl(ODD)]
    levels = [told(Crawl(1.0, step), seen).level for step in (0.0, 1.0)]
    assert levels[0] == levels[1]


def analysed(seen: Sequence[Observation], rule: DetectionRule = RULE, store: Store | None = None) -> Store:
    kept = MemoryStore() if store is None else store
    analyst = Analyst(kept, Verdicts(), lambda _: rule, lambda event, **fields: None)

    async def run() -> None:
        for start in range(0, len(seen), 16):
            await analyst.take(seen[start : start + 16])

    asyncio.run(run())
    return kept


def risk(store: Store, principal: str) -> float:
    (profile,) = asyncio.run(store.look([(principal, "notes")]))
    assert profile is not None
    return profile.risk


def later(seen: Sequence[Observation], seconds: float = 2 * REFRESH_S) -> list[Observation]:
    return [replace(one, time=one.time + seconds) for one in seen]


def crawl(kind: tuple[float, float], after: Sequence[Observation] = (), questions: int = 30) -> list[Observation]:
    start = max([one.time for one in after], default=START) + 2 * REFRESH_S
    return [asked(5_000 + at, kind, "mallory", start + at) for at in range(questions)]


def test_what_is_ordinary_elsewhere_is_told_where_it_is_odd() -> None:
    honest = callers(60, NEAR)
    alone, among = crawl(ODD), crawl(ODD, honest)
    assert risk(analysed([*honest, *among]), "mallory") > 1.3 * risk(analysed(alone), "mallory")
    assert risk(analysed([*honest, *among], DetectionRule(adapt=False)), "mallory") == pytest.approx(
        risk(analysed(alone), "mallory")
    )


def test_honest_callers_stay_low_where_it_is_stricter() -> None:
    honest = callers(60, NEAR)
    store = analysed([*honest, *later(callers(60, NEAR, each=20))])
    assert max(risk(store, f"person {at}") for at in range(60)) < 0.2


def test_where_all_callers_ask_so_nothing_gets_stricter() -> None:
    honest = callers(60, ODD)
    assert risk(analysed([*honest, *crawl(ODD, honest)]), "mallory") == pytest.approx(
        risk(analysed(crawl(ODD)), "mallory")
    )


def test_accounts_of_an_attacker_buy_no_more_than_where_nobody_is_known() -> None:
    """Eight that ask a hundred odd questions each, beside honest callers and alone."""
    odd = callers(8, ODD, "account", each=100)
    unknown = risk(analysed(crawl(ODD)), "mallory")
    assert risk(analysed([*odd, *crawl(ODD, odd)]), "mallory") == pytest.approx(unknown)
    honest = callers(60, NEAR)
    assert risk(analysed([*honest, *odd, *crawl(ODD, odd)]), "mallory") >= unknown


def test_callers_on_the_ladder_or_pinned_do_not_count() -> None:
    store = MemoryStore()
    what = Usual(store)
    state = Crawl().fresh()
    Crawl().update(state, [asked(at, ODD, "ann", START + at) for at in range(9)])
    kept: list[np.ndarray] = []  # type: ignore[type-arg]

    async def look(now: float) -> int:
        await what.settle("notes", now)
        profile = await store.change((USUAL_QUESTIONS, "notes"), lambda profile: None)
        kept.append(profile.states["usual"]["at"])
        return int((kept[-1] > 0).sum())

    profile = Profile(states={"crawl": state})
    what.note(("ann", "notes"), profile, RULE)
    assert asyncio.run(look(START)) == 1
    what.note(("ann", "notes"), Profile(states={"crawl": state}, risk=RULE.ladder.rungs[0][1]), RULE)
    assert asyncio.run(look(START + REFRESH_S)) == 0
    what.note(("ann", "notes"), Profile(states={"crawl": state}, pinned=0.0), RULE)
    assert asyncio.run(look(START + 2 * REFRESH_S)) == 0


def test_it_is_looked_at_once_a_minute_and_bounded() -> None:
    store, changes = MemoryStore(), 0
    what = Usual(store)
    change = store.change

    async def counted(*given: object) -> Profile:
        nonlocal changes
        changes += 1
        return await change(*given)  # type: ignore[arg-type]

    store.change = counted  # type: ignore[method-assign, assignment]
    state = Crawl().fresh()
    Crawl().update(state, [asked(at, NEAR, "ann", START + at) for at in range(9)])

    async def run() -> None:
        for second in range(600):
            await what.settle("notes", START + second)
            for account in range(5):
                what.note((f"account {second} {account}", "notes"), Profile(states={"crawl": state}), RULE)

    asyncio.run(run())
    assert changes == 600 / REFRESH_S
    assert len(what._waiting["notes"]) <= CALLERS


def test_operators_are_not_shown_it_and_can_have_it_forgotten() -> None:
    store = analysed([*callers(60, NEAR), *later(callers(60, NEAR))])
    desk = Desk(store, lambda key, profile: None, lambda event, **fields: None)
    assert USUAL_QUESTIONS not in {name for (name, _), _ in asyncio.run(desk.principals())}
    assert is_caller((USUAL_QUESTIONS, "notes"), Profile(at=START))  # a caller who goes by that name is shown
    asyncio.run(desk.do((USUAL_QUESTIONS, "notes"), Pardon(), "op"))
    (profile,) = asyncio.run(store.look([(USUAL_QUESTIONS, "notes")]))
    assert profile is not None
    assert not profile.states


def test_a_state_of_another_release_begins_anew() -> None:
    store = MemoryStore()

    def spoil(profile: Profile) -> None:
        profile.states["usual"] = {"callers": np.zeros(3)}

    asyncio.run(store.change((USUAL_QUESTIONS, "notes"), spoil))
    asyncio.run(Usual(store).settle("notes", START))
    profile = asyncio.run(store.change((USUAL_QUESTIONS, "notes"), lambda profile: None))
    assert profile.states["usual"]["at"].shape == (CALLERS,)


def test_workers_share_it_and_a_restart_keeps_it(redis: RedisServer, tmp_path: Path) -> None:
    key, prefix = provider(tmp_path), f"t{secrets.token_hex(6)}"
    seen = [*callers(60, NEAR), *later(callers(60, NEAR))]

    async def by(*parts: Sequence[Observation]) -> float:
        """Each part is analysed by a worker of its own; what another worker knows then."""
        connections = [connection(redis, key, prefix=prefix, timeout_s=5) for _ in (*parts, None)]
        for each, part in zip(connections, parts, strict=False):
            analyst = Analyst(RedisStore(each), Verdicts(), lambda _: RULE, lambda event, **fields: None)
            for start in range(0, len(part), 16):
                await analyst.take(part[start : start + 16])
        other = Usual(RedisStore(connections[-1]))
        await other.settle("notes", START)
        found = other.fitted("notes", {"crawl": Crawl()}, RULE)["crawl"]
        for each in connections:
            await each.close()
        assert isinstance(found, Crawl)
        return found._step

    half = len(seen) // 2
    both = asyncio.run(by(seen[:half:2], seen[1:half:2], seen[half:]))
    assert both >= 0.5
    assert asyncio.run(by()) == both


def test_a_store_that_is_away_is_told() -> None:
    class Away(MemoryStore):
        async def change(self, *given: object) -> Profile:
            raise Unavailable("away")

    with pytest.raises(Unavailable):
        asyncio.run(Usual(Away()).settle("notes", START))


def test_a_replay_goes_by_it_and_so_do_callers_together() -> None:
    policy = loads("version: 1\ncollections: [{match: 'notes*', detection: {mode: observe}}]\n")
    honest = callers(60, NEAR)
    among = crawl(ODD, honest)
    outcomes = asyncio.run(Replay(policy).run([*honest, *among]))
    alone = asyncio.run(Replay(policy).run(crawl(ODD)))
    assert next(one for one in outcomes if one.principal == "mallory").risk > 1.2 * alone[0].risk
    store, told = MemoryStore(), list[float]()
    what = Usual(store)
    linking = Linking(store, lambda key, profile: told.append(profile.risk), lambda event, **fields: None, usual=what)
    analyst = Analyst(store, Verdicts(), lambda _: RULE, lambda event, **fields: None, together=linking, usual=what)
    asyncio.run(analyst.take(honest))
    asyncio.run(analyst.take(later(honest)))
    moved = what.fitted("notes", linking._detectors, RULE)["crawl"]
    assert isinstance(moved, Crawl)
    assert moved._step >= 0.5
    assert told
