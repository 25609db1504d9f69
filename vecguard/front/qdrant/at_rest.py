"""Nearest searches whose scores at rest are the ones to answer with: the client's own request is changed in place.

`execute` can run any tree of stages, and makes new requests for what it finds. This is the commonest request where
nothing is re-ranked, one dense vector and perhaps a filter, and it needs none of that: its vector, filter and payload
selector are replaced, and what else it says means the same at rest. Anything more goes the general way.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from qdrant_client import grpc as q

from vecguard.front.qdrant import filters
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.scope import stored_selector, wanted_vectors
from vecguard.front.qdrant.serve_reads import check_limit
from vecguard.front.qdrant.stages import limit_of
from vecguard.shield import DenseShield, Shield

# Fields that are rewritten here, or that mean the same at rest.
_UNDERSTOOD: Final = frozenset({
    *("collection_name", "query", "using", "filter", "params", "score_threshold", "limit", "offset"),
    *("with_vectors", "with_payload", "read_consistency", "shard_key_selector", "timeout"),
})  # fmt: skip

_FIELDS: Final = q.QueryPoints.DESCRIPTOR.fields
# All others, known or not when this was written: a request that has one is not one of these.
_LISTS: Final = tuple(field.name for field in _FIELDS if field.name not in _UNDERSTOOD and field.is_repeated)
_PARTS: Final = tuple(field.name for field in _FIELDS if field.name not in _UNDERSTOOD and not field.is_repeated)


def rewrite(ask: q.QueryPoints, shield: Shield) -> bool:
    """Turn a request into the one to send, if it is a search that scores at rest answer; else leave it as it is.

    Raises:
        InvalidArgument: it is such a search, and malformed, or its filter cannot be answered.
        LimitExceeded: more results than the policy allows.
    """
    guard = _guard(ask, shield)
    if guard is None:
        return False
    if ask.HasField("filter"):
        filters.rewrite(ask.filter, shield.fields)
    check_limit(ask.offset + limit_of(ask), shield)
    x = wire.read_dense(ask.query.nearest.dense)
    guard.check_dims(x)
    wire.write_nearest(ask.query, guard.query(x[np.newaxis], guard.parts[0])[0])
    ask.with_payload.CopyFrom(stored_selector(ask.with_payload, record=False))
    ask.with_vectors.enable = False
    return True


def _guard(ask: q.QueryPoints, shield: Shield) -> DenseShield | None:
    """The protection of the searched vector, if the request is one of those that this module is about."""
    for name in _LISTS:
        if getattr(ask, name):
            return None
    for name in _PARTS:
        if ask.HasField(name):  # type: ignore[arg-type]
            return None
    query = ask.query
    if query.WhichOneof("variant") != "nearest" or query.nearest.WhichOneof("variant") != "dense":
        return None
    guard = shield.vectors.get(ask.using)
    if not isinstance(guard, DenseShield) or guard.record.kind != "dense" or guard.rerank is not None:
        return None
    if guard.divided:
        return None
    if ask.HasField("params") and ask.params.HasField("idf"):
        return None
    if ask.HasField("with_vectors") and wanted_vectors(ask.with_vectors, list(shield.vectors)):
        return None
    return guard
