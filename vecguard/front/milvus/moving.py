"""What keeps a write and the job that rotates keys from undoing each other, wherever the two run.

Milvus has no conditional writes, so what a client writes between the job's reading of a batch of rows and its writing
them back would be undone. What all proxies and the job share is the database; so the job says in a property of the
collection (`_vg.moving`) when such a moment begins and ends, and a writer looks at it before and after its write. If it
is the same, and open, both times, no moment lay between. Else the write, which was not acknowledged yet, is done again.
docs/adr/rotation-under-writes.md goes through the interleavings, and what they rely on.

On one host a lock of the kernel (`vecguard.gate`) does more cheaply what it can: whoever holds it is not looked past.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final

from vecguard.catalog import Entry, StaleEntry
from vecguard.errors import FailedPrecondition, UpstreamFailure
from vecguard.front.milvus.metadata import read_manifest, write_moving
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.status import ask
from vecguard.gate import Gate
from vecguard.model import Caller
from vecguard.pipeline import Session
from vecguard.shield import Shield
from vecguard.upstream import Upstream

OPEN: Final = "open"
CLOSED: Final = "closed"
ENDED: Final = "ended"

# A moment, from before it is announced: the rows are sent back within the first, and it is over within both.
_READING_S: Final = 3.0
CALL_S: Final = 5.0
_ANNOUNCING_S: Final = 2.0
_SETTLE_S: Final = 3.0
"""How long a job's announcement stands before it is relied on: longer than another's look and announcement take."""
PATIENCE_S: Final = 15.0
"""After this a moment that was not ended is over: its job was killed. Longer than `_READING_S` and two calls."""
_PAUSE_S: Final = 0.1
_POLL_S: Final = 0.02
# By these the database knows who calls; the rest says which of its requests it is, and looks are shared by requests.
_IDENTIFYING: Final = frozenset({"authorization", "identifier"})


# -- writers -----------------------------------------------------------------------------------------------------------


def without_request(caller: Caller) -> Caller:
    """The caller without what says which of its requests this is, so that requests can share one look."""
    return replace(caller, metadata=tuple(pair for pair in caller.metadata if pair[0] in _IDENTIFYING))


async def passed(
    method: str,
    request: m.InsertRequest | m.UpsertRequest | m.DeleteRequest,
    entry: Entry,
    session: Session,
    again: Callable[[m.MutationResult], Awaitable[object]] | None = None,
) -> m.MutationResult:
    """Send a client's write so that a rotation, if there is one, cannot undo it; whoever calls this confirms `entry`.

    `again` prepares a repetition, given the answer to the write that is repeated.

    Raises:
        StaleEntry: the collection has another manifest than `entry` says, and nothing was written.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    shield = entry.shield
    if shield is None or not shield.rotating:
        return await ask(session, rpc(method), request, m.MutationResult)
    async with Gate(shield.manifest.uuid).shared():
        before = await _opened(entry, session)
        if not entry.still(before):
            raise StaleEntry
        while True:
            answer = await ask(session, rpc(method), request, m.MutationResult)
            after = await _look(entry, session)
            if not entry.still(after) or (not _is_closed(after) and _moving(after) == _moving(before)):
                return answer
            before = await _opened(entry, session)
            if not entry.still(before):
                return answer
            if again is not None:
                await again(answer)


async def _look(entry: Entry, session: Session) -> Entry:
    return await session.catalog.look(entry, without_request(session.caller))


async def _opened(entry: Entry, session: Session) -> Entry:
    """The collection as it is when no moment of the job's is under way."""
    found = await _look(entry, session)
    while _is_closed(found):
        await asyncio.sleep(_POLL_S)
        found = await _look(entry, session)
    return found


def _moving(entry: Entry) -> str:
    return "" if entry.stored is None else entry.stored.moving


def _is_closed(entry: Entry) -> bool:
    return _moving(entry).endswith(CLOSED) and time.monotonic() - entry.moving_since < PATIENCE_S


# -- the job -----------------------------------------------------------------------------------------------------------


class Mover:
    """One job's moments in a collection, one after another. Texts of the property: `JOB.NUMBER.STATE`."""

    def __init__(self, upstream: Upstream, key: str, shield: Shield) -> None:
        """Nothing is said yet."""
        self._upstream, self._key, self._gate = upstream, key, Gate(shield.manifest.uuid)
        self._job, self._number = secrets.token_hex(8), 0
        self._announced, self._took = False, 0.0

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Callable[[], bool]]:
        """A moment in which what is read may be written back, while what is given says so.

        Raises:
            FailedPrecondition: another job moves rows of the collection, or the moment lasted too long.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        if not self._announced:
            await self._announce()
        async with self._gate.alone():
            began = time.monotonic()
            await self._require_ours()
            self._number += 1
            await self._say(CLOSED)
            # Where this fails, the moment is left open-ended: what was sent may still be carried out.
            yield lambda: time.monotonic() - began < _READING_S
            if time.monotonic() - began > _READING_S + CALL_S:
                raise FailedPrecondition("the database took too long to write rows back: run the command again")
            await self._say(OPEN)
            self._took = time.monotonic() - began
        # Writers of other hosts need a while between two moments, too.
        await asyncio.sleep(max(_PAUSE_S, self._took))

    async def end(self) -> None:
        """Say that no moment follows."""
        if self._announced:
            await self._say(ENDED)

    async def _announce(self) -> None:
        """Become the job that moves rows: of several that try at once, one finds its own text after the wait."""
        try:
            async with asyncio.timeout(_ANNOUNCING_S):
                found = await self._said()
                await self._say(OPEN)
        except TimeoutError:
            raise UpstreamFailure("DEADLINE_EXCEEDED", "Deadline Exceeded") from None
        await asyncio.sleep(_SETTLE_S if not found or found.endswith(ENDED) else PATIENCE_S)
        self._announced = True

    async def _require_ours(self) -> None:
        if not (await self._said()).startswith(f"{self._job}."):
            raise FailedPrecondition("another rotation of the collection's keys is running")

    async def _said(self) -> str:
        stored = await read_manifest(self._upstream, self._key, Caller(CALL_S))
        return "" if stored is None else stored.moving

    async def _say(self, state: str) -> None:
        await write_moving(self._upstream, self._key, f"{self._job}.{self._number}.{state}", Caller(CALL_S))
