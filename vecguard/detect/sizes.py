"""About how many records a collection has: asked of the database beside the calls, now and then."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from vecguard.errors import VecGuardError

MAX_AGE_S: Final = 300.0
MIN_AGE_S: Final = 2.0
# Of the size that is known: when so many records were written since, it is asked anew.
_GROWN: Final = 0.1
_RETRY_S: Final = 30.0
PATIENCE_S: Final = 1.0
"""How long analysis waits for a database that does not answer, before it goes on without a size."""
_LONGEST_S: Final = 60.0
_MOST: Final = 10_000


class Sizes:
    """Numbers of records by collection; 0 where none is known (yet, or since the database does not tell)."""

    def __init__(self, count: Callable[[str], Awaitable[int]], clock: Callable[[], float] = time.monotonic) -> None:
        """`count` asks the database; it may raise any VecGuardError."""
        self._count, self._clock = count, clock
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._written: dict[str, int] = {}

    def of(self, collection: str) -> int:
        """What is known now; asks anew beside where that is old."""
        size, due = self._known.get(collection, (0, 0.0))
        if self._clock() >= due and collection not in self._asking:
            self._asking[collection] = asyncio.get_running_loop().create_task(self._ask(collection, size))
        return size

    def known(self, collection: str) -> int:
        """What is known now; nothing is asked."""
        return self._known.get(collection, (0, 0.0))[0]

    def wrote(self, collection: str, records: int) -> None:
        """Hear of written records. A collection that was asked while it was being filled would look small for long, and
        its readers like those of nearly all of it: after many writes it is asked anew."""
        size, due = self._known.get(collection, (0, 0.0))
        if collection not in self._known:
            return
        written = self._written[collection] = self._written.get(collection, 0) + records
        soon = self._clock() + MIN_AGE_S
        if written > _GROWN * size and due > soon:
            self._known[collection] = (size, soon)

    async def settled(self, collections: set[str]) -> None:
        """Wait a little for answers about collections of which nothing was known before."""
        first = [self._asking[name] for name in collections if name in self._asking and name not in self._known]
        if first:
            await asyncio.wait(first, timeout=PATIENCE_S)

    async def _ask(self, collection: str, size: int) -> None:
        self._written.pop(collection, None)
        try:
            async with asyncio.timeout(_LONGEST_S):
                found, due = await self._count(collection), MAX_AGE_S
        except (VecGuardError, TimeoutError):
            found, due = size, _RETRY_S
        finally:
            del self._asking[collection]
        self._known[collection] = (found, self._clock() + due)
        while len(self._known) > _MOST:
            gone, _ = self._known.popitem(last=False)
            self._written.pop(gone, None)

    async def close(self) -> None:
        """Ask no more."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
