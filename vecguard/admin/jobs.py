"""Jobs that run for long, each a command of ours in a process of its own, of low priority: rotations and audits.

A job says where it is in lines of JSON on its standard output, and why it failed on standard error. It goes on when
whoever asked for it goes away, and ends with the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from vecguard.errors import FailedPrecondition, NotFound
from vecguard.v1 import admin_pb2 as v1

NICENESS: Final = 15
MOST_KEPT: Final = 50
"""Jobs that are remembered, with what they wrote; of more, those that ended first are forgotten."""
_STOP_S: Final = 10.0
_MOST_ERROR: Final = 2_000
_LINE_BYTES: Final = 1 << 16


class Job:
    """One command that runs, or ran. `folder` is its own, and goes with it."""

    def __init__(self, told: v1.Job, command: Sequence[str], folder: Path) -> None:
        told.id, told.state = secrets.token_hex(8), v1.Job.RUNNING
        told.started.GetCurrentTime()
        self.told, self.folder = told, folder
        self._command = command
        self._changed = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = False
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "vecguard", *self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
            )
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            if self._cancelled:  # while it was being started: it has done nothing that would have to be ended well
                process.kill()
            assert process.stderr is not None  # noqa: S101 - it was asked for above
            _, error = await asyncio.gather(self._follow(process), _tail(process.stderr))
            status = await process.wait()
        except OSError as fault:
            status, error = 1, f"cannot be started: {fault.strerror}"
        await self._ended(status, error)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        """Take what the command says of where it is; anything else is not for us."""
        assert process.stdout is not None  # noqa: S101 - it was asked for above
        with contextlib.suppress(ValueError):  # a line without an end
            async for line in process.stdout:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    await self._take(json.loads(line))
            return
        while await process.stdout.read(_LINE_BYTES):
            pass

    async def _take(self, where: dict[str, Any]) -> None:
        async with self._changed:
            self.told.stage = str(where["stage"])
            self.told.done, self.told.total = int(where["done"]), int(where["total"])
            self.told.epoch, self.told.moved = int(where.get("epoch", 0)), int(where.get("moved", 0))
            self._changed.notify_all()

    async def _ended(self, status: int, error: str) -> None:
        async with self._changed:
            self.told.state = v1.Job.DONE if status == 0 else v1.Job.FAILED
            if self._cancelled and status != 0:
                self.told.state = v1.Job.CANCELLED
            elif status != 0:
                self.told.problem = error or f"the process ended with status {status}"
            self.told.ended.GetCurrentTime()
            self._changed.notify_all()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return bool(self.told.state != v1.Job.RUNNING)

    async def watch(self) -> AsyncIterator[v1.Job]:
        """How it is now, and each change, until it has ended; one that comes while the last is read is left out."""
        shown = v1.Job()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.told != shown)
                shown.CopyFrom(self.told)
                over = self.over
            copy = v1.Job()
            copy.CopyFrom(shown)
            yield copy
            if over:
                return

    async def cancel(self) -> None:
        """End it, as an operator's Ctrl-C does; by force where that is not enough."""
        self._cancelled = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        done, _ = await asyncio.wait([self.running], timeout=_STOP_S)
        if not done and self._process is not None:
            self._process.kill()
        await self.running


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last that a stream says."""
    kept = b""
    while piece := await stream.read(_LINE_BYTES):
        kept = (kept + piece)[-_MOST_ERROR:]
    return kept.decode(errors="replace").strip()


class Jobs:
    """The jobs of a server: one of a kind on one collection at a time."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def begin(self, told: v1.Job, command: Sequence[str], folder: Path) -> Job:
        """Begin a job, whose `folder` goes when it is forgotten, or cannot begin; the last 50 are remembered.

        Raises:
            FailedPrecondition: one of the kind runs already.
        """
        for other in self._jobs.values():
            same = (other.told.kind, other.told.front, other.told.collection) == (
                *(told.kind, told.front, told.collection),
            )
            if not other.over and told.kind == other.told.kind and (same or told.kind == v1.Job.AUDIT):
                shutil.rmtree(folder, ignore_errors=True)
                raise FailedPrecondition(f"job {other.told.id} runs already: wait for it, or cancel it")
        job = Job(told, command, folder)
        self._jobs[told.id] = job
        for old in [one for one in self._jobs.values() if one.over][: max(len(self._jobs) - MOST_KEPT, 0)]:
            del self._jobs[old.told.id]
            shutil.rmtree(old.folder, ignore_errors=True)
        return job

    def get(self, identity: str) -> Job:
        """A job by its id. Raises NotFound."""
        if identity not in self._jobs:
            raise NotFound("there is no such job; those that ended long ago are forgotten")
        return self._jobs[identity]

    def all(self) -> list[Job]:
        """All of them, the latest first."""
        return list(reversed(self._jobs.values()))

    async def close(self) -> None:
        """End those that run."""
        await asyncio.gather(*(job.cancel() for job in self._jobs.values() if not job.over))
