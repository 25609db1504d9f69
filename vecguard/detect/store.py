"""Where what is remembered of principals lives: in this process, or shared by workers and replicas.

A profile is all that is remembered of one principal on one collection. It is small and bounded, so a shared store keeps
it as one value that is read, changed and compared-and-swapped a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vecguard.detect.detector import Evidence, State
from vecguard.detect.risk import decayed
from vecguard.detect.trend import Trend

Key = tuple[str, str]
"""Principal and collection."""
TREND_LENGTH: Final = 24
"""How many points of a risk's course are kept."""


@dataclass(slots=True)
class Profile:
    """What is remembered of one principal on one collection.

    `risk` as of `at` (seconds since 1970; it decays); `evidence` is the latest of each detector whose level is above 0;
    `pinned` is a risk that an operator set for good; `acknowledged` the time up to which alerts are acknowledged;
    `blocked_until` in seconds since 1970.
    """

    states: dict[str, State] = field(default_factory=dict)
    risk: float = 0.0
    at: float = 0.0
    rung: str = ""
    evidence: dict[str, Evidence] = field(default_factory=dict)
    trend: Trend = field(default_factory=Trend)
    pinned: float | None = None
    acknowledged: float = 0.0
    blocked_until: float = 0.0

    def risk_at(self, now: float) -> float:
        """The risk that counts at `now`, in seconds since 1970."""
        return decayed(self.risk, now - self.at) if self.pinned is None else self.pinned


@dataclass(frozen=True, slots=True)
class Spend:
    """A draw on an exact token bucket: `capacity` tokens, that fill up again evenly within `period_s` seconds."""

    bucket: str
    capacity: int
    period_s: int
    amount: int


class Store(Protocol):
    """A state store. Methods are coroutines' business of the analyst, never of the hot path, but for `verdicts`.

    All raise Unavailable where the store cannot be reached; what follows from that is the policy's to say.
    """

    async def change(self, key: Key, change: Callable[[Profile], None]) -> Profile:
        """Read, change and write one profile, as one step; the profile as written."""

    async def look(self, keys: Sequence[Key]) -> list[Profile | None]:
        """Profiles as they are; the detectors' states may be left out."""

    async def keys(self) -> list[Key]:
        """All principals and collections that are remembered."""

    async def spend(self, key: Key, spends: Sequence[Spend]) -> list[float]:
        """Draw on buckets, all or none: seconds until each could be drawn on; all 0.0 where they were."""

    async def count_distinct(self, key: Key, sketch: str, period_s: int, hashes: Sequence[int], most: int) -> int:
        """How many distinct values there are in this period with these hashes; they are added if it is `most` or less.

        Exact. Periods begin at multiples of `period_s` since 1970.
        """

    async def close(self) -> None:
        """Give connections back."""
