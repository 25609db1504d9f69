"""Detection of one worker: what the calls of all its fronts share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from vecguard.detect.acts import Acts
from vecguard.detect.analyst import Analyst, Tell
from vecguard.detect.beside import Beside, Record
from vecguard.detect.desk import Desk
from vecguard.detect.intake import Intake
from vecguard.detect.linking import Linking
from vecguard.detect.pace import Pace
from vecguard.detect.reporting import Reporting
from vecguard.detect.sizes import Sizes
from vecguard.detect.store import Store
from vecguard.detect.usual import Usual
from vecguard.detect.verdicts import Verdicts
from vecguard.detect.watch import EVERYTHING, Observe, Shown, Watch
from vecguard.errors import Unavailable
from vecguard.keys.key import Key
from vecguard.policy.detection import DetectionRule
from vecguard.policy.model import Policy

if TYPE_CHECKING:  # needs the Redis client, which is an extra
    from vecguard.detect.sharing import Sharing


# How long a worker that ends waits for the analysis of what it has taken.
_PATIENCE_S: Final = 10.0


class Detection:
    """One queue, one analyst and one store, before which each front has a `Watch`."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        tell: Tell,
        *,
        record: Record | None = None,
        failed: Callable[[int], None] = lambda calls: None,
        waited: Callable[[], None] = lambda: None,
        sharing: Sharing | None = None,
    ) -> None:
        """`policy` gives the rules in force, `tell` takes events; `record` and `failed`: see `Beside`; `waited`: see
        `Intake`. `sharing` is this process' part in the store, where others have one, too."""
        self._policy, self._tell = policy, tell
        self.store, self.verdicts, self.intake = store, Verdicts(), Intake(waited=waited)
        pace = Pace(lambda: self.intake.crowded)
        usual = Usual(store)
        linking = Linking(store, self.verdicts.publish, tell, pace, usual)
        self.analyst = Analyst(store, self.verdicts, self._rule, tell, together=linking, pace=pace, usual=usual)
        self.desk = Desk(store, self.verdicts.publish, tell)
        self._sizes: list[Sizes] = []
        self._beside = Beside(self.intake, self.analyst, self._sizes, record, failed, pace)
        # Of collections in clear, which have no key: of this process, until a shared store gives one to all.
        self._own_key = Key.random()
        self._sharing = sharing
        self._reporting: Reporting | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def report(self, acts: Acts, send: Callable[[str], bool]) -> None:
        """Have what this process remembers by itself told to the control plane, and operators' acts taken from it."""
        self._reporting = Reporting(self.store, self.verdicts, acts, send)

    def _clear_key(self) -> Key:
        shared = None if self._sharing is None else self._sharing.clear_key
        return self._own_key if shared is None else shared

    def _require_current(self) -> None:
        if self._sharing is not None:
            self._sharing.require_current()

    def _rule(self, collection: str) -> DetectionRule | None:
        entry = self._policy().collection(collection)
        return None if entry is None else entry.detection

    def watch(
        self, observe: Observe, count: Callable[[str], Awaitable[int]], shown: Shown = lambda answer: EVERYTHING
    ) -> Watch:
        """What a front's pipeline asks and tells; `count` asks its database how many records a collection has."""
        sizes = Sizes(count)
        self._sizes.append(sizes)
        told = (self._tell, self._clear_key, self._require_current)
        return Watch(observe, self.intake, self.verdicts, self.store, sizes, *told, shown=shown)

    async def start(self) -> None:
        """Begin to look at what calls leave, with what the store knows already."""
        if self._sharing is not None:
            with contextlib.suppress(Unavailable):
                await self._sharing.read(self.verdicts)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._beside.run())]
        if self._sharing is not None:
            self._tasks.append(loop.create_task(self._sharing.run(self.verdicts)))
        elif self._reporting is not None:
            await self._reporting.act()
            self._tasks.append(loop.create_task(self._reporting.run()))

    async def close(self) -> None:
        """Look at what is left, and stop."""
        self._beside.stop()
        _, late = await asyncio.wait(self._tasks[:1], timeout=_PATIENCE_S) if self._tasks else ((), ())
        for task in (*late, *self._tasks[1:]):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks and not late:
            await self._beside.once()
        for sizes in self._sizes:
            await sizes.close()
        await self.store.close()
