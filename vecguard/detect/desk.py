"""What an operator does about a principal: acknowledge its alerts, pardon it, or pin its risk; and the list of all.

Acts are values, so that the control plane can carry them to the workers that remember the principal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from vecguard.detect.store import Key, Profile, Store
from vecguard.detect.usual import is_caller
from vecguard.errors import InvalidArgument

MOST_RISK: Final = 1e6


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Somebody knows: no more alerts on this principal until `until`, in seconds since 1970. Its answers stay."""

    until: float


@dataclass(frozen=True, slots=True)
class Pardon:
    """It was nothing, or is settled: risk, evidence, block and pin are forgotten, and so is what detectors remember."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The risk is `risk` whatever is found, 0 for a principal that is trusted; None: it is what is found again."""

    risk: float | None

    def __post_init__(self) -> None:
        if self.risk is not None and not 0 <= self.risk <= MOST_RISK:
            raise InvalidArgument(f"a risk is 0 to {MOST_RISK:g}")


Act: TypeAlias = Acknowledge | Pardon | Pin


def applied(profile: Profile, act: Act) -> None:
    """Change a profile as an operator wants it."""
    if isinstance(act, Acknowledge):
        profile.acknowledged = act.until
    elif isinstance(act, Pin):
        profile.pinned = act.risk
        if act.risk is not None:
            profile.blocked_until = 0.0
    else:
        profile.states.clear()
        profile.evidence.clear()
        profile.risk, profile.blocked_until, profile.rung, profile.pinned = 0.0, 0.0, "", None


class Desk:
    """Acts on what a store remembers; the verdicts of this process follow at once."""

    def __init__(self, store: Store, publish: Callable[[Key, Profile], None], tell: Callable[..., None]) -> None:
        """`publish` takes a profile as it is now; `tell` the event `operator`, which says who did what."""
        self._store, self._publish, self._tell = store, publish, tell

    async def do(self, key: Key, act: Act, operator: str) -> Profile:
        """Carry out an act; the profile as it is then.

        Raises:
            Unavailable: the store cannot be reached.
        """
        profile = await self._store.change(key, lambda found: applied(found, act))
        self._publish(key, profile)
        what: dict[str, float | None] = {}
        if isinstance(act, Acknowledge):
            what = {"until": act.until}
        elif isinstance(act, Pin):
            what = {"pinned": act.risk}
        by = {"act": type(act).__name__.lower(), "operator": operator, "principal": key[0], "collection": key[1]}
        self._tell("operator", **by, **what)
        return profile

    async def principals(self) -> list[tuple[Key, Profile]]:
        """All principals that are remembered, the highest risk first.

        Raises:
            Unavailable: the store cannot be reached.
        """
        keys = await self._store.keys()
        known = zip(keys, await self._store.look(keys), strict=True)
        found = [(key, one) for key, one in known if one is not None and is_caller(key, one)]
        return sorted(found, key=lambda pair: -pair[1].risk_at(pair[1].at))
