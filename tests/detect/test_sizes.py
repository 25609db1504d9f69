"""How many records a collection has: asked beside the calls, and anew when much was written."""

from __future__ import annotations

import asyncio

from vecguard.detect.sizes import MAX_AGE_S, MIN_AGE_S, Sizes


class Growing:
    """A collection whose size is set from outside, and a clock that is, too."""

    def __init__(self, size: int) -> None:
        self.size, self.now, self.asked = size, 0.0, 0

    async def count(self, collection: str) -> int:
        self.asked += 1
        return self.size

    def clock(self) -> float:
        return self.now


async def settle(sizes: Sizes) -> int:
    sizes.of("notes")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return sizes.of("notes")


async def _filled_meanwhile(written: int) -> tuple[int, int]:
    """Sizes as told after a collection of 400 got `written` more, and after the longest age."""
    notes = Growing(400)
    sizes = Sizes(notes.count, notes.clock)
    assert await settle(sizes) == 400
    notes.size += written
    sizes.wrote("notes", written)
    notes.now += MIN_AGE_S
    soon = await settle(sizes)
    notes.now += MAX_AGE_S
    late = await settle(sizes)
    await sizes.close()
    return soon, late


def test_a_collection_that_is_being_filled_is_asked_anew() -> None:
    assert asyncio.run(_filled_meanwhile(9_600)) == (10_000, 10_000)


def test_a_few_writes_ask_nothing() -> None:
    assert asyncio.run(_filled_meanwhile(40)) == (400, 440)


def test_many_writes_ask_once_at_a_time() -> None:
    async def run() -> int:
        notes = Growing(10)
        sizes = Sizes(notes.count, notes.clock)
        await settle(sizes)
        for _ in range(1_000):
            sizes.wrote("notes", 5)
            sizes.of("notes")
        await asyncio.sleep(0)
        await sizes.close()
        return notes.asked

    assert asyncio.run(run()) == 1
