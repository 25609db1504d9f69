"""What can be asked of a payload field in each mode: every kind of question has an allow and a deny."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from qdrant_client import grpc as q

from proxy.behind import DIMS, Guarded, refusal
from proxy.conftest import vectors

NAME = "box-modes"
ENTRY = "collections[5].payload."

POINTS = 4
GEO = {"lat": 52.0, "lon": 13.0}


def text(value: str) -> q.Value:
    return q.Value(string_value=value)


def values(number: int) -> dict[str, q.Value]:
    """One field for each type of value."""
    place = q.Struct(fields={key: q.Value(double_value=degrees) for key, degrees in GEO.items()})
    many = q.ListValue(values=[text(f"item {i}") for i in range(number)])
    return {
        "text": text(f"word{number} common"),
        "word": text(f"word{number}"),
        "number": q.Value(integer_value=number),
        "flag": q.Value(bool_value=number % 2 == 0),
        "when": text(f"2024-01-0{number}T00:00:00Z"),
        "where": q.Value(struct_value=place),
        "many": q.Value(list_value=many),
        "none": q.Value(null_value=q.NullValue.NULL_VALUE),
    }


@pytest.fixture(scope="module")
def modes(place: Guarded) -> Iterator[str]:
    """Points 1 to 4 with `open`, `tag` and `shut`, each a map of the same values: plain, searchable and sealed."""
    ask = q.CreateCollection(collection_name=NAME)
    ask.vectors_config.params_map.map["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    place.client.collections.Create(ask)
    points = []
    for i in range(1, POINTS + 1):
        inner = q.Value(struct_value=q.Struct(fields=values(i)))
        payload = {"open": inner, "tag": inner, "shut": inner}
        payload["meta"] = q.Value(list_value=q.ListValue(values=[inner_of(i)]))
        only = q.NamedVectors(vectors={"d": vectors(i).vectors.vectors["d"]})
        points.append(q.PointStruct(id=q.PointId(num=i), vectors=q.Vectors(vectors=only), payload=payload))
    place.client.points.Upsert(q.UpsertPoints(collection_name=NAME, points=points, wait=True))
    for path, kind in (
        ("open.number", q.FieldType.FieldTypeInteger),
        ("open.when", q.FieldType.FieldTypeDatetime),
        ("open.text", q.FieldType.FieldTypeText),
        ("open.word", q.FieldType.FieldTypeKeyword),
        ("tag.word", q.FieldType.FieldTypeKeyword),
    ):
        index = q.CreateFieldIndexCollection(collection_name=NAME, field_name=path, field_type=kind, wait=True)
        place.client.points.CreateFieldIndex(index)
    yield NAME
    place.client.collections.Delete(q.DeleteCollection(collection_name=NAME))


def inner_of(number: int) -> q.Value:
    """An element of the list `meta`, with a field of each mode."""
    return q.Value(struct_value=q.Struct(fields={key: text(f"word{number}") for key in ("open", "tag", "shut")}))


def field(key: str, **condition: object) -> q.Condition:
    return q.Condition(field=q.FieldCondition(key=key, **condition))


def match(key: str, **kind: object) -> q.Condition:
    return field(key, match=q.Match(**kind))


def corner(lat: float, lon: float) -> q.GeoPoint:
    return q.GeoPoint(lat=lat, lon=lon)


SQUARE = q.GeoLineString(points=[corner(50, 10), corner(50, 15), corner(55, 15), corner(55, 10), corner(50, 10)])
STRINGS = q.RepeatedStrings(strings=["word1", "word2", "nothing"])
INTEGERS = q.RepeatedIntegers(integers=[1, 2, 99])

# Question: condition on a map's field, and how many of the four points it selects where it can be asked.
EQUALITY: dict[str, tuple[Callable[[str], q.Condition], int]] = {
    "keyword": (lambda at: match(f"{at}.word", keyword="word2"), 1),
    "integer": (lambda at: match(f"{at}.number", integer=3), 1),
    "boolean": (lambda at: match(f"{at}.flag", boolean=True), 2),
    "keywords": (lambda at: match(f"{at}.word", keywords=STRINGS), 2),
    "integers": (lambda at: match(f"{at}.number", integers=INTEGERS), 2),
    "except_keywords": (lambda at: match(f"{at}.word", except_keywords=STRINGS), 2),
    "except_integers": (lambda at: match(f"{at}.number", except_integers=INTEGERS), 2),
    "an element of a list": (lambda at: match(f"{at}.many[]", keyword="item 2"), 2),
}
CONTENT: dict[str, tuple[Callable[[str], q.Condition], int]] = {
    "text": (lambda at: match(f"{at}.text", text="word2"), 1),
    "text_any": (lambda at: match(f"{at}.text", text_any="word2 word3"), 2),
    "range": (lambda at: field(f"{at}.number", range=q.Range(gte=2)), 3),
    "datetime_range": (lambda at: field(f"{at}.when", datetime_range=when(3)), 2),
    "geo_bounding_box": (
        lambda at: field(
            f"{at}.where",
            geo_bounding_box=q.GeoBoundingBox(top_left=corner(55, 10), bottom_right=corner(50, 15)),
        ),
        4,
    ),
    "geo_radius": (
        lambda at: field(f"{at}.where", geo_radius=q.GeoRadius(center=corner(52, 13), radius=1000)),
        4,
    ),
    "geo_polygon": (lambda at: field(f"{at}.where", geo_polygon=q.GeoPolygon(exterior=SQUARE)), 4),
}
# Some of these need an index or a build that the engine lacks, so only the refusal is asked here.
CONTENT_REFUSED: dict[str, Callable[[str], q.Condition]] = {
    "phrase": lambda at: match(f"{at}.text", phrase="word2 common"),
    "prefix": lambda at: match(f"{at}.word", prefix="wo"),
    "substring": lambda at: match(f"{at}.word", substring="or"),
}
SHAPE: dict[str, tuple[Callable[[str], q.Condition], int]] = {
    "values_count": (lambda at: field(f"{at}.many", values_count=q.ValuesCount(gte=3)), 2),
    "is_empty": (lambda at: q.Condition(is_empty=q.IsEmptyCondition(key=f"{at}.missing")), 4),
    "is_null": (lambda at: q.Condition(is_null=q.IsNullCondition(key=f"{at}.none")), 4),
    "is_empty of a field condition": (lambda at: field(f"{at}.missing", is_empty=True), 4),
    "is_null of a field condition": (lambda at: field(f"{at}.none", is_null=True), 4),
}


def when(day: int) -> q.DatetimeRange:
    begin = q.DatetimeRange()
    begin.gte.FromJsonString(f"2024-01-0{day}T00:00:00Z")
    return begin


def count(place: Guarded, *conditions: q.Condition) -> int:
    ask = q.CountPoints(collection_name=NAME, filter=q.Filter(must=conditions), exact=True)
    counted: int = place.client.points.Count(ask).result.count
    return counted


def denied(place: Guarded, call: Callable[[], object], path: str, mode: str, *texts: str) -> None:
    """Refused, naming field, mode and the policy's entry."""
    rule = "default" if mode == "sealed" else f"fields.{path.partition('.')[0]}"
    place.refused(call, "INVALID_ARGUMENT", f"`{path}`", f"its mode is {mode}", ENTRY + rule, *texts)


def path_of(condition: q.Condition) -> str:
    return condition.field.key.replace("[]", "")


@pytest.mark.parametrize("kind", EQUALITY)
def test_equality(place: Guarded, modes: str, kind: str) -> None:
    build, expected = EQUALITY[kind]
    assert count(place, build("open")) == count(place, build("tag")) == expected
    denied(place, lambda: count(place, build("shut")), path_of(build("shut")), "sealed", "plain or searchable")


@pytest.mark.parametrize("kind", CONTENT)
def test_content(place: Guarded, modes: str, kind: str) -> None:
    build, expected = CONTENT[kind]
    assert count(place, build("open")) == expected
    denied(place, lambda: count(place, build("tag")), path_of(build("tag")), "searchable", "it needs mode plain")
    denied(place, lambda: count(place, build("shut")), path_of(build("shut")), "sealed", "it needs mode plain")


@pytest.mark.parametrize("kind", CONTENT_REFUSED)
def test_content_that_only_some_engines_answer(place: Guarded, modes: str, kind: str) -> None:
    build = CONTENT_REFUSED[kind]
    place.recorder.clear()
    try:
        count(place, build("open"))
    finally:
        assert place.recorder.forwarded == ["/qdrant.Points/Count"]
    denied(place, lambda: count(place, build("tag")), path_of(build("tag")), "searchable")
    denied(place, lambda: count(place, build("shut")), path_of(build("shut")), "sealed")


@pytest.mark.parametrize("kind", SHAPE)
def test_shape(place: Guarded, modes: str, kind: str) -> None:
    build, expected = SHAPE[kind]
    assert [count(place, build(mode)) for mode in ("open", "tag", "shut")] == [expected] * 3


def test_points_and_vectors_are_no_fields(place: Guarded, modes: str) -> None:
    one = q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1)]))
    has = q.Condition(has_vector=q.HasVectorCondition(has_vector="d"))
    assert (count(place, one), count(place, has)) == (1, POINTS)


def test_a_nested_filter(place: Guarded, modes: str) -> None:
    def nested(key: str) -> q.Condition:
        inner = q.Filter(must=[match(key, keyword="word3")])
        return q.Condition(nested=q.NestedCondition(key="meta", filter=inner))

    assert (count(place, nested("open")), count(place, nested("tag"))) == (1, 1)
    text = "its mode is sealed (collections[5].payload.default)"
    place.refused(lambda: count(place, nested("shut")), "INVALID_ARGUMENT", "`meta.shut`", text)


DENIED = match("shut.word", keyword="word1")
ALLOWED = match("tag.word", keyword="word1")
FIRST = q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1)]))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda c: q.Filter(must=[FIRST, c]),
        lambda c: q.Filter(should=[c]),
        lambda c: q.Filter(must_not=[c]),
        lambda c: q.Filter(min_should=q.MinShould(conditions=[FIRST, c], min_count=1)),
        lambda c: q.Filter(must=[q.Condition(filter=q.Filter(should=[q.Condition(filter=q.Filter(must_not=[c]))]))]),
    ],
    ids=["must", "should", "must_not", "min_should", "deep"],
)
def test_every_clause_is_looked_at(place: Guarded, modes: str, wrap: Callable[[q.Condition], q.Filter]) -> None:
    def counting(condition: q.Condition) -> int:
        ask = q.CountPoints(collection_name=NAME, filter=wrap(condition), exact=True)
        counted: int = place.client.points.Count(ask).result.count
        return counted

    place.recorder.clear()
    in_clear = counting(match("open.word", keyword="word1"))
    assert counting(ALLOWED) == in_clear
    denied(place, lambda: counting(DENIED), "shut.word", "sealed")


def _operation(**kind: object) -> q.UpdateBatchPoints:
    return q.UpdateBatchPoints(collection_name=NAME, operations=[q.PointsUpdateOperation(**kind)])


def _requests(condition: q.Condition) -> dict[str, tuple[str, object]]:
    """Every request that carries a filter, by what it is."""
    only = q.Filter(must=[condition])
    selector = q.PointsSelector(filter=only)
    one = q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS))
    nearest = q.Query(nearest=one)
    prefetch = q.PrefetchQuery(query=nearest, using="d", filter=only, limit=5)
    deeper = q.PrefetchQuery(prefetch=[prefetch], query=nearest, using="d", limit=5)
    condition_formula = q.Query(formula=q.Formula(expression=q.Expression(condition=condition)))
    corpus = q.SearchParams(idf=q.IdfParams(corpus=only))
    ops = q.PointsUpdateOperation
    point = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors())
    query = {"collection_name": NAME, "using": "d"}
    return {
        "count": ("Count", q.CountPoints(collection_name=NAME, filter=only)),
        "scroll": ("Scroll", q.ScrollPoints(collection_name=NAME, filter=only)),
        "facet": ("Facet", q.FacetCounts(collection_name=NAME, key="tag.word", filter=only)),
        "query": ("Query", q.QueryPoints(**query, query=nearest, filter=only)),
        "prefetch": ("Query", q.QueryPoints(**query, query=nearest, prefetch=[prefetch])),
        "prefetch of a prefetch": ("Query", q.QueryPoints(**query, query=nearest, prefetch=[deeper])),
        "formula": (
            "Query",
            q.QueryPoints(query=condition_formula, prefetch=[prefetch_of(nearest)], collection_name=NAME),
        ),
        "idf corpus": ("Query", q.QueryPoints(**query, query=nearest, params=corpus)),
        "query batch": (
            "QueryBatch",
            q.QueryBatchPoints(
                collection_name=NAME, query_points=[q.QueryPoints(using="d", query=nearest, filter=only)]
            ),
        ),
        "query groups": (
            "QueryGroups",
            q.QueryPointGroups(**query, query=nearest, filter=only, group_by="tag.word"),
        ),
        "search": (
            "Search",
            q.SearchPoints(collection_name=NAME, vector=[1.0] * DIMS, vector_name="d", limit=3, filter=only),
        ),
        "search batch": (
            "SearchBatch",
            q.SearchBatchPoints(
                collection_name=NAME,
                search_points=[
                    q.SearchPoints(collection_name=NAME, vector=[1.0] * DIMS, vector_name="d", limit=3, filter=only)
                ],
            ),
        ),
        "search groups": (
            "SearchGroups",
            q.SearchPointGroups(
                collection_name=NAME,
                vector=[1.0] * DIMS,
                vector_name="d",
                limit=3,
                group_by="tag.word",
                group_size=1,
                filter=only,
            ),
        ),
        "recommend": (
            "Recommend",
            q.RecommendPoints(collection_name=NAME, positive=[q.PointId(num=1)], using="d", limit=3, filter=only),
        ),
        "recommend groups": (
            "RecommendGroups",
            q.RecommendPointGroups(
                collection_name=NAME,
                positive=[q.PointId(num=1)],
                using="d",
                limit=3,
                group_by="tag.word",
                group_size=1,
                filter=only,
            ),
        ),
        "discover": (
            "Discover",
            q.DiscoverPoints(
                collection_name=NAME,
                target=q.TargetVector(single=q.VectorExample(id=q.PointId(num=1))),
                using="d",
                limit=3,
                filter=only,
            ),
        ),
        "matrix pairs": (
            "SearchMatrixPairs",
            q.SearchMatrixPoints(collection_name=NAME, using="d", sample=4, limit=2, filter=only),
        ),
        "matrix offsets": (
            "SearchMatrixOffsets",
            q.SearchMatrixPoints(collection_name=NAME, using="d", sample=4, limit=2, filter=only),
        ),
        "delete": ("Delete", q.DeletePoints(collection_name=NAME, points=selector)),
        "delete vectors": (
            "DeleteVectors",
            q.DeletePointVectors(
                collection_name=NAME, points_selector=selector, vectors=q.VectorsSelector(names=["d"])
            ),
        ),
        "set payload": ("SetPayload", q.SetPayloadPoints(collection_name=NAME, points_selector=selector)),
        "overwrite payload": ("OverwritePayload", q.SetPayloadPoints(collection_name=NAME, points_selector=selector)),
        "delete payload": (
            "DeletePayload",
            q.DeletePayloadPoints(collection_name=NAME, points_selector=selector, keys=["x"]),
        ),
        "clear payload": ("ClearPayload", q.ClearPayloadPoints(collection_name=NAME, points=selector)),
        "upsert if": ("Upsert", q.UpsertPoints(collection_name=NAME, points=[], update_filter=only)),
        "update vectors if": (
            "UpdateVectors",
            q.UpdatePointVectors(collection_name=NAME, points=[], update_filter=only),
        ),
        "batch delete": ("UpdateBatch", _operation(delete_points=ops.DeletePoints(points=selector))),
        "batch delete, old": ("UpdateBatch", _operation(delete_deprecated=selector)),
        "batch clear, old": ("UpdateBatch", _operation(clear_payload_deprecated=selector)),
        "batch clear": ("UpdateBatch", _operation(clear_payload=ops.ClearPayload(points=selector))),
        "batch set": ("UpdateBatch", _operation(set_payload=ops.SetPayload(points_selector=selector))),
        "batch overwrite": (
            "UpdateBatch",
            _operation(overwrite_payload=ops.OverwritePayload(points_selector=selector)),
        ),
        "batch delete payload": (
            "UpdateBatch",
            _operation(delete_payload=ops.DeletePayload(points_selector=selector, keys=["x"])),
        ),
        "batch delete vectors": ("UpdateBatch", _operation(delete_vectors=ops.DeleteVectors(points_selector=selector))),
        "batch upsert if": (
            "UpdateBatch",
            _operation(upsert=ops.PointStructList(points=[point], update_filter=only)),
        ),
        "batch update vectors if": (
            "UpdateBatch",
            _operation(update_vectors=ops.UpdateVectors(points=[], update_filter=only)),
        ),
    }


def prefetch_of(query: q.Query) -> q.PrefetchQuery:
    return q.PrefetchQuery(query=query, using="d", limit=4)


READING = tuple(
    what
    for what, (rpc, _) in _requests(ALLOWED).items()
    if rpc
    not in ("Upsert", "UpdateVectors", "UpdateBatch", "Delete", "DeleteVectors", "OverwritePayload", "ClearPayload")
)


@pytest.mark.parametrize("what", _requests(ALLOWED))
def test_a_filter_on_a_sealed_field_is_refused_wherever_it_stands(place: Guarded, modes: str, what: str) -> None:
    rpc, ask = _requests(DENIED)[what]
    if what == "formula":  # its prefetches have run by then; nothing of the formula itself may be asked
        place.recorder.clear()
        code, details = refusal(lambda: getattr(place.client.points, rpc)(ask))
        assert (code.name, "`shut.word`: its mode is sealed" in details) == ("INVALID_ARGUMENT", True)
        assert not [call.method for call in place.recorder.calls if b"word1" in call.body]
        return
    denied(place, lambda: getattr(place.client.points, rpc)(ask), "shut.word", "sealed")


@pytest.mark.parametrize("what", [what for what in READING if what not in ("idf corpus",)])
def test_a_filter_on_a_searchable_field_works_wherever_it_stands(place: Guarded, modes: str, what: str) -> None:
    """The clear value never travels: what is forwarded holds the token."""
    rpc, ask = _requests(ALLOWED)[what]
    place.recorder.clear()
    getattr(place.client.points, rpc)(ask)
    assert place.recorder.forwarded
    assert not [call.method for call in place.recorder.calls if b"word1" in call.body]


@pytest.mark.parametrize(
    ("what", "build"),
    [
        ("order_by of a scroll", lambda key: ("Scroll", q.ScrollPoints(order_by=q.OrderBy(key=key)))),
        ("order_by of a query", lambda key: ("Query", q.QueryPoints(query=q.Query(order_by=q.OrderBy(key=key))))),
        (
            "order_by of a prefetch",
            lambda key: (
                "Query",
                q.QueryPoints(
                    prefetch=[q.PrefetchQuery(query=q.Query(order_by=q.OrderBy(key=key)))],
                    query=q.Query(fusion=q.Fusion.RRF),
                ),
            ),
        ),
    ],
)
def test_order_needs_a_plain_field(
    place: Guarded, modes: str, what: str, build: Callable[[str], tuple[str, object]]
) -> None:
    def ordering(key: str) -> object:
        rpc, ask = build(key)
        ask.collection_name = NAME
        return getattr(place.client.points, rpc)(ask)

    assert len(ordering("open.number").result) == POINTS
    denied(place, lambda: ordering("tag.number"), "tag.number", "searchable", "ordering")
    denied(place, lambda: ordering("shut.number"), "shut.number", "sealed", "ordering")


def test_facets_and_groups_need_equality(place: Guarded, modes: str) -> None:
    nearest = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))

    def facet(key: str) -> q.FacetResponse:
        answer: q.FacetResponse = place.client.points.Facet(q.FacetCounts(collection_name=NAME, key=key))
        return answer

    def groups(key: str) -> q.QueryGroupsResponse:
        ask = q.QueryPointGroups(collection_name=NAME, query=nearest, using="d", group_by=key)
        answer: q.QueryGroupsResponse = place.client.points.QueryGroups(ask)
        return answer

    assert len(facet("open.word").hits) == len(facet("tag.word").hits) == POINTS
    assert len(groups("open.word").result.groups) == len(groups("tag.word").result.groups) == POINTS
    denied(place, lambda: facet("shut.word"), "shut.word", "sealed", "a facet")
    denied(place, lambda: groups("shut.word"), "shut.word", "sealed", "grouping")


INDEXES = {
    "keyword": True,
    "integer": True,
    "bool": True,
    "uuid": True,
    "float": False,
    "geo": False,
    "text": False,
    "datetime": False,
}


@pytest.mark.parametrize("kind", INDEXES)
def test_indexes(place: Guarded, modes: str, kind: str) -> None:
    def index(key: str) -> object:
        field_type = q.FieldType.Value(f"FieldType{kind.capitalize()}")
        ask = q.CreateFieldIndexCollection(collection_name=NAME, field_name=key, field_type=field_type, wait=True)
        return place.client.points.CreateFieldIndex(ask)

    index(f"open.new_{kind}")
    if INDEXES[kind]:
        index(f"tag.new_{kind}")
        stored = place.rest.collections.Get(q.GetCollectionInfoRequest(collection_name=NAME)).result.payload_schema
        assert stored[f"_p.tag.new_{kind}"].data_type == q.PayloadSchemaType.Keyword
    else:
        text = f"a {kind} index cannot work on field `tag.new_{kind}`: its mode is searchable"
        place.refused(lambda: index(f"tag.new_{kind}"), "INVALID_ARGUMENT", text)
    denied(place, lambda: index(f"shut.new_{kind}"), f"shut.new_{kind}", "sealed", "a payload index")


def test_an_index_with_parameters_instead_of_a_type(place: Guarded, modes: str) -> None:
    """Parameters alone name the kind of index as well as the type does."""
    params = q.PayloadIndexParams(text_index_params=q.TextIndexParams(tokenizer=q.TokenizerType.Word))
    ask = q.CreateFieldIndexCollection(collection_name=NAME, field_name="tag.words", field_index_params=params)
    text = "a text index cannot work on field `tag.words`: its mode is searchable"
    place.refused(lambda: place.client.points.CreateFieldIndex(ask), "INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    "condition",
    [
        q.Condition(),
        match("tag.word"),
        match("a..b", keyword="x"),
        match("", keyword="x"),
        field('tag."', range=q.Range(gt=1)),
        q.Condition(is_empty=q.IsEmptyCondition(key="a b")),
        q.Condition(nested=q.NestedCondition(key="a.", filter=q.Filter())),
    ],
    ids=["empty", "match of nothing", "two dots", "no key", "quote", "blank", "nested"],
)
def test_a_condition_that_is_not_understood(place: Guarded, modes: str, condition: q.Condition) -> None:
    place.refused(lambda: count(place, condition), "INVALID_ARGUMENT")
