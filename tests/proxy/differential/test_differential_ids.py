"""`ids: encrypted`: wherever an id stands, both ways, the client sees its own, and the database never does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import grpc as q
from qdrant_client import models
from serving import Server

from proxy.behind import guarded

from .conftest import Proxies
from .over_rest import rest_side
from .sides import Call, Pair, Side, Tied, cases, side

POLICY = """
version: 1
collections:
  - match: "*"
    vectors: [{match: "*", transforms: [{kind: rotation}]}, {match: "*"}]
    payload: {default: sealed, fields: {word: searchable, rank: plain, other: searchable}}
    ids: encrypted
"""
NAME = "hidden"
ELSEWHERE = "elsewhere"
COUNT = 40
UUIDS = [str(uuid.UUID(int=(2**127 - 1) // (i + 1))) for i in range(COUNT // 4)]
IDS: list[int | str] = [*range(COUNT - len(UUIDS) - 2), 2**63, 2**64 - 1, *UUIDS]


def point(number: int) -> models.PointStruct:
    vector = {"d": [float((number * 7 + i * i) % 11) - 4.0 + number / 100 for i in range(6)]}
    payload = {"word": "ab"[number % 2], "rank": number, "other": IDS[number % 5]}
    return models.PointStruct(id=IDS[number], vector=vector, payload=payload)


POINTS = [point(number) for number in range(COUNT)]
QUERY = [1.0, -2.0, 0.5, 3.0, 0.0, 1.0]


def has(*ids: int | str) -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=list(ids))])


def put(on: Side) -> object:
    return on.client.upsert(on.name(NAME), POINTS, wait=True).status


@pytest.fixture(scope="module")
def pair(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    with side(engine) as direct, side(proxy(POLICY), "exact-") as proxied:
        for on in (direct, proxied):
            config = {"d": models.VectorParams(size=6, distance=models.Distance.DOT)}
            for name in (NAME, ELSEWHERE):
                on.client.create_collection(on.name(name), vectors_config=config)
            on.client.create_payload_index(on.name(NAME), "word", models.PayloadSchemaType.KEYWORD, wait=True)
            on.client.create_payload_index(on.name(NAME), "rank", models.PayloadSchemaType.INTEGER, wait=True)
            on.client.upsert(on.name(ELSEWHERE), POINTS[::3], wait=True)
            put(on)
        yield Pair(direct, proxied)
        for name in (NAME, ELSEWHERE):
            direct.client.delete_collection(name)


def searching(query: Any, **more: Any) -> Tied:
    return Tied(lambda on: on.client.query_points(on.name(NAME), query=query, using="d", limit=12, **more).points)


def recommend(**more: Any) -> models.RecommendQuery:
    return models.RecommendQuery(recommend=models.RecommendInput(**more))


def by_id(records: list[Any]) -> list[Any]:
    return sorted(records, key=lambda record: str(record.id))


def matrix(on: Side) -> object:
    pairs = on.client.search_matrix_pairs(on.name(NAME), sample=COUNT, limit=3, using="d", query_filter=has(*IDS[:9]))
    offsets = on.client.search_matrix_offsets(
        on.name(NAME), sample=COUNT, limit=3, using="d", query_filter=has(*IDS[:9])
    )
    ids = [offsets.ids[row] for row in offsets.offsets_row]
    found = sorted((one.a, one.b) for one in pairs.pairs)
    return found, sorted(zip(ids, (offsets.ids[column] for column in offsets.offsets_col), strict=True)) == found


def grouped(on: Side) -> object:
    groups = on.client.query_points_groups(
        on.name(NAME), "other", query=QUERY, using="d", limit=5, group_size=2, with_lookup=on.name(ELSEWHERE)
    ).groups
    return [(group.id, [hit.id for hit in group.hits], group.lookup and group.lookup.id) for group in groups]


def paged(on: Side) -> object:
    """All ids by pages of seven, of which none repeats."""
    found: list[Any] = []
    offset = None
    while True:
        page, offset = on.client.scroll(on.name(NAME), limit=7, offset=offset, with_payload=["rank"])
        found += page
        if offset is None:
            assert len({str(record.id) for record in found}) == len(found)
            return by_id(found)


def old_recommend(on: Side) -> object:
    ask = q.RecommendPoints(collection_name=on.name(NAME), positive=[q.PointId(num=3)], using="d", limit=9)
    ask.negative.append(q.PointId(uuid=UUIDS[2]))
    return on.points.Recommend(ask).result


READS: dict[str, Call] = {
    "retrieve": lambda on: by_id(on.client.retrieve(on.name(NAME), [3, UUIDS[0], 2**64 - 1, 999], with_vectors=True)),
    "retrieve a uuid in other spellings": lambda on: by_id(
        on.client.retrieve(on.name(NAME), [UUIDS[0].upper(), "{" + UUIDS[1] + "}", uuid.UUID(UUIDS[2]).hex])
    ),
    "scroll in pages": paged,
    "scroll in the order of a field": lambda on: on.client.scroll(on.name(NAME), limit=9, order_by="rank")[0],
    "has_id": lambda on: by_id(on.client.scroll(on.name(NAME), scroll_filter=has(1, 2, UUIDS[3], 77))[0]),
    "has_id, negated, within others": lambda on: (
        on.client.count(
            on.name(NAME),
            models.Filter(must=[models.Filter(must_not=[models.HasIdCondition(has_id=[1, UUIDS[3]])])]),
        ).count
    ),
    "facet under has_id": lambda on: on.client.facet(on.name(NAME), "word", facet_filter=has(*IDS[:7])).hits,
    "nearest": searching(QUERY),
    "nearest by id": searching(5),
    "nearest by uuid, filtered": searching(UUIDS[1], query_filter=has(*IDS[::2])),
    "nearest by an id of another collection": searching(
        3, lookup_from=models.LookupLocation(collection=ELSEWHERE, vector="d")
    ),
    "an id that is not there": searching(12345),
    "recommend": searching(recommend(positive=[1, UUIDS[0]], negative=[4])),
    "recommend by best score": searching(recommend(positive=[1, UUIDS[0]], strategy="best_score")),
    "discover": searching(
        models.DiscoverQuery(
            discover=models.DiscoverInput(target=2, context=[models.ContextPair(positive=1, negative=UUIDS[2])])
        )
    ),
    "context": searching(models.ContextQuery(context=[models.ContextPair(positive=UUIDS[0], negative=3)])),
    "prefetch by id, fused": Tied(
        lambda on: (
            on.client.query_points(
                on.name(NAME),
                query=models.FusionQuery(fusion=models.Fusion.RRF),
                prefetch=[models.Prefetch(query=i, using="d", limit=20, filter=has(*IDS[:30])) for i in (1, UUIDS[1])],
                limit=12,
            ).points
        )
    ),
    "matrix": matrix,
    "groups with a look-up": grouped,
    "recommend of older clients": Tied(old_recommend),
}


@cases(READS)
def test_reads(pair: Pair, call: Call) -> None:
    if call is READS["nearest by an id of another collection"]:
        location = models.LookupLocation(collection="", vector="d")

        def there(on: Side) -> object:
            location.collection = on.name(ELSEWHERE)
            return on.client.query_points(on.name(NAME), query=3, using="d", limit=12, lookup_from=location).points

        pair.same(Tied(there))
        return
    pair.same(call)


WRITES: dict[str, Call] = {
    "delete": lambda on: on.client.delete(on.name(NAME), [1, UUIDS[0], 999], wait=True).status,
    "delete by filter": lambda on: on.client.delete(on.name(NAME), has(2, UUIDS[1]), wait=True).status,
    "set payload": lambda on: on.client.set_payload(on.name(NAME), {"word": "x"}, [3, UUIDS[2]], wait=True).status,
    "overwrite payload": lambda on: on.client.overwrite_payload(on.name(NAME), {"word": "y"}, [4], wait=True).status,
    "delete payload": lambda on: on.client.delete_payload(on.name(NAME), ["word"], [5, UUIDS[3]], wait=True).status,
    "clear payload": lambda on: on.client.clear_payload(on.name(NAME), [6], wait=True).status,
    "update vectors": lambda on: (
        on.client.update_vectors(
            on.name(NAME), [models.PointVectors(id=one, vector={"d": QUERY}) for one in (7, UUIDS[4])], wait=True
        ).status
    ),
    "delete vectors": lambda on: on.client.delete_vectors(on.name(NAME), ["d"], [8, UUIDS[5]], wait=True).status,
    "upsert again": lambda on: on.client.upsert(on.name(NAME), POINTS[5:9], wait=True).status,
    "several at once": lambda on: [
        done.status
        for done in on.client.batch_update_points(
            on.name(NAME),
            [
                models.UpsertOperation(upsert=models.PointsList(points=POINTS[:2])),
                models.DeleteOperation(delete=models.PointIdsList(points=[9, UUIDS[6]])),
                models.SetPayloadOperation(set_payload=models.SetPayload(payload={"word": "z"}, points=[10])),
            ],
            wait=True,
        )
    ],
}


def test_writes(pair: Pair) -> None:
    for call in WRITES.values():
        pair.same(call)
        pair.same(lambda on: by_id(on.client.scroll(on.name(NAME), limit=100, with_vectors=True)[0]))
    pair.same(put)


def test_the_database_has_other_ids(engine: Server, tmp_path: Path) -> None:
    with guarded(engine, tmp_path, POLICY.replace('match: "*"\n', 'match: "ids-*"\n')) as place:
        one = q.VectorParams(size=6, distance=q.Distance.Dot)
        config = q.VectorsConfig(params_map=q.VectorParamsMap(map={"d": one}))
        place.client.collections.Create(q.CreateCollection(collection_name="ids-1", vectors_config=config))
        with closing(place.proxy.client()) as client:
            client.upsert("ids-1", POINTS, wait=True)
        found = place.rest.points.Scroll(q.ScrollPoints(collection_name="ids-1", limit=100)).result
        place.rest.collections.Delete(q.DeleteCollection(collection_name="ids-1"))
    numbers = {one.id.num for one in found if one.id.HasField("num")}
    uuids = {one.id.uuid for one in found if one.id.HasField("uuid")}
    assert (len(numbers), len(uuids)) == (COUNT - len(UUIDS), len(UUIDS))
    assert not numbers & set(IDS)
    assert not uuids & set(UUIDS)
    assert min(numbers) > 2**32  # of some thirty random ones


def test_over_rest(pair: Pair, proxy: Proxies) -> None:
    with rest_side(proxy(POLICY), "exact-") as over_rest:
        for name in ("scroll in pages", "has_id, negated, within others", "matrix"):
            assert READS[name](over_rest) == READS[name](pair.proxied)
        assert {hit.id for hit in READS["nearest by id"](over_rest)} <= set(IDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing", [999_999, str(uuid.UUID(int=7))])
def test_a_missing_point_is_named_as_the_client_names_it(pair: Pair, missing: int | str) -> None:
    for on in (pair.direct, pair.proxied):
        with pytest.raises(Exception, match=f"No point with id {missing} found"):
            on.client.set_payload(on.name(NAME), {"rank": 1}, points=[missing], wait=True)
