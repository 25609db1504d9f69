"""Entries are found where they were put, the final one first; a foreign or damaged record is told apart."""

import pytest
from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import Unreadable
from vecguard.front.qdrant import records
from vecguard.front.qdrant.records import Record

MANIFEST = "0f0e0d0c0b0a4908"


def attached(entries):
    point = q.PointStruct()
    records.attach(point.payload, MANIFEST, entries)
    return point.payload


def pending(payload, name, *entries):
    slots = payload["_vg"].struct_value.fields["n"].struct_value.fields
    for entry in entries:
        slots[records.pending_key(name, entry)].CopyFrom(records.encode(entry))


def test_entries_come_back_by_name():
    payload = attached({"": b"\x00\xff\xfe", "title": b"two", "a:b": b""})
    assert list(payload) == ["_vg"]
    record = Record(payload, MANIFEST)
    assert record.entries("") == [b"\x00\xff\xfe"]
    assert record.entries("title") == [b"two"]
    assert record.entries("a:b") == [b""]
    assert record.entries("b") == []


def test_a_record_without_vectors_still_names_its_manifest():
    payload = attached({})
    assert payload["_vg"].struct_value.fields["v"].HasField("struct_value")
    assert Record(payload, MANIFEST).entries("") == []


def test_the_text_form_is_base64url_without_padding():
    assert records.encode(b"\xfb\xff").string_value == "-_8"


def test_attaching_leaves_the_payload_beside_it_alone():
    point = q.PointStruct(payload={"_p": q.Value(struct_value=q.Struct())})
    records.attach(point.payload, MANIFEST, {"": b"x"})
    assert set(point.payload) == {"_p", "_vg"}


def test_pending_entries_come_after_the_final_one():
    payload = attached({"a": b"old"})
    entries = [b"new\x00", b"new\x01", b"new\x02", b"new\x03"]
    pending(payload, "a", *reversed(entries))
    pending(payload, "b", b"other\x00")
    assert Record(payload, MANIFEST).entries("a") == [b"old", *entries]
    assert Record(payload, MANIFEST).entries("b") == [b"other\x00"]


def test_the_ring_of_pending_entries_does_not_grow():
    payload = attached({})
    pending(payload, "a", *(bytes([i]) for i in range(200)))
    assert len(payload["_vg"].struct_value.fields["n"].struct_value.fields) == records.SLOTS
    assert {entry[0] for entry in Record(payload, MANIFEST).entries("a")} == {196, 197, 198, 199}


def test_a_name_like_a_slot_is_not_mistaken_for_one():
    payload = attached({})
    pending(payload, "0:a", b"x\x01")
    assert Record(payload, MANIFEST).entries("0:a") == [b"x\x01"]
    assert Record(payload, MANIFEST).entries("a") == []


def test_a_record_of_another_manifest_is_stale():
    with pytest.raises(StaleEntry):
        Record(attached({"a": b"x"}), "00" * 8)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        q.Value(),
        q.Value(string_value="text"),
        q.Value(struct_value=q.Struct()),
        q.Value(list_value=q.ListValue(values=[q.Value()])),
        q.Value(struct_value=q.Struct(fields={"v": q.Value(struct_value=q.Struct())})),
    ],
)
def test_a_point_without_a_record_is_unreadable(stored):
    payload = {} if stored is None else {"_vg": stored}
    with pytest.raises(Unreadable):
        Record(q.PointStruct(payload=payload).payload, MANIFEST)


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A+AA", "AA\n", "é"])
@pytest.mark.parametrize("place", ["v", "n"])
def test_an_entry_that_is_no_base64url_is_unreadable(text, place):
    payload = attached({"a": b"x"})
    names = payload["_vg"].struct_value.fields[place].struct_value.fields
    names["a" if place == "v" else "2_61"].string_value = text
    with pytest.raises(Unreadable):
        Record(payload, MANIFEST).entries("a")


def test_an_entry_of_another_type_opens_nothing():
    payload = attached({"a": b"x"})
    payload["_vg"].struct_value.fields["v"].struct_value.fields["a"].integer_value = 7
    assert Record(payload, MANIFEST).entries("a") == [b""]
