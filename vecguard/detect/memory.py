"""What is remembered of principals, in this process: bounded by bytes, the one that was away longest forgotten first.

Forgetting has two steps, so that nobody clears a high risk by opening many accounts: first the detectors' states of a
profile go, which are nearly all of it, while its risk, block and pin stay; only after `most_profiles` others goes that.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from vecguard.access.rates import Bucket
from vecguard.detect.packed import Packed, pack, unpack
from vecguard.detect.store import Key, Profile, Spend

MOST_BYTES: Final = 512 * 1024 * 1024
MOST_PROFILES: Final = 100_000
# What Python keeps around the numbers, as tracemalloc sees it, rounded up (`python -m benchmarks.detection_cost`).
PROFILE_BYTES: Final = 1_024
_STATE_BYTES: Final = 120
_ARRAY_BYTES: Final = 136
_TREND_BYTES: Final = 16
_EVIDENCE_BYTES: Final = 240
# Profiles whose states are kept as arrays; those of principals that were away for longer are packed.
_MOST_WARM: Final = 256
_MOST_BUCKETS: Final = 50_000


def bytes_of(profile: Profile, packed: Packed | None = None) -> int:
    """About how many bytes of memory a profile takes, with its states as arrays, or `packed`."""
    evidence = sum(_EVIDENCE_BYTES + len(found.reason) for found in profile.evidence.values())
    around = PROFILE_BYTES + _TREND_BYTES * len(profile.trend) + evidence
    if packed is not None:
        return around + _ARRAY_BYTES + len(packed.data)
    arrays = [array for state in profile.states.values() for array in state.values()]
    return around + _STATE_BYTES * len(profile.states) + sum(_ARRAY_BYTES + array.nbytes for array in arrays)


class MemoryStore:
    """A `Store` in this process. What it holds ends with it."""

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        most_profiles: int = MOST_PROFILES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`most_bytes` bounds detectors' states; `most_profiles` the principals of which anything is remembered."""
        self._most_bytes, self._most_profiles = most_bytes, most_profiles
        self._clock = clock
        self._profiles: OrderedDict[Key, Profile] = OrderedDict()
        self._warm: OrderedDict[Key, None] = OrderedDict()
        self._packed: dict[Key, Packed] = {}
        self._bytes: OrderedDict[Key, int] = OrderedDict()
        self._used = 0
        self._buckets: OrderedDict[tuple[Key, str], Bucket] = OrderedDict()
        self._distinct: OrderedDict[tuple[Key, str], tuple[int, set[int]]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """Bytes that detectors' states take now, about."""
        return self._used

    async def change(self, key: Key, change: Callable[[Profile], None]) -> Profile:
        """See `Store`."""
        profile = self._profiles.pop(key, None) or Profile()
        self._profiles[key] = profile
        packed = self._packed.pop(key, None)
        if packed is not None:
            profile.states = unpack(packed)
        change(profile)
        self._keep(key, profile)
        return profile

    def _keep(self, key: Key, profile: Profile) -> None:
        """Count what a profile takes, pack what was not used lately, and forget what is too much."""
        self._count(key, bytes_of(profile) if profile.states else 0)
        self._warm.pop(key, None)
        self._warm[key] = None
        if len(self._warm) > _MOST_WARM:
            self._pack(self._warm.popitem(last=False)[0])
        while self._used > self._most_bytes and len(self._bytes) > 1:
            oldest = next(iter(self._bytes))
            self._count(oldest, 0)
            self._packed.pop(oldest, None)
            self._profiles[oldest].states.clear()
        if len(self._profiles) > self._most_profiles:
            gone = next((one for one, kept in self._profiles.items() if kept.pinned is None and one != key), None)
            if gone is not None:
                self.forget(gone)

    def _pack(self, key: Key) -> None:
        profile = self._profiles[key]
        if profile.states:
            packed = self._packed[key] = pack(profile.states)
            profile.states = {}
            self._count(key, bytes_of(profile, packed), again=False)

    def _count(self, key: Key, size: int, *, again: bool = True) -> None:
        """A profile takes `size` now; `again`: it was used, so it is the last to be forgotten."""
        self._used += size - self._bytes.get(key, 0)
        if again or not size:
            self._bytes.pop(key, None)
        if size:
            self._bytes[key] = size

    def forget(self, key: Key) -> None:
        """Remember nothing of a principal."""
        self._count(key, 0)
        self._profiles.pop(key, None)
        self._packed.pop(key, None)
        self._warm.pop(key, None)

    async def look(self, keys: Sequence[Key]) -> list[Profile | None]:
        """See `Store`; of principals that were away, without the detectors' states."""
        return [self._profiles.get(key) for key in keys]

    async def keys(self) -> list[Key]:
        """See `Store`."""
        return list(self._profiles)

    async def spend(self, key: Key, spends: Sequence[Spend]) -> list[float]:
        """See `Store`."""
        now = self._clock()
        waits, buckets = list[float](), list[Bucket]()
        for spend in spends:
            bucket = self._bucket(key, spend, now)
            rate = spend.capacity / spend.period_s
            lack = spend.amount - bucket.fill(rate, float(spend.capacity), now)
            waits.append(max(lack, 0.0) / rate)
            buckets.append(bucket)
        if not any(waits):
            for bucket, spend in zip(buckets, spends, strict=True):
                bucket.tokens -= spend.amount
        return waits

    def _bucket(self, key: Key, spend: Spend, now: float) -> Bucket:
        place = (key, spend.bucket)
        bucket = self._buckets.pop(place, None) or Bucket(float(spend.capacity), now)
        self._buckets[place] = bucket
        while len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket

    async def count_distinct(self, key: Key, sketch: str, period_s: int, hashes: Sequence[int], most: int) -> int:
        """See `Store`. Counted exactly, each in a period that begins at a multiple of `period_s` since 1970."""
        place, period = (key, sketch), int(self._clock() // period_s)
        began, known = self._distinct.pop(place, (period, set[int]()))
        if began != period:
            known = set()
        self._distinct[place] = (period, known)
        while len(self._distinct) > _MOST_BUCKETS:
            self._distinct.popitem(last=False)
        together = len(known.union(hashes))
        if together <= most:
            known.update(hashes)
        return together

    async def close(self) -> None:
        """Nothing to give back."""
