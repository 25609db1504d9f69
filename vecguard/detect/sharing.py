"""Keeps a process' verdicts up to date with a shared store: what other workers and replicas found, and operators said.

A task beside the calls asks every `AGE_S` for what changed since. While the store is away under `fail: closed`,
verdicts that are older than `STALE_S` are not gone by: calls on collections that enforce are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from vecguard.detect.failover import LocalWhileAway
from vecguard.detect.redis import RedisStore
from vecguard.detect.store import Store
from vecguard.detect.verdicts import Verdicts
from vecguard.errors import Unavailable
from vecguard.keys.key import Key
from vecguard.state.connection import Connection
from vecguard.state.sealing import StateKey

AGE_S: Final = 1.0
"""How old a verdict may be that another process changed, while the store answers."""
STALE_S: Final = 3.0
"""How long verdicts are gone by without the store's word under `fail: closed`."""


class Sharing:
    """One process' part in a shared store. `store` is what its analyst and budgets use."""

    def __init__(
        self,
        connection: Connection,
        shared: RedisStore,
        local: LocalWhileAway | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`local` is what goes on while the store is away; None: nothing does."""
        self._connection, self._shared, self._local, self._clock = connection, shared, local, clock
        self.store: Store = shared if local is None else local
        self._since, self._epoch, self._read_at = 0, -1, -STALE_S
        self._state_key: StateKey | None = None
        self.clear_key: Key | None = None
        """The key of sketches of collections in clear, the same in all processes; None until the store has answered."""
        self._back = asyncio.Event()
        connection.returned = self._back.set

    def require_current(self) -> None:
        """Go on only if verdicts are not too old. Raises Unavailable: they are."""
        if self._local is None and self._clock() - self._read_at > STALE_S:
            raise Unavailable("what detection knows of this caller cannot be read now: try again in a moment")

    async def read(self, verdicts: Verdicts) -> None:
        """Publish what changed since it was last read. Raises Unavailable."""
        state_key = await self._connection.key()
        if state_key is not self._state_key:
            self._state_key, self.clear_key = state_key, state_key.subkey("clear")
        if self._epoch != self._connection.epoch:
            self._since, self._epoch = 0, self._connection.epoch
        began = self._clock()
        self._since, changed = await self._shared.changed(self._since)
        for key, profile in changed:
            verdicts.publish(key, profile)
            if self._local is not None:
                self._local.know(key, profile)
        self._read_at = began

    async def run(self, verdicts: Verdicts) -> None:
        """Read again and again, until cancelled."""
        while True:
            back = self._back.is_set()
            self._back.clear()
            with contextlib.suppress(Unavailable):
                if back and self._local is not None:
                    await self._local.returned()
                await self.read(verdicts)
            await self._connection.renew()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGE_S):
                    await self._back.wait()
