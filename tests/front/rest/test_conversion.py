"""Where `qdrant_client`'s conversions lose something, ours do not; and nothing that gRPC cannot carry is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument
from vecguard.front.rest.conversion import Conversion, field_type, into_grpc, payload_values, selector
from vecguard.front.rest.decoding import Body
from vecguard.front.rest.endpoint import Endpoint, Request
from vecguard.front.rest.refusals import Refusal
from vecguard.front.rest.table import ENDPOINTS

P = "/collections/{collection_name}"
TABLE = {f"{one.method} {one.path}": one for one in ENDPOINTS if isinstance(one, Endpoint)}


def sent(endpoint: str, body: Any = None, query: dict[str, Any] | None = None, **path: str) -> Any:
    """The gRPC message that a request becomes."""
    row = TABLE[endpoint]
    value = None if row.body is None else row.body.read(json.dumps(body).encode())
    return row.ask(Request({"collection_name": "c", **path}, query or {}, value))


def test_all_conditions_of_a_field_go_on() -> None:
    raw = {
        "key": "a",
        "match": {"value": 5},
        "range": {"gte": 1},
        "geo_bounding_box": {"top_left": {"lon": 1, "lat": 2}, "bottom_right": {"lon": 3, "lat": 4}},
        "geo_radius": {"center": {"lon": 1, "lat": 2}, "radius": 3},
        "geo_polygon": {"exterior": {"points": [{"lon": 1, "lat": 2}]}},
        "values_count": {"gt": 1},
        "is_empty": False,
        "is_null": True,
    }
    condition = Conversion.convert_field_condition(Body(m.FieldCondition).read(json.dumps(raw).encode()))
    assert {field.name for field, _ in condition.ListFields()} == raw.keys()
    assert condition.HasField("is_empty")
    assert condition.values_count.gt == 1


def test_ranges_of_times() -> None:
    raw = b'{"key": "a", "range": {"gte": "2023-01-01T02:00:00.5+02:00", "lt": "2023-01-02", "gt": "2023-01-01 10:00"}}'
    times = Conversion.convert_field_condition(Body(m.FieldCondition).read(raw)).datetime_range
    assert (times.gte.seconds, times.gte.nanos) == (1672531200, 500_000_000)
    assert (times.lt.seconds, times.gt.seconds) == (1672617600, 1672567200)
    assert not times.HasField("lte")


@pytest.mark.parametrize("key", ["a", ""])
def test_a_field_without_a_condition_is_refused(key: str) -> None:
    with pytest.raises(Refusal) as refused:
        Conversion.convert_filter(m.Filter(must=[m.FieldCondition(key=key)]))
    assert (refused.value.code, "At least one field condition" in refused.value.text) == (422, True)


def test_payload_values_keep_their_types() -> None:
    payload = {"i": 2, "f": 2.0, "b": True, "s": "2", "n": None, "l": [1, 1.0, False, {"x": []}], "o": {}}
    values = q.PointStruct(payload=payload_values(payload)).payload
    kinds = {key: values[key].WhichOneof("kind") for key in values}
    assert kinds == {
        **{"i": "integer_value", "f": "double_value", "b": "bool_value", "s": "string_value"},
        **{"n": "null_value", "l": "list_value", "o": "struct_value"},
    }
    inner = values["l"].list_value.values
    assert [value.WhichOneof("kind") for value in inner[:3]] == ["integer_value", "double_value", "bool_value"]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_whole_numbers_of_64_bits(number: int) -> None:
    assert q.PointStruct(payload=payload_values({"n": number})).payload["n"].integer_value == number


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_unsigned_numbers_are_refused_rather_than_changed(number: int) -> None:
    with pytest.raises(InvalidArgument, match="whole number above 2\\^63 - 1"):
        payload_values({"a": [{"n": number}]})


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_larger_numbers_are_doubles_as_in_qdrant(number: int) -> None:
    assert q.PointStruct(payload=payload_values({"n": number})).payload["n"].double_value == float(number)


def test_a_number_beyond_doubles_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="out of range"):
        payload_values({"n": 10**400})


@pytest.mark.parametrize(
    ("points", "chosen", "kind"), [([1], None, "points"), ([], None, "points"), (None, m.Filter(), "filter")]
)
def test_selectors(points: Any, chosen: Any, kind: str) -> None:
    assert selector(points, chosen).WhichOneof("points_selector_one_of") == kind


@pytest.mark.parametrize(
    "endpoint",
    [
        f"POST {P}/points/vectors/delete",
        f"POST {P}/points/payload",
        f"PUT {P}/points/payload",
        f"POST {P}/points/payload/delete",
    ],
)
def test_a_write_by_ids_and_by_filter_is_refused(endpoint: str) -> None:
    needed = (
        {"vector": ["v"]} if "vectors" in endpoint else {"keys": ["a"]} if "delete" in endpoint else {"payload": {}}
    )
    for more, text in (({"points": [1], "filter": {}}, "send two requests"), ({}, "Either list of points or filter")):
        with pytest.raises(InvalidArgument, match=text):
            sent(endpoint, {**needed, **more})
    operation = {"vector": "delete_vectors", "keys": "delete_payload"}.get(next(iter(needed)), "set_payload")
    with pytest.raises(InvalidArgument, match="send two requests"):
        sent(f"POST {P}/points/batch", {"operations": [{operation: {**needed, "points": [1], "filter": {}}}]})


@pytest.mark.parametrize("kind", m.PayloadSchemaType)
def test_types_of_indexes(kind: m.PayloadSchemaType) -> None:
    number = q.FieldType.Value(f"FieldType{kind.value.capitalize()}")
    assert field_type(kind) == number
    ask = sent(f"PUT {P}/index", {"field_name": "a", "field_schema": {"type": kind.value}}, {"wait": True})
    assert (ask.field_type, ask.wait) == (number, True)
    assert ask.field_index_params.WhichOneof("index_params") == f"{kind.value}_index_params"


def test_a_text_index_has_the_tokenizer_that_rest_means() -> None:
    ask = sent(f"PUT {P}/index", {"field_name": "a", "field_schema": {"type": "text"}})
    assert ask.field_index_params.text_index_params.tokenizer == q.TokenizerType.Word
    ask = sent(f"PUT {P}/index", {"field_name": "a"})
    assert not ask.HasField("field_type")


@pytest.mark.parametrize(
    ("asked", "payload", "vectors"),
    [
        (None, True, False),
        ("c", True, False),
        ({"collection": "c"}, True, False),
        ({"collection": "c", "with_payload": False, "with_vectors": True}, False, True),
    ],
)
def test_look_ups(asked: Any, payload: bool, vectors: bool) -> None:
    ask = sent(f"POST {P}/points/query/groups", {"query": 1, "group_by": "a", "with_lookup": asked})
    assert ask.HasField("with_lookup") == (asked is not None)
    if asked is not None:
        assert ask.with_lookup.collection == "c"
        assert (ask.with_lookup.with_payload.enable, ask.with_lookup.with_vectors.enable) == (payload, vectors)


def test_what_is_shown_where_nothing_is_said() -> None:
    """As in Qdrant: all payload when scrolling, and all there is of one point; nothing when asked by ids or queried."""
    assert sent(f"POST {P}/points/scroll", {}).with_payload.enable
    assert not sent(f"POST {P}/points/scroll", {"with_payload": False}).with_payload.enable
    one = sent(f"GET {P}/points/{{id}}", id="5")
    assert (one.ids[0].num, one.with_payload.enable, one.with_vectors.enable) == (5, True, True)
    for endpoint, body in ((f"POST {P}/points", {"ids": [1]}), (f"POST {P}/points/query", {})):
        ask = sent(endpoint, body)
        assert not ask.HasField("with_payload")
        assert not ask.HasField("with_vectors")


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "", "99999999999999999999", "0e41c6b1"])
def test_ids_in_a_path_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="as point id"):
        sent(f"GET {P}/points/{{id}}", id=text)


@pytest.mark.parametrize("text", ["0e41c6b19f1c4d7ab1b3111111111111", "0E41C6B1-9F1C-4D7A-B1B3-111111111111"])
def test_uuids_in_a_path(text: str) -> None:
    assert sent(f"GET {P}/points/{{id}}", id=text).ids[0].uuid == "0e41c6b1-9f1c-4d7a-b1b3-111111111111"


@pytest.mark.parametrize(
    ("order", "kind", "value"),
    [
        ("a", None, None),
        ({"key": "a", "start_from": 5}, "integer", 5),
        ({"key": "a", "start_from": 5.0}, "float", 5.0),
        ({"key": "a", "start_from": 5.5}, "float", 5.5),
        ({"key": "a", "start_from": "2023-01-01"}, "timestamp", 1672531200),
    ],
)
def test_orders(order: Any, kind: str | None, value: Any) -> None:
    ask = sent(f"POST {P}/points/scroll", {"order_by": order})
    assert ask.order_by.key == "a"
    assert ask.order_by.start_from.WhichOneof("value") == kind
    if kind is not None:
        found = getattr(ask.order_by.start_from, kind)
        assert (found.seconds if kind == "timestamp" else found) == value


def test_shard_keys_in_every_form() -> None:
    for asked, keys, fallback in (("a", ["a"], None), (7, [7], None), (["a", 1], ["a", 1], None)):
        found = sent(f"POST {P}/points/count", {"shard_key": asked}).shard_key_selector
        assert [key.keyword if key.HasField("keyword") else key.number for key in found.shard_keys] == keys
        assert found.HasField("fallback") == (fallback is not None)
    found = sent(f"POST {P}/points/count", {"shard_key": {"target": "a", "fallback": "b"}}).shard_key_selector
    assert (found.shard_keys[0].keyword, found.fallback.keyword) == ("a", "b")


def test_options_in_the_query_string_reach_the_message() -> None:
    ordering = q.WriteOrdering(type=q.WriteOrderingType.Strong)
    consistency = q.ReadConsistency(factor=2)
    write = {"wait": True, "ordering": ordering, "timeout": 9}
    for endpoint, body in (
        (f"PUT {P}/points", {"points": []}),
        (f"POST {P}/points/delete", {"points": [1]}),
        (f"POST {P}/points/batch", {"operations": []}),
        (f"PUT {P}/points/vectors", {"points": []}),
        (f"POST {P}/points/payload", {"payload": {}, "points": [1]}),
        (f"POST {P}/points/payload/clear", {"points": [1]}),
    ):
        ask = sent(endpoint, body, write)
        assert (ask.wait, ask.ordering, ask.timeout) == (True, ordering, 9)
    for endpoint, row in TABLE.items():
        if row.query == ("consistency", "timeout") and "{id}" not in endpoint:
            body = next(one for one in BODIES if row.body is not None and _fits(row.body, one))
            ask = sent(endpoint, body, {"timeout": 9, "consistency": consistency})
            assert (ask.timeout, ask.read_consistency) == (9, consistency), endpoint


BODIES = (
    {"ids": []},
    {"key": "a"},
    {"searches": []},
    {"group_by": "a"},
    {"vector": [1], "group_by": "a", "group_size": 1, "limit": 1},
    {"group_by": "a", "group_size": 1, "limit": 1},
    {"vector": [1], "limit": 1},
    {"limit": 1},
    {},
)


def _fits(body: Body[Any], value: Any) -> bool:
    try:
        body.read(json.dumps(value).encode())
    except InvalidArgument:
        return False
    return True


def test_forms_of_vectors() -> None:
    points = [
        {"id": 1, "vector": []},
        {"id": 2, "vector": {"text": "t", "model": "m"}},
        {"id": 3, "vector": {"v": {"image": "i", "model": "m"}}},
        {"id": 4, "vector": {"v": {"object": {}, "model": "m"}}},
    ]
    ask = sent(f"PUT {P}/points", {"points": points})
    assert [point.vectors.WhichOneof("vectors_options") for point in ask.points] == [
        "vector",
        "vector",
        "vectors",
        "vectors",
    ]
    assert ask.points[0].vectors.vector.WhichOneof("vector") == "dense"
    assert ask.points[1].vectors.vector.document.text == "t"
    assert ask.points[2].vectors.vectors.vectors["v"].image.model == "m"
    assert ask.points[3].vectors.vectors.vectors["v"].object.model == "m"


def test_what_protobuf_cannot_hold_is_an_error_of_the_request() -> None:
    def ask() -> None:
        with into_grpc():
            sent(f"POST {P}/points/query", {"limit": -1})

    with pytest.raises(InvalidArgument, match="out of range"):
        ask()


def test_collections() -> None:
    body = {
        "vectors": {"a": {"size": 4, "distance": "Dot"}},
        "sparse_vectors": {"s": {"modifier": "idf"}},
        "shard_number": 0,
        "on_disk_payload": False,
        "sharding_method": "custom",
        "metadata": {"a": [1, None]},
        "hnsw_config": {"m": 0},
        "optimizers_config": {"max_optimization_threads": "auto"},
    }
    ask = sent(f"PUT {P}", body, {"timeout": 5})
    assert ask.HasField("shard_number")
    assert ask.HasField("on_disk_payload")
    assert ask.sharding_method == q.ShardingMethod.Custom
    assert ask.vectors_config.params_map.map["a"].distance == q.Distance.Dot
    assert ask.sparse_vectors_config.map["s"].modifier == q.Modifier.Idf
    assert ask.metadata["a"].list_value.values[1].WhichOneof("kind") == "null_value"
    assert ask.hnsw_config.HasField("m")
    assert ask.timeout == 5
    assert not sent(f"PUT {P}", {}).HasField("vectors_config")
    assert sent(f"PUT {P}", {"vectors": {}}).HasField("vectors_config")


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ({"move_shard": {"shard_id": 1, "to_peer_id": 2, "from_peer_id": 3, "method": "snapshot"}}, "move_shard"),
        ({"replicate_shard": {"shard_id": 1, "to_peer_id": 2, "from_peer_id": 3}}, "replicate_shard"),
        ({"abort_transfer": {"shard_id": 1, "to_peer_id": 2, "from_peer_id": 3}}, "abort_transfer"),
        ({"drop_replica": {"shard_id": 1, "peer_id": 2}}, "drop_replica"),
        ({"create_sharding_key": {"shard_key": "a"}}, "create_shard_key"),
        ({"drop_sharding_key": {"shard_key": 5}}, "delete_shard_key"),
        (
            {"restart_transfer": {"shard_id": 1, "to_peer_id": 2, "from_peer_id": 3, "method": "wal_delta"}},
            "restart_transfer",
        ),
        ({"replicate_points": {"from_shard_key": "a", "to_shard_key": "b", "filter": {}}}, "replicate_points"),
    ],
)
def test_cluster_operations(operation: Any, name: str) -> None:
    assert sent(f"POST {P}/cluster", operation).WhichOneof("operation") == name


@pytest.mark.parametrize("operation", [{"start_resharding": {"direction": "up"}}, {"abort_resharding": {}}])
def test_resharding_is_refused(operation: Any) -> None:
    from vecguard.errors import Refused

    with pytest.raises(Refused, match="resharding"):
        sent(f"POST {P}/cluster", operation)
