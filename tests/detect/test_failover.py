"""While the shared store is away a process goes on by what it knows, and adds it to the store when that is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from redis_server import RedisServer, redis_server
from state.stores import connection, provider

from vecguard.detect import failover
from vecguard.detect import sharing as sharing_module
from vecguard.detect.detector import Evidence
from vecguard.detect.failover import LocalWhileAway, joined
from vecguard.detect.memory import MemoryStore
from vecguard.detect.redis import RedisStore
from vecguard.detect.risk import HALF_LIFE_S
from vecguard.detect.sharing import Sharing
from vecguard.detect.store import Profile, Spend
from vecguard.detect.verdicts import Verdicts
from vecguard.errors import Unavailable

WHO = ("ann", "notes")
DAY = 86_400


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a store that hangs is waited for, on a busy machine too."""
    monkeypatch.setattr(sharing_module, "STALE_S", 8.0)


def risen(risk: float, at: float = 1_000.0) -> Callable[[Profile], None]:
    def change(profile: Profile) -> None:
        profile.risk, profile.at, profile.rung = risk, at, "degrade"
        profile.evidence["walk"] = Evidence("walk", risk, "walks")
        profile.states["walk"] = {"n": np.full(1, risk)}

    return change


class TestJoined:
    def test_the_higher_risk_counts_as_of_the_same_moment(self) -> None:
        shared, own = Profile(risk=2.0, at=0.0, rung="degrade"), Profile(risk=1.5, at=HALF_LIFE_S, rung="slow")
        own.evidence["walk"] = Evidence("walk", 1.5, "walks")
        joined(own, shared)
        assert (shared.risk, shared.at, shared.rung, list(shared.evidence)) == (1.5, HALF_LIFE_S, "slow", ["walk"])

    def test_a_lower_one_changes_nothing_but_the_time(self) -> None:
        shared, own = Profile(risk=2.0, at=100.0, rung="degrade"), Profile(risk=1.0, at=50.0, rung="alert")
        joined(own, shared)
        assert (shared.risk, shared.at, shared.rung) == (2.0, 100.0, "degrade")

    def test_blocks_last_as_long_as_the_longer_and_states_are_kept(self) -> None:
        shared, own = Profile(blocked_until=5.0), Profile(blocked_until=9.0)
        shared.states["walk"] = {"n": np.zeros(1)}
        own.states.update({"walk": {"n": np.ones(1)}, "scroll": {"n": np.ones(1)}})
        joined(own, shared)
        assert shared.blocked_until == 9.0
        assert (shared.states["walk"]["n"][0], shared.states["scroll"]["n"][0]) == (0.0, 1.0)


def away(folder: Path, fail: str, act: Callable[[RedisServer, RedisStore, Sharing, Verdicts], Awaitable[None]]) -> None:
    """Run against a server of its own, with the sharing of one process that uses it."""

    async def run(server: RedisServer) -> None:
        opened, other = (connection(server, provider(folder), prefix="p", fail=fail, timeout_s=2) for _ in range(2))
        shared = RedisStore(opened)
        sharing = Sharing(opened, shared, LocalWhileAway(shared, MemoryStore()) if fail == "local" else None)
        verdicts = Verdicts()
        await sharing.read(verdicts)
        task = asyncio.create_task(sharing.run(verdicts))
        await act(server, RedisStore(other), sharing, verdicts)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await opened.close()
        await other.close()

    with redis_server(folder / "redis") as server:
        asyncio.run(run(server))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await holds():
                    return
            except Unavailable:
                pass
            await asyncio.sleep(0.05)


def test_what_another_process_found_is_known_within_a_moment(tmp_path: Path) -> None:
    async def act(_: RedisServer, other: RedisStore, sharing: Sharing, verdicts: Verdicts) -> None:
        assert verdicts.of(WHO) is None
        await other.change(WHO, risen(2.5))

        async def known() -> bool:
            return verdicts.of(WHO) is not None

        await until(known)
        assert verdicts.of(WHO).risk == 2.5  # type: ignore[union-attr]
        sharing.require_current()

    away(tmp_path, "closed", act)


@pytest.mark.slow
def test_local_goes_on_and_hands_over(tmp_path: Path) -> None:
    async def act(server: RedisServer, other: RedisStore, sharing: Sharing, verdicts: Verdicts) -> None:
        store = sharing.store
        ten = [Spend("records/day", 100, DAY, 10)]
        assert await store.spend(WHO, ten) == [0.0]
        assert await store.count_distinct(WHO, "ids", DAY, [1, 2], 10) == 2
        await store.change(WHO, risen(2.0))
        server.stop()
        begun = await store.change(WHO, lambda profile: None)
        assert (begun.risk, begun.states) == (2.0, {})  # it begins where the store was last known to be
        await store.change(WHO, risen(4.0, 2_000.0))
        await store.change(("bob", "notes"), risen(1.0))
        assert [await store.spend(WHO, ten) for _ in range(3)] == [[0.0]] * 3
        assert await store.count_distinct(WHO, "ids", DAY, [3], 10) == 1
        sharing.require_current()  # never refused
        server.start()

        async def handed_over() -> bool:
            return sorted(await other.keys()) == [WHO, ("bob", "notes")][::1] and not sharing._local._owed  # type: ignore[union-attr]

        await until(handed_over)
        found = await other.change(WHO, lambda profile: None)
        assert (found.risk, found.at) == (4.0, 2_000.0)
        assert found.states["walk"]["n"][0] == 2.0  # what the shared store remembered goes on
        waits = [(await other.spend(WHO, ten))[0] for _ in range(7)]
        assert waits[:6] == [0.0] * 6  # 10 before, 30 while it was away: 60 of 100 are left
        assert waits[6] > 0.0
        assert await other.count_distinct(WHO, "ids", DAY, [], 10) == 3

    away(tmp_path, "local", act)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "hangs"])
def test_closed_fails_and_comes_back(tmp_path: Path, how: str) -> None:
    async def act(server: RedisServer, other: RedisStore, sharing: Sharing, verdicts: Verdicts) -> None:
        await sharing.store.change(WHO, risen(2.0))
        server.stop() if how == "stopped" else server.hang()
        with pytest.raises(Unavailable):
            await sharing.store.change(WHO, risen(3.0))
        with pytest.raises(Unavailable):
            await sharing.store.spend(WHO, [Spend("records/day", 100, DAY, 10)])
        sharing.require_current()  # for a moment
        await asyncio.sleep(sharing_module.STALE_S + 0.2)
        with pytest.raises(Unavailable, match="try again"):
            sharing.require_current()
        server.start() if how == "stopped" else server.go_on()

        async def current() -> bool:
            sharing.require_current()
            return True

        await until(current)
        (found,) = await sharing.store.look([WHO])
        assert found is not None
        assert found.risk == 2.0

    away(tmp_path, "closed", act)


class Away:
    """A shared store that is away."""

    async def change(self, *_: object) -> Profile:
        raise Unavailable("away")

    spend = count_distinct = change


def test_what_could_not_be_charged_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "_MOST_OWED", 2)
    local = LocalWhileAway(Away(), MemoryStore())  # type: ignore[arg-type]
    ten = [Spend("records/day", 100, DAY, 10)]

    async def run() -> None:
        for who in ("ann", "bob"):
            assert await local.spend((who, "notes"), ten) == [0.0]
            assert await local.count_distinct((who, "notes"), "ids", DAY, [1], 10) == 1
        with pytest.raises(Unavailable):
            await local.spend(("eve", "notes"), ten)
        with pytest.raises(Unavailable):
            await local.count_distinct(("eve", "notes"), "ids", DAY, [1], 10)
        assert await local.spend(("ann", "notes"), ten) == [0.0]  # those that are known go on
        with pytest.raises(Unavailable):
            await local.spend(("ann", "notes"), [*ten, Spend("records/hour", 100, 3_600, 10)])
        assert await local.count_distinct(("ann", "notes"), "ids", DAY, [2], 10) == 2

    asyncio.run(run())
    assert {place[0][0]: spend.amount for place, spend in local._owed.items()} == {"ann": 20, "bob": 10}


def test_findings_of_those_that_were_away_longest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "_MOST_KNOWN", 2)
    own = MemoryStore()
    local = LocalWhileAway(Away(), own)  # type: ignore[arg-type]

    async def run() -> list[float]:
        for who in ("ann", "bob", "ann", "eve"):
            await local.change((who, "notes"), risen(2.0))
        return [profile.risk for profile in await own.look([("ann", "notes"), ("eve", "notes")]) if profile]

    assert asyncio.run(run()) == [2.0, 2.0]
    assert asyncio.run(own.look([("bob", "notes")])) == [None]
    assert len(local._touched) == 2
