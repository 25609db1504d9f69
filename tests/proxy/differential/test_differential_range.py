"""Range fields: ranges, date ranges and matches select what they select in clear, wherever the field stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from grpc import RpcError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models
from serving import Server

from .conftest import Proxies
from .over_rest import rest_side
from .sides import Call, Pair, Side, side

POLICY = """
version: 1
collections:
  - match: "*"
    vectors:
      - {match: "*", transforms: [{kind: rotation}]}
    payload:
      default: sealed
      fields: {r: range, items.r: range, deep.map.r: range, '"odd key"': range, word: searchable}
"""
NAME = "ranged"
POINTS = 160
INDEXED = ("r", "deep.map.r", '"odd key"')

NUMBERS = (0, 1, -1, 2, 5, 1000, 2**53, -(2**53), 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 0.5, -2.5, 1e300, -1e300, 5e-324, -5e-324, 99.5)
TIMES = (
    "2024-02-29T12:00:00Z",
    "2024-02-29T13:00:00+01:00",
    "2024-02-29 12:00:00.000001",
    "2024-02-29",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
)
WORDS = ("", "red", "2024-13-01", "5")
numbers = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(FLOATS), st.integers(-20, 20), st.integers(-(2**63), 2**63 - 1)
)
leaves = st.one_of(numbers, st.sampled_from(TIMES), st.sampled_from(WORDS), st.booleans(), st.none())
values = st.one_of(
    leaves, leaves, st.lists(leaves, max_size=3), st.lists(st.lists(leaves, max_size=2), max_size=2), st.just({"a": 1})
)


@st.composite
def payloads(draw: st.DrawFn) -> dict[str, Any]:
    rows = st.lists(st.fixed_dictionaries({}, optional={"r": values, "w": st.sampled_from("ab")}), max_size=3)
    row = st.fixed_dictionaries({}, optional={"r": values})
    deep = st.fixed_dictionaries({}, optional={"map": row, "s": leaves})
    whole = st.fixed_dictionaries(
        {}, optional={"r": values, "items": rows, "deep": deep, "odd key": values, "word": st.sampled_from("ab")}
    )
    return draw(whole)


@st.composite
def ranges(draw: st.DrawFn) -> models.Range:
    bound = st.one_of(st.none(), numbers.map(float))
    drawn = {name: draw(bound) for name in ("lt", "gt", "lte", "gte")}
    return models.Range(**{name: value for name, value in drawn.items() if value is not None})


@st.composite
def date_ranges(draw: st.DrawFn) -> models.DatetimeRange:
    moments = st.one_of(
        st.sampled_from(
            [datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]
        ),
        st.datetimes(datetime(1960, 1, 1), datetime(2030, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    )
    drawn = {name: draw(st.one_of(st.none(), moments)) for name in ("lt", "gt", "lte", "gte")}
    return models.DatetimeRange(**{name: value for name, value in drawn.items() if value is not None})


matches = st.one_of(
    st.one_of(st.sampled_from(NUMBERS), st.sampled_from(WORDS + TIMES), st.booleans()).map(
        lambda v: models.MatchValue(value=v)
    ),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4).map(lambda many: models.MatchAny(any=many)),
)
PATHS = ("r", "r[]", "r[0]", "items[].r", "items[0].r", "items[].r[]", "deep.map.r", '"odd key"')


@st.composite
def conditions(draw: st.DrawFn, paths: tuple[str, ...] = PATHS) -> models.FieldCondition:
    key = draw(st.sampled_from(paths))
    asked = draw(st.sampled_from(["range", "range", "date", "match", "count", "empty"]))
    if asked == "range":
        return models.FieldCondition(key=key, range=draw(ranges()))
    if asked == "date":
        return models.FieldCondition(key=key, range=draw(date_ranges()))
    if asked == "match":
        return models.FieldCondition(key=key, match=draw(matches))
    if asked == "count":
        return models.FieldCondition(key=key, values_count=models.ValuesCount(gte=draw(st.integers(0, 3))))
    return models.FieldCondition(key=key, is_empty=True)


@st.composite
def filters(draw: st.DrawFn) -> models.Filter:
    one = conditions()
    inner = st.lists(
        st.one_of(conditions(("r", "r[]")), st.just(models.FieldCondition(key="w", is_empty=True))),
        min_size=1,
        max_size=2,
    ).map(lambda many: models.NestedCondition(nested=models.Nested(key="items", filter=models.Filter(must=many))))
    word = st.just(models.FieldCondition(key="word", match=models.MatchValue(value="a")))
    clauses = {
        name: draw(st.lists(st.one_of(one, one, inner, word), max_size=2)) for name in ("must", "should", "must_not")
    }
    return models.Filter(**{name: many for name, many in clauses.items() if many})


def put(points: list[models.PointStruct]) -> Call:
    return lambda on: on.client.upsert(on.name(NAME), points, wait=True)


def selecting(condition: models.Filter) -> Call:
    def selected(on: Side) -> object:
        page, _ = on.client.scroll(on.name(NAME), scroll_filter=condition, limit=1_000, with_payload=False)
        return [record.id for record in page], on.client.count(on.name(NAME), count_filter=condition).count

    return selected


def everything(on: Side) -> object:
    return on.client.scroll(on.name(NAME), limit=1_000, with_payload=True)[0]


@cache
def pair_points() -> list[models.PointStruct]:
    """Points with random payload, the same each time."""
    points: list[models.PointStruct] = []

    @settings(
        max_examples=POINTS, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(payloads())
    def fill(payload: dict[str, Any]) -> None:
        points.append(models.PointStruct(id=len(points), vector={"d": [1.0, 2.0]}, payload=payload))

    fill()
    for value in (*NUMBERS, *FLOATS, *TIMES):
        points.append(models.PointStruct(id=len(points), vector={"d": [1.0, 2.0]}, payload={"r": value}))
    return points


@pytest.fixture(scope="module")
def pair(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    with side(engine) as direct, side(proxy(POLICY), "exact-") as proxied:
        for on in (direct, proxied):
            config = {"d": models.VectorParams(size=2, distance=models.Distance.DOT)}
            on.client.create_collection(on.name(NAME), vectors_config=config)
        for path in INDEXED:
            proxied.client.create_payload_index(proxied.name(NAME), path, models.PayloadSchemaType.FLOAT, wait=True)
        both = Pair(direct, proxied)
        both.same(put(pair_points()))
        both.same(everything)
        yield both
        direct.client.delete_collection(NAME)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(filters())
def test_filters_select_the_same_points(pair: Pair, condition: models.Filter) -> None:
    pair.same(selecting(condition))


def test_date_forms_and_zones_are_one_time(pair: Pair) -> None:
    """All spellings of a moment are found by it, and the filters of this file do find things."""
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    at = models.FieldCondition(key="r", range=models.DatetimeRange(gte=moment, lte=moment))
    spelled = [models.FieldCondition(key="r", match=models.MatchValue(value=text)) for text in TIMES[:2]]
    counted = [
        pair.proxied.client.count(pair.proxied.name(NAME), count_filter=models.Filter(must=[condition])).count
        for condition in (at, *spelled)
    ]
    assert counted[0] >= counted[1] + counted[2] > 0 < counted[2]


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(filters(), payloads(), st.sampled_from(["set", "overwrite", "delete", "within"]))
def test_writes_by_filter_leave_no_label_behind(
    pair: Pair, condition: models.Filter, payload: dict[str, Any], how: str
) -> None:
    def write(on: Side) -> object:
        name, client = on.name(NAME), on.client
        if how == "set":
            return client.set_payload(name, payload, condition, wait=True).status
        if how == "overwrite":
            return client.overwrite_payload(name, payload, condition, wait=True).status
        if how == "delete":
            return client.delete_payload(name, ["r", "items[].r", "deep.map"], condition, wait=True).status
        return client.set_payload(name, {"r": 5, "s": 1}, condition, key="deep.map", wait=True).status

    everywhere = [models.Filter(must=[models.FieldCondition(key=key, range=models.Range())]) for key in PATHS]
    try:
        pair.same(write)
        for one in (condition, *everywhere):
            pair.same(selecting(one))
        pair.same(everything)
    finally:
        pair.same(lambda on: on.client.delete(on.name(NAME), models.Filter(), wait=True) and None)
        pair.same(put(pair_points()))


def test_range_filters_over_rest(pair: Pair, proxy: Proxies) -> None:
    wanted = models.Filter(
        must=[models.FieldCondition(key="r", range=models.Range(gt=-3, lte=5))],
        must_not=[
            models.FieldCondition(key="items[].r", range=models.DatetimeRange(lt=datetime(2025, 1, 1, tzinfo=UTC)))
        ],
    )
    with rest_side(proxy(POLICY), "exact-") as over_rest:
        assert selecting(wanted)(over_rest) == selecting(wanted)(pair.direct)
    assert selecting(wanted)(pair.direct)[1] > 0  # type: ignore[index]


@pytest.mark.parametrize("kind", ["integer", "float", "datetime", "keyword"])
def test_an_index_is_shown_as_it_was_declared(pair: Pair, kind: str) -> None:
    def declared(on: Side) -> object:
        name, client = on.name(NAME), on.client
        client.create_payload_index(name, "items[].r", models.PayloadSchemaType(kind), wait=True)
        shown = client.get_collection(name).payload_schema["items[].r"]
        client.delete_payload_index(name, "items[].r", wait=True)
        return shown.data_type, "items[].r" in client.get_collection(name).payload_schema

    pair.same(declared)


def test_what_a_range_field_cannot_do_is_refused_by_name(pair: Pair) -> None:
    client, name = pair.proxied.client, pair.proxied.name(NAME)
    everywhere = models.Filter()
    for call in (
        lambda: client.scroll(name, order_by="r"),
        lambda: client.facet(name, "r"),
        lambda: client.query_points_groups(name, "r", query=[1.0, 2.0], using="d"),
        lambda: client.create_payload_index(name, "r", models.PayloadSchemaType.GEO),
        lambda: client.count(name, models.Filter(must=[excluding("r")])),
    ):
        with pytest.raises(RpcError, match="field `r`: its mode is range"):
            call()
    with pytest.raises(RpcError, match="field `r` has labels"):
        client.set_payload(name, {"x": 1}, everywhere, key="r")
    with pytest.raises(RpcError, match="field `r` has labels"):
        client.delete_payload(name, ["r[0]"], everywhere)


def excluding(key: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchExcept(**{"except": [1]}))
