"""Reads without a query vector: retrieve, scroll, count, facet, with every kind of filter that the modes can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qdrant_client import models

from . import library
from .library import point_id
from .sides import Call, Side

Field = models.FieldCondition


def _match(key: str, value: Any) -> models.FieldCondition:
    return Field(key=key, match=models.MatchValue(value=value))


def _any(key: str, values: list[Any]) -> models.FieldCondition:
    return Field(key=key, match=models.MatchAny(any=values))


def _except(key: str, values: list[Any]) -> models.FieldCondition:
    return Field(key=key, match=models.MatchExcept(**{"except": values}))


def _count(key: str, **bounds: int) -> models.FieldCondition:
    return Field(key=key, values_count=models.ValuesCount(**bounds))


def _nested(key: str, **clauses: Any) -> models.NestedCondition:
    return models.NestedCondition(nested=models.Nested(key=key, filter=models.Filter(**clauses)))


def _empty(key: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _null(key: str) -> models.IsNullCondition:
    return models.IsNullCondition(is_null=models.PayloadField(key=key))


def _equality(mark: str) -> dict[str, models.Condition]:
    """Conditions that a field answers in plain and in searchable mode; `mark` is the prefix of the field names."""
    return {
        "match": _match(f"{mark}city", "Zürich"),
        "match-nothing": _match(f"{mark}city", "no such city"),
        "match-empty-text": _match(f"{mark}city", ""),
        "match-integer": _match(f"{mark}age", 5),
        "match-negative": _match(f"{mark}age", -2),
        "match-integer-as-text": _match(f"{mark}age", "5"),
        "match-text-as-integer": _match(f"{mark}city", 5),
        "match-bool": _match(f"{mark}active", True),
        "match-false": _match(f"{mark}active", False),
        "match-in-list": _match(f"{mark}tags", "😀"),
        "match-in-list-marked": _match(f"{mark}tags[]", "red"),
        "match-below-list": _match(f"{mark}items[].name", "a"),
        "match-unmarked-list": _match(f"{mark}items.name", "a"),
        "match-index": _match(f"{mark}items[0].n", 2),
        "match-mixed-types": _match(f"{mark}maybe", "text"),
        "match-mixed-integer": _match(f"{mark}maybe", 2),
        "match-deep": _match(f"{mark}maybe.deep[]", 1),
        "any": _any(f"{mark}city", ["Berlin", "東京"]),
        "any-integers": _any(f"{mark}age", [1, 2, 3]),
        "any-one": _any(f"{mark}tags", ["blue"]),
        "any-none": _any(f"{mark}tags", []),
        "except": _except(f"{mark}city", ["Berlin", ""]),
        "except-list": _except(f"{mark}tags", ["red"]),
        "except-integers": _except(f"{mark}age", [1, 2, 3, 4]),
        "except-none": _except(f"{mark}city", []),
        "nested": _nested(f"{mark}items", must=[_match("name", "b"), _match("n", 1)]),
        "nested-marked": _nested(f"{mark}items[]", must=[_match("name", "b")], must_not=[_match("n", 1)]),
        "nested-any": _nested(f"{mark}items", should=[_any("name", ["a"]), _match("n", 4)]),
        "nested-in-nested": _nested(f"{mark}items", must=[models.Filter(must_not=[_match("n", 0)])]),
        "missing-field": _match(f"{mark}city.below", "Berlin"),
    }


def _shape(mark: str) -> dict[str, models.Condition]:
    """Conditions on a field's presence and length: every mode answers them."""
    return {
        "is-empty": _empty(f"{mark}maybe"),
        "is-empty-list": _empty(f"{mark}tags"),
        "is-empty-nested": _empty(f"{mark}maybe.deep"),
        "is-null": _null(f"{mark}maybe"),
        "is-null-missing": _null(f"{mark}nowhere"),
        "field-is-empty": Field(key=f"{mark}maybe", is_empty=True),
        "field-is-not-empty": Field(key=f"{mark}maybe", is_empty=False),
        "field-is-null": Field(key=f"{mark}maybe", is_null=True),
        "field-is-not-null": Field(key=f"{mark}maybe", is_null=False),
        "values-count": _count(f"{mark}tags", gte=2),
        "values-count-none": _count(f"{mark}tags", lt=1),
        "values-count-scalar": _count(f"{mark}city", gt=0, lte=1),
        "nested-values-count": _nested(f"{mark}items", must=[_count("name", gte=1)]),
        "nested-is-empty": _nested(f"{mark}items", must=[_empty("name")]),
    }


def _content() -> dict[str, models.Condition]:
    """Conditions that only plain fields answer."""
    berlin = models.GeoPoint(lat=52.5, lon=13.4)
    square = [models.GeoPoint(lat=lat, lon=lon) for lat, lon in ((45, 5), (45, 15), (55, 15), (55, 5), (45, 5))]
    return {
        "range": Field(key="weight", range=models.Range(gte=-1.0, lt=2.5)),
        "range-integer": Field(key="age", range=models.Range(gt=0, lte=6)),
        "range-below-list": Field(key="items[].n", range=models.Range(gte=3)),
        "datetime": Field(
            key="when", range=models.DatetimeRange(gte="2024-03-01T00:00:00Z", lt="2024-09-01T00:00:00Z")
        ),
        "geo-radius": Field(key="place", geo_radius=models.GeoRadius(center=berlin, radius=500_000)),
        "geo-box": Field(
            key="place",
            geo_bounding_box=models.GeoBoundingBox(
                top_left=models.GeoPoint(lat=55, lon=5), bottom_right=models.GeoPoint(lat=45, lon=15)
            ),
        ),
        "geo-polygon": Field(key="place", geo_polygon=models.GeoPolygon(exterior=models.GeoLineString(points=square))),
        "text": Field(key="text", match=models.MatchText(text="quick fox")),
        "text-any": Field(key="text", match=models.MatchTextAny(text_any="quick lazy")),
        "phrase": Field(key="text", match=models.MatchPhrase(phrase="brown fox")),
        "prefix": Field(key="city", match=models.MatchPrefix(prefix="B")),
        "substring": Field(key="city", match=models.MatchSubstring(substring="York")),
        "nested-range": _nested("items", must=[Field(key="n", range=models.Range(gte=2)), _match("name", "a")]),
    }


def _points() -> dict[str, models.Condition]:
    """Conditions on the point itself."""
    return {
        "has-id": models.HasIdCondition(has_id=[point_id(1), point_id(3), point_id(6), 999]),
        "has-id-none": models.HasIdCondition(has_id=[]),
        "slice": models.SliceCondition(slice=models.Slice(total=3, index=1)),
        "has-vector": models.HasVectorCondition(has_vector="image"),
        "has-sparse-vector": models.HasVectorCondition(has_vector="words"),
        "has-multivector": models.HasVectorCondition(has_vector="tokens"),
    }


def _compound() -> dict[str, models.Filter]:
    plain, hidden, sealed = _match("city", "Berlin"), _match("s_city", "Berlin"), _empty("secret.maybe")
    conditions = [plain, _any("s_tags", ["red", "green"]), _match("s_active", True), sealed]
    return {
        "nothing": models.Filter(),
        "must": models.Filter(must=[plain, hidden]),
        "must-not": models.Filter(must_not=[hidden, _match("active", True)]),
        "should": models.Filter(should=[hidden, _match("s_age", 3), _match("age", 4)]),
        "all-clauses": models.Filter(must=[sealed], should=[hidden, plain], must_not=[_match("s_age", 2)]),
        "min-should": models.Filter(min_should=models.MinShould(conditions=conditions, min_count=2)),
        "min-should-all": models.Filter(min_should=models.MinShould(conditions=conditions, min_count=4)),
        "min-should-none": models.Filter(min_should=models.MinShould(conditions=conditions, min_count=0)),
        "filter-in-filter": models.Filter(must=[models.Filter(should=[hidden, models.Filter(must_not=[sealed])])]),
    }


def filters() -> dict[str, models.Filter]:
    """Every filter, by a name."""
    single = {
        **{f"plain-{name}": one for name, one in {**_equality(""), **_shape("")}.items()},
        **{f"searchable-{name}": one for name, one in {**_equality("s_"), **_shape("s_")}.items()},
        **{f"sealed-{name}": one for name, one in _shape("secret.").items()},
        **_content(),
        **_points(),
    }
    return {**{name: models.Filter(must=[one]) for name, one in single.items()}, **_compound()}


def _counts(collection: str) -> dict[str, Call]:
    def counted(condition: models.Filter) -> Call:
        def run(on: Side) -> object:
            page, _ = on.client.scroll(on.name(collection), scroll_filter=condition, limit=200, with_payload=False)
            return [on.client.count(on.name(collection), count_filter=condition, exact=True), [p.id for p in page]]

        return run

    return {f"filter-{name}": counted(condition) for name, condition in filters().items()}


def _facets(collection: str) -> dict[str, Call]:
    def facet(**asked: Any) -> Call:
        return lambda on: on.client.facet(on.name(collection), exact=True, **asked)

    found: dict[str, Call] = {}
    for mark in ("", "s_"):
        for field in ("city", "age", "tags", "active"):
            found[f"facet-{mark}{field}"] = facet(key=f"{mark}{field}", limit=100)
        found[f"facet-{mark}limit"] = facet(key=f"{mark}age", limit=4)
        found[f"facet-{mark}filter"] = facet(
            key=f"{mark}city", limit=50, facet_filter=models.Filter(must=[_match("s_active", True)])
        )
    found["facet-one"] = facet(key="s_tags", limit=1)
    return found


def _scrolls(collection: str) -> dict[str, Call]:
    def scroll(**asked: Any) -> Call:
        return lambda on: on.client.scroll(on.name(collection), **{"limit": 7, **asked})

    def pages(on: Side) -> object:
        found, offset = [], None
        while True:
            page, offset = on.client.scroll(on.name(collection), limit=9, offset=offset, with_payload=False)
            found.append([record.id for record in page])
            if offset is None:
                return found

    def ties(field: str) -> Call:
        # The engine orders equal values by its own internal numbers, so only the order of values is an answer.
        def run(on: Side) -> object:
            page, _ = on.client.scroll(on.name(collection), order_by=field, limit=500, with_payload=False)
            assert [r.order_value for r in page] == sorted(r.order_value for r in page)
            return sorted([r.order_value, str(r.id)] for r in page)

        return run

    order = models.OrderBy
    return {
        "scroll": scroll(),
        "scroll-everything": scroll(limit=1_000, with_payload=True, with_vectors=True),
        "scroll-pages": pages,
        "scroll-from-number": scroll(offset=40),
        "scroll-from-uuid": scroll(offset=point_id(6), with_payload=False),
        "scroll-from-nowhere": scroll(offset=10_000_000),
        "scroll-no-payload": scroll(with_payload=False),
        "scroll-include": scroll(limit=100, with_payload=["city", "s_items[].name", "secret.note", "nowhere"]),
        "scroll-include-nested": scroll(limit=100, with_payload=["secret", "items[0]", "s_maybe.deep"]),
        "scroll-exclude": scroll(
            limit=100, with_payload=models.PayloadSelectorExclude(exclude=["secret", "s_items[].n", "city"])
        ),
        "scroll-exclude-leaf": scroll(
            limit=100, with_payload=models.PayloadSelectorExclude(exclude=["secret.note", "s_city"])
        ),
        "scroll-filter": scroll(scroll_filter=models.Filter(must=[_match("s_city", "Berlin")])),
        "order-by": scroll(order_by="weight", limit=20),
        "order-by-descending": scroll(order_by=order(key="weight", direction=models.Direction.DESC), limit=20),
        "order-by-from": scroll(order_by=order(key="weight", start_from=0.5), limit=20),
        "order-by-ties": ties("age"),
        "order-by-datetime": scroll(order_by=order(key="when", direction=models.Direction.DESC), limit=20),
        "order-by-datetime-from": scroll(order_by=order(key="when", start_from="2024-05-01T00:00:00Z"), limit=20),
        "order-by-list": ties("items[].n"),
        "order-by-filter": scroll(
            order_by="weight", scroll_filter=models.Filter(must_not=[_match("s_city", "Berlin")]), limit=30
        ),
    }


def _retrieves(collection: str, vectors: list[str]) -> dict[str, Call]:
    ids = [point_id(number) for number in (5, 3, 7, 11, 13, 17, 20, 79)]

    def retrieve(which: list[int | str] = ids, **asked: Any) -> Call:
        return lambda on: sorted(
            (plain_record(r) for r in on.client.retrieve(on.name(collection), which, **asked)),
            key=lambda r: str(r["id"]),
        )

    def plain_record(record: Any) -> dict[str, Any]:
        return {"id": record.id, "payload": record.payload, "vector": record.vector}

    found = {
        "retrieve": retrieve(),
        "retrieve-vectors": retrieve(with_vectors=True),
        "retrieve-no-payload": retrieve(with_payload=False, with_vectors=True),
        "retrieve-missing": retrieve([point_id(4), 12_345, "ffffffff-0000-0000-0000-000000000001"]),
        "retrieve-none": retrieve([]),
        "retrieve-twice": retrieve([point_id(4), point_id(4)]),
        "retrieve-uuid-spelling": retrieve([str(point_id(6)).upper(), str(point_id(9)).replace("-", "")]),
        "retrieve-include": retrieve(with_payload=["secret.note", "s_tags"]),
    }
    for name in vectors:
        found[f"retrieve-{name}"] = retrieve(with_vectors=[name])
    if len(vectors) > 1:
        found["retrieve-two-vectors"] = retrieve(with_vectors=vectors[:2])
    return found


def reads(distance: str) -> dict[str, Call]:
    """All reads of both collections, by name."""
    named, unnamed = f"{distance}-{library.NAMED}", f"{distance}-{library.UNNAMED}"
    makers: dict[str, Callable[[str], dict[str, Call]]] = {
        "": _counts,
        "f": _facets,
        "s": _scrolls,
        "r": lambda collection: _retrieves(
            collection, ["text", "image", "tokens", "words", "bm25"] if collection == named else []
        ),
    }
    of_named = {name: call for make in makers.values() for name, call in make(named).items()}
    of_unnamed = {f"unnamed-{name}": call for make in (_scrolls, makers["r"]) for name, call in make(unnamed).items()}
    return {**of_named, **of_unnamed}
