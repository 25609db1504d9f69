"""The memory in Redis: what lies there, and what follows where it is emptied, or gone."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
import redis as store
from redis_server import RedisServer, redis_server
from state.stores import connection, provider

from vecguard.errors import FailedPrecondition, Unavailable
from vecguard.fresh.guard import Guard
from vecguard.fresh.redis import RedisMemory
from vecguard.keys.key import Key

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "freshness.json").read_text())
UUID = bytes(range(16))


def test_an_emptied_store_is_not_taken_for_an_old_one(redis: RedisServer, tmp_path: Path) -> None:
    """Names and stamps are of a key that it has no more: nothing is written under them."""

    async def act() -> None:
        held = connection(redis, provider(tmp_path))
        memory = RedisMemory(held)
        guard = Guard(memory, UUID, "notes")
        await guard.open_empty()
        stamps = await guard.stamps()
        with store.Redis(port=redis.port) as client:
            client.delete(*client.scan_iter(f"{held.settings.prefix}:*"))
        other = connection(redis, provider(tmp_path), prefix=held.settings.prefix)
        await other.key()  # another process was first to put one there
        with pytest.raises(Unavailable):
            await guard.begin(stamps, {})
        with pytest.raises(FailedPrecondition):
            await guard.begin(await guard.stamps(), {})
        await other.close()
        await held.close()

    asyncio.run(act())


def test_away(tmp_path: Path) -> None:
    async def act() -> None:
        with redis_server(tmp_path / "own") as own:
            held = connection(own, provider(tmp_path), timeout_s=0.5)
            guard = Guard(RedisMemory(held), UUID, "notes")
            await guard.open_empty()
            stamps = await guard.stamps()
            own.stop()
            for ask in (guard.begin(stamps, {}), guard.logs(stamps, [], 0.0), guard.adopt(), guard.forget()):
                with pytest.raises(Unavailable):
                    await ask
            await held.close()

    asyncio.run(act())


def test_a_store_as_the_specification_has_it(redis: RedisServer, tmp_path: Path) -> None:
    """Made by hand, by docs/formats.md §16 and §19, of known answers."""
    keys = provider(tmp_path)
    wrapped = keys.wrap(Key(bytes.fromhex(KNOWN["state_key"])), b"vecguard state 1")

    async def act() -> None:
        held = connection(redis, keys)
        prefix, place = held.settings.prefix, KNOWN["place"]
        with store.Redis(port=redis.port) as client:
            client.hset(f"{prefix}:key", mapping={"id": KNOWN["identity"], "wrapped": wrapped, "kek": keys.key_id})
            records = {b"": b"r" + bytes(8), bytes.fromhex(KNOWN["name"]): bytes.fromhex(KNOWN["whole"])}
            client.hset(f"{prefix}:f:{place}", mapping=records)
        guard = Guard(RedisMemory(held), bytes.fromhex(KNOWN["uuid"]), "notes")
        texts, _ = await guard.logs(await guard.stamps(), [bytes.fromhex(KNOWN["point"])], time.monotonic())
        assert [text.hex() for text in texts] == [KNOWN["whole"]]
        assert await guard.count() == 1
        await held.close()

    asyncio.run(act())
