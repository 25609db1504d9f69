"""Deleting records that are too old to be kept: collection by collection, with an event for each that lost some.

No answer shows such records from the moment on that they are too old, so when they are deleted is a matter of space,
and of what a thief of the database would find.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from vecguard.catalog import Catalog
from vecguard.errors import VecGuardError
from vecguard.model import Caller
from vecguard.policy.model import Policy
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield

_CALLER: Final = Caller()
_log = structlog.get_logger("vecguard")


class Delete(Protocol):
    """Deletes what is too old in one collection; `vecguard.front.base.Sweep` for one database."""

    async def __call__(self, name: str, shield: Shield, rule: RetentionRule, now: float, *, dry_run: bool) -> int:
        """How many records these are."""


class Tell(Protocol):
    """Takes an event for the trail."""

    def __call__(self, event: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did to one collection: how many records were too old, or why it could not be told."""

    collection: str
    after: str
    expired: int
    failure: str = ""


class Sweeper:
    """Sweeps all collections of one database."""

    def __init__(
        self,
        names: Callable[[Caller], Awaitable[Sequence[str]]],
        delete: Delete,
        catalog: Catalog,
        policy: Callable[[], Policy],
        tell: Tell,
    ) -> None:
        """`names` lists all collections; `delete` works on one; `tell` takes events for the trail."""
        self._names = names
        self._delete = delete
        self._catalog = catalog
        self._policy = policy
        self._tell = tell

    async def once(self, *, dry_run: bool = False) -> list[Swept]:
        """Look at every collection whose policy entry has a retention, and delete what is too old.

        A collection that cannot be swept is reported and left for the next time.

        Raises:
            UpstreamFailure: the database cannot be asked for its collections.
        """
        rules, swept = self._policy(), []
        if all(entry.kept is None for entry in rules.collections):
            return []
        for name in await self._names(_CALLER):
            entry = rules.collection(name)
            if entry is not None and entry.kept is not None:
                swept.append(await self._sweep(name, entry.kept, dry_run=dry_run))
        return swept

    async def _sweep(self, name: str, rule: RetentionRule, *, dry_run: bool) -> Swept:
        try:
            known = await self._catalog.get(name, _CALLER)
            if known.shield is None:
                return Swept(name, rule.after, 0)
            expired = await self._delete(name, known.shield, rule, time.time(), dry_run=dry_run)
        except VecGuardError as failure:
            self._tell("retention", collection=name, after=rule.after, expired=0, status=failure.status)
            return Swept(name, rule.after, 0, str(failure))
        if expired and not dry_run:
            self._tell("retention", collection=name, after=rule.after, expired=expired, status="OK")
        return Swept(name, rule.after, expired)

    async def run(self, interval_s: float) -> None:
        """Sweep for good, with so many seconds between the end of one sweep and the next."""
        while True:
            try:
                for swept in await self.once():
                    if swept.failure:
                        _log.warning("collection not swept", collection=swept.collection, reason=swept.failure)
            except VecGuardError as failure:
                _log.warning("no sweep", reason=str(failure))
            await asyncio.sleep(interval_s)
