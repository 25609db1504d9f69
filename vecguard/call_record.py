"""The trail's event of one call."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol, Self

from vecguard.errors import (
    Blocked,
    Denied,
    LimitExceeded,
    Suspended,
    Unauthenticated,
    Unavailable,
    Unreadable,
    UpstreamFailure,
    VecGuardError,
)
from vecguard.model import Principal
from vecguard.policy.detection import RUNGS
from vecguard.session import Session
from vecguard.stages import Clock, in_milliseconds

# Whose doing a failure is: what an operator has to look at.
_CAUSES: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((Unreadable,), "integrity"),
    ((UpstreamFailure,), "upstream"),
    ((Blocked,), "blocked"),
    ((Suspended,), "detection"),
    ((Denied, LimitExceeded, Unauthenticated), "policy"),
    ((Unavailable,), "unavailable"),
    ((VecGuardError,), "request"),
)


class Trail(Protocol):
    """Takes one structured event a call: no vectors, no payload, no keys."""

    def __call__(self, event: str, **fields: object) -> None: ...


class CallRecord:
    """What the trail is told of one call: filled while its block (`with record:`) runs, and written when that ends."""

    def __init__(self, trail: Trail, rpc: str, protocol: str, request: str, clock: Clock) -> None:
        """`request` is the call's id."""
        self._trail = trail
        self.clock = clock
        self.principal: Principal | None = None
        self.session: Session | None = None
        self.status, self.cause = "OK", ""
        self.request = request
        self._call = {"rpc": rpc, "protocol": protocol, "request_id": request}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.failed(error)
        self.tell()

    def tell(self) -> None:
        """Write the event."""
        self._trail("call", **self.fields)

    def failed(self, error: BaseException) -> None:
        """The call ends with `error`."""
        if isinstance(error, asyncio.CancelledError):
            self.status, self.cause = "CANCELLED", "client"
            return
        self.status = getattr(error, "status", "INTERNAL")  # a listener's own refusals have one too
        self.cause = next((cause for kinds, cause in _CAUSES if isinstance(error, kinds)), "internal")

    @property
    def fields(self) -> dict[str, object]:
        """The event's fields. `cause` is there where the call failed, `stages` (in ms) where any ran."""
        fields: dict[str, object] = {
            **self._call,
            "principal": self.principal.name if self.principal else None,
            "collections": sorted(self.session.collections) if self.session else [],
            "status": self.status,
            "ms": in_milliseconds(monotonic() - self.clock.started),
        }
        if self.session is not None:
            fields.update(self.session.reranking)
            if self.session.excluded and not self.cause:
                fields["dropped"] = sum(map(len, self.session.excluded.values()))
            if self.session.canaries and (met := sum(map(len, self.session.canaries.values()))):
                fields["canaries"] = met
            fields.update(_held_back(self.session))
        if self.cause:
            fields["cause"] = self.cause
        if self.clock.seconds:
            fields["stages"] = self.clock.milliseconds
        return fields


def _held_back(session: Session) -> dict[str, object]:
    """The rung of detection's ladder that the call was on, or would have been where the policy only observes."""
    rungs = [restraint for restraint in session.restraints.values() if restraint.rung is not None]
    if not rungs:
        return {}
    highest = max(rungs, key=lambda restraint: RUNGS.index(restraint.rung))
    return {"rung": highest.rung, "enforced": any(restraint.enforced for restraint in rungs)}
