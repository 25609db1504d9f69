"""Taking out of logs what went long ago, a while after each write: it was kept for reads that were under way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from vecguard.errors import Unavailable
from vecguard.fresh import log
from vecguard.fresh.stamps import Stamps

if TYPE_CHECKING:
    from vecguard.fresh.memory import Held, Memory

PAUSE_S: Final = 5.0
_MOST: Final = 100_000
"""Logs that wait; of more, the next write of the record takes out what went."""


class Tidier:
    """Tidies the logs that this process has changed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._due: dict[tuple[Stamps, bytes], float] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, stamps: Stamps, names: Iterable[bytes]) -> None:
        """Tidy these logs once nobody needs what went."""
        due = time.monotonic() + log.KEEP_MS / 1e3
        for name in names:
            if len(self._due) < _MOST:
                self._due[stamps, name] = due
        if self._due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._due:
            await asyncio.sleep(PAUSE_S)
            now = time.monotonic()
            ready = [place for place, due in self._due.items() if due <= now]
            by_stamps: dict[Stamps, list[bytes]] = {}
            for stamps, name in ready:
                del self._due[stamps, name]
                by_stamps.setdefault(stamps, []).append(name)
            for stamps, names in by_stamps.items():
                with contextlib.suppress(Unavailable):
                    await tidied(self._memory, stamps, names)

    def close(self) -> None:
        """Leave the rest to the next writes."""
        if self._task is not None:
            self._task.cancel()


async def tidied(memory: Memory, stamps: Stamps, names: list[bytes]) -> Held:
    """Take out of some logs what went long ago; the logs as they were. Raises Unavailable."""
    held = await memory.read(stamps, names)
    texts = {name: (text, log.tidied(text, held.now)) for name, text in zip(names, held.logs, strict=True)}
    changes = {name: pair for name, pair in texts.items() if pair[0] != pair[1]}
    if changes:
        await memory.swap(stamps, held.mark, changes)
    return held
