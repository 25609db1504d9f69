"""Vectors of stored points that a query names by id, in its own or (`lookup_from`) another collection.

The behaviour follows qdrant's `lib/collection/src/common/fetch_vectors.rs`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.store import Store
from vecguard.engine.values_convert import EdgeId, edge_id
from vecguard.engine.vectors_convert import EdgeVector
from vecguard.errors import InvalidArgument, NotFound


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where the vectors of named points come from: a collection and a vector name."""

    collection: str
    vector: str


@dataclass(frozen=True, slots=True)
class ReferencedVectors:
    """The vectors found, and which points exist at all."""

    found: Mapping[Lookup, Mapping[EdgeId, EdgeVector | None]] = field(default_factory=dict)

    def get(self, lookup: Lookup, point_id: EdgeId) -> EdgeVector | None:
        """The point's vector of that name; None if the point or its vector is missing."""
        return self.found.get(lookup, {}).get(point_id)

    def require_point(self, lookup: Lookup, point_id: EdgeId) -> None:
        """Refuse an id of a point that does not exist (NotFound)."""
        if point_id not in self.found.get(lookup, {}):
            raise NotFound(f"Not found: No point with id {point_id} found")


def lookup_of(message: Any, collection: str, using: str, default: str | None = None) -> Lookup:
    """Where a request or prefetch looks its ids up: `lookup_from`, else the searched collection.

    Args:
        collection: the searched collection's own name (an alias resolved).
        using: the searched vector's name.
        default: the vector looked up where `lookup_from` names none; None means `using`.
    """
    if not message.HasField("lookup_from"):
        return Lookup(collection, using)
    source: pb.LookupLocation = message.lookup_from
    if source.HasField("shard_key_selector"):
        raise InvalidArgument("Bad request: lookup_from with a shard key: the embedded engine has no custom sharding")
    if source.HasField("vector_name"):
        return Lookup(source.collection_name, source.vector_name)
    return Lookup(source.collection_name, using if default is None else default)


def input_ids(inputs: Iterable[pb.VectorInput]) -> list[EdgeId]:
    """The ids among a query's inputs, in their order."""
    return [edge_id(source.id) for source in inputs if source.WhichOneof("variant") == "id"]


async def fetch_vectors(store: Store, wanted: Mapping[Lookup, Iterable[EdgeId]]) -> ReferencedVectors:
    """Read the vectors of every referenced point.

    Raises:
        NotFound: a collection to look up in does not exist.
        InvalidArgument: it has no vector of that name.
    """
    found: dict[Lookup, dict[EdgeId, EdgeVector | None]] = {}
    for lookup, point_ids in wanted.items():
        unique = list(dict.fromkeys(point_ids))
        if not unique:
            continue
        try:
            collection = store.collection(lookup.collection)
        except NotFound as error:
            raise NotFound(f"Not found: Collection {lookup.collection} not found") from error
        found[lookup] = await collection.read(
            lambda shard, ids=unique, name=lookup.vector: _vectors_by_id(shard, ids, name)  # type: ignore[misc]
        )
    return ReferencedVectors(found)


def _vectors_by_id(shard: edge.EdgeShard, point_ids: list[Any], name: str) -> dict[EdgeId, EdgeVector | None]:
    records = shard.retrieve(point_ids, False, [name])
    return {record.id: named_vector(record.vector, name) for record in records}  # type: ignore[misc]


def named_vector(vector: Any, name: str) -> EdgeVector | None:
    """One vector out of what Edge returned for a point (bare if it is the unnamed one alone, else a dict).

    Returns:
        The vector in the form of a query's: float32 array, list of such rows, or sparse; None if there is none.
    """
    found = vector.get(name) if isinstance(vector, dict) else vector if name == "" else None
    if not isinstance(found, list):
        return found
    if found and isinstance(found[0], list):
        return [array("f", row) for row in found]
    return array("f", found)
