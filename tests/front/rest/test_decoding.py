"""Bodies: what the models know is read, strictly; what they do not know is refused, at any depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument
from vecguard.front.rest.decoding import MOST_FIELDS, Body
from vecguard.front.rest.endpoint import Endpoint
from vecguard.front.rest.points_body import PointsBody
from vecguard.front.rest.refusals import Refusal
from vecguard.front.rest.table import ENDPOINTS

BODIES = {
    f"{endpoint.method} {endpoint.path}": endpoint.body
    for endpoint in ENDPOINTS
    if isinstance(endpoint, Endpoint) and endpoint.body is not None
}
FIELD = {"key": "a", "match": {"value": "x"}}
RANGE = {"key": "a", "range": {"gte": 1, "lt": 2.5}}
TIMES = {"key": "a", "range": {"gte": "2023-01-01T00:00:00Z"}}
NEST = {"nested": {"key": "a", "filter": {"must": [FIELD]}}}
FILTER = {
    "must": [FIELD, RANGE, TIMES, NEST, {"has_id": [1, "0e41c6b1-9f1c-4d7a-b1b3-111111111111"]}],
    "should": {"is_empty": {"key": "a"}},
    "must_not": [{"must": [{"is_null": {"key": "b"}}]}],
    "min_should": {"conditions": [{"has_vector": "v"}, {"slice": {"total": 4, "index": 1}}], "min_count": 1},
}
PREFETCH = {"query": {"nearest": [1, 2]}, "filter": FILTER, "prefetch": [{"query": 5, "params": {"exact": True}}]}
QUERIES: dict[str, Any] = {
    "dense": [1, 2.5],
    "multi": [[1, 2], [3, 4]],
    "sparse": {"indices": [1], "values": [0.5]},
    "id": 7,
    "nearest": {"nearest": [1, 2], "mmr": {"diversity": 0.5, "candidates_limit": 3}},
    "recommend": {"recommend": {"positive": [1, [1, 2]], "negative": [], "strategy": "best_score"}},
    "discover": {"discover": {"target": 1, "context": [{"positive": 1, "negative": 2}]}},
    "context": {"context": {"positive": 1, "negative": 2}},
    "order": {"order_by": {"key": "a", "direction": "desc", "start_from": "2023-01-01 10:00"}},
    "fusion": {"fusion": "dbsf"},
    "rrf": {"rrf": {"k": 3, "weights": [1, 2]}},
    "sample": {"sample": "random"},
    "formula": {
        "formula": {
            "sum": [
                "$score",
                2,
                {"mult": [{"neg": "a"}, {"div": {"left": 1, "right": "b", "by_zero_default": 0}}]},
                {"exp_decay": {"x": {"datetime_key": "t"}, "target": {"datetime": "2023-01-01"}, "scale": 3}},
                {"geo_distance": {"origin": {"lon": 1, "lat": 2}, "to": "place"}},
                FIELD,
            ]
        },
        "defaults": {"a": 1},
    },
    "feedback": {
        "relevance_feedback": {
            "target": [1, 2],
            "feedback": [{"example": 1, "score": 0.5}],
            "strategy": {"naive": {"a": 1, "b": 2, "c": 3}},
        }
    },
    "text": {"text": {"query": "words", "scoring": {"bm25": {"k": 1.2}}}},
}
P = "/collections/{collection_name}"
MODELS = {f"{one.method} {one.path}": one.body.model for one in ENDPOINTS if isinstance(one, Endpoint) and one.body}
GOOD: dict[str, tuple[str, Any]] = {
    **{f"query-{name}": (f"POST {P}/points/query", {"query": query}) for name, query in QUERIES.items()},
    "query-all": (
        f"POST {P}/points/query",
        {
            **{"prefetch": PREFETCH, "query": {"fusion": "rrf"}, "using": "v", "filter": FILTER, "score_threshold": 1},
            **{"params": {"hnsw_ef": 1, "quantization": {"rescore": True}, "idf": {"corpus": FILTER}}, "limit": 1},
            **{"offset": 0, "with_vector": ["v"], "with_payload": {"exclude": ["a"]}, "shard_key": ["a", 1]},
            "lookup_from": {"collection": "c", "vector": "v", "shard_key": {"target": "a", "fallback": "b"}},
        },
    ),
    "query-batch": (f"POST {P}/points/query/batch", {"searches": [{"query": 1}, PREFETCH | {"limit": 3}]}),
    "query-groups": (
        f"POST {P}/points/query/groups",
        {"query": 1, "group_by": "a", "with_lookup": {"collection": "c", "with_payload": ["a"], "with_vectors": True}},
    ),
    "search": (f"POST {P}/points/search", {"vector": {"name": "v", "vector": [1, 2]}, "limit": 1, "filter": FILTER}),
    "recommend": (f"POST {P}/points/recommend", {"positive": [1, [1, 2]], "limit": 1, "params": {"exact": True}}),
    "discover": (
        f"POST {P}/points/discover",
        {"target": 1, "context": [{"positive": 1, "negative": [1, 2]}], "limit": 1},
    ),
    "scroll": (f"POST {P}/points/scroll", {"offset": 1, "filter": FILTER, "order_by": {"key": "a", "start_from": 5}}),
    "count": (f"POST {P}/points/count", {"filter": FILTER, "exact": True}),
    "facet": (f"POST {P}/facet", {"key": "a", "filter": FILTER}),
    "matrix": (f"POST {P}/points/search/matrix/pairs", {"sample": 10, "filter": FILTER}),
    "points": (
        f"PUT {P}/points",
        {"points": [{"id": 1, "vector": {"v": {"indices": [1], "values": [1]}}, "payload": {"a": [1, {"b": None}]}}]},
    ),
    "batch": (f"PUT {P}/points", {"batch": {"ids": [1], "vectors": {"v": [[1, 2]]}, "payloads": [{"a": 1}]}}),
    "conditional": (f"PUT {P}/points", {"points": [], "update_filter": FILTER, "update_mode": "insert_only"}),
    "update-vectors": (f"PUT {P}/points/vectors", {"points": [{"id": 1, "vector": [1, 2]}], "update_filter": FILTER}),
    "delete-vectors": (f"POST {P}/points/vectors/delete", {"filter": FILTER, "vector": ["v"]}),
    "set-payload": (f"POST {P}/points/payload", {"payload": {"a": 1}, "filter": FILTER, "key": "b"}),
    "delete-payload": (f"POST {P}/points/payload/delete", {"keys": ["a"], "points": [1]}),
    "delete": (f"POST {P}/points/delete", {"filter": FILTER, "shard_key": "a"}),
    "operations": (
        f"POST {P}/points/batch",
        {
            "operations": [
                {"upsert": {"points": [{"id": 1, "vector": [1, 2], "payload": None}]}},
                {"delete": {"points": [1]}},
                {"set_payload": {"payload": {"a": 1}, "points": [1]}},
                {"delete_vectors": {"vector": ["v"], "filter": FILTER}},
            ]
        },
    ),
    "create": (
        f"PUT {P}",
        {
            "vectors": {"v": {"size": 4, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}},
            "sparse_vectors": {"s": {"index": {"on_disk": True}, "modifier": "idf"}},
            "quantization_config": {"scalar": {"type": "int8"}},
            "strict_mode_config": {"enabled": True, "multivector_config": {"v": {"max_vectors": 3}}},
            "metadata": {"a": {"b": 1}},
        },
    ),
    "update": (f"PATCH {P}", {"optimizers_config": {"max_optimization_threads": "auto"}, "params": {}}),
    "aliases": (
        "POST /collections/aliases",
        {
            "actions": [
                {"create_alias": {"collection_name": "c", "alias_name": "a"}},
                {"delete_alias": {"alias_name": "b"}},
            ]
        },
    ),
    "index": (
        f"PUT {P}/index",
        {"field_name": "a", "field_schema": {"type": "text", "stopwords": {"custom": ["x"]}, "lowercase": True}},
    ),
}


def read(body: Body[Any], value: Any) -> Any:
    return body.read(json.dumps(value).encode())


@pytest.mark.parametrize("name", GOOD)
def test_what_the_models_know_is_read(name: str) -> None:
    endpoint, value = GOOD[name]
    assert read(BODIES[endpoint], value) is not None


# A client's own data: every key is one.
_OPEN = {"payload", "payloads", "metadata", "defaults"}
# Maps from names of the client's to models.
_NAMED = {"vectors", "sparse_vectors", "multivector_config"}


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """Paths of all objects in a body in which a key that no model has can be put."""
    if isinstance(value, dict):
        if path and path[-1] == "vector" and "indices" not in value and not ({"name", "vector"} & value.keys()):
            pass
        elif not (path and path[-1] in _NAMED and not {"size", "comparator"} & value.keys()):
            yield path
        for key, item in value.items():
            if key not in _OPEN:
                yield from objects(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*path, index))


def spoiled(value: Any, path: tuple[str | int, ...], key: str) -> Any:
    copy = json.loads(json.dumps(value))
    inside = copy
    for part in path:
        inside = inside[part]
    inside[key] = {"vector": [0.5, 0.25]}
    return copy


@pytest.mark.parametrize("name", GOOD)
def test_an_unknown_field_is_refused_at_every_depth(name: str) -> None:
    endpoint, value = GOOD[name]
    places = list(objects(value))
    assert places[0] == ()
    for path in places:
        with pytest.raises(InvalidArgument, match=r"^Format error in JSON body: ") as refused:
            read(BODIES[endpoint], spoiled(value, path, "brand_new_vector"))
        text = str(refused.value)
        assert "brand_new_vector" in text or "did not match any variant" in text, (path, text)
        assert "0.25" not in text


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[", b"{", b'"x"', b"{]", b"\xff\xfe", b"[" * 3_000, b'{"a":NaN}', b"1e999"]
)
def test_what_is_no_body_is_refused(name: str, raw: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^Format error in JSON body: "):
        BODIES[name].read(raw)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"foo": 1}, "unknown field `foo`"),
        ({"limit": "5"}, "invalid value at `limit`: input should be a valid integer"),
        ({"limit": 5.5}, "invalid value at `limit`"),
        ({"limit": True}, "invalid value at `limit`"),
        ({"query": {"nearest": [1], "mmr": {"diversityy": 1}}}, "unknown field `diversityy` at `query.mmr`"),
        ({"query": {"closest": [1]}}, "unknown field `closest` at `query`"),
        ({"query": {"nearest": [1], "context": []}}, "data did not match any variant of untagged enum at `query`"),
        ({"query": True}, "data did not match any variant of untagged enum at `query`"),
        ({"query": [1, "2"]}, "data did not match any variant of untagged enum at `query`"),
        ({"query": [1, True]}, "data did not match any variant of untagged enum at `query`"),
        (
            {"filter": {"must": [{"key": "a", "range": {"gte": 5, "gx": 1}}]}},
            "unknown field `gx` at `filter.must.0.range`",
        ),
        ({"filter": {"must": [{"match": {"value": 1}}]}}, "data did not match any variant"),
        ({"lookup_from": {}}, "missing field `collection` at `lookup_from`"),
        ({"with_payload": "yes"}, "data did not match any variant of untagged enum at `with_payload`"),
    ],
)
def test_the_text_says_where_and_why(value: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(BODIES[f"POST {P}/points/query"], value)
    assert text in str(refused.value)


@pytest.mark.parametrize("text", ["5", "1675850400", "2023-13-01", "12:00", "2023-01-01T25:00:00", "tomorrow", ""])
def test_texts_that_are_no_time_in_qdrant_are_refused(text: str) -> None:
    body: Body[m.Filter] = Body(m.Filter)
    for value in (
        {"must": [{"key": "a", "range": {"gte": text}}]},
        {"must": {"nested": {"key": "b", "filter": {"should": [{"key": "a", "range": {"lt": text}}]}}}},
    ):
        with pytest.raises(InvalidArgument, match="Format error in JSON body"):
            read(body, value)
    with pytest.raises(InvalidArgument, match="Format error in JSON body"):
        read(BODIES[f"POST {P}/points/scroll"], {"order_by": {"key": "a", "start_from": text}})
    with pytest.raises(InvalidArgument, match="Format error in JSON body"):
        read(BODIES[f"POST {P}/points/query"], {"query": {"order_by": {"key": "a", "start_from": text}}})


@pytest.mark.parametrize(
    "text", ["2023-01-01", "2023-01-01T10:00:00Z", "2023-01-01 10:00", "2023-01-01T10:00:00.123456+02:00"]
)
def test_times_are_read(text: str) -> None:
    assert read(Body(m.Filter), {"must": [{"key": "a", "range": {"gte": text}}]}) is not None


def test_a_payload_may_have_any_keys() -> None:
    """Even such as look like a time that is none."""
    value = {"payload": {"range": "5", "start_from": "x", "brand_new": 1}, "points": [1]}
    assert read(BODIES[f"POST {P}/points/payload"], value).payload == value["payload"]


@pytest.mark.parametrize(
    ("endpoint", "raw"),
    [
        (f"POST {P}/points", b'{"ids":[' + b",".join([b"{}"] * 100_000) + b"]}"),
        (f"POST {P}/points/query", b'{"query":[' + b",".join([b'"x"'] * 300_000) + b"]}"),
        (f"PUT {P}/points", b'{"points":[' + b",".join([b'{"id":1}'] * 100_000) + b"]}"),
    ],
)
def test_the_first_fault_of_many_is_enough(endpoint: str, raw: bytes) -> None:
    """A million faults would take gigabytes to list. (Unknown fields of one object are all listed: `MOST_FIELDS`.)"""
    body = BODIES[endpoint]
    with pytest.raises(ValidationError) as faults:
        (body._slow if isinstance(body, PointsBody) else body)._validator.validate_json(raw, strict=True)
    assert faults.value.error_count() < 50
    with pytest.raises(InvalidArgument, match="Format error in JSON body"):
        body.read(raw)


@pytest.mark.slow
def test_a_body_of_too_many_fields_is_not_read() -> None:
    raw = b'{"filter":{"must":[' + b",".join([b"{}"] * (MOST_FIELDS + 1)) + b"]}}"
    with pytest.raises(Refusal) as refused:
        BODIES[f"POST {P}/points/query"].read(raw)
    assert refused.value.code == 413
    many = json.dumps({"points": [{"id": 1, "vector": [1], "payload": {str(n): n for n in range(MOST_FIELDS)}}]})
    assert len(BODIES[f"PUT {P}/points"].read(many.encode()).points) == 1, "plain points have no such bound"


def test_validators_that_stop_early_say_the_same_of_what_is_right() -> None:
    for endpoint, value in GOOD.values():
        body = BODIES[endpoint]
        if not isinstance(body, PointsBody):
            raw = json.dumps(value).encode()
            assert body.read(raw) == TypeAdapter(MODELS[endpoint]).validate_json(raw, strict=True)
