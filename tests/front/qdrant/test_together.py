"""What runs at once ends at once: nothing goes on after one of them failed."""

from __future__ import annotations

import asyncio

import pytest

from vecguard.front.qdrant.together import together


async def after(seconds: float, value: int, ended: list[int]) -> int:
    try:
        await asyncio.sleep(seconds)
    finally:
        ended.append(value)
    if value < 0:
        raise ValueError(str(value))
    return value


def test_all_are_returned_in_order() -> None:
    ended: list[int] = []
    assert asyncio.run(together(after(0.02, 1, ended), after(0.0, 2, ended))) == [1, 2]
    assert ended == [2, 1]


def test_when_one_fails_the_others_have_ended() -> None:
    ended: list[int] = []

    async def run() -> None:
        with pytest.raises(ValueError, match="-1"):
            await together(after(30.0, 1, ended), after(0.0, -1, ended), after(30.0, 2, ended))
        assert sorted(ended) == [-1, 1, 2]

    asyncio.run(run())
