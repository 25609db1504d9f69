"""Filters: every condition lets the right points pass and no other; malformed ones are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from .conftest import refusal
from .random_points import COLLECTION, Draws

POINTS: list[tuple[int, dict[str, object]]] = [
    (1, {"word": "one", "n": 1, "flag": True, "when": "2024-01-01T00:00:00Z", "at": {"lon": 13.4, "lat": 52.5}}),
    (2, {"word": "two", "n": 2.5, "flag": False, "when": "2025-06-01T12:00:00.5Z", "at": {"lon": 2.35, "lat": 48.85}}),
    (3, {"word": ["one", "two"], "n": [1, 7], "flag": 1, "text": "the quick brown fox jumps"}),
    (4, {"word": None, "n": None, "rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}], "text": "fox brown"}),
    (5, {"rows": [{"a": 1, "b": 4}], "empty": []}),
]


@pytest.fixture(scope="module")
def known(client: QdrantClient) -> Iterator[str]:
    """A collection of the points above, with a text index."""
    name = "known-filters"
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert(name, [models.PointStruct(id=i, vector=[1.0, i], payload=p) for i, p in POINTS], wait=True)
    client.create_payload_index(name, "text", models.TextIndexParams(type="text", phrase_matching=True), wait=True)
    yield name
    client.delete_collection(name)


def _passing(points: pb.PointsStub, collection: str, condition: pb.Condition) -> set[int]:
    request = pb.ScrollPoints(collection_name=collection, filter=pb.Filter(must=[condition]), limit=100)
    return {point.id.num for point in points.Scroll(request).result}


def _field(key: str, **condition: object) -> pb.Condition:
    return pb.Condition(field=pb.FieldCondition(key=key, **condition))


def _moment(*date: int) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime(*date, tzinfo=UTC))
    return moment


BERLIN = pb.GeoPoint(lon=13.4, lat=52.5)
EUROPE = [pb.GeoPoint(lon=lon, lat=lat) for lon, lat in ((0, 45), (10, 45), (10, 50), (0, 50), (0, 45))]
CONDITIONS: list[tuple[str, pb.Condition, set[int]]] = [
    ("keyword", _field("word", match=pb.Match(keyword="one")), {1, 3}),
    ("keywords", _field("word", match=pb.Match(keywords=pb.RepeatedStrings(strings=["two"]))), {2, 3}),
    ("no keywords", _field("word", match=pb.Match(keywords=pb.RepeatedStrings())), set()),
    ("except", _field("word", match=pb.Match(except_keywords=pb.RepeatedStrings(strings=["one"]))), {2, 3}),
    ("integer", _field("n", match=pb.Match(integer=1)), {1, 3}),
    ("integers", _field("n", match=pb.Match(integers=pb.RepeatedIntegers(integers=[7, 9]))), {3}),
    ("except integers", _field("n", match=pb.Match(except_integers=pb.RepeatedIntegers(integers=[1]))), {2, 3}),
    ("true", _field("flag", match=pb.Match(boolean=True)), {1}),
    ("false", _field("flag", match=pb.Match(boolean=False)), {2}),
    ("one is not true", _field("flag", match=pb.Match(integer=1)), {3}),
    ("text", _field("text", match=pb.Match(text="fox brown")), {3, 4}),
    ("any word", _field("text", match=pb.Match(text_any="quick cat")), {3}),
    ("phrase", _field("text", match=pb.Match(phrase="brown fox")), {3}),
    ("range", _field("n", range=pb.Range(gt=1, lte=2.5)), {2}),
    ("range over array", _field("n", range=pb.Range(gte=7)), {3}),
    ("moment", _field("when", datetime_range=pb.DatetimeRange(gte=_moment(2025, 1, 1))), {2}),
    ("moment in half seconds", _field("when", datetime_range=pb.DatetimeRange(gt=_moment(2025, 6, 1, 12))), {2}),
    ("radius", _field("at", geo_radius=pb.GeoRadius(center=BERLIN, radius=1000.0)), {1}),
    (
        "box",
        _field(
            "at",
            geo_bounding_box=pb.GeoBoundingBox(
                top_left=pb.GeoPoint(lon=0, lat=50), bottom_right=pb.GeoPoint(lon=5, lat=40)
            ),
        ),
        {2},
    ),
    ("polygon", _field("at", geo_polygon=pb.GeoPolygon(exterior=pb.GeoLineString(points=EUROPE))), {2}),
    ("values", _field("word", values_count=pb.ValuesCount(gte=2)), {3}),
    ("field is empty", _field("rows", is_empty=True), {1, 2, 3}),
    ("field is null", _field("n", is_null=True), {4}),
    ("is empty", pb.Condition(is_empty=pb.IsEmptyCondition(key="empty")), {1, 2, 3, 4, 5}),
    ("is null", pb.Condition(is_null=pb.IsNullCondition(key="word")), {4}),
    ("has id", pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId(num=2), pb.PointId(num=99)])), {2}),
    ("has vector", pb.Condition(has_vector=pb.HasVectorCondition(has_vector="")), {1, 2, 3, 4, 5}),
    ("has another vector", pb.Condition(has_vector=pb.HasVectorCondition(has_vector="other")), set()),
    (
        "nested",
        pb.Condition(
            nested=pb.NestedCondition(
                key="rows",
                filter=pb.Filter(must=[_field("a", match=pb.Match(integer=1)), _field("b", match=pb.Match(integer=4))]),
            )
        ),
        {5},
    ),
    (
        "not nested",
        pb.Condition(
            filter=pb.Filter(
                must=[
                    _field("rows[].a", match=pb.Match(integer=1)),
                    _field("rows[].b", match=pb.Match(integer=4)),
                ]
            )
        ),
        {4, 5},
    ),
    (
        "min should",
        pb.Condition(
            filter=pb.Filter(
                min_should=pb.MinShould(
                    min_count=2,
                    conditions=[
                        _field("word", match=pb.Match(keyword="one")),
                        _field("n", match=pb.Match(integer=7)),
                        _field("n", match=pb.Match(integer=2)),
                    ],
                )
            )
        ),
        {3},
    ),
]


@pytest.mark.parametrize(("condition", "passing"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS])
def test_condition_passes_exactly(
    points: pb.PointsStub, known: str, condition: pb.Condition, passing: set[int]
) -> None:
    assert _passing(points, known, condition) == passing


@pytest.mark.parametrize(("condition", "passing"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS])
def test_negated_condition_passes_the_rest(
    points: pb.PointsStub, known: str, condition: pb.Condition, passing: set[int]
) -> None:
    negated = pb.Condition(filter=pb.Filter(must_not=[condition]))
    assert _passing(points, known, negated) == {1, 2, 3, 4, 5} - passing


def test_slices_divide_the_points(points: pb.PointsStub, known: str) -> None:
    slices = [
        _passing(points, known, pb.Condition(slice=pb.SliceCondition(total=3, index=index))) for index in range(3)
    ]
    assert sorted(number for one in slices for number in one) == [1, 2, 3, 4, 5]


OPEN_RING = pb.GeoLineString(points=EUROPE[:4])
MALFORMED: list[tuple[str, pb.Condition, str]] = [
    ("nothing", pb.Condition(), "Malformed Condition type"),
    ("no test", pb.Condition(field=pb.FieldCondition(key="n")), "At least one field condition must be specified"),
    ("no match", _field("n", match=pb.Match()), "Malformed Match condition"),
    ("path", _field("n[", match=pb.Match(integer=1)), "Invalid json path: 'n['"),
    ("empty path", pb.Condition(is_null=pb.IsNullCondition(key="")), "Invalid json path: ''"),
    ("nested", pb.Condition(nested=pb.NestedCondition(key="rows")), "Nested condition filter cannot be empty"),
    ("id", pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId()])), "No ID options provided"),
    (
        "uuid",
        pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId(uuid="nonsense")])),
        "Unable to parse UUID: nonsense",
    ),
    ("box", _field("at", geo_bounding_box=pb.GeoBoundingBox(top_left=BERLIN)), "Malformed GeoBoundingBox type"),
    ("radius", _field("at", geo_radius=pb.GeoRadius(radius=1)), "Malformed GeoRadius type"),
    ("latitude", _field("at", geo_radius=pb.GeoRadius(center=pb.GeoPoint(lat=91), radius=1)), "Wrong input"),
    ("polygon", _field("at", geo_polygon=pb.GeoPolygon()), "exterior: value invalid, must not be empty"),
    ("open ring", _field("at", geo_polygon=pb.GeoPolygon(exterior=OPEN_RING)), "form a closed line"),
    (
        "short ring",
        _field("at", geo_polygon=pb.GeoPolygon(exterior=pb.GeoLineString(points=[BERLIN] * 3))),
        "the size must be at least 4, got 3",
    ),
    (
        "year",
        _field("when", datetime_range=pb.DatetimeRange(gt=Timestamp(seconds=10**12))),
        "value 1000000000000 invalid",
    ),
    ("slice", pb.Condition(slice=pb.SliceCondition(total=2, index=2)), "Malformed SliceCondition"),
]


@pytest.mark.parametrize(("condition", "text"), [c[1:] for c in MALFORMED], ids=[c[0] for c in MALFORMED])
def test_malformed_condition_is_refused(points: pb.PointsStub, known: str, condition: pb.Condition, text: str) -> None:
    status, details = refusal(lambda: _passing(points, known, condition))
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert text in details


@pytest.mark.parametrize("seed", range(4))
def test_random_filters_agree_with_the_clients_local_mode(
    client: QdrantClient, collection_name: Callable[[str], str], seed: int
) -> None:
    draws, name = Draws(seed), collection_name()
    local = QdrantClient(":memory:")
    points = draws.points()
    for each in (client, local):
        each.create_collection(name, **COLLECTION)
        each.upsert(name, points, wait=True)
    for _ in range(120):
        condition = draws.filter()
        served, expected = (
            [record.id for record in each.scroll(name, scroll_filter=condition, limit=100)[0]]
            for each in (client, local)
        )
        assert served == expected, condition
        assert client.count(name, count_filter=condition).count == len(expected)
