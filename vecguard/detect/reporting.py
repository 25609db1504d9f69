"""What a worker that remembers principals by itself tells the control plane of them, and takes from it.

A task beside the calls: what changed is told within a second or two, as fast as the control plane takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from vecguard.detect.acts import Acts
from vecguard.detect.codec import pack_head
from vecguard.detect.desk import Act, applied
from vecguard.detect.store import Profile, Store
from vecguard.detect.verdicts import Verdicts

PAUSE_S: Final = 1.0
_MOST_A_TURN: Final = 200
_log = structlog.get_logger("vecguard.detect")


class Reporting:
    """One worker's part. `send` takes a profile's head to the control plane, and says whether it was taken."""

    def __init__(self, store: Store, verdicts: Verdicts, acts: Acts, send: Callable[[str], bool]) -> None:
        self._store, self._verdicts, self._acts, self._send = store, verdicts, acts, send
        self._number = 0

    async def act(self) -> None:
        """Carry out what an operator told since the last time."""
        self._number, acts = self._acts.after(self._number)
        for key, act in acts:
            profile = await self._store.change(key, partial(_apply, act))
            self._verdicts.publish(key, profile)

    async def report(self) -> None:
        """Tell what changed; what is not taken now waits."""
        keys = self._verdicts.changed(_MOST_A_TURN)
        for position, (key, profile) in enumerate(zip(keys, await self._store.look(keys), strict=True)):
            if profile is not None and not self._send(pack_head(key, profile).decode()):
                self._verdicts.again(keys[position:])
                return

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.act()
                await self.report()
            except Exception:  # noqa: BLE001 - a bug: told, and operators are still heard and told of others
                _log.exception("risks not told")
            await asyncio.sleep(PAUSE_S)


def _apply(act: Act, profile: Profile) -> None:
    applied(profile, act)
