"""What both fronts do about collections of which it is remembered which records are the newest."""

from __future__ import annotations

import contextlib

import structlog

from vecguard.errors import FailedPrecondition, Shredded, Unavailable, Unreadable, UpstreamFailure
from vecguard.fresh.guard import Guard
from vecguard.policy.model import CollectionPolicy
from vecguard.session import Session
from vecguard.shield import DenseShield, Shield

_log = structlog.get_logger("vecguard")


async def not_made(guard: Guard | None) -> None:
    """Forget a collection that was to be made, and was not."""
    if guard is not None:
        with contextlib.suppress(Unavailable):
            await guard.forget()


async def to_be_forgotten(name: str, policy: CollectionPolicy | None, session: Session) -> Guard | None:
    """What remembers a collection that is about to be deleted, where its policy asks for that; none for an alias, by
    which nothing is deleted.

    If it went on to be remembered, whoever puts all of it back behind the proxy would not be told. One whose manifest
    does not open can be deleted all the same: nothing of it is served.

    Raises:
        Unavailable: what remembers it, or the key provider, is away.
    """
    if policy is None or not policy.detects_rollback:
        return None
    try:
        entry = await session.catalog.get(name, session.caller)
    except (UpstreamFailure, Unreadable, FailedPrecondition, Shredded):
        return None
    shield = entry.shield
    if shield is None or shield.fresh is None or shield.manifest.collection != name:
        return None
    return shield.fresh if await shield.fresh.is_known() else None


async def forgotten(guard: Guard | None) -> None:
    """Forget a collection that was deleted."""
    if guard is not None:
        try:
            await guard.forget()
        except Unavailable:  # it was there a moment ago
            _log.warning("memory of what is newest not told of a deletion")


def require_recoverable(shield: Shield) -> None:
    """Refuse vectors of which an older one cannot be told from the newest.

    Raises:
        FailedPrecondition: nobody can recover a vector.
    """
    lost = [key for key, guard in shield.vectors.items() if isinstance(guard, DenseShield) and not guard.recoverable]
    if lost:
        raise FailedPrecondition(
            f"nobody can recover vector `{lost[0]}`, so an older one cannot be told from the newest"
        )
