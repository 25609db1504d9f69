"""The beginning and the end of collections with `rollback: detect`, as the memory of what is newest is told of them."""

from __future__ import annotations

import contextlib

import structlog
from qdrant_client import grpc as q

from vecguard.errors import FailedPrecondition, InvalidArgument, Shredded, Unavailable, Unreadable, UpstreamFailure
from vecguard.fresh.guard import Guard
from vecguard.manifest import Manifest
from vecguard.policy.model import CollectionPolicy
from vecguard.session import Session

_log = structlog.get_logger("vecguard")
# The database says so without having made the collection.
_NOT_MADE = frozenset({"INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "PERMISSION_DENIED"})


async def newest_from_now(
    ask: q.CreateCollection, session: Session, manifest: Manifest, policy: CollectionPolicy
) -> Guard | None:
    """Remember a collection that is about to be made, if its policy asks for that.

    Raises:
        InvalidArgument: its replicas may answer with what is not the newest.
        FailedPrecondition: there is nothing to remember it in.
        Unavailable: that is away.
    """
    guard = session.catalog.guard(manifest, policy)
    if guard is not None:
        require_one_truth(
            ask.replication_factor, ask.write_consistency_factor, ask.sharding_method, f"{policy.name}.integrity"
        )
        await guard.open_empty()
    return guard


def require_one_truth(replicas: int, acknowledging: int, sharding: int, place: str) -> None:
    """Refuse what lets one id mean several records: replicas that lag behind what was acknowledged, shards by key.

    Raises:
        InvalidArgument: there are such; `place` says what forbids them.
    """
    if sharding == q.ShardingMethod.Custom:
        raise InvalidArgument(f"{place} has `rollback: detect`: not with shards of their own keys, which share ids")
    if replicas > max(acknowledging, 1):
        raise InvalidArgument(
            f"{place} has `rollback: detect`: of {replicas} replicas each has to acknowledge a write, so that none "
            f"answers with an older record: write_consistency_factor must be {replicas}"
        )


async def not_after_all(guard: Guard | None, failure: UpstreamFailure) -> None:
    """Forget a collection that was not made."""
    if guard is not None and failure.status in _NOT_MADE:
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


async def forgotten(guard: Guard | None, answer: q.CollectionOperationResponse) -> None:
    """Forget a collection, if it was deleted."""
    if guard is not None and answer.result:
        try:
            await guard.forget()
        except Unavailable:  # it was there a moment ago
            _log.warning("memory of what is newest not told of a deletion")
