"""A shared store, and what follows while it is away: everything fails, or this process goes on by what it knows.

What a process found and counted by itself is added to the shared store when that is back: the higher risk counts, and
what was spent is taken off the shared buckets, which may be in debt then. All of it is bounded: beyond the bounds what
cannot be charged later is refused, and of findings those of the principals that were away longest are given up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from vecguard.detect.memory import MemoryStore
from vecguard.detect.redis import RedisStore
from vecguard.detect.risk import decayed
from vecguard.detect.store import TREND_LENGTH, Key, Profile, Spend
from vecguard.detect.trend import Trend
from vecguard.errors import Unavailable

_MOST_KNOWN: Final = 100_000
_MOST_OWED: Final = 50_000


def joined(own: Profile, profile: Profile) -> None:
    """Add to a shared profile what one process found while it was by itself: of each finding, what weighs more."""
    at = max(profile.at, own.at)
    theirs, ours = decayed(profile.risk, at - profile.at), decayed(own.risk, at - own.at)
    if ours > theirs:
        profile.rung = own.rung
        profile.evidence.update(own.evidence)
        profile.trend = Trend(sorted({*profile.trend, *own.trend})[-TREND_LENGTH:])
    profile.risk, profile.at = max(theirs, ours), at
    profile.blocked_until = max(profile.blocked_until, own.blocked_until)
    for detector, state in own.states.items():
        profile.states.setdefault(detector, state)


class LocalWhileAway:
    """A `Store` that goes on in this process while the shared one is away."""

    def __init__(self, shared: RedisStore, own: MemoryStore) -> None:
        self._shared, self._own = shared, own
        self._known: OrderedDict[Key, Profile] = OrderedDict()
        self._touched: OrderedDict[Key, None] = OrderedDict()
        self._owed: dict[tuple[Key, str], Spend] = {}
        self._counted: dict[tuple[Key, str, int, int], set[int]] = {}
        self._returning = asyncio.Lock()

    def know(self, key: Key, profile: Profile) -> None:
        """Take the shared store's word on a principal, to begin from if that is away."""
        self._known.pop(key, None)
        self._known[key] = profile
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    async def change(self, key: Key, change: Callable[[Profile], None]) -> Profile:
        """See `Store`."""
        try:
            profile = await self._shared.change(key, change)
        except Unavailable:
            return await self._changed_here(key, change)
        self.know(key, profile)
        return profile

    async def _changed_here(self, key: Key, change: Callable[[Profile], None]) -> Profile:
        first = key not in self._touched
        self._touched[key] = None
        self._touched.move_to_end(key)
        while len(self._touched) > _MOST_KNOWN:
            self._own.forget(self._touched.popitem(last=False)[0])

        def begun(profile: Profile) -> None:
            if first:
                _begin(profile, self._known.get(key))
            change(profile)

        return await self._own.change(key, begun)

    async def look(self, keys: Sequence[Key]) -> list[Profile | None]:
        """See `Store`."""
        try:
            return await self._shared.look(keys)
        except Unavailable:
            own = await self._own.look(keys)
            return [self._known.get(key) if mine is None else mine for key, mine in zip(keys, own, strict=True)]

    async def keys(self) -> list[Key]:
        """See `Store`."""
        try:
            return await self._shared.keys()
        except Unavailable:
            return list({**dict.fromkeys(self._known), **dict.fromkeys(await self._own.keys())})

    async def spend(self, key: Key, spends: Sequence[Spend]) -> list[float]:
        """See `Store`. Buckets of this process are full when the shared store goes away.

        Raises:
            Unavailable: it is away, and so many buckets were drawn on that another could not be charged later.
        """
        try:
            return await self._shared.spend(key, spends)
        except Unavailable:
            if len(self._owed) + sum((key, spend.bucket) not in self._owed for spend in spends) > _MOST_OWED:
                raise
            waits = await self._own.spend(key, spends)
        if not any(waits):
            for spend in spends:
                owed = self._owed.get((key, spend.bucket))
                amount = spend.amount + (0 if owed is None else owed.amount)
                self._owed[key, spend.bucket] = replace(spend, amount=amount)
        return waits

    async def count_distinct(self, key: Key, sketch: str, period_s: int, hashes: Sequence[int], most: int) -> int:
        """See `Store`. Raises Unavailable as `spend` does."""
        place = (key, sketch, period_s, most)
        try:
            return await self._shared.count_distinct(key, sketch, period_s, hashes, most)
        except Unavailable:
            if place not in self._counted and len(self._counted) >= _MOST_OWED:
                raise
            together = await self._own.count_distinct(key, sketch, period_s, hashes, most)
        if together <= most:
            self._counted.setdefault(place, set()).update(hashes)
        return together

    async def returned(self) -> None:
        """The shared store is back: add to it what was found and spent here. What fails waits for the next time."""
        async with self._returning:
            with contextlib.suppress(Unavailable):
                await self._hand_over()

    async def _hand_over(self) -> None:
        for key in list(self._touched):
            own = await self._own.change(key, lambda profile: None)  # whole, with the detectors' states
            self.know(key, await self._shared.change(key, partial(joined, own)))
            self._own.forget(key)
            self._touched.pop(key, None)
        for (key, bucket), spend in list(self._owed.items()):
            await self._shared.owe(key, spend)
            del self._owed[key, bucket]
        for place, hashes in list(self._counted.items()):
            key, sketch, period_s, most = place
            await self._shared.count_distinct(key, sketch, period_s, sorted(hashes), most + len(hashes))
            del self._counted[place]

    async def close(self) -> None:
        """Give connections back."""
        await self._shared.close()


def _begin(profile: Profile, known: Profile | None) -> None:
    """Let a profile of this process begin where the shared one was last known to be; its detectors begin anew."""
    profile.states.clear()
    if known is None:
        return
    profile.risk, profile.at, profile.rung = known.risk, known.at, known.rung
    profile.evidence, profile.trend = dict(known.evidence), known.trend
    profile.pinned, profile.acknowledged = known.pinned, known.acknowledged
    profile.blocked_until = known.blocked_until
