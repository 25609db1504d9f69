"""Limits bind collections that the policy leaves in clear, too: calls beyond them are refused, and nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import grpc as q
from serving import serving_proxy

from proxy.behind import DIMS, Face, unnamed

POLICY = """
version: 1
access: {anonymous: [read, write]}
collections: [{match: '*', protect: none, limits: {max_limit: 5, max_results: 8, max_batch: 6}}]
"""
VECTOR = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    folder: Path = tmp_path_factory.mktemp("clear")
    with serving_proxy(folder, POLICY) as proxy:
        face = Face(proxy.target)
        with face.channel:
            config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
            face.collections.Create(q.CreateCollection(collection_name="c", vectors_config=config))
            face.points.Upsert(points(range(6)))
            face.points.Upsert(points(range(6, 9)))
            yield face


def points(ids: range) -> q.UpsertPoints:
    made = [q.PointStruct(id=q.PointId(num=number), vectors=unnamed([1.0 + number] * DIMS)) for number in ids]
    return q.UpsertPoints(collection_name="c", points=made, wait=True)


def query(limit: int) -> q.QueryPoints:
    return q.QueryPoints(collection_name="c", query=VECTOR, limit=limit)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "within", "beyond"),
    [
        ("Scroll", q.ScrollPoints(collection_name="c", limit=5), q.ScrollPoints(collection_name="c")),
        (
            "Get",
            q.GetPoints(collection_name="c", ids=[q.PointId(num=1)]),
            q.GetPoints(collection_name="c", ids=[q.PointId(num=1)] * 6),
        ),
        ("Query", query(5), query(6)),
        (
            "QueryBatch",
            q.QueryBatchPoints(collection_name="c", query_points=[query(4), query(4)]),
            q.QueryBatchPoints(collection_name="c", query_points=[query(5), query(4)]),
        ),
        ("Upsert", points(range(20, 26)), points(range(30, 37))),
    ],
)
def test_limits(face: Face, method: str, within: object, beyond: object) -> None:
    call = getattr(face.points, method)
    before = face.points.Count(q.CountPoints(collection_name="c", exact=True)).result.count
    with pytest.raises(grpc.RpcError) as refused:
        call(beyond)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the policy allows" in refused.value.details()
    assert face.points.Count(q.CountPoints(collection_name="c", exact=True)).result.count == before
    call(within)
