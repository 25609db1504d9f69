"""Distance matrices of samples, and counts of payload values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from .conftest import refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT
COUNT = 12
UUIDS = [f"00000000-0000-0000-0000-{number:012d}" for number in range(3)]


@pytest.fixture(scope="module")
def plane(client: QdrantClient) -> Iterator[str]:
    name = "matrix-plane"
    client.create_collection(
        name,
        vectors_config={
            "": models.VectorParams(size=2, distance=models.Distance.EUCLID),
            "rare": models.VectorParams(size=2, distance=models.Distance.DOT),
        },
    )
    stored = [
        models.PointStruct(
            id=i,
            vector={"": [float(i), 0.0]} | ({"rare": [1.0, float(i)]} if i < 2 else {}),
            payload={
                "word": ["x", "y"] if i % 2 else "x",
                "number": i % 3,
                "flag": i < 5,
                "uuid": UUIDS[i % 3],
                "plain": "p",
            },
        )
        for i in range(COUNT)
    ]
    client.upsert(name, stored, wait=True)
    for field, schema in (("word", "keyword"), ("number", "integer"), ("flag", "bool"), ("uuid", "uuid")):
        client.create_payload_index(name, field, models.PayloadSchemaType(schema), wait=True)
    yield name
    client.delete_collection(name)


def _request(plane: str, **fields: Any) -> pb.SearchMatrixPoints:
    return pb.SearchMatrixPoints(collection_name=plane, **fields)


def test_pairs_are_the_nearest_of_the_sample(points: pb.PointsStub, plane: str) -> None:
    pairs = points.SearchMatrixPairs(_request(plane, sample=100, limit=2)).result.pairs
    assert len(pairs) == COUNT * 2
    assert [pair.a.num for pair in pairs] == sorted(pair.a.num for pair in pairs)
    for pair in pairs:
        assert pair.a != pair.b
        assert pair.score == pytest.approx(abs(pair.a.num - pair.b.num))
        assert pair.score <= 2


def test_offsets_say_the_same(points: pb.PointsStub, plane: str) -> None:
    result = points.SearchMatrixOffsets(_request(plane, sample=100, limit=3)).result
    numbers = np.array([point_id.num for point_id in result.ids])
    assert list(numbers) == list(range(COUNT))
    distances = np.abs(numbers[list(result.offsets_row)] - numbers[list(result.offsets_col)])
    np.testing.assert_allclose(distances, result.scores)
    assert len(result.scores) == COUNT * 3


def test_defaults_are_ten_samples_and_three_neighbours(points: pb.PointsStub, plane: str) -> None:
    result = points.SearchMatrixOffsets(_request(plane)).result
    assert (len(result.ids), len(result.scores)) == (10, 30)


def test_filter_and_vector_restrict_the_sample(points: pb.PointsStub, plane: str) -> None:
    flagged = pb.Filter(must=[pb.Condition(field=pb.FieldCondition(key="flag", match=pb.Match(boolean=True)))])
    ids = points.SearchMatrixOffsets(_request(plane, filter=flagged)).result.ids
    assert [point_id.num for point_id in ids] == [0, 1, 2, 3, 4]
    rare = points.SearchMatrixOffsets(_request(plane, using="rare")).result
    assert [point_id.num for point_id in rare.ids] == [0, 1]


def test_fewer_than_two_points_have_no_matrix(points: pb.PointsStub, plane: str) -> None:
    one = pb.Filter(must=[pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId(num=1)]))])
    assert not points.SearchMatrixPairs(_request(plane, filter=one)).result.pairs


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sample": 1}, "sample: value 1 invalid, must be 2 or larger"),
        ({"limit": 0}, "limit: value 0 invalid, must be 1 or larger"),
        ({"using": "other"}, "Not existing vector name error: other"),
    ],
)
def test_matrix_refusals(points: pb.PointsStub, plane: str, fields: dict[str, Any], text: str) -> None:
    status, details = refusal(lambda: points.SearchMatrixPairs(_request(plane, **fields)))
    assert (status, text in details) == (INVALID, True)


def _facet(points: pb.PointsStub, plane: str, key: str, **fields: Any) -> list[tuple[Any, int]]:
    hits = points.Facet(pb.FacetCounts(collection_name=plane, key=key, exact=True, **fields)).hits
    return [(getattr(hit.value, hit.value.WhichOneof("variant")), hit.count) for hit in hits]


def test_facets_count_values_the_most_frequent_first(points: pb.PointsStub, plane: str) -> None:
    assert _facet(points, plane, "word") == [("x", 12), ("y", 6)]
    assert _facet(points, plane, "flag") == [(False, 7), (True, 5)]
    assert sorted(_facet(points, plane, "number")) == [(0, 4), (1, 4), (2, 4)]
    assert sorted(_facet(points, plane, "uuid")) == [(uuid, 4) for uuid in UUIDS]


def test_facets_keep_booleans_and_numbers_apart(points: pb.PointsStub, plane: str) -> None:
    hits = points.Facet(pb.FacetCounts(collection_name=plane, key="flag")).hits
    assert {hit.value.WhichOneof("variant") for hit in hits} == {"bool_value"}
    hits = points.Facet(pb.FacetCounts(collection_name=plane, key="number")).hits
    assert {hit.value.WhichOneof("variant") for hit in hits} == {"integer_value"}


def test_facets_limit_and_filter(points: pb.PointsStub, plane: str) -> None:
    assert _facet(points, plane, "word", limit=1) == [("x", 12)]
    odd = pb.Filter(must=[pb.Condition(field=pb.FieldCondition(key="word", match=pb.Match(keyword="y")))])
    assert _facet(points, plane, "word", filter=odd) == [("x", 6), ("y", 6)]


def test_facet_refusals(points: pb.PointsStub, plane: str) -> None:
    status, details = refusal(lambda: _facet(points, plane, "plain"))
    assert status is INVALID
    assert details.startswith("Wrong input: No appropriate index for faceting: `plain`.")
    assert refusal(lambda: _facet(points, plane, ""))[0] is INVALID
    assert refusal(lambda: _facet(points, plane, "a["))[1] == "Invalid json path: 'a['"
