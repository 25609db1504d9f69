"""An attack that is dealt to many accounts is told by what they ask together; honest crowds are let be."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from state.stores import connection, provider

from detect.observations import observed
from detect.traffic import Desk, sessions
from vecguard.detect.analyst import Analyst, Standing
from vecguard.detect.linking import CROWDS, EVERYBODY, SUSPECT, SUSPECTS, Linking, crowds_of
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import Observation
from vecguard.detect.redis import RedisStore
from vecguard.detect.store import Profile
from vecguard.detect.verdicts import Verdicts
from vecguard.policy.detection import DetectionRule, Ladder

RULE = DetectionRule(mode="enforce")
Events = list[dict[str, Any]]


def guided(desk: Desk, calls: int) -> list[Observation]:
    """A crawl that asks about what came back, in the order in which it came."""
    seen, waiting, asked = list[Observation](), [3], set[int]()
    while len(seen) < calls:
        record = waiting.pop(0)
        if record not in asked:
            asked.add(record)
            one, ids = desk.search(desk.question(record, noise=0.6))
            seen.append(one)
            waiting += ids.tolist()[1:]
    return seen


def dealt(seen: Sequence[Observation], accounts: int, in_a_row: int = 1) -> list[Observation]:
    """Calls dealt to accounts in turn."""
    return [
        replace(one, principal=f"account {at // in_a_row % accounts}", request_id=str(at))
        for at, one in enumerate(seen)
    ]


def analysed(seen: Sequence[Observation], rule: DetectionRule = RULE) -> tuple[Events, MemoryStore, Verdicts]:
    """What is told of calls that come sixteen at a time, and what is remembered."""
    events, store, verdicts = Events(), MemoryStore(), Verdicts()

    def tell(event: str, **fields: object) -> None:
        events.append({"event": event, **fields})

    analyst = Analyst(store, verdicts, lambda _: rule, tell, together=Linking(store, verdicts.publish, tell))

    async def run() -> None:
        for start in range(0, len(seen), 16):
            await analyst.take(seen[start : start + 16])

    asyncio.run(run())
    return events, store, verdicts


def of_crowds(events: Events) -> Events:
    return [one for one in events if one["principal"] in CROWDS]


def crowd(store: MemoryStore, name: str = EVERYBODY) -> Profile | None:
    (profile,) = asyncio.run(store.look([(name, "notes")]))
    return profile


@pytest.mark.parametrize("accounts", [8, 64])
def test_a_crawl_by_many_accounts_is_told(accounts: int) -> None:
    events, _, _ = analysed(dealt(guided(Desk(), 192), accounts))
    alerts = [one for one in of_crowds(events) if one["rung"] == "alert"]
    assert {one["principal"] for one in alerts} >= {EVERYBODY}
    first = alerts[0]
    assert first["enforced"] is False
    assert "callers together" in first["reasons"][0]
    assert "account " in first["reasons"][0]
    assert any("earlier one had shown" in reason for reason in first["reasons"])
    if accounts == 64:  # three calls each: nothing can be said of any of them alone
        assert not [one for one in events if one["rung"] in ("alert", "slow", "degrade", "block") and one not in alerts]


def test_an_honest_crowd_is_let_be() -> None:
    events, store, _ = analysed(dealt(sessions(Desk(), 480), accounts=64, in_a_row=5))
    assert of_crowds(events) == []
    everybody = crowd(store)
    assert everybody is not None
    assert everybody.risk < RULE.ladder.rungs[0][1]


def test_an_attack_among_honest_callers_is_told_by_its_suspects() -> None:
    desk = Desk()
    attack = dealt([desk.search(desk.direction())[0] for _ in range(80)], accounts=8)
    honest = [replace(one, principal=f"person {at // 5}") for at, one in enumerate(sessions(desk, 480))]
    mixed = [one for at, each in enumerate(attack) for one in (each, *honest[6 * at : 6 * at + 6])]
    start = mixed[0].time
    events, _, _ = analysed([replace(one, time=start + at) for at, one in enumerate(mixed)])
    told = of_crowds(events)
    assert {one["principal"] for one in told} == {SUSPECTS}
    assert "alert" in {one["rung"] for one in told}
    assert "person" not in told[-1]["reasons"][0].split(", ")[0]


def test_nobody_is_answered_differently_for_what_others_ask() -> None:
    low = DetectionRule(mode="enforce", ladder=Ladder(slow=0.81, degrade=0.82, block=0.83))
    _, store, verdicts = analysed(dealt(guided(Desk(), 192), 64), low)
    everybody = crowd(store)
    assert everybody is not None
    assert everybody.risk > low.ladder.rungs[-1][1]
    assert (everybody.rung, everybody.blocked_until) == ("alert", 0.0)
    verdicts_of_accounts = [verdicts.of((f"account {number}", "notes")) for number in range(64)]
    assert {None if one is None else one.rung(low, one.at) for one in verdicts_of_accounts} == {None}


@pytest.mark.parametrize("rule", [DetectionRule(linking="off"), DetectionRule(mode="off")])
def test_it_can_be_switched_off(rule: DetectionRule) -> None:
    events, store, _ = analysed(dealt(guided(Desk(), 64), 8), rule)
    assert (of_crowds(events), crowd(store)) == ([], None)


def test_workers_that_share_a_store_look_at_one_crowd(redis: RedisServer, tmp_path: Path) -> None:
    held, prefix, told = provider(tmp_path), f"t{secrets.token_hex(6)}", list[dict[str, object]]()
    seen = dealt(guided(Desk(), 192), 64)

    async def run() -> list[tuple[str, str]]:
        connections = [connection(redis, held, prefix=prefix, timeout_s=5) for _ in range(2)]
        stores = [RedisStore(each) for each in connections]
        workers = [worker(store, told) for store in stores]
        for start in range(0, len(seen), 16):
            await asyncio.gather(*(one.take(seen[start + at : start + 16 : 2]) for at, one in enumerate(workers)))
        keys = await stores[0].keys()
        for each in connections:
            await each.close()
        return keys

    assert asyncio.run(run()).count((EVERYBODY, "notes")) == 1
    assert {one["rung"] for one in told if one["principal"] == EVERYBODY} >= {"alert"}


def worker(store: RedisStore, told: list[dict[str, object]]) -> Analyst:
    """The analyst of one of several processes."""

    def tell(event: str, **fields: object) -> None:
        told.append(fields)

    verdicts = Verdicts()
    return Analyst(store, verdicts, lambda _: RULE, tell, together=Linking(store, verdicts.publish, tell))


def test_an_only_caller_is_no_crowd() -> None:
    _, store, _ = analysed(dealt(guided(Desk(), 64), 1))
    assert crowd(store) is None


def test_small_collections_have_no_crowds() -> None:
    seen = [replace(one, records=400) for one in dealt(guided(Desk(), 64), 8)]
    assert crowd(analysed(seen)[1]) is None


def test_who_was_pinned_is_in_no_crowd() -> None:
    assert crowds_of(Standing(0.0, {}, pinned=True), RULE) == ()


@pytest.mark.parametrize(
    ("risk", "levels", "crowds"),
    [
        (0.0, {}, (EVERYBODY,)),
        (0.4, {"crawl": SUSPECT - 0.01, "coverage": 0.9}, (EVERYBODY,)),
        (0.4, {"crawl": SUSPECT}, CROWDS),
        (0.5, {"crawl": 0.9}, ()),
    ],
)
def test_who_is_in_which_crowd(risk: float, levels: dict[str, float], crowds: tuple[str, ...]) -> None:
    assert crowds_of(Standing(risk, levels), RULE) == crowds


def test_what_is_remembered_is_bounded() -> None:
    store = MemoryStore()
    linking = Linking(store, lambda key, profile: None, lambda event, **fields: None)

    async def run() -> None:
        for number in range(2_000):
            linking.add([observed(principal=f"p{number}", records=10_000)], Standing(0.0, {}))
            linking.add([observed(principal="p", collection=f"c{number}", records=10_000)], Standing(0.0, {}))
        await linking.settle(lambda _: RULE)

    asyncio.run(run())
    assert len(linking._callers) <= 1_000
    assert max(map(len, linking._callers.values())) <= 256
    assert not linking._waiting
    assert len(asyncio.run(store.keys())) == 1
