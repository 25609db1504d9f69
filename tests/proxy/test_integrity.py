"""Records that do not open: a call fails, or leaves them out, as the policy says; the trail tells of it either way."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator

import pytest
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import DIMS, Guarded, guarded
from proxy.conftest import create, payload, vectors
from proxy.processes import until
from proxy.test_damaged_records import PAYLOAD_DAMAGE, VECTOR_DAMAGE, put, record

POLICY = """
version: 1
collections:
  - match: "drop-*"
    integrity: drop
    payload: &modes {default: sealed, fields: {open: plain, tag: searchable, meta.open: plain, meta.tag: searchable}}
  - match: "box-*"
    payload: *modes
"""
_marks = itertools.count()


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(engine, tmp_path_factory.mktemp("integrity"), POLICY) as running:
        yield running


def made(place: Guarded, name: str) -> None:
    """Points 1 to 6."""
    create(place, name)
    points = [q.PointStruct(id=q.PointId(num=i), vectors=vectors(i), payload=payload(i)) for i in range(3, 7)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))


def events(place: Guarded, name: str) -> list[dict[str, object]]:
    """What the trail has told so far: it is written in order, so all of it where it knows of a call made now."""
    mark = f"events-{next(_marks)}"
    ask = q.CountPoints(collection_name=name)
    place.client.points.Count(ask, metadata=(("x-request-id", mark),))
    until(lambda: f'"request_id":"{mark}"' in place.proxy.logs)
    found = [json.loads(line) for line in place.proxy.logs.splitlines() if '"event":"integrity"' in line]
    return [one for one in found if one["collection"] == name]


def answers(place: Guarded, name: str) -> dict[str, list[int]]:
    """Ids in the answers of reads of every kind."""
    points, row = place.client.points, [float((7 + i * i) % 11) for i in range(DIMS)]
    every = [q.PointId(num=i) for i in range(1, 7)]
    get = q.GetPoints(collection_name=name, ids=every)
    scroll = q.ScrollPoints(collection_name=name, limit=20)
    search = q.QueryPoints(collection_name=name, limit=20, using="d")
    search.query.nearest.dense.data.extend(row)
    sparse = q.QueryPoints(collection_name=name, limit=20, using="s")
    sparse.query.nearest.sparse.CopyFrom(q.SparseVector(indices=list(range(1, 7)), values=[1.0] * 6))
    for ask in (get, scroll, search, sparse):
        ask.with_payload.enable = ask.with_vectors.enable = True  # type: ignore[attr-defined]
    groups = q.QueryPointGroups(
        collection_name=name, query=search.query, using="d", limit=9, group_by="tag", group_size=9
    )
    groups.with_payload.enable = groups.with_vectors.enable = True
    found = {
        "get": points.Get(get).result,
        "scroll": points.Scroll(scroll).result,
        "search": points.Query(search).result,
        "sparse": points.Query(sparse).result,
        "groups": [hit for group in points.QueryGroups(groups).result.groups for hit in group.hits],
    }
    return {kind: sorted(one.id.num for one in hits) for kind, hits in found.items()}


def test_dropped(place: Guarded) -> None:
    """A foreign record, an altered vector and an altered payload: the other three points are answered."""
    name = "drop-some"
    made(place, name)
    try:
        sound = {i: record(place, name, i) for i in (1, 2, 4, 5)}
        assert set(map(tuple, answers(place, name).values())) == {(1, 2, 3, 4, 5, 6)}
        assert events(place, name) == []
        damage = {
            1: VECTOR_DAMAGE["record of another manifest"][1],
            4: VECTOR_DAMAGE["vector d altered"][1],
            5: PAYLOAD_DAMAGE["sealed text swapped between points"],
        }
        for number, change in damage.items():
            put(place, name, number, change(*copy.deepcopy((sound[number], sound[2]))))
        assert set(map(tuple, answers(place, name).values())) == {(2, 3, 6)}
        told = events(place, name)
        assert {one["outcome"] for one in told} == {"drop"}
        assert {key for one in told for key in one["ids"]} == {"1", "4", "5"}  # type: ignore[attr-defined]
        for number in damage:
            put(place, name, number, sound[number])
        assert set(map(tuple, answers(place, name).values())) == {(1, 2, 3, 4, 5, 6)}
    finally:
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))


def test_what_is_not_read_costs_nothing(place: Guarded) -> None:
    """A count does not open records, and a search without payload does not see that a payload was altered."""
    name = "drop-other"
    made(place, name)
    try:
        put(place, name, 1, PAYLOAD_DAMAGE["sealed text altered"](record(place, name, 1), record(place, name, 2)))
        assert place.client.points.Count(q.CountPoints(collection_name=name, exact=True)).result.count == 6
        ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=1)])
        ask.with_payload.enable = False
        assert len(place.client.points.Get(ask).result) == 1
        assert events(place, name) == []
    finally:
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))


def test_failed_and_told(place: Guarded) -> None:
    name = "box-told"
    made(place, name)
    try:
        put(place, name, 1, PAYLOAD_DAMAGE["sealed text altered"](record(place, name, 1), record(place, name, 2)))
        place.unreadable(lambda: place.client.points.Scroll(q.ScrollPoints(collection_name=name, limit=20)))
        (told,) = events(place, name)
        assert (told["ids"], told["records"], told["outcome"]) == (["1"], 1, "fail")
    finally:
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))
