"""How much each principal did lately: token buckets (RFC 2697's single rate, without colours) in this process.

A bucket fills steadily up to its burst. A call takes one token before it is served; its records are known only
afterwards, and may leave the bucket in debt, which the next call waits for. Where processes share a store, the buckets
lie there (`vecguard.access.shared_rates`).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vecguard.errors import RateExceeded
from vecguard.model import Allowance, Principal

# Principals with a rate whose buckets are kept; the one that was away longest goes first.
_REMEMBERED: Final = 10_000
_LONGEST_WAIT_S: Final = 3_600


@dataclass(slots=True)
class Bucket:
    """`tokens` as of `at` (monotonic seconds)."""

    tokens: float
    at: float

    def fill(self, rate: float, burst: float, now: float) -> float:
        """The tokens now."""
        self.tokens = min(self.tokens + (now - self.at) * rate, burst)
        self.at = now
        return self.tokens


class Rates(Protocol):
    """The buckets of all principals."""

    async def admit(self, principal: Principal, allowances: Sequence[Allowance]) -> None:
        """Take one call out of each of the principal's buckets.

        Raises:
            RateExceeded: one is empty; says when to come back. Nothing is taken then.
            Unavailable: the buckets cannot be reached.
        """

    async def charge(self, principal: Principal, allowances: Sequence[Allowance], records: int) -> None:
        """Take the records of a call that was served; buckets may go below nothing. Raises Unavailable."""


def refusal(principal: Principal, wait_s: float) -> RateExceeded:
    """What a principal is told who called too often."""
    seconds = min(max(math.ceil(wait_s), 1), _LONGEST_WAIT_S)
    return RateExceeded(f"`{principal.name}` called too often: try again in {seconds} s", seconds)


class LocalRates:
    """The buckets of all principals, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str, str, str], Bucket] = OrderedDict()

    async def admit(self, principal: Principal, allowances: Sequence[Allowance]) -> None:
        """See `Rates`."""
        now, taken, wait = self._clock(), list[Bucket](), 0.0
        for allowance in allowances:
            rate = allowance.rate
            if rate.calls_per_s is not None:
                bucket = self._bucket(principal, allowance, "calls", rate.burst_calls, now)
                wait = max(wait, (1.0 - bucket.fill(rate.calls_per_s, rate.burst_calls, now)) / rate.calls_per_s)
                taken.append(bucket)
            if rate.records_per_s is not None:
                bucket = self._bucket(principal, allowance, "records", rate.burst_records, now)
                wait = max(wait, -bucket.fill(rate.records_per_s, rate.burst_records, now) / rate.records_per_s)
        if wait > 0:
            raise refusal(principal, wait)
        for bucket in taken:
            bucket.tokens -= 1

    async def charge(self, principal: Principal, allowances: Sequence[Allowance], records: int) -> None:
        """See `Rates`."""
        if not records:
            return
        now = self._clock()
        for allowance in allowances:
            rate = allowance.rate
            if rate.records_per_s is not None:
                bucket = self._bucket(principal, allowance, "records", rate.burst_records, now)
                bucket.fill(rate.records_per_s, rate.burst_records, now)
                bucket.tokens -= records

    def _bucket(self, principal: Principal, allowance: Allowance, what: str, burst: int, now: float) -> Bucket:
        place = (principal.kind, principal.name, allowance.role, what)
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = Bucket(float(burst), now)
            while len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(place)
        return bucket
