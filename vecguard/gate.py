"""Locks between the writers of one collection, and between them and a job that rewrites it, by all of a host.

Milvus has no conditional writes, so a record that is read, protected anew and written back would undo what a client
writes in between. So while keys are rotated, writers hold the gate shared, and the job holds it alone for each of its
batches. In the same way a caller with rows of its own, who looks whether a key is taken, holds another gate alone until
it has written. Locks are advisory ones of the kernel (flock), given up with the process, however it ends. They reach as
far as the folder of temporary files does: the processes of one user on one host.

The kernel's queue is waited in by a thread. Of the callers of a gate within a process one is there, and the others wait
for it without any: whoever is within may need a thread itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

# Where the callers of a gate wait for the one among them that waits for the kernel; they live as long as one does.
_QUEUES: Final[WeakValueDictionary[tuple[asyncio.AbstractEventLoop, Path], asyncio.Lock]] = WeakValueDictionary()


class Gate:
    """The gate of one collection."""

    def __init__(self, identity: uuid.UUID) -> None:
        folder = Path(tempfile.gettempdir()) / f"vecguard-gates-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._gate = folder / identity.hex
        # Whoever waits here keeps later ones from passing, so that the job is not put off for ever by writers.
        self._turnstile = folder / f"{identity.hex}.next"

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """For a client's write."""
        async with self._held(fcntl.LOCK_SH):
            yield

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For the job: no write is under way within, and none begins."""
        async with self._held(fcntl.LOCK_EX):
            yield

    @contextlib.asynccontextmanager
    async def _held(self, how: int) -> AsyncIterator[None]:
        async with _queue(self._gate):
            turn = await _locked(self._turnstile, fcntl.LOCK_EX)
            try:
                gate = await _locked(self._gate, how)
            finally:
                os.close(turn)
        try:
            yield
        finally:
            os.close(gate)


def _queue(gate: Path) -> asyncio.Lock:
    place = asyncio.get_running_loop(), gate
    found = _QUEUES.get(place)
    if found is None:
        found = _QUEUES[place] = asyncio.Lock()
    return found


async def _locked(file: Path, how: int) -> int:
    """A descriptor of the file, locked; closing it gives the lock up."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        return descriptor
    thread = ThreadPoolExecutor(1)  # not one of the loop's: gates that are waited for must not use them up
    waiting = asyncio.get_running_loop().run_in_executor(thread, fcntl.flock, descriptor, how)
    thread.shutdown(wait=False)
    try:
        await asyncio.shield(waiting)
    except BaseException:
        # The thread cannot be called back; what it gets is given up as soon as it has it.
        waiting.add_done_callback(lambda _: os.close(descriptor))
        raise
    return descriptor
