"""What detection remembers of principals, and what an operator does about them: over a shared store, or the workers'.

Without a shared store each worker remembers by itself: they tell what changes, and look at a file for acts.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from vecguard.detect.acts import Acts
from vecguard.detect.codec import open_head
from vecguard.detect.desk import Acknowledge, Act, Pardon, Pin, applied
from vecguard.detect.store import Key, Profile
from vecguard.detect.usual import is_caller
from vecguard.errors import InvalidArgument, NotFound
from vecguard.v1 import admin_pb2 as v1

if TYPE_CHECKING:  # needs the Redis client, which is an extra
    from vecguard.detect.redis import RedisStore

_MOST_TEXT: Final = 1_000
_MOST: Final = 1_000
_DEFAULT: Final = 100
_DAY_S: Final = 86_400.0
_LONGEST_S: Final = 3_650 * _DAY_S
_MOST_TOLD: Final = 50_000


class Remembered(Protocol):
    """All that is remembered of principals. Methods raise Unavailable."""

    shared: bool

    async def everybody(self) -> list[tuple[Key, Profile]]:
        """Profiles without the detectors' states."""

    async def do(self, key: Key, act: Act) -> None:
        """Carry out an act, or have it carried out."""


class InStore:
    """What a shared store remembers."""

    shared = True

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def everybody(self) -> list[tuple[Key, Profile]]:
        """See `Remembered`."""
        return await self._store.everybody()

    async def do(self, key: Key, act: Act) -> None:
        """See `Remembered`."""
        await self._store.change(key, lambda profile: applied(profile, act))


class InWorkers:
    """What workers remember, each by itself, as far as they told."""

    shared = False

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._told: OrderedDict[tuple[int, Key], Profile] = OrderedDict()
        self._pids: dict[int, int] = {}

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take what a worker tells. Raises ValueError, TypeError, KeyError, Unreadable: it is nothing like that."""
        worker, pid = int(message["worker"]), int(message["pid"])
        key, profile = open_head(str(message["risk"]).encode())
        if self._pids.get(worker) != pid:  # it was started anew, and remembers nothing
            self._pids[worker] = pid
            for place in [place for place in self._told if place[0] == worker]:
                del self._told[place]
        self._told.pop((worker, key), None)
        self._told[worker, key] = profile
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)

    async def everybody(self) -> list[tuple[Key, Profile]]:
        """See `Remembered`. Of one that several workers remember, the highest risk."""
        now, highest = time.time(), dict[Key, Profile]()
        for (_, key), profile in self._told.items():
            if key not in highest or profile.risk_at(now) > highest[key].risk_at(now):
                highest[key] = profile
        return list(highest.items())

    async def do(self, key: Key, act: Act) -> None:
        """See `Remembered`."""
        self._acts.add(key, act)
        for profile in [profile for (_, other), profile in self._told.items() if other == key]:
            applied(profile, act)


class RiskService:
    """The RPCs on risks."""

    def __init__(self, remembered: Remembered, tell: Callable[..., object]) -> None:
        """`tell` takes the event `operator`, which says what was done about whom."""
        self._remembered, self._tell = remembered, tell

    async def list_risks(self, ask: v1.ListRisksRequest) -> v1.ListRisksResponse:
        """`ListRisks`. Raises InvalidArgument, Unavailable."""
        if ask.limit > _MOST or not math.isfinite(ask.least):
            raise InvalidArgument(f"`limit` is at most {_MOST}, and `least` a number")
        now = time.time()
        found = [
            (key, profile)
            for key, profile in await self._remembered.everybody()
            if ask.principal in ("", key[0])
            and ask.collection in ("", key[1])
            and profile.risk_at(now) >= ask.least
            and is_caller(key, profile)
        ]
        found.sort(key=lambda one: (-one[1].risk_at(now), one[0]))
        shown = [risk_of(key, profile, now) for key, profile in found[: ask.limit or _DEFAULT]]
        return v1.ListRisksResponse(risks=shown, found=len(found), shared=self._remembered.shared)

    async def acknowledge(self, ask: v1.AcknowledgeRequest) -> v1.ActResponse:
        """`Acknowledge`. Raises InvalidArgument, NotFound, Unavailable."""
        seconds = ask.duration.ToNanoseconds() / 1e9 if ask.HasField("duration") else _DAY_S
        if not 0 < seconds <= _LONGEST_S:
            raise InvalidArgument("`duration` is longer than nothing, and ten years at most")
        return await self._done(ask, Acknowledge(time.time() + seconds), seconds=seconds)

    async def pardon(self, ask: v1.PardonRequest) -> v1.ActResponse:
        """`Pardon`. Raises InvalidArgument, NotFound, Unavailable."""
        return await self._done(ask, Pardon())

    async def pin(self, ask: v1.PinRequest) -> v1.ActResponse:
        """`Pin`. Raises InvalidArgument, NotFound, Unavailable."""
        risk = ask.risk if ask.HasField("risk") else None
        if risk is not None and math.isnan(risk):
            raise InvalidArgument("`risk` is no number")
        return await self._done(ask, Pin(risk), risk=risk)

    async def _done(self, ask: Any, act: Act, **how: float | None) -> v1.ActResponse:
        """Carry an act out on one collection, or on all on which something is remembered of the principal."""
        if not ask.principal or max(len(ask.principal), len(ask.collection)) > _MOST_TEXT:
            raise InvalidArgument(f"`principal` is missing, or longer than {_MOST_TEXT} characters")
        keys = [(ask.principal, ask.collection)]
        if not ask.collection:
            keys = [key for key, _ in await self._remembered.everybody() if key[0] == ask.principal]
        if not keys:
            raise NotFound("nothing is remembered of that principal: name a collection")
        for key in keys:
            await self._remembered.do(key, act)
            self._tell("operator", act=type(act).__name__.lower(), principal=key[0], collection=key[1], **how)
        return v1.ActResponse(collections=sorted(collection for _, collection in keys))


def risk_of(key: Key, profile: Profile, now: float) -> v1.Risk:
    """What is told of a profile; `now` in seconds since 1970."""
    told = v1.Risk(principal=key[0], collection=key[1], risk=profile.risk_at(now), rung=profile.rung)
    told.time.CopyFrom(_stamp(profile.at))
    for one in sorted(profile.evidence.values(), key=lambda found: -found.level):
        told.evidence.add(detector=one.detector, level=one.level, reason=one.reason)
    for at, risk in profile.trend:
        told.trend.add(time=_stamp(at), risk=risk)
    if profile.pinned is not None:
        told.pinned = profile.pinned
    if profile.acknowledged > now:
        told.acknowledged_until.CopyFrom(_stamp(profile.acknowledged))
    if profile.blocked_until > now:
        told.blocked_until.CopyFrom(_stamp(profile.blocked_until))
    return told


def _stamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp
