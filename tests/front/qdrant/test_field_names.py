"""Hidden names: every place of Qdrant's API where one can stand, both ways."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from qdrant_client import grpc as q
from qdrant_client.grpc import collections_service_pb2, points_service_pb2
from shields import IDENTITY, manifest_of, policy_of, record_of, ring_of

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import UNREADABLE_NAME, Names
from vecguard.front.qdrant import field_names, translation
from vecguard.front.qdrant.payloads import unwrap, wrap
from vecguard.keys.key import Key
from vecguard.policy.model import PayloadRule
from vecguard.seal.ids import num_id
from vecguard.seal.names import NameCipher
from vecguard.shield import Shield

RULE = PayloadRule(fields={"place": "plain"}, hash_names=True)
HIDDEN = Names(NameCipher(Key(bytes(range(32))), IDENTITY.bytes), RULE)
# Texts that hold no name of a field: names of collections, vectors, aliases and shards, values, and what models are
# asked with. `using` is looked at, since a full-text query names a field there.
OTHERS = {
    *("collection_name", "vector_name", "alias_name", "old_alias_name", "new_alias_name", "collection", "name"),
    *("uuid", "string_value", "keyword", "strings", "text", "phrase", "text_any", "prefix", "substring", "query"),
    *("model", "languages", "language", "custom", "has_vector", "names", "datetime", "error", "message"),
    *("VectorsEntry.key", "OptionsEntry.key", "ModelsEntry.key", "MapEntry.key", "MultivectorConfigEntry.key"),
    *("SparseConfigEntry.key",),
}
# Requests of older clients, which are turned into others before anything is sent.
OLD = {"qdrant.RecommendPoints.using", "qdrant.RecommendPointGroups.using", "qdrant.DiscoverPoints.using"}
MATRIX = {"qdrant.SearchMatrixPoints.using"}


def texts() -> Iterator[FieldDescriptor]:
    """Every text field of the messages of Qdrant's API."""
    seen: set[str] = set()
    waiting: list[Descriptor] = []
    for module in (points_service_pb2, collections_service_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            waiting += [part for method in service.methods for part in (method.input_type, method.output_type)]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen:
            continue
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.message_type is not None:
                waiting.append(field.message_type)
            elif field.type == FieldDescriptor.TYPE_STRING:
                yield field


def test_every_text_of_the_api_is_known() -> None:
    found = {field.full_name: field for field in texts()}
    assert len(found) > 100
    assert found.keys() >= field_names.PATHS | field_names.HELD | OLD | MATRIX
    for name, field in found.items():
        short = f"{field.containing_type.name}.key" if field.containing_type.GetOptions().map_entry else field.name
        known = (name in field_names.PATHS, name in field_names.HELD, name in OLD | MATRIX, short in OTHERS)
        assert sum(known) == 1, name


def hidden(*keys: str) -> str:
    return ".".join(HIDDEN.hidden(keys[:i], key) for i, key in enumerate(keys))


def test_paths_in_a_filter() -> None:
    inner = q.Filter(must=[q.Condition(field=q.FieldCondition(key="price", range=q.Range(gt=1)))])
    deeper = q.Filter(must=[q.Condition(nested=q.NestedCondition(key="rows[]", filter=inner))])
    nested = q.NestedCondition(key="_p.shops", filter=deeper)
    ours = q.FieldCondition(key="_vgt", range=q.Range(lt=5))
    ask = q.ScrollPoints(collection_name="c", order_by=q.OrderBy(key="_p.a.b"))
    ask.filter.must.extend([q.Condition(nested=nested), q.Condition(field=ours)])
    ask.filter.should.add().is_empty.key = '_p."odd key"[0].b'
    ask.with_payload.include.fields.extend(["_p.a", "_vg"])
    before = ask.SerializeToString(deterministic=True)
    field_names.hide(ask, HIDDEN)
    assert ask.filter.must[0].nested.key == f"_p.{hidden('shops')}"
    assert ask.filter.must[0].nested.filter.must[0].nested.key == f"{HIDDEN.hidden(('shops',), 'rows')}[]"
    deepest = ask.filter.must[0].nested.filter.must[0].nested.filter.must[0].field.key
    assert deepest == HIDDEN.hidden(("shops", "rows"), "price")
    assert ask.filter.must[1].field.key == "_vgt"
    head, tail = hidden("odd key", "b").split(".")
    assert ask.filter.should[0].is_empty.key == f"_p.{head}[0].{tail}"
    assert ask.order_by.key == f"_p.{hidden('a', 'b')}"
    assert list(ask.with_payload.include.fields) == [f"_p.{hidden('a')}", "_vg"]
    field_names.show(ask, HIDDEN)
    assert ask.SerializeToString(deterministic=True) == before


def test_a_nested_condition_outside_the_payload_is_refused() -> None:
    ask = q.CountPoints(filter=q.Filter(must=[q.Condition(nested=q.NestedCondition(key="_vgn", filter=q.Filter()))]))
    with pytest.raises(InvalidArgument, match="nested"):
        field_names.hide(ask, HIDDEN)


@pytest.mark.parametrize("key", [None, "_p", "_p.meta", "_p.rows[0].meta"])
def test_what_is_set_where(key: str | None) -> None:
    inner = {"city": q.Value(string_value="x"), "_vgl_city": q.Value(list_value=q.ListValue())}
    payload = inner if key else {"_p": q.Value(struct_value=q.Struct(fields=inner)), "_vg": q.Value(string_value="r")}
    operation = q.PointsUpdateOperation.SetPayload(payload=payload)
    if key:
        operation.key = key
    whole = q.UpdateBatchPoints(operations=[q.PointsUpdateOperation(set_payload=operation)])
    field_names.hide(whole, HIDDEN)
    changed = whole.operations[0].set_payload
    place = {None: (), "_p": (), "_p.meta": ("meta",), "_p.rows[0].meta": ("rows", "meta")}[key]
    held = changed.payload if key else changed.payload["_p"].struct_value.fields
    city = HIDDEN.hidden(place, "city")
    assert set(held) == {city, f"_vgl_{city}"}
    assert set(changed.payload) == (set(held) if key else {"_p", "_vg"})
    assert changed.key == {"_p.meta": f"_p.{hidden('meta')}"}.get(key or "", changed.key)
    assert not (key or "").count("meta") or "meta" not in changed.key
    field_names.show(whole, HIDDEN)
    assert whole.operations[0].set_payload == operation


def test_declared_indexes_and_the_schema() -> None:
    info = q.GetCollectionInfoResponse()
    info.result.payload_schema["_p.a[].b"].params.keyword_index_params.nested = "_p.a[]"
    info.result.payload_schema["_vgt"].data_type = q.PayloadSchemaType.Integer
    info.result.config.metadata["_vg.index._p.a[].b"].string_value = "x"
    info.result.config.metadata["owner"].string_value = "y"
    before = info.SerializeToString(deterministic=True)
    field_names.hide(info, HIDDEN)
    first, second = hidden("a", "b").split(".")
    assert set(info.result.payload_schema) == {f"_p.{first}[].{second}", "_vgt"}
    assert info.result.payload_schema[f"_p.{first}[].{second}"].params.keyword_index_params.nested == f"_p.{first}[]"
    assert set(info.result.config.metadata) == {f"_vg.index._p.{first}[].{second}", "owner"}
    field_names.show(info, HIDDEN)
    assert info.SerializeToString(deterministic=True) == before


def test_a_text_query_names_a_field_and_others_a_vector() -> None:
    ask = q.QueryPoints(using="_p.text", prefetch=[q.PrefetchQuery(using="text")])
    field_names.hide(ask, HIDDEN)
    assert ask.using == f"_p.{hidden('text')}"
    assert ask.prefetch[0].using == "text"


def test_error_texts_are_in_the_clients_words() -> None:
    text = f'Index required but not found for "_p.{hidden("a", "b")}" of one of the types'
    assert field_names.shown_text(text, HIDDEN) == 'Index required but not found for "_p.a.b" of one of the types'
    other = "Index required but not found for _p.unknown"
    assert field_names.shown_text(other, HIDDEN) == other


def shield() -> Shield:
    manifest = manifest_of(PayloadRule(hash_names=True))
    manifest._name_key = Key(bytes(range(32)))
    records = [record_of("")]
    return Shield(manifest, ring_of(1), {"": records[0]}, policy_of(records, manifest.payload))


def test_a_point_with_a_name_that_nobody_hid_does_not_open_and_others_do() -> None:
    guard = shield()
    answer = q.GetResponse()
    for number in (1, 2):
        point = answer.result.add(id=q.PointId(num=number))
        point.payload["city"].string_value = "x"
        wrap(point.payload, guard.fields, num_id(number))
    stored = translation.stored(answer, guard)
    assert set(stored.result[0].payload["_p"].struct_value.fields) == {HIDDEN.hidden((), "city")}
    stored.result[1].payload["_p"].struct_value.fields["city"].string_value = "put here"
    translation.show(stored, guard)
    unwrap(stored.result[0].payload, guard.fields, num_id(1))
    assert stored.result[0].payload["city"].string_value == "x"
    with pytest.raises(Unreadable):
        unwrap(stored.result[1].payload, guard.fields, num_id(2))


def test_names_that_look_like_unreadable_ones_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        HIDDEN.hidden((), f"{UNREADABLE_NAME}x")
    assert HIDDEN.shown((), "anything") == f"{UNREADABLE_NAME}anything"


def test_what_makes_a_plain_field_a_geographical_point_stays() -> None:
    for parent, name in ((("place",), "lon"), (("place", "more"), "lat")):
        assert HIDDEN.hidden(parent, name) == name
        assert HIDDEN.shown(parent, name) == name
    for parent, name in (((), "lon"), (("sealed",), "lat"), (("place",), "alt")):
        assert HIDDEN.hidden(parent, name) != name
        assert HIDDEN.shown(parent, name) == f"{UNREADABLE_NAME}{name}"


def test_without_hidden_names_nothing_is_copied() -> None:
    records = [record_of("")]
    plain = Shield(manifest_of(), ring_of(1), {"": records[0]}, policy_of(records))
    ask = q.ScrollPoints(collection_name=str(uuid.uuid4()))
    assert translation.stored(ask, plain) is ask
