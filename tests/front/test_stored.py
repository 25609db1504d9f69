"""Payloads, metadata and rows as the specification has them at rest: data of this version stays readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from known import alike
from qdrant_client import grpc as q
from shields import manifest_of

from vecguard.errors import Unreadable
from vecguard.fields import Fields, Names
from vecguard.front.milvus import json_values
from vecguard.front.milvus.ids import int64_ids
from vecguard.front.qdrant import field_names
from vecguard.front.qdrant import metadata as meta
from vecguard.front.qdrant.payloads import python_value, unwrap, wrap
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.policy.model import PayloadRule
from vecguard.seal.fields import FieldSealer, bound_to, fresh_nonces
from vecguard.seal.ids import num_id
from vecguard.seal.names import NameCipher

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "stored.json").read_text())
COLLECTION = bytes.fromhex(KNOWN["collection"])
RING = KeyRing({3: Key(bytes.fromhex(KNOWN["data_key"]))}, 3)
POINT = num_id(KNOWN["point"])


def fields_of(modes: dict[str, Any], *, hidden: bool = False) -> Fields:
    rule = PayloadRule(fields=modes, hash_names=hidden)
    names = Names(NameCipher(Key(bytes.fromhex(KNOWN["name_key"])), COLLECTION), rule) if hidden else None
    return Fields(rule, FieldSealer(RING, COLLECTION), str, names)


def value_of(content: Any) -> q.Value:
    """Numbers keep their type, as they do in Qdrant."""
    if isinstance(content, dict):
        return q.Value(struct_value=q.Struct(fields={key: value_of(item) for key, item in content.items()}))
    if isinstance(content, list):
        return q.Value(list_value=q.ListValue(values=[value_of(item) for item in content]))
    if isinstance(content, bool):
        return q.Value(bool_value=content)
    if isinstance(content, int):
        return q.Value(integer_value=content)
    if isinstance(content, float):
        return q.Value(double_value=content)
    return q.Value(null_value=0) if content is None else q.Value(string_value=content)


def point_of(payload: dict[str, Any]) -> q.RetrievedPoint:
    return q.RetrievedPoint(payload={key: value_of(item) for key, item in payload.items()})


def shown(point: q.RetrievedPoint) -> dict[str, Any]:
    return {key: python_value(point.payload[key]) for key in point.payload}


@pytest.mark.parametrize("hidden", [False, True])
def test_the_known_payload_opens(hidden: bool) -> None:
    point, fields = point_of(KNOWN["stored_hidden" if hidden else "stored"]), fields_of(KNOWN["modes"], hidden=hidden)
    if fields.names is not None:
        field_names.show(point, fields.names)
    unwrap(point.payload, fields, POINT)
    assert shown(point) == KNOWN["payload"]
    assert str(shown(point)["deep"]["list"][2][0]) == "-0.0"


@pytest.mark.parametrize("hidden", [False, True])
def test_what_is_written_has_the_known_names_labels_and_tokens(hidden: bool) -> None:
    point, fields = point_of(KNOWN["payload"]), fields_of(KNOWN["modes"], hidden=hidden)
    wrap(point.payload, fields, POINT)
    if fields.names is not None:
        field_names.hide(point, fields.names)
    assert alike(shown(point), KNOWN["stored_hidden" if hidden else "stored"])


def test_a_payload_of_another_point_does_not_open() -> None:
    point = point_of(KNOWN["stored"])
    with pytest.raises(Unreadable):
        unwrap(point.payload, fields_of(KNOWN["modes"]), num_id(8))


def test_names_that_stand_in_another_place_do_not_open() -> None:
    fields = fields_of(KNOWN["modes"], hidden=True)
    kept = dict(KNOWN["stored_hidden"]["_p"])
    names = list(kept)
    kept[names[0]], kept[names[5]] = kept[names[5]], kept[names[0]]  # note and text
    deep = fields.names.hidden((), "deep") if fields.names is not None else ""
    for damaged in (kept, {**KNOWN["stored_hidden"]["_p"], deep: {names[0]: kept[names[5]]}}):
        point = point_of({"_p": damaged})
        assert fields.names is not None
        field_names.show(point, fields.names)
        with pytest.raises(Unreadable):
            unwrap(point.payload, fields, POINT)


def test_the_known_metadata() -> None:
    known, fields = KNOWN["metadata"], fields_of(KNOWN["modes"])
    info = q.CollectionConfig(metadata={key: value_of(item) for key, item in known["stored"].items()})
    (index,) = meta.declared_indexes(info.metadata).items()
    assert index == (known["index"]["path"], ParseDict({"fieldType": 0}, q.CreateFieldIndexCollection()))
    assert set(meta.index_metadata("_p.word", index[1])) == {"_vg.index._p.word"}
    assert meta.index_metadata("_p.word", index[1])["_vg.index._p.word"] == info.metadata["_vg.index._p.word"]
    meta.client_metadata(info.metadata, fields, manifest_of())
    assert {key: python_value(info.metadata[key]) for key in info.metadata} == known["client"]


def test_the_known_dynamic_fields_of_a_row() -> None:
    known = KNOWN["row"]
    fields, bound = fields_of(known["modes"]), bound_to(int64_ids([known["key"]])[0])
    stored = json.dumps(known["stored"]).encode()
    assert json.loads(json_values.reveal_dynamic(stored, fields, bound)) == known["client"]
    client = json.dumps(known["client"]).encode()
    made = json.loads(json_values.protect_dynamic(client, (), fields, bound, fresh_nonces()))
    assert alike(made, known["stored"])
    with pytest.raises(Unreadable):
        json_values.reveal_dynamic(stored, fields, bound_to(int64_ids([8])[0]))
