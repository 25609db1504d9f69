"""Groups: the best groups and the best points of each, keys of every kind, lookups by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from vecguard.engine.groups import group_keys

from .conftest import refusal
from .random_points import COLLECTION, Draws

INVALID = grpc.StatusCode.INVALID_ARGUMENT
UUID = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26"


@pytest.fixture(scope="module")
def line(client: QdrantClient) -> Iterator[str]:
    """Point i lies at (i, 0); groups by `third` hold every third point; `keys` has values of several kinds."""
    name = "groups-line"
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID))
    keys: dict[int, Any] = {1: "a", 2: 7, 3: -7, 4: ["a", 7], 5: UUID, 6: True, 7: 1.5, 8: None, 9: [], 10: ["a", 1.5]}
    points = [
        models.PointStruct(
            id=i, vector=[float(i), 0.0], payload={"third": i % 3, "keys": keys.get(i), "deep": {"er": [{"k": i % 2}]}}
        )
        for i in range(1, 31)
    ]
    client.upsert(name, points, wait=True)
    yield name
    client.delete_collection(name)


def _query(line: str, **fields: Any) -> pb.QueryPointGroups:
    nearest = pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[0.0, 0.0])))
    return pb.QueryPointGroups(**{"collection_name": line, "query": nearest, "group_by": "third", **fields})


def _groups(answer: Any) -> list[tuple[Any, list[int]]]:
    return [
        (getattr(group.id, group.id.WhichOneof("kind")), [hit.id.num for hit in group.hits])
        for group in answer.result.groups
    ]


def test_best_groups_first_and_their_best_points(points: pb.PointsStub, line: str) -> None:
    answer = points.QueryGroups(_query(line, limit=2, group_size=3))
    assert _groups(answer) == [(1, [1, 4, 7]), (2, [2, 5, 8])]
    assert [hit.score for hit in answer.result.groups[0].hits] == [1, 4, 7]


def test_defaults_are_ten_groups_of_three(points: pb.PointsStub, line: str) -> None:
    assert [len(hits) for _, hits in _groups(points.QueryGroups(_query(line)))] == [3, 3, 3]


def test_groups_are_filled_beyond_the_first_candidates(points: pb.PointsStub, line: str) -> None:
    # The nearest points to 30 that are no multiple of 3 would fill the first request alone.
    nearest = pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[30.0, 0.0])))
    answer = points.QueryGroups(_query(line, query=nearest, limit=3, group_size=10))
    assert {key: len(hits) for key, hits in _groups(answer)} == {0: 10, 1: 10, 2: 10}


def test_keys_of_every_kind(points: pb.PointsStub, line: str) -> None:
    groups = dict(_groups(points.QueryGroups(_query(line, group_by="keys"))))
    assert groups == {"a": [1, 4], 7: [2, 4], -7: [3], UUID: [5]}
    kinds = {group.id.WhichOneof("kind") for group in points.QueryGroups(_query(line, group_by="keys")).result.groups}
    assert kinds == {"string_value", "unsigned_value", "integer_value"}


def test_keys_inside_arrays(points: pb.PointsStub, line: str) -> None:
    groups = _groups(points.QueryGroups(_query(line, group_by="deep.er[].k", group_size=2)))
    assert groups == [(1, [1, 3]), (0, [2, 4])]


def test_hits_carry_what_was_asked_for(points: pb.PointsStub, line: str) -> None:
    bare = points.QueryGroups(_query(line)).result.groups[0].hits[0]
    assert not bare.payload
    assert not bare.HasField("vectors")
    full = points.QueryGroups(
        _query(
            line,
            with_payload=pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=["keys"])),
            with_vectors=pb.WithVectorsSelector(enable=True),
        )
    )
    hit = full.result.groups[0].hits[0]
    assert set(hit.payload) == {"keys"}
    assert list(hit.vectors.vector.dense.data) == [1.0, 0.0]


def test_lookup_by_group_key(points: pb.PointsStub, client: QdrantClient, line: str) -> None:
    docs = "groups-documents"
    client.create_collection(docs, vectors_config=models.VectorParams(size=1, distance=models.Distance.DOT))
    stored = [models.PointStruct(id=i, vector=[1.0], payload={"title": str(i)}) for i in (7, UUID)]
    client.upsert(docs, stored, wait=True)
    try:
        lookup = pb.WithLookup(collection=docs, with_payload=pb.WithPayloadSelector(enable=True))
        answer = points.QueryGroups(_query(line, group_by="keys", with_lookup=lookup))
        titles = {
            getattr(group.id, group.id.WhichOneof("kind")): group.lookup.payload["title"].string_value
            for group in answer.result.groups
            if group.HasField("lookup")
        }
        assert titles == {7: "7", UUID: UUID}
    finally:
        client.delete_collection(docs)


def test_lookup_in_a_missing_collection(points: pb.PointsStub, line: str) -> None:
    request = _query(line, with_lookup=pb.WithLookup(collection="nowhere"))
    assert refusal(lambda: points.QueryGroups(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "Not found: Collection nowhere not found",
    )


def test_groups_over_prefetches(points: pb.PointsStub, line: str) -> None:
    near = pb.PrefetchQuery(query=pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[30.0, 0.0]))), limit=6)
    answer = points.QueryGroups(_query(line, prefetch=[near], limit=3, group_size=2))
    # Each stage fetches group_size times its limit: the 12 points nearest to 30, ranked by their distance to 0.
    assert _groups(answer) == [(1, [19, 22]), (2, [20, 23]), (0, [21, 24])]


def test_groups_by_id_leave_the_point_out(points: pb.PointsStub, line: str) -> None:
    named = pb.Query(nearest=pb.VectorInput(id=pb.PointId(num=1)))
    groups = dict(_groups(points.QueryGroups(_query(line, query=named, group_size=2))))
    assert groups[1] == [4, 7]


def test_older_rpcs_group_alike(points: pb.PointsStub, line: str) -> None:
    search = pb.SearchPointGroups(collection_name=line, vector=[0.0, 0.0], group_by="third", limit=2, group_size=2)
    assert _groups(points.SearchGroups(search)) == [(1, [1, 4]), (2, [2, 5])]
    recommend = pb.RecommendPointGroups(
        collection_name=line, positive=[pb.PointId(num=1)], group_by="third", limit=2, group_size=2
    )
    assert _groups(points.RecommendGroups(recommend)) == [(2, [2, 5]), (0, [3, 6])]


@pytest.mark.parametrize("field", ["limit", "group_size"])
def test_zero_is_refused(points: pb.PointsStub, line: str, field: str) -> None:
    expected = (INVALID, f"Validation error in body: [{field}: value 0 invalid, must be 1 or larger]")
    assert refusal(lambda: points.QueryGroups(_query(line, **{field: 0}))) == expected
    search = pb.SearchPointGroups(collection_name=line, vector=[0.0, 0.0], group_by="third", limit=1, group_size=1)
    assert len(points.SearchGroups(search).result.groups) == 1
    setattr(search, field, 0)
    assert refusal(lambda: points.SearchGroups(search)) == expected


def test_huge_counts_are_served(points: pb.PointsStub, line: str) -> None:
    huge = 2**64 - 1
    groups = dict(_groups(points.QueryGroups(_query(line, limit=huge, group_size=huge))))
    assert {key: len(hits) for key, hits in groups.items()} == {0: 10, 1: 10, 2: 10}


def test_no_field_is_refused(points: pb.PointsStub, line: str) -> None:
    status, details = refusal(lambda: points.QueryGroups(_query(line, group_by="")))
    assert (status, "group_by" in details) == (INVALID, True)


@pytest.mark.parametrize(
    ("payload", "keys"),
    [
        ({"a": "x"}, ["x"]),
        ({"a": ["x", "x", 1]}, ["x", 1]),
        ({"a": True}, []),
        ({"a": ["x", None]}, []),
        ({"a": 1.0}, []),
        ({}, []),
    ],
)
def test_group_keys(payload: Any, keys: list[Any]) -> None:
    assert group_keys(payload, "a") == keys


@pytest.mark.parametrize("seed", range(3))
def test_random_groups_agree_with_local_mode(client: QdrantClient, collection_name: Any, seed: int) -> None:
    draws, name, local = Draws(seed), collection_name(), QdrantClient(":memory:")
    stored = draws.points()
    for each in (client, local):
        each.create_collection(name, **COLLECTION)
        each.upsert(name, stored, wait=True)
    for _ in range(30):
        vector_name = draws.choice.choice(["", "euclid", "manhattan"])
        request: dict[str, Any] = {
            "query": draws.vector(vector_name),
            "using": vector_name or None,
            "group_by": draws.choice.choice(["group", "tags", "n"]),
            "limit": draws.choice.randint(1, 4),
            "group_size": draws.choice.randint(1, 3),
            "query_filter": draws.maybe_filter(),
        }
        served, expected = (
            [(group.id, [hit.id for hit in group.hits]) for group in each.query_points_groups(name, **request).groups]
            for each in (client, local)
        )
        assert served == expected, request
