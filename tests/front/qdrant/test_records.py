"""Entries are found where they were put, the likeliest first; a foreign or damaged record is told apart."""

import pytest
from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import Unreadable
from vecguard.front.qdrant import records
from vecguard.front.qdrant.records import entries_of
from vecguard.seal import record

MANIFEST = "0f0e0d0c0b0a4908"


def attached(entries):
    point = q.PointStruct()
    records.attach(point.payload, MANIFEST, entries)
    return point.payload


def updated(payload):
    return payload["_vgn"].struct_value.fields


def pending(payload, name, *entries):
    for entry in entries:
        updated(payload)[records.pending_key(name, entry)].CopyFrom(records.encode(entry))


def settled(payload, name, entry):
    updated(payload)[records.settled_key(name)].CopyFrom(records.encode(entry))


def test_entries_come_back_by_name():
    payload = attached({"": b"\x00\xff\xfe", "title": b"two", "a:b": b""})
    assert list(payload) == ["_vg"]
    assert entries_of(payload, MANIFEST, "") == [b"\x00\xff\xfe"]
    assert entries_of(payload, MANIFEST, "title") == [b"two"]
    assert entries_of(payload, MANIFEST, "a:b") == [b""]
    assert entries_of(payload, MANIFEST, "b") == []


@pytest.mark.parametrize("name", ["", "a", "größe", "a.b"])
def test_a_vector_is_found_alone_and_among_others(name):
    entries = {name: b"mine", "other": b"another's"}
    for some in ({name: b"mine"}, entries, dict(reversed(entries.items()))):
        payload = attached(some)
        assert entries_of(payload, MANIFEST, name) == [b"mine"]
        assert entries_of(payload, MANIFEST, "nobody") == []
        pending(payload, name, b"x\x02")
        assert entries_of(payload, MANIFEST, name) == [b"mine", b"x\x02"]


def test_a_record_without_vectors_still_names_its_manifest():
    payload = attached({})
    assert record.decode(payload["_vg"].string_value).manifest == MANIFEST
    assert entries_of(payload, MANIFEST, "") == []


def test_the_text_form_is_base64url_without_padding():
    assert records.encode(b"\xfb\xff").string_value == "-_8"


def test_attaching_leaves_the_payload_beside_it_alone():
    point = q.PointStruct(payload={"_p": q.Value(struct_value=q.Struct())})
    records.attach(point.payload, MANIFEST, {"": b"x"})
    assert set(point.payload) == {"_p", "_vg"}


def test_a_settled_entry_comes_first_and_pending_ones_last():
    payload = attached({"a": b"old"})
    entries = [b"new\x00", b"new\x01", b"new\x02", b"new\x03"]
    pending(payload, "a", *reversed(entries))
    pending(payload, "b", b"other\x00")
    assert entries_of(payload, MANIFEST, "a") == [b"old", *entries]
    settled(payload, "a", b"newer")
    assert entries_of(payload, MANIFEST, "a") == [b"newer", b"old", *entries]
    assert entries_of(payload, MANIFEST, "b") == [b"other\x00"]


def test_the_ring_of_pending_entries_does_not_grow():
    payload = attached({})
    pending(payload, "a", *(bytes([i]) for i in range(200)))
    assert len(updated(payload)) == records.SLOTS
    assert {entry[0] for entry in entries_of(payload, MANIFEST, "a")} == {196, 197, 198, 199}


@pytest.mark.parametrize("name", ["", "0:a", "f_", 'odd ".[]', "größe"])
def test_a_name_like_a_key_is_not_mistaken_for_one(name):
    payload = attached({})
    pending(payload, name, b"x\x01")
    settled(payload, name, b"y")
    assert entries_of(payload, MANIFEST, name) == [b"y", b"x\x01"]
    assert entries_of(payload, MANIFEST, "a") == []


def test_a_record_of_another_manifest_is_stale():
    with pytest.raises(StaleEntry):
        entries_of(attached({"a": b"x"}), "00" * 8, "a")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        q.Value(),
        q.Value(string_value="text"),
        q.Value(string_value=f"vgr2.{MANIFEST}."),
        q.Value(string_value=record.encode(MANIFEST, {"a": b"x"}, token=b"bound to it")),
        q.Value(struct_value=q.Struct()),
        q.Value(struct_value=q.Struct(fields={"m": q.Value(string_value=MANIFEST)})),
        q.Value(list_value=q.ListValue(values=[q.Value()])),
    ],
)
def test_a_point_without_a_record_is_unreadable(stored):
    payload = {} if stored is None else {"_vg": stored}
    with pytest.raises(Unreadable):
        entries_of(q.PointStruct(payload=payload).payload, MANIFEST, "a")


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A+AA", "AA\n", "é"])
@pytest.mark.parametrize("key", [None, "f_61", "2_61"])
def test_an_entry_that_is_no_base64url_is_unreadable(text, key):
    payload = attached({"a": b"x"})
    if key is None:
        payload["_vg"].string_value += f".YQ.{text}"
    else:
        updated(payload)[key].string_value = text
    with pytest.raises(Unreadable):
        entries_of(payload, MANIFEST, "a")


def test_an_updated_entry_of_another_type_opens_nothing():
    payload = attached({"a": b"x"})
    updated(payload)["f_61"].integer_value = 7
    assert entries_of(payload, MANIFEST, "a") == [b"", b"x"]
    payload["_vgn"].string_value = "foreign"
    assert entries_of(payload, MANIFEST, "a") == [b"x"]
