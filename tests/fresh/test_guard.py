"""What a front asks of a collection's memory: over real stores, with several processes' connections at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from redis_server import RedisServer
from state.stores import connection, provider

from vecguard.errors import FailedPrecondition, Unavailable
from vecguard.fresh import log, tidy
from vecguard.fresh.file import FileMemory
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import WHOLE, Change, Cover
from vecguard.fresh.memory import Memory
from vecguard.fresh.redis import RedisMemory

Result = TypeVar("Result")
Opened = Callable[[], Memory]
UUID = bytes(range(16))
ONE, TWO = b"\x01" + bytes(8), b"\x01" + bytes(7) + b"\x01"


@pytest.fixture(params=["redis", "file"])
def opened(request: pytest.FixtureRequest, redis: RedisServer, tmp_path: Path) -> Opened:
    held = provider(tmp_path)
    if request.param == "file":
        return lambda: FileMemory(tmp_path / "newest.db", provider(tmp_path))
    return lambda: RedisMemory(connection(redis, held, prefix=f"t{tmp_path.name}", timeout_s=5))


def run(opened: Opened, count: int, act: Callable[..., Awaitable[Result]]) -> Result:
    """Act on the guards of so many processes."""

    async def ran() -> Result:
        memories = [opened() for _ in range(count)]
        try:
            return await act(*(Guard(memory, UUID, "notes") for memory in memories))
        finally:
            for memory in memories:
                await memory.close()
                if isinstance(memory, RedisMemory):
                    await memory._connection.close()

    return asyncio.run(ran())


def whole(value: int) -> Change:
    return Change((WHOLE,), {b"r": stamp(value), b"pa": stamp(value)})


def stamp(value: int) -> bytes:
    return value.to_bytes(8, "big")


def state(value: int) -> dict[bytes, bytes]:
    return {b"r": stamp(value), b"pa": stamp(value)}


async def fresh(guard: Guard, seen: dict[bytes, bytes], record: bytes = ONE, ago: float = 0.0) -> bool:
    """Whether a record that was read may be the newest, for a read that began so many seconds ago; without a margin."""
    (held,), since = await guard.logs(await guard.stamps(), [record], time.monotonic() - ago)
    return log.parse(held).fresh(seen, since + 1_000 + 1)


async def write(guard: Guard, change: Change, record: bytes = ONE) -> None:
    await guard.commit(await guard.begin(await guard.stamps(), {record: change}))
    await asyncio.sleep(0.01)


def test_what_one_process_writes_the_others_know(opened: Opened) -> None:
    async def act(one: Guard, two: Guard) -> None:
        await one.open_empty()
        assert not await fresh(two, state(1))
        await write(one, whole(1))
        assert await fresh(two, state(1))
        assert not await fresh(two, {})
        await write(two, whole(2))
        assert [await fresh(one, state(value)) for value in (1, 2)] == [False, True]
        assert await fresh(one, state(1), ago=1.0)  # it began before
        await write(one, Change((WHOLE,), {}))
        assert [await fresh(two, seen) for seen in (state(1), state(2), {})] == [False, False, True]
        assert not await fresh(two, state(2), TWO)

    run(opened, 2, act)


def test_a_process_that_ends_between_leaves_both(opened: Opened) -> None:
    """Nothing is lost, and nothing raises a false alarm; what others write later supersedes what they can."""

    async def act(one: Guard, two: Guard) -> None:
        await one.open_empty()
        await write(one, whole(1))
        await one.begin(await one.stamps(), {ONE: whole(2)})  # and never tells of its end
        assert [await fresh(two, state(value)) for value in (1, 2, 3)] == [True, True, False]
        await write(two, whole(3))
        assert [await fresh(one, state(value)) for value in (1, 2, 3)] == [False, True, True]

    run(opened, 2, act)


def test_many_at_once_lose_nothing(opened: Opened) -> None:
    """Writes of one record that all overlap: each may be the last, and none before them is."""

    async def act(*guards: Guard) -> None:
        await guards[0].open_empty()
        await write(guards[0], whole(1))
        stamps = [await guard.stamps() for guard in guards]
        begun = [
            await guard.begin(stamps[number], {ONE: whole(10 + number), TWO: whole(20 + number)})
            for number, guard in enumerate(guards)
        ]
        await asyncio.gather(*(guard.commit(one) for guard, one in zip(guards, begun, strict=True)))
        await asyncio.sleep(0.01)
        assert not await fresh(guards[0], state(1))
        assert all([await fresh(guards[0], state(10 + number)) for number in range(len(guards))])
        assert all([await fresh(guards[0], state(20 + number), TWO) for number in range(len(guards))])
        await write(guards[0], whole(50))
        assert not any([await fresh(guards[0], state(10 + number)) for number in range(len(guards))])

    run(opened, 8, act)


def test_more_records_than_one_question_asks_for(opened: Opened) -> None:
    async def act(one: Guard) -> None:
        await one.open_empty()
        records = [number.to_bytes(9, "big") for number in range(1_203)]
        stamps = await one.stamps()
        await one.commit(await one.begin(stamps, {record: whole(7) for record in records}))
        held, since = await one.logs(stamps, records, time.monotonic())
        assert all(log.parse(each).fresh(state(7), since) for each in held)
        assert await one.count() == 1_203

    run(opened, 1, act)


def test_without_adoption_nothing_goes(opened: Opened) -> None:
    async def act(one: Guard, two: Guard) -> None:
        stamps = await one.stamps()
        for ask in (one.begin(stamps, {ONE: whole(1)}), one.logs(stamps, [ONE], time.monotonic())):
            with pytest.raises(FailedPrecondition, match="vecguard verify notes --adopt"):
                await ask
        assert not await one.is_known()
        adoption = await two.adopt()
        assert await one.is_known()
        for ask in (one.begin(stamps, {ONE: whole(1)}), one.logs(stamps, [ONE], time.monotonic())):
            with pytest.raises(Unavailable):
                await ask
        await adoption.take({ONE: state(4)})
        await adoption.end()
        assert [await fresh(one, state(4)), await fresh(one, state(5))] == [True, False]
        begun = await one.begin(stamps, {ONE: whole(5)})
        other = await two.adopt()
        with pytest.raises(Unavailable):  # what it began was forgotten
            await one.commit(begun)
        again = await one.adopt()
        with pytest.raises(Unavailable):  # somebody else began anew
            await other.take({ONE: state(4)})
        await again.end()
        assert await fresh(one, {})
        await one.forget()
        assert not await two.is_known()

    run(opened, 2, act)


def test_what_went_is_taken_out_a_while_later(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "KEEP_MS", 50)
    monkeypatch.setattr(tidy, "PAUSE_S", 0.05)

    async def act(one: Guard) -> None:
        await one.open_empty()
        for value in (1, 2):
            await write(one, whole(value))
        await write(one, whole(3), TWO)
        await write(one, Change((WHOLE,), {}), TWO)
        stamps = await one.stamps()
        for _ in range(100):
            texts, _ = await one.logs(stamps, [ONE, TWO], time.monotonic())
            held, gone = map(log.parse, texts)
            if not gone.settled and not any(slot.past for slot in held.settled.values()):
                break
            await asyncio.sleep(0.05)
        assert (await one.count(), [slot.live for slot in held.settled.values()]) == (1, [[stamp(2)]] * 2)

    run(opened, 1, act)


def test_a_count_is_of_what_may_be_there(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a record whose deletion nobody stayed to tidy up after nothing is left, either."""
    monkeypatch.setattr(log, "KEEP_MS", 50)

    async def act(one: Guard) -> None:
        await one.open_empty()
        await write(one, whole(1))
        await write(one, whole(3), TWO)
        await write(one, Change((WHOLE,), {}), TWO)
        begun = await one.begin(await one.stamps(), {b"three": whole(1)})
        assert await one.count() == 2  # what is being written may be there
        await one.commit(begun)
        await asyncio.sleep(0.1)
        assert await one.count() == 2
        texts, _ = await one.logs(await one.stamps(), [ONE, TWO], time.monotonic())
        assert [bool(text) for text in texts] == [True, False]
        await one.forget()
        assert await one.count() == 0

    run(opened, 1, act)


def test_a_write_that_the_database_applied_in_part(opened: Opened) -> None:
    async def act(one: Guard) -> None:
        await one.open_empty()
        await write(one, whole(1), ONE)
        await write(one, whole(1), TWO)
        stamps, change = await one.stamps(), Change((Cover(b"pa"),), {b"pa": stamp(2)})
        begun = await one.begin(stamps, {ONE: change, TWO: change})
        done = {b"r": stamp(1), b"pa": stamp(2)}
        await one.commit(begun, {ONE: done, TWO: state(1)})
        await asyncio.sleep(0.01)
        assert [await fresh(one, done), await fresh(one, state(1))] == [True, False]
        assert [await fresh(one, done, TWO), await fresh(one, state(1), TWO)] == [False, True]

    run(opened, 1, act)


def test_a_write_that_is_withdrawn_was_never_there(opened: Opened) -> None:
    async def act(one: Guard, two: Guard) -> None:
        await one.open_empty()
        await write(one, whole(1))
        stamps = await one.stamps()
        begun = await one.begin(stamps, {ONE: whole(2), TWO: whole(2)})
        assert await fresh(two, state(2))
        await write(two, whole(3))  # in between
        await one.withdraw(begun)
        assert await fresh(one, state(3))
        assert not await fresh(one, state(2))
        assert (await one.logs(stamps, [TWO], time.monotonic()))[0] == [b""]

    run(opened, 2, act)


def test_what_stands_beside_a_write(opened: Opened) -> None:
    async def act(one: Guard, two: Guard) -> None:
        await one.open_empty()
        stamps = await one.stamps()
        first = await one.begin(stamps, {ONE: whole(1)})
        assert first.log(ONE).beside(b"r", first.number) == {log.ABSENT}
        second = await two.begin(stamps, {ONE: whole(2)})
        assert second.log(ONE).beside(b"r", second.number) == {log.ABSENT, stamp(1)}
        assert second.log(ONE).paths() == {b"r", b"pa"}

    run(opened, 2, act)


def test_a_collection_that_is_emptied(opened: Opened) -> None:
    async def act(one: Guard, two: Guard) -> None:
        with pytest.raises(FailedPrecondition):
            async with one.emptied():
                raise AssertionError
        await one.open_empty()
        await write(one, whole(1))
        late = await two.begin(await two.stamps(), {ONE: whole(2)})
        async with one.emptied():
            with pytest.raises(Unavailable):
                await write(two, whole(3))
        assert not await fresh(two, state(1))
        assert await one.count() == 0
        with pytest.raises(Unavailable):
            await two.commit(late)  # nobody knows whether it went with the others
        await write(two, whole(4))
        with pytest.raises(ZeroDivisionError):
            async with one.emptied():
                raise ZeroDivisionError
        assert await fresh(two, state(4))  # it was not emptied

    run(opened, 2, act)
