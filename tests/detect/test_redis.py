"""The shared store: profiles change as one step, budgets and counts are exact, and its holder learns little."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from redis_server import RedisServer
from state.stores import connection, provider

from vecguard.detect.detector import Evidence
from vecguard.detect.redis import RedisStore
from vecguard.detect.store import Profile, Spend
from vecguard.state.connection import Connection

Result = TypeVar("Result")
WHO = ("principal-of-the-test", "collection-of-the-test")
DAY = 86_400


@pytest.fixture
def prefix() -> str:
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
def opened(redis: RedisServer, tmp_path: Path, prefix: str) -> Callable[[], Connection]:
    held = provider(tmp_path)
    return lambda: connection(redis, held, prefix=prefix, timeout_s=5)


def run(open_: Callable[[], Connection], count: int, act: Callable[..., Awaitable[Result]]) -> Result:
    """Act on so many stores, each with a connection of its own, as processes have."""

    async def ran() -> Result:
        connections = [open_() for _ in range(count)]
        try:
            return await act(*(RedisStore(each) for each in connections))
        finally:
            for each in connections:
                await each.close()

    return asyncio.run(ran())


def test_a_profile_is_kept(opened: Callable[[], Connection]) -> None:
    def fill(profile: Profile) -> None:
        profile.states["walk"] = {"ring": np.ones((3, 4), np.float32)}
        profile.evidence["walk"] = Evidence("walk", 2.5, "walks")
        profile.risk, profile.at, profile.rung = 2.5, 100.0, "degrade"

    async def write(store: RedisStore) -> Profile:
        return await store.change(WHO, fill)

    async def read(store: RedisStore) -> tuple[Profile, list[Profile | None], list[tuple[str, str]]]:
        changed = await store.change(WHO, lambda profile: None)
        return changed, await store.look([("nobody", "notes"), WHO]), await store.keys()

    run(opened, 1, write)
    changed, (nobody, looked), keys = run(opened, 1, read)
    np.testing.assert_array_equal(changed.states["walk"]["ring"], np.ones((3, 4), np.float32))
    assert nobody is None
    assert looked is not None
    assert (looked.risk, looked.rung, looked.evidence["walk"].reason, looked.states) == (2.5, "degrade", "walks", {})
    assert keys == [WHO]


def test_no_change_is_lost(opened: Callable[[], Connection]) -> None:
    def add(profile: Profile) -> None:
        state = profile.states.setdefault("count", {"n": np.zeros(1, np.int64)})
        state["n"] += 1

    async def act(*stores: RedisStore) -> int:
        await asyncio.gather(*(store.change(WHO, add) for _ in range(10) for store in stores))
        return int((await stores[0].change(WHO, lambda profile: None)).states["count"]["n"][0])

    assert run(opened, 4, act) == 40


def test_budgets_are_exact_and_all_or_none(opened: Callable[[], Connection]) -> None:
    async def act(*stores: RedisStore) -> tuple[int, list[float], list[float]]:
        ten = [Spend("records/day", 1_000, DAY, 10), Spend("vectors/day", 10**9, DAY, 10)]
        waits = await asyncio.gather(*(store.spend(WHO, ten) for _ in range(40) for store in stores))
        refused = await stores[0].spend(WHO, ten)
        return sum(not any(wait) for wait in waits), refused, await stores[1].spend(("other", WHO[1]), ten)

    drawn, refused, other = run(opened, 4, act)
    assert drawn == 100
    assert refused[0] > 0.0
    assert refused[1] == 0.0
    assert other == [0.0, 0.0]


def test_distinct_values_are_counted_once_up_to_the_most(opened: Callable[[], Connection]) -> None:
    async def act(one: RedisStore, two: RedisStore) -> list[int]:
        return [
            await one.count_distinct(WHO, "ids", DAY, [1, 2, 2**64 - 1, 2], 5),
            await two.count_distinct(WHO, "ids", DAY, [2, 3, 4], 5),
            await one.count_distinct(WHO, "ids", DAY, [5, 6], 5),  # too many: not added
            await two.count_distinct(WHO, "ids", DAY, [4], 5),
            await two.count_distinct(WHO, "others", DAY, [4], 5),
            await two.count_distinct(("other", WHO[1]), "ids", DAY, [4], 5),
        ]

    assert run(opened, 2, act) == [3, 5, 7, 5, 1, 1]


def test_distinct_values_are_forgotten_with_their_period(opened: Callable[[], Connection]) -> None:
    async def act(store: RedisStore) -> tuple[int, int]:
        first = await store.count_distinct(WHO, "ids", 1, [1], 5)
        await asyncio.sleep(1.1)
        return first, await store.count_distinct(WHO, "ids", 1, [2], 5)

    assert run(opened, 1, act) == (1, 1)


def test_who_asks_again_learns_what_changed(opened: Callable[[], Connection]) -> None:
    async def act(one: RedisStore, two: RedisStore) -> list[list[tuple[str, str]]]:
        seen = []
        since, changed = await two.changed(0)
        seen.append([key for key, _ in changed])
        for name in ("ann", "bob"):
            await one.change((name, "notes"), lambda profile: None)
        since, changed = await two.changed(since)
        seen.append([key for key, _ in changed])
        await one.change(("ann", "notes"), lambda profile: None)
        since, changed = await two.changed(since)
        seen.append([key for key, _ in changed])
        seen.append([key for key, _ in (await two.changed(since))[1]])
        return seen

    ann, bob = ("ann", "notes"), ("bob", "notes")
    assert run(opened, 2, act) == [[], [ann, bob], [ann], []]


@pytest.mark.slow
def test_idle_profiles_go_and_leave_nothing(redis: RedisServer, tmp_path: Path, prefix: str) -> None:
    held = provider(tmp_path)
    short = lambda: connection(redis, held, prefix=prefix, keep_days=5e-5)  # noqa: E731 - 4.3 s

    async def act(store: RedisStore) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
        await store.change(WHO, lambda profile: None)
        before = await store.keys()
        await asyncio.sleep(4.6)
        after = await store.keys()
        return before, after, await store._connection._client.zcard(f"{prefix}:index")

    assert run(short, 1, act) == ([WHO], [], 0)


def test_the_store_holds_neither_names_nor_reasons(
    redis: RedisServer, opened: Callable[[], Connection], prefix: str
) -> None:
    def fill(profile: Profile) -> None:
        profile.evidence["walk"] = Evidence("walk", 1.0, "reason-of-the-test")

    async def act(store: RedisStore) -> bytes:
        await store.change(WHO, fill)
        await store.spend(WHO, [Spend("records/day", 10, DAY, 1)])
        await store.count_distinct(WHO, "ids", DAY, [1], 5)
        client = store._connection._client
        held = b""
        for name in await client.keys(f"{prefix}:*"):
            held += name + (await client.dump(name))
        return held

    held = run(opened, 1, act)
    assert len(held) > 300
    for text in (*WHO, "reason-of-the-test", "walk", "records"):
        assert text.encode() not in held


@pytest.mark.parametrize("field", ["head", "states", "token"])
def test_a_profile_that_was_tampered_with_begins_anew(
    opened: Callable[[], Connection], prefix: str, field: str
) -> None:
    def fill(profile: Profile) -> None:
        profile.risk, profile.pinned = 2.0, 9.0
        profile.states["walk"] = {"n": np.ones(1)}

    async def act(store: RedisStore) -> Profile:
        await store.change(WHO, fill)
        client = store._connection._client
        (name,) = await client.keys(f"{prefix}:p:*")
        await client.hset(name, field, b"\x01" + bytes(40))
        return await store.change(WHO, lambda profile: None)

    found = run(opened, 1, act)
    assert found.states == {}
    assert found.risk == (2.0 if field == "states" else 0.0)
