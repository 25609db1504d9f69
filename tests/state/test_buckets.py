"""Buckets in the store are exact whoever draws, by the store's clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis_server import RedisServer

from state.stores import connection, provider
from vecguard.state.buckets import DEBT, Draw, draw

SLOW = 1e-6  # tokens a second: nothing comes back while a test runs


def test_a_bucket_is_drawn_on_until_it_is_empty(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> list[list[float]]:
        store = connection(redis, provider(tmp_path))
        one = [Draw(("calls", "ann"), 0.005, 3, 1, 1)]
        waits = [await draw(store, one) for _ in range(4)]
        other = await draw(store, [Draw(("calls", "bob"), 0.005, 3, 1, 1)])
        await store.close()
        return [*waits, other]

    *free, refused, other = asyncio.run(drawn())
    assert free == [[0.0]] * 3
    assert 140.0 < refused[0] <= 200.0  # less what passed since the first draw
    assert other == [0.0]


def test_what_is_not_drawn_has_a_wait_however_fast_it_fills(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> list[float]:
        store = connection(redis, provider(tmp_path))
        waits = [await draw(store, [Draw(("fast",), 1e9, 2, amount, amount)]) for amount in (2, 3)]
        await store.close()
        return [wait for one in waits for wait in one]

    free, refused = asyncio.run(drawn())
    assert free == 0.0
    assert refused > 0.0


def test_all_or_none(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> list[list[float]]:
        store = connection(redis, provider(tmp_path))
        wide, narrow = Draw(("wide",), SLOW, 2, 1, 1), Draw(("narrow",), SLOW, 1, 1, 1)
        waits = [await draw(store, each) for each in ([wide, narrow], [wide, narrow], [wide], [wide])]
        await store.close()
        return waits

    first, second, third, fourth = asyncio.run(drawn())
    assert first == [0.0, 0.0]
    assert second[0] == 0.0
    assert second[1] > 0.0
    assert third == [0.0]  # the refused call took nothing
    assert fourth[0] > 0.0


def test_a_bucket_fills_and_is_no_fuller_than_its_capacity(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> list[float]:
        store = connection(redis, provider(tmp_path))
        full, slowly = Draw(("fills",), 20.0, 2, 2, 2), Draw(("fills",), SLOW, 2, 2, 2)
        waits = [*await draw(store, [full]), *await draw(store, [slowly])]
        await asyncio.sleep(0.3)  # 6 tokens' worth, of which 2 fit
        waits += [*await draw(store, [full]), *await draw(store, [Draw(("fills",), SLOW, 2, 1, 1)])]
        await store.close()
        return waits

    first, second, third, fourth = asyncio.run(drawn())
    assert (first, third) == (0.0, 0.0)
    assert 0.0 < second <= 2 / SLOW
    assert fourth > 0.0


def test_a_debt_is_waited_for(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> list[float]:
        store = connection(redis, provider(tmp_path))
        after = [Draw(("records",), 0.1, 100, 150, DEBT)]
        waits = [*await draw(store, after), *await draw(store, [Draw(("records",), 0.1, 100, 0, 0)])]
        await store.close()
        return waits

    charged, next_call = asyncio.run(drawn())
    assert charged == 0.0
    assert 440.0 < next_call <= 500.0


def test_many_connections_draw_exactly_what_there_is(redis: RedisServer, tmp_path: Path) -> None:
    async def drawn() -> int:
        held = provider(tmp_path)
        stores = [connection(redis, held, prefix="many", timeout_s=5) for _ in range(4)]
        one = [Draw(("shared",), SLOW, 100, 1, 1)]
        waits = await asyncio.gather(*(draw(store, one) for _ in range(50) for store in stores))
        for store in stores:
            await store.close()
        return sum(wait == [0.0] for wait in waits)

    assert asyncio.run(drawn()) == 100
