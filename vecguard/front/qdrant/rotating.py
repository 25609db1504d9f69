"""What cannot be answered, or done, while the keys of a collection are rotated, and is refused by name until then."""

from __future__ import annotations

from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import FailedPrecondition
from vecguard.pipeline import Session
from vecguard.shield import Shield

_INFO: Final = "/qdrant.Collections/Get"


def rotating(what: str) -> FailedPrecondition:
    """The refusal of `what` during a rotation."""
    return FailedPrecondition(
        f"{what} is refused while the keys of the collection are being rotated, since its records lie there under two "
        "keys: try again when the rotation has ended"
    )


def require_settled(shield: Shield, what: str) -> None:
    """Refuse what would change a manifest under a rotation.

    Raises:
        FailedPrecondition: the keys of the collection are being rotated.
    """
    if shield.rotating:
        raise rotating(what)


async def require_no_idf(session: Session, collection: str, name: str) -> None:
    """Refuse a sparse vector whose scores depend on how often each index occurs, which nobody knows over two keys.

    Raises:
        FailedPrecondition: it has the IDF modifier.
    """
    ask = q.GetCollectionInfoRequest(collection_name=collection)
    answer = await session.call(_INFO, ask, q.GetCollectionInfoResponse)
    params = answer.result.config.params.sparse_vectors_config.map
    if name in params and params[name].modifier == q.Modifier.Idf:
        raise rotating(f"a query over sparse vector `{name}`, which has the IDF modifier,")
