"""Each stage of a call is timed once, however often and however nested it runs; outside of calls nothing is."""

import asyncio
import time

from vecguard.stages import Clock, begin, current, stage, timed

NAP = 0.02


@timed("open")
def opened(value):
    time.sleep(NAP)
    return value


def test_outside_of_a_call_nothing_is_timed():
    assert current() is None
    assert opened(7) == 7
    with stage("auth"):
        pass


def within(coroutine):
    """Run a coroutine as a call; its clock."""

    async def call():
        clock = begin()
        await coroutine()
        return clock

    return asyncio.run(call())


def test_stages_are_added_up():
    async def call():
        opened(1)
        opened(2)
        with stage("auth"):
            pass

    began = time.perf_counter()
    clock = within(call)
    assert clock.seconds.keys() == {"open", "auth"}
    assert 2 * NAP <= clock.seconds["open"] <= time.perf_counter() - began
    assert [interval.stage for interval in clock.intervals] == ["open", "open", "auth"]
    assert clock.milliseconds["open"] >= 2 * NAP * 1e3


def test_a_stage_beside_itself_counts_once():
    async def page():
        with stage("upstream"):
            await asyncio.sleep(5 * NAP)

    async def call():
        await asyncio.gather(*(page() for _ in range(8)))

    began = time.perf_counter()
    clock = within(call)
    assert 5 * NAP <= clock.seconds["upstream"] <= time.perf_counter() - began
    assert len(clock.intervals) == 1


def test_calls_do_not_see_each_others_clocks():
    async def call(number):
        clock = begin()
        await asyncio.sleep(0)
        for _ in range(number):
            opened(1)
        return len(clock.intervals)

    async def both():
        return await asyncio.gather(call(1), call(2))

    assert asyncio.run(both()) == [1, 2]


def test_a_stage_that_fails_is_timed_all_the_same():
    clock = Clock()
    clock.enter("protect")
    clock.leave("protect")
    assert "protect" in clock.seconds

    async def call():
        try:
            with stage("rerank"):
                raise ValueError
        except ValueError:
            pass

    assert "rerank" in within(call).seconds


def test_intervals_are_bounded_and_time_is_not():
    clock = Clock()
    for _ in range(1_000):
        clock.enter("open")
        clock.leave("open")
    assert len(clock.intervals) == 64
    assert clock.seconds["open"] > sum(end - start for _, start, end in clock.intervals)
