"""One collection's part in the memory: what a front asks before and after each write, and of what it has read."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from vecguard.errors import FailedPrecondition, Unavailable
from vecguard.fresh import log
from vecguard.fresh.log import Change, Log
from vecguard.fresh.memory import ADOPTING, READY, Held, Memory, new_mark
from vecguard.fresh.stamps import Stamps
from vecguard.fresh.tidy import tidied

MARGIN_MS: Final = 1_000
"""How much longer than a read took it is taken to have taken: for clocks, and the memory's own answer."""
_MOST_ATTEMPTS: Final = 64
_PATIENT: Final = 4
_PAUSE_S: Final = 0.002
_log = structlog.get_logger("vecguard")


@dataclass(frozen=True, slots=True)
class Begun:
    """A write that the memory knows of: its records by name, each with its log since, and those of ended writes."""

    number: bytes
    stamps: Stamps
    mark: bytes
    logs: Mapping[bytes, bytes]
    ended: Mapping[bytes, frozenset[bytes]]
    now: int
    at: float
    """When `now` was told, in monotonic seconds."""

    def log(self, record: bytes) -> Log:
        """The log of one of its records, the write in it."""
        return log.parse(self.logs[self.stamps.name(record)])


class Guard:
    """What is newest of one collection's records, as all replicas know it."""

    def __init__(self, memory: Memory, collection: bytes, name: str) -> None:
        """`collection` is the uuid's bytes, `name` what texts call it."""
        self._memory, self._collection, self._name = memory, collection, name

    async def stamps(self) -> Stamps:
        """What names and stamps are made with. Raises Unavailable."""
        return await self._memory.stamps(self._collection)

    async def begin(self, stamps: Stamps, changes: Mapping[bytes, Change]) -> Begun:
        """Note what a write is about to do to some records, by their ids in canonical bytes.

        Raises:
            FailedPrecondition: nothing is remembered of the collection.
            Unavailable: the memory is away, or being made.
        """
        number = secrets.token_bytes(log.NUMBER_BYTES)
        bodies = {stamps.name(record): log.body(change.covers, change.leaves) for record, change in changes.items()}
        held = await self._memory.begin(stamps, {name: (number, text) for name, text in bodies.items()})
        self._require_ready(held)
        logs, ended, began = {}, {}, held.now.to_bytes(6, "big")
        for (name, text), before in zip(bodies.items(), held.logs, strict=True):
            head = struct.pack(">IB4s6s", 11 + len(text), 0, number, began)
            logs[name] = (before or log.EMPTY) + head + text
            ended[name] = log.ended_by(before, held.now)
        return Begun(number, stamps, held.mark, logs, ended, held.now, time.monotonic())

    async def commit(self, begun: Begun, seen: Mapping[bytes, Mapping[bytes, bytes]] | None = None) -> None:
        """Let go of what an acknowledged write superseded.

        `seen`: what was read of its records afterwards, by id, where the database decided what it was applied to.

        Raises:
            Unavailable: the memory is away.
        """
        observed = None if seen is None else {begun.stamps.name(record): parts for record, parts in seen.items()}

        def committed(name: bytes, text: bytes) -> bytes:
            now = begun.now + int((time.monotonic() - begun.at) * 1e3)
            found = None if observed is None else observed.get(name, {})
            return log.committed(text, begun.number, begun.ended[name], now, found)

        await self._end(begun, committed)

    async def withdraw(self, begun: Begun) -> None:
        """Forget a write that was not sent. Raises Unavailable: the memory is away."""
        await self._end(begun, lambda name, text: log.withdrawn(text, begun.number))

    async def _end(self, begun: Begun, after: Callable[[bytes, bytes], bytes]) -> None:
        """Put `after(name, log)` in the place of each of a write's logs, whatever came in between."""
        logs = dict(begun.logs)
        for attempt in range(_MOST_ATTEMPTS):
            changes = {name: (text, after(name, text)) for name, text in logs.items()}
            logs = await self._memory.swap(begun.stamps, begun.mark, changes)
            untidy = [name for name, (_, text) in changes.items() if name not in logs and log.is_untidy(text)]
            self._memory.tidier.note(begun.stamps, untidy)
            if not logs:
                return
            if attempt >= _PATIENT:
                await asyncio.sleep(_PAUSE_S * secrets.randbelow(attempt))
        # What the write superseded stays allowed until its end is not waited for any more.
        _log.warning("memory of what is newest not told of a write's end", records=len(logs))

    async def logs(self, stamps: Stamps, records: Sequence[bytes], began: float) -> tuple[Sequence[bytes], int]:
        """The logs of records that a read has found, which `began` at this monotonic second; and that moment as the
        memory's clock has it, for `Log.fresh`.

        Raises:
            FailedPrecondition, Unavailable: see `begin`.
        """
        held = await self._memory.read(stamps, [stamps.name(record) for record in records])
        self._require_ready(held)
        since = held.now - int((time.monotonic() - began) * 1e3) - MARGIN_MS
        return held.logs, since

    def _require_ready(self, held: Held) -> None:
        if held.mark.startswith(READY):
            return
        if held.mark.startswith(ADOPTING):
            raise Unavailable(f"what is newest in collection `{self._name}` is being noted: try again later")
        raise FailedPrecondition(
            f"the policy has `rollback: detect` for collection `{self._name}`, and nothing is remembered of its "
            f"records: `vecguard verify {self._name} --adopt` takes what is there as the newest"
        )

    # -- the life of a collection --------------------------------------------------------------------------------------

    async def is_known(self) -> bool:
        """Whether anything is remembered of the collection. Raises Unavailable."""
        return bool((await self._memory.read(await self.stamps(), ())).mark)

    async def open_empty(self) -> None:
        """Remember a collection that has no records yet. Raises Unavailable."""
        await self._memory.mark(await self.stamps(), new_mark(READY), empty=True)

    @contextlib.asynccontextmanager
    async def emptied(self) -> AsyncIterator[None]:
        """While the block has the database take all records away nobody can use the collection; then it has none. What
        was remembered of them stays where the block fails.

        Raises:
            FailedPrecondition, Unavailable: see `begin`.
        """
        stamps = await self.stamps()
        self._require_ready(await self._memory.read(stamps, ()))
        await self._memory.mark(stamps, new_mark(ADOPTING), empty=False)
        gone = False
        try:
            yield
            gone = True
        finally:
            await self._memory.mark(stamps, new_mark(READY), empty=gone)

    async def forget(self) -> None:
        """Forget all of a collection. Raises Unavailable."""
        await self._memory.mark(await self.stamps(), b"", empty=True)

    async def adopt(self) -> Adoption:
        """Begin to take what is there as the newest. Until that ends, nobody can use the collection.

        Raises:
            Unavailable: the memory is away.
        """
        stamps, mark = await self.stamps(), new_mark(ADOPTING)
        await self._memory.mark(stamps, mark, empty=True)
        return Adoption(self._memory, stamps, mark)

    async def count(self) -> int:
        """How many records there should be.

        What is left of others is forgotten here: who deleted them may have ended before they were forgotten.

        Raises:
            Unavailable: the memory is away.
        """
        stamps, there = await self.stamps(), set[bytes]()
        after: bytes | None = b""
        while after is not None:
            names, after = await self._memory.names(stamps, after)
            held = await tidied(self._memory, stamps, names)
            there.update(name for name, text in zip(names, held.logs, strict=True) if log.is_of_one(text))
        return len(there)


@dataclass(frozen=True, slots=True)
class Adoption:
    """Taking what is there as the newest."""

    memory: Memory
    stamps: Stamps
    mark: bytes

    async def take(self, records: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        """Take records, by id, as they are: the stamps of their parts by path. Raises Unavailable."""
        logs = {self.stamps.name(record): log.settled(leaves) for record, leaves in records.items()}
        await self.memory.put(self.stamps, self.mark, logs)

    async def end(self) -> None:
        """All were taken: the collection can be used. Raises Unavailable."""
        await self.memory.put(self.stamps, self.mark, {})  # refused where somebody else began anew
        await self.memory.mark(self.stamps, new_mark(READY), empty=False)
