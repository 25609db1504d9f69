"""Writers pass the gate together, the job alone; whoever waits first goes first; a process that dies holds nothing."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import uuid

import pytest

from vecguard.gate import Gate

SOON = 1.2


@pytest.mark.slow
def test_writers_go_together_and_the_job_alone() -> None:
    async def run() -> list[str]:
        gate, seen, writing = Gate(uuid.uuid4()), list[str](), asyncio.Event()

        async def write(name: str) -> None:
            async with gate.shared():
                seen.append(f"{name} in")
                await writing.wait()
                seen.append(f"{name} out")

        async def job() -> None:
            async with gate.alone():
                seen.append("job in")
                await asyncio.sleep(SOON)
                seen.append("job out")

        tasks = [asyncio.create_task(write("a")), asyncio.create_task(write("b"))]
        await asyncio.sleep(SOON)
        tasks.append(asyncio.create_task(job()))
        await asyncio.sleep(SOON)
        tasks.append(asyncio.create_task(write("late")))
        await asyncio.sleep(SOON)
        assert sorted(seen) == ["a in", "b in"]
        writing.set()
        await asyncio.gather(*tasks)
        return seen

    seen = asyncio.run(run())
    assert seen[-4:] == ["job in", "job out", "late in", "late out"]


def test_whoever_is_within_has_threads_however_many_wait() -> None:
    """As one that makes a tenant's key in its turn: waiting for the kernel must not use up the loop's threads."""

    async def run() -> list[int]:
        gates, passed = [Gate(uuid.uuid4()) for _ in range(40)], list[int]()

        async def write(gate: Gate, number: int) -> None:
            async with gate.alone():
                passed.append(number)

        async with contextlib.AsyncExitStack() as within:
            for gate in gates:
                await within.enter_async_context(gate.alone())
            waiting = [asyncio.create_task(write(gate, number)) for number in range(5) for gate in gates]
            await asyncio.sleep(SOON)
            async with asyncio.timeout(10.0):
                await asyncio.to_thread(passed.append, -1)
                async with Gate(uuid.uuid4()).shared():
                    assert passed == [-1]
        await asyncio.gather(*waiting)
        return passed

    assert sorted(asyncio.run(run())) == sorted([-1, *(list(range(5)) * 40)])


def test_of_one_process_too_whoever_waits_first_goes_first() -> None:
    async def run() -> list[int]:
        gate, passed = Gate(uuid.uuid4()), list[int]()

        async def write(number: int) -> None:
            async with gate.alone() if number % 2 else gate.shared():
                passed.append(number)

        async with gate.alone():
            waiting = [asyncio.create_task(write(number)) for number in range(20)]
            await asyncio.sleep(SOON)
        await asyncio.gather(*waiting)
        return passed

    assert asyncio.run(run()) == list(range(20))


def test_a_waiter_that_is_cancelled_leaves_no_lock() -> None:
    async def run() -> None:
        gate = Gate(uuid.uuid4())
        async with gate.shared():
            job = asyncio.create_task(gate.alone().__aenter__())
            await asyncio.sleep(SOON)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        async with asyncio.timeout(60.0), gate.alone():
            pass

    asyncio.run(run())


def test_a_process_that_is_killed_leaves_no_lock() -> None:
    identity = uuid.uuid4()
    code = (
        "import asyncio, os, uuid\nfrom vecguard.gate import Gate\nasync def f():\n"
        f"    async with Gate(uuid.UUID('{identity}')).alone():\n"
        "        print('in', flush=True)\n        await asyncio.sleep(60)\n"
        "asyncio.run(f())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"

        async def kept_out() -> bool:
            try:
                async with asyncio.timeout(SOON), Gate(identity).shared():
                    return False
            except TimeoutError:
                holder.kill()
                return True

        async def let_in() -> None:
            async with asyncio.timeout(60.0), Gate(identity).shared():
                pass

        assert asyncio.run(kept_out())
        asyncio.run(let_in())
