"""The requests of the load, as an ordinary `QdrantClient(prefer_grpc=True)` would send them, serialised beforehand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as qdrant

CREATE = "/qdrant.Collections/Create"
UPDATE = "/qdrant.Collections/Update"
INFO = "/qdrant.Collections/Get"
UPSERT = "/qdrant.Points/Upsert"
QUERY = "/qdrant.Points/Query"

PHRASES = (
    "patient reports a mild cough since monday and was given the usual advice to rest drink enough and call again if "
    "fever comes up; the earlier allergy is noted, blood pressure stays as before, next visit in three weeks"
)
WORDS = tuple(PHRASES.split())
WORDS_A_TEXT = 60


def create(collection: str, dims: int) -> qdrant.CreateCollection:
    """A collection with one unnamed cosine vector; indexing waits until `build_index`, so that writes are compared
    with nothing else going on."""
    return qdrant.CreateCollection(
        collection_name=collection,
        vectors_config=qdrant.VectorsConfig(params=qdrant.VectorParams(size=dims, distance=qdrant.Distance.Cosine)),
        optimizers_config=qdrant.OptimizersConfigDiff(indexing_threshold=1_000_000),
    )


def build_index(collection: str) -> qdrant.UpdateCollection:
    """Ask for the HNSW index of everything above 1 MB of vectors."""
    return qdrant.UpdateCollection(
        collection_name=collection, optimizers_config=qdrant.OptimizersConfigDiff(indexing_threshold=1_000)
    )


def upserts(collection: str, rows: NDArray[np.float32], batch: int) -> Iterator[bytes]:
    """Acknowledged upserts of `rows` (n, d) float32, `batch` points each, with ids 0 to n - 1."""
    for start in range(0, len(rows), batch):
        points = [_point(start + offset, row) for offset, row in enumerate(rows[start : start + batch])]
        yield qdrant.UpsertPoints(collection_name=collection, wait=True, points=points).SerializeToString()


def searches(collection: str, queries: NDArray[np.float32], limit: int, with_payload: bool) -> Iterator[bytes]:
    """One nearest-neighbour query for each row of `queries` (m, d) float32."""
    for row in queries:
        yield qdrant.QueryPoints(
            collection_name=collection,
            query=qdrant.Query(nearest=qdrant.VectorInput(dense=qdrant.DenseVector(data=row.tolist()))),
            limit=limit,
            with_payload=qdrant.WithPayloadSelector(enable=with_payload),
            with_vectors=qdrant.WithVectorsSelector(enable=False),
        ).SerializeToString()


def _point(number: int, row: NDArray[np.float32]) -> qdrant.PointStruct:
    dense = qdrant.DenseVector(data=row.tolist())
    return qdrant.PointStruct(
        id=qdrant.PointId(num=number),
        vectors=qdrant.Vectors(vector=qdrant.Vector(dense=dense)),
        payload={
            "text": qdrant.Value(string_value=text(number)),
            "source": qdrant.Value(string_value=source(number)),
            "page": qdrant.Value(integer_value=page(number)),
        },
    )


def source(number: int) -> str:
    """One of 17 words."""
    return f"ward-{number % 17}"


def page(number: int) -> int:
    """One of 400 numbers."""
    return number % 400


def text(number: int) -> str:
    """About 330 bytes that differ from point to point."""
    return " ".join(WORDS[(number * 7 + step * (1 + number % 11)) % len(WORDS)] for step in range(WORDS_A_TEXT))
