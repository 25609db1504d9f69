"""The beginning of collections with `rollback: detect`, as the memory of what is newest is told of them."""

from __future__ import annotations

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.fresh.guard import Guard
from vecguard.manifest import Manifest
from vecguard.policy.model import CollectionPolicy
from vecguard.session import Session


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
