"""The trail's event of one call."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from vecguard.errors import (
    Blocked,
    Denied,
    LimitExceeded,
    Unauthenticated,
    Unavailable,
    Unreadable,
    UpstreamFailure,
    VecGuardError,
)
from vecguard.model import Principal
from vecguard.session import Session
from vecguard.stages import Clock

# Whose doing a failure is: what an operator has to look at.
_CAUSES: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((Unreadable,), "integrity"),
    ((UpstreamFailure,), "upstream"),
    ((Blocked,), "blocked"),
    ((Denied, LimitExceeded, Unauthenticated), "policy"),
    ((Unavailable,), "unavailable"),
    ((VecGuardError,), "request"),
)


class CallRecord:
    """What the trail is told of one call: filled while it runs, and written when it is over."""

    def __init__(self, rpc: str, protocol: str, request: str, clock: Clock) -> None:
        """`request` is the call's id."""
        self.clock = clock
        self.principal: Principal | None = None
        self.session: Session | None = None
        self.status, self.cause = "OK", ""
        self._call = {"rpc": rpc, "protocol": protocol, "request_id": request}

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
            "ms": round((time.monotonic() - self.clock.started) * 1e3, 3),
        }
        if self.session is not None:
            fields.update(self.session.reranking)
            if self.session.excluded and not self.cause:
                fields["dropped"] = sum(map(len, self.session.excluded.values()))
        if self.cause:
            fields["cause"] = self.cause
        if self.clock.seconds:
            fields["stages"] = self.clock.milliseconds
        return fields
