"""The memory in the store of shared state: one hash a collection, its changes by scripts that run as one step each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from vecguard.errors import Unavailable
from vecguard.fresh.log import EMPTY
from vecguard.fresh.memory import Held
from vecguard.fresh.stamps import StampCache, Stamps
from vecguard.fresh.tidy import Tidier
from vecguard.state.connection import Argument, Connection
from vecguard.state.scripts import LOG_BEGIN, LOG_MARK, LOG_NAMES, LOG_PUT, LOG_SWAP, LOGS
from vecguard.state.sealing import StateKey

_AT_ONCE: Final = 500
"""Records in one script: the store does nothing else while one runs."""
_FIRST: Final = b"0"
"""The cursor that the store begins with, and ends with."""
Item = TypeVar("Item")
_CHANGED: Final = "what is newest was being noted, or its store was emptied, meanwhile: try again"


class RedisMemory:
    """See `vecguard.fresh.memory.Memory`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.tidier = Tidier(self)
        self._stamps = StampCache()

    async def stamps(self, collection: bytes) -> Stamps:
        """See `Memory`."""
        return self._stamps.of(await self._connection.key(), collection)

    async def read(self, stamps: Stamps, names: Sequence[bytes]) -> Held:
        """See `Memory`."""
        mark, now, logs = await self._run(LOGS, stamps, names[:_AT_ONCE])
        for more in _some(names[_AT_ONCE:]) if len(names) > _AT_ONCE else ():
            logs += (await self._run(LOGS, stamps, more))[2]
        return Held(mark, logs, now)

    async def begin(self, stamps: Stamps, writes: Mapping[bytes, tuple[bytes, bytes]]) -> Held:
        """See `Memory`."""
        held, logs = Held(b"", (), 0), list[bytes]()
        for some in _some(list(writes.items())):
            listed = [part for name, (number, body) in some for part in (name, number, body)]
            mark, now, found = await self._run(LOG_BEGIN, stamps, [EMPTY, *listed])
            logs += found
            if held.mark not in (b"", mark):
                raise Unavailable(_CHANGED)
            held = Held(mark, logs, now)
        return held

    async def swap(
        self, stamps: Stamps, mark: bytes, changes: Mapping[bytes, tuple[bytes, bytes]]
    ) -> dict[bytes, bytes]:
        """See `Memory`."""
        others: dict[bytes, bytes] = {}
        for some in _some(list(changes.items())):
            listed = [part for name, texts in some for part in (name, *texts)]
            found = await self._run(LOG_SWAP, stamps, [mark, *listed])
            others.update(zip(found[::2], found[1::2], strict=True))
        return others

    async def put(self, stamps: Stamps, mark: bytes, logs: Mapping[bytes, bytes]) -> None:
        """See `Memory`."""
        for some in _some(list(logs.items())):
            await self._run(LOG_PUT, stamps, [mark, *(part for pair in some for part in pair)])

    async def mark(self, stamps: Stamps, mark: bytes, *, empty: bool) -> None:
        """See `Memory`."""
        await self._run(LOG_MARK, stamps, [mark, int(empty)])

    async def names(self, stamps: Stamps, after: bytes) -> tuple[list[bytes], bytes | None]:
        """See `Memory`; in the store's order, with its cursor."""
        cursor, names = await self._run(LOG_NAMES, stamps, [after or _FIRST, _AT_ONCE])
        return [name for name in names if name], None if cursor == _FIRST else cursor

    async def close(self) -> None:
        """See `Memory`: the connection is not its own."""
        self.tidier.close()

    async def _run(self, script: str, stamps: Stamps, arguments: Sequence[Argument]) -> Any:
        def ask(key: StateKey) -> tuple[list[str], list[Argument]]:
            if key.identity != stamps.identity:  # names and stamps are of a key that the store has no more
                raise Unavailable(_CHANGED)
            return [f"f:{stamps.place.hex()}"], list(arguments)

        found = await self._connection.run(script, ask)
        if found is None:
            raise Unavailable(_CHANGED)
        return found


def _some(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Pieces of a list; one that is empty of an empty one, so that the store is asked at all."""
    for start in range(0, len(items) or 1, _AT_ONCE):
        yield items[start : start + _AT_ONCE]
