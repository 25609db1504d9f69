"""Edge operations on small random points, for tests that work below gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray
from qdrant_client import grpc as pb

from vecguard.engine.collection import Collection
from vecguard.engine.store import Store


def random_vectors(count: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Shape (count, size), float32, standard normal."""
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def upsert(ids: Sequence[int], vectors: NDArray[np.float32], revision: int = 0) -> edge.UpdateOperation:
    """Upsert `ids`, with rows of `vectors` and the payload {"revision": revision}."""
    points = [
        edge.Point(number, row.tolist(), {"revision": revision}) for number, row in zip(ids, vectors, strict=True)
    ]
    return edge.UpdateOperation.upsert_points(points)


def dense_request(name: str, size: int, indexing_threshold_kb: int | None = None) -> pb.CreateCollection:
    """A request for a collection with one unnamed cosine vector."""
    vectors = pb.VectorsConfig(params=pb.VectorParams(size=size, distance=pb.Cosine))
    request = pb.CreateCollection(collection_name=name, vectors_config=vectors)
    if indexing_threshold_kb is not None:
        request.optimizers_config.indexing_threshold = indexing_threshold_kb
    return request


def opened(folder: Path) -> Store:
    """An open store."""
    store = Store(folder)
    store.open()
    return store


async def revisions(collection: Collection) -> dict[int, int]:
    """Every point's id and the revision in its payload."""
    found: dict[int, int] = {}
    offset = None
    while True:
        request = edge.ScrollRequest(limit=1000, offset=offset, with_payload=True, with_vector=False)
        records, offset = await collection.read(lambda shard, request=request: shard.scroll(request))
        found.update({record.id: record.payload["revision"] for record in records})
        if offset is None:
            return found
