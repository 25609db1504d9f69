"""Analysis in slices: the event loop is the calls' for longer than analysis has it, unless too much waits."""

from __future__ import annotations

import asyncio
import time

import pytest

from vecguard.detect.pace import SLICE_S, Pace


def rounds(pace: Pace, slices: int) -> int:
    """How often others had the event loop while so many slices of work were done."""

    async def measure() -> int:
        had = 0

        async def others() -> None:
            nonlocal had
            while True:
                had += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        pace.begin()
        for _ in range(slices):
            until = time.perf_counter() + SLICE_S
            while time.perf_counter() < until:
                pass
            await pace.step()
        beside.cancel()
        return had

    return asyncio.run(measure())


def test_calls_have_many_rounds_of_the_loop_between_slices() -> None:
    assert rounds(Pace(lambda: False), 20) > 200


@pytest.mark.parametrize("hurried", [True, False])
def test_it_hurries_where_too_much_waits(hurried: bool) -> None:
    pace = Pace(lambda: not hurried)
    if hurried:
        pace.hurry()
    assert rounds(pace, 20) <= 21


def test_a_slice_that_is_not_over_goes_on() -> None:
    async def work() -> float:
        pace = Pace(lambda: False)
        pace.begin()
        began = time.perf_counter()
        for _ in range(5):
            await pace.step()
        return time.perf_counter() - began

    # Whoever else has the processor for a slice makes it last longer, which will not be so each time.
    assert min(asyncio.run(work()) for _ in range(10)) < 5 * SLICE_S
