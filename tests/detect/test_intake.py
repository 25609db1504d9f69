"""Served calls wait for analysis in a bounded queue that never loses one: where it is full, new calls wait."""

import asyncio

from detect.observations import observed
from vecguard.detect.beside import Beside
from vecguard.detect.intake import Intake
from vecguard.detect.sizes import Sizes
from vecguard.errors import UpstreamFailure


def put(intake, *observations, size=10):
    intake.put(lambda: list(observations), size)


def test_what_is_put_is_taken_in_order_and_once():
    intake = Intake()
    for i in range(3):
        put(intake, i)
    assert [seen.read() for seen in intake.take()] == [[0], [1], [2]]
    assert intake.take() == []


def test_it_is_full_by_number_and_by_bytes_and_still_takes_what_was_being_served():
    by_number, by_bytes = Intake(most=2), Intake(most_bytes=25)
    for intake in (by_number, by_bytes):
        put(intake)
        assert not intake.full
        put(intake)
        assert intake.full is (intake is by_number)
        put(intake)
        assert intake.full
        assert len(intake.take()) == 3
        assert not intake.full


def test_calls_wait_for_room_until_it_is_there_and_that_is_counted():
    async def run():
        waits = []
        intake = Intake(most=1, waited=lambda: waits.append(1))
        put(intake)
        waiting = asyncio.create_task(intake.room())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        intake.take()
        await asyncio.wait_for(waiting, 60)
        await intake.room()  # there is room: no wait
        assert waits == [1]

    asyncio.run(run())


class Analyst:
    """Takes what it is given, slower than calls come."""

    def __init__(self):
        self.taken = []

    async def take_or_report(self, observations):
        await asyncio.sleep(0.001)
        self.taken += observations


def test_under_a_flood_every_call_is_analysed():
    async def run():
        waits = []
        intake, analyst = Intake(most=8, waited=lambda: waits.append(1)), Analyst()
        task = asyncio.create_task(Beside(intake, analyst, []).run())

        async def call(i):
            if intake.full:
                await intake.room()
            put(intake, observed(time=float(i)))

        await asyncio.gather(*(call(i) for i in range(500)))
        for _ in range(6_000):
            if len(analyst.taken) == 500:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        assert sorted(one.time for one in analyst.taken) == [float(i) for i in range(500)]
        assert waits

    asyncio.run(run())


def test_a_call_that_cannot_be_read_is_counted_and_the_others_go_on():
    def broken():
        raise RuntimeError("a bug")

    async def run():
        intake, analyst, failed, recorded = Intake(), Analyst(), [], []
        put(intake, observed(time=1.0))
        intake.put(broken, 1)
        put(intake, observed(time=2.0))
        await Beside(intake, analyst, [], recorded.extend, failed.append).once()
        assert [one.time for one in analyst.taken] == [one.time for one in recorded] == [1.0, 2.0]
        assert failed == [1]

    asyncio.run(run())


def test_an_analysis_that_fails_does_not_end_the_others():
    class Failing(Analyst):
        async def take_or_report(self, observations):
            if not self.taken:
                self.taken.append(None)
                raise RuntimeError("a bug")
            await super().take_or_report(observations)

    async def run():
        intake, analyst, failed = Intake(), Failing(), []
        beside = Beside(intake, analyst, [], failed=failed.append)
        task = asyncio.create_task(beside.run())
        for number, second in enumerate((1.0, 2.0), 1):
            put(intake, observed(time=second))
            async with asyncio.timeout(60):
                while len(analyst.taken) < number:
                    await asyncio.sleep(0.01)
        beside.stop()
        await asyncio.wait_for(task, 60)
        assert [one.time for one in analyst.taken[1:]] == [2.0]
        assert failed == [1]

    asyncio.run(run())


def test_every_call_of_a_batch_that_could_not_be_analysed_is_counted():
    class Failing(Analyst):
        async def take_or_report(self, observations):
            raise RuntimeError("a bug")

    def broken():
        raise RuntimeError("another bug")

    async def run():
        intake, failed = Intake(), []
        for second in (1.0, 2.0, 3.0):
            put(intake, observed(time=second))
        intake.put(broken, 1)
        await Beside(intake, Failing(), [], failed=failed.append).once()
        assert failed == [1, 3]

    asyncio.run(run())


def test_a_full_disk_does_not_stop_the_analysis():
    def full(observations):
        raise OSError(28, "No space left on device")

    async def run():
        intake, analyst = Intake(), Analyst()
        put(intake, observed())
        await Beside(intake, analyst, [], full).once()
        assert len(analyst.taken) == 1

    asyncio.run(run())


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_sizes_are_asked_for_beside_and_now_and_then():
    async def run():
        answers, clock = [7, 9], Clock()

        async def count(name):
            return answers.pop(0)

        sizes = Sizes(count, clock)
        assert sizes.of("c") == 0
        await sizes.settled({"c", "other"})
        assert [sizes.of("c"), sizes.of("c")] == [7, 7]
        clock.now = 301.0
        assert sizes.of("c") == 7
        await asyncio.sleep(0)
        assert sizes.of("c") == 9
        await sizes.close()

    asyncio.run(run())


def test_a_database_that_hangs_does_not_hold_up_the_analysis(monkeypatch):
    monkeypatch.setattr("vecguard.detect.sizes.PATIENCE_S", 0.01)

    async def run():
        async def count(name):
            await asyncio.sleep(60)

        sizes = Sizes(count)
        assert sizes.of("c") == 0
        await asyncio.wait_for(sizes.settled({"c"}), 30)
        await sizes.close()

    asyncio.run(run())


def test_a_database_that_does_not_say_its_size_is_asked_again_later():
    async def run():
        clock, asked = Clock(), []

        async def count(name):
            asked.append(name)
            raise UpstreamFailure("UNAVAILABLE", "down")

        sizes = Sizes(count, clock)
        assert sizes.of("c") == 0
        await sizes.settled({"c"})
        assert sizes.of("c") == 0
        assert len(asked) == 1
        clock.now = 31.0
        sizes.of("c")
        await asyncio.sleep(0)
        assert len(asked) == 2
        await sizes.close()

    asyncio.run(run())
