"""The queue between calls and analysis: calls put references, and never lose one; where it is full they wait.

What waits is bounded by number and by bytes. Calls that are being served may still put theirs when it is full (at most
`max_calls` a listener, `max_inflight_mib` together); new ones wait for room before they begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

from vecguard.detect.observation import Observation

MOST_WAITING: Final = 8_192
MOST_BYTES: Final = 64 * 1024 * 1024
_CROWDED: Final = 1 / 8


class Seen(NamedTuple):
    """A served call that was not looked at yet: `read` makes its observations; `size` in bytes."""

    read: Callable[[], list[Observation]]
    size: int


class Intake:
    """Served calls that wait for analysis, in order."""

    def __init__(
        self, most: int = MOST_WAITING, most_bytes: int = MOST_BYTES, waited: Callable[[], None] = lambda: None
    ) -> None:
        """`waited` counts calls that had to wait for room."""
        self._most, self._most_bytes = most, most_bytes
        self._waiting: list[Seen] = []
        self._bytes = 0
        self._some, self._room, self._filled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._waited = waited

    def put(self, read: Callable[[], list[Observation]], size: int) -> None:
        """Add a served call; never waits."""
        self._waiting.append(Seen(read, size))
        self._bytes += size
        if len(self._waiting) == 1:
            self._some.set()
        if self.full:
            self._filled.set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether new calls have to wait."""
        return len(self._waiting) >= self._most or self._bytes >= self._most_bytes

    @property
    def crowded(self) -> bool:
        """Whether so much waits that analysis has to hurry."""
        return len(self._waiting) >= _CROWDED * self._most or self._bytes >= _CROWDED * self._most_bytes

    async def room(self) -> None:
        """Wait until there is room again."""
        if self.full:
            self._waited()
        while self.full:
            self._room.clear()
            await self._room.wait()

    async def some(self) -> None:
        """Wait until there is something to take."""
        await self._some.wait()

    def wake(self) -> None:
        """Let whoever waits for something go on, though there may be nothing."""
        self._some.set()
        self._filled.set()

    async def gathered(self, seconds: float) -> None:
        """Wait for more to come: for so long, or until there is no room for more, or `wake`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._filled.wait(), seconds)

    def take(self) -> list[Seen]:
        """Everything that waits, oldest first."""
        taken, self._waiting, self._bytes = self._waiting, [], 0
        self._some.clear()
        self._filled.clear()
        self._room.set()
        return taken
