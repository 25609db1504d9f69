"""Manifests come back whole, under their own key only, and any altered text is the same Unreadable."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shields import IDENTITY, PAYLOAD, manifest_of, policy_of, record_of, ring_of, transforms_of

from vecguard.errors import FailedPrecondition, Shredded, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import (
    Manifest,
    VectorRecord,
    differences,
    open_core,
    open_tenants,
    open_vector,
    pack_core,
    pack_vector,
    tenant_place,
)
from vecguard.policy.model import CollectionPolicy, PayloadRule
from vecguard.policy.tenants import TenantRule
from vecguard.seal import base64url
from vecguard.seal.tenant import pack_key
from vecguard.tombstone import Tombstone, is_shredded, pack_tombstone, read_tombstone

KNOWN = json.loads((Path(__file__).parent / "vectors" / "manifest.json").read_text())
PROVIDER = LocalWrapping(Key(bytes.fromhex(KNOWN["kek"])))


def new(collection="notes", payload=PAYLOAD, provider=PROVIDER):
    return Manifest.new(collection, payload, provider)


def repacked(text, **changes):
    """A text with other content and its old tag: what a writer to the database can make."""
    prefix, body, tag = text.split(".")
    content = json.loads(base64url.decode(body)) | changes
    return ".".join((prefix, base64url.encode(json.dumps(content).encode()), tag))


# -- known answers -----------------------------------------------------------------------------------------------------


WITHOUT_TENANTS = {"ids": True, "detection": True, "tenant_ids": True, "names": True, "payload": {"hash_names"}}
LEFT_OUT = WITHOUT_TENANTS | {"tenants": True}


def test_known_core_opens_and_packs_to_the_same_text():
    known = KNOWN["core"]
    manifest, ring = open_core(known["text"], PROVIDER)
    assert json.loads(manifest.model_dump_json(exclude=LEFT_OUT)) == known["content"]
    assert manifest.id_key is None
    assert manifest.created == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert manifest.short_id == manifest.uuid.hex[:16]
    assert ring.subkey(1, "x") == Key(bytes(range(32))).derive("x")
    assert pack_core(manifest, ring) == known["text"]


@pytest.mark.parametrize("known", KNOWN["vectors"], ids=lambda known: known["content"]["name"])
def test_known_vector_records_open_and_pack_to_the_same_text(known):
    manifest, ring = open_core(KNOWN["core"]["text"], PROVIDER)
    record = open_vector(known["content"]["name"], known["text"], manifest, ring)
    assert json.loads(record.model_dump_json()) == known["content"]
    assert pack_vector(record, manifest, ring) == known["text"]


# -- tenants -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", KNOWN["tenants"], ids=["field", "attribute"])
def test_known_cores_with_tenants_open_and_pack_to_the_same_text(known):
    manifest, ring = open_core(known["text"], PROVIDER)
    assert manifest.tenants == TenantRule(**known["content"]["tenants"])
    assert pack_core(manifest, ring) == known["text"]
    assert json.loads(manifest.model_dump_json(exclude=WITHOUT_TENANTS)) == known["content"]


def test_other_tenants_keys_than_the_policys_are_a_difference():
    rule = TenantRule(field="a")
    manifest, _ = Manifest.new("notes", PayloadRule(default="plain"), PROVIDER, tenants=rule)
    entry = CollectionPolicy(match="*", payload=PayloadRule(default="plain"))
    other = entry.model_copy(update={"tenant_keys": TenantRule(attribute="b")})
    (left_out,), (another,) = differences(manifest, {}, entry), differences(manifest, {}, other)
    assert left_out == "tenant_keys are {field: a} in the collection, off in the policy"
    assert another == "tenant_keys are {field: a} in the collection, {attribute: b} in the policy"
    assert differences(manifest, {}, entry.model_copy(update={"tenant_keys": rule})) == []


def test_tenants_keys_without_a_rule_for_them_or_in_another_place_do_not_open():
    manifest, ring = Manifest.new("notes", PayloadRule(), PROVIDER, tenants=TenantRule(field="a"))
    text = pack_key(2**31, bytes(12), Key(bytes(32)), ring, manifest.uuid.bytes)
    found = open_tenants({tenant_place(2**31): text}, manifest, ring)
    assert found.numbers == (2**31,)
    bare = manifest.model_copy(update={"tenants": None})
    for texts, of in (({tenant_place(2**31): text}, bare), ({"8000000A": text}, manifest), ({"x": text}, manifest)):
        with pytest.raises(Unreadable):
            open_tenants(texts, of, ring)


# -- point ids ---------------------------------------------------------------------------------------------------------

IDS = json.loads((Path(__file__).parent / "vectors" / "encrypted_ids.json").read_text())


def with_ids():
    return Manifest.new("notes", PayloadRule(), PROVIDER, "encrypted")


def test_the_key_of_point_ids_comes_back_and_outlives_epochs():
    manifest, ring = with_ids()
    opened, _ = open_core(pack_core(manifest, ring), PROVIDER)
    assert manifest.id_key is not None
    assert opened.id_key == manifest.id_key
    later = KeyRing({1: Key(bytes(32)), 2: Key(bytes([2]) * 32)}, 2)
    rotated = opened.model_copy(update={"current": 2, "epochs": {**opened.epochs, 2: opened.epochs[1]}})
    texts = [pack_core(*one) for one in ((manifest, ring), (rotated, later))]
    boxes = [json.loads(base64url.decode(text.split(".")[1]))["ids"] for text in texts]
    assert boxes[0] != boxes[1]
    assert rotated.id_key == manifest.id_key


def test_the_known_box_of_an_id_key_is_made():
    manifest, _ = with_ids()
    known = manifest.model_copy(update={"uuid": uuid.UUID(IDS["collection"])})
    known._id_key = Key(bytes.fromhex(IDS["id_key"]))
    text = pack_core(known, KeyRing({1: Key(bytes.fromhex(IDS["data_key"]))}, 1))
    assert json.loads(base64url.decode(text.split(".")[1]))["ids"] == IDS["box"]


def test_a_box_of_an_id_key_that_does_not_open(monkeypatch):
    manifest, ring = with_ids()
    monkeypatch.setattr("vecguard.manifest._sealed_key", lambda key, *_: key and base64url.encode(bytes(48)))
    with pytest.raises(Unreadable):
        open_core(pack_core(manifest, ring), PROVIDER)


@pytest.mark.parametrize(("made", "policy"), [("plain", "encrypted"), ("encrypted", "plain")])
def test_other_ids_than_the_policys_are_a_difference(made, policy):
    manifest, _ = Manifest.new("notes", PayloadRule(), PROVIDER, made)
    assert differences(manifest, {}, CollectionPolicy(match="*", ids=policy)) == [
        f"ids are {made} in the collection, {policy} in the policy"
    ]
    assert differences(manifest, {}, CollectionPolicy(match="*", ids=made)) == []


# -- field names -------------------------------------------------------------------------------------------------------

NAMES = json.loads((Path(__file__).parent / "vectors" / "names.json").read_text())
TENANTS = json.loads((Path(__file__).parent / "vectors" / "tenants.json").read_text())
HASHED = PayloadRule(hash_names=True)


def test_the_key_of_field_names_comes_back_and_only_where_there_is_one():
    manifest, ring = Manifest.new("notes", HASHED, PROVIDER)
    opened, _ = open_core(pack_core(manifest, ring), PROVIDER)
    assert manifest.name_key is not None
    assert opened.name_key == manifest.name_key
    assert (opened.id_key, opened.payload.hash_names) == (None, True)
    plain, ring = Manifest.new("notes", PayloadRule(), PROVIDER)
    body = json.loads(base64url.decode(pack_core(plain, ring).split(".")[1]))
    assert (plain.name_key, "names" in body, "hash_names" in body["payload"]) == (None, False, False)


def test_the_known_box_of_a_name_key_is_made():
    manifest, _ = Manifest.new("notes", HASHED, PROVIDER)
    known = manifest.model_copy(update={"uuid": uuid.UUID(NAMES["collection"])})
    known._name_key = Key(bytes.fromhex(NAMES["name_key"]))
    text = pack_core(known, KeyRing({1: Key(bytes.fromhex(NAMES["data_key"]))}, 1))
    assert json.loads(base64url.decode(text.split(".")[1]))["names"] == NAMES["box"]


@pytest.mark.parametrize("box", [base64url.encode(bytes(48)), "A", ""])
def test_a_box_of_a_name_key_that_does_not_open(monkeypatch, box):
    manifest, ring = Manifest.new("notes", HASHED, PROVIDER)
    monkeypatch.setattr("vecguard.manifest._sealed_key", lambda key, *_: None if key is None else box)
    with pytest.raises(Unreadable):
        open_core(pack_core(manifest, ring), PROVIDER)


def test_a_name_key_without_hidden_names_and_hidden_names_without_a_key_are_unreadable():
    manifest, ring = Manifest.new("notes", HASHED, PROVIDER)
    manifest._name_key = None
    with pytest.raises(Unreadable):
        open_core(pack_core(manifest, ring), PROVIDER)
    manifest, ring = Manifest.new("notes", PayloadRule(), PROVIDER)
    manifest._name_key = Key.random()
    with pytest.raises(Unreadable):
        open_core(pack_core(manifest, ring), PROVIDER)


def test_hidden_names_are_a_difference_to_a_policy_without_them():
    manifest, _ = Manifest.new("notes", HASHED, PROVIDER)
    (difference,) = differences(manifest, {}, CollectionPolicy(match="*"))
    assert "hash_names" in difference


# -- new manifests -----------------------------------------------------------------------------------------------------


def test_a_new_manifest_comes_back():
    manifest, ring = new("größe 😀")
    opened, keys = open_core(pack_core(manifest, ring), PROVIDER)
    assert opened == manifest
    assert opened.payload.mode_of(("deep", "open")) == "plain"
    assert keys.epochs == (1,)
    assert keys.subkey(1, "x") == ring.subkey(1, "x")
    assert timedelta(0) <= datetime.now(UTC) - manifest.created < timedelta(minutes=1)


def test_two_manifests_share_nothing():
    (first, a), (second, b) = new(), new()
    assert first.uuid != second.uuid
    assert first.short_id != second.short_id
    assert first.epochs != second.epochs
    assert a.subkey(1, "x") != b.subkey(1, "x")


def test_no_key_stands_in_the_text():
    data_key = Key(bytes(range(32)))
    text = KNOWN["core"]["text"]
    body = base64url.decode(text.split(".")[1])
    wrapped = base64url.decode(json.loads(body)["epochs"]["1"])
    for secret in (data_key.expose(), bytes.fromhex(KNOWN["kek"])):
        assert secret not in body
        assert secret not in wrapped
        assert secret.hex().encode() not in body


def test_a_manifest_has_a_key_for_its_current_epoch():
    manifest, _ = new()
    for changed in ({"current": 2}, {"epochs": {}}, {"epochs": {2: manifest.epochs[1]}}):
        with pytest.raises(Unreadable):
            manifest.model_copy(update=changed).unlock(PROVIDER)


# -- tampering ---------------------------------------------------------------------------------------------------------


def altered(text):
    """Every truncation and extension, and every character replaced by one of each class."""
    yield from (text[:length] for length in range(len(text)))
    yield from (text + more for more in ("A", "=", ".", " ", "\n", "é"))
    yield from (more + text for more in ("A", ".", " "))
    for at, old in enumerate(text):
        # Letters, digits, both alphabets' extra digits, padding, the separator, white space, not ASCII.
        yield from (text[:at] + other + text[at + 1 :] for other in "Ab0-_+/=. \n\0é" if other != old)


def test_every_altered_core_is_unreadable():
    for text in altered(KNOWN["core"]["text"]):
        with pytest.raises(Unreadable):
            open_core(text, PROVIDER)


def test_every_altered_vector_record_is_unreadable():
    manifest, ring = open_core(KNOWN["core"]["text"], PROVIDER)
    for text in altered(KNOWN["vectors"][0]["text"]):
        with pytest.raises(Unreadable):
            open_vector("", text, manifest, ring)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": None},
        {"uuid": str(uuid.UUID(int=7))},
        {"uuid": "none"},
        {"collection": "other"},
        {"collection": 7},
        {"created": "yesterday"},
        {"created": "2025-01-02T03:04:06Z"},
        {"epochs": {}},
        {"epochs": {"0": ""}},
        {"epochs": {"-1": KNOWN["core"]["content"]["epochs"]["1"]}},
        {"epochs": {str(2**40): KNOWN["core"]["content"]["epochs"]["1"]}},
        {"epochs": {"1": "é"}},
        {"epochs": {"1": 7}},
        {"current": 0},
        {"current": 2**40},
        {"payload": {"default": "plain", "fields": {}}},
        {"payload": {"default": "sealed", "fields": {"_vg": "plain"}}},
        {"payload": []},
        {"surprise": 1},
    ],
    ids=str,
)
def test_other_content_under_the_old_tag_is_unreadable(changes):
    with pytest.raises(Unreadable):
        open_core(repacked(KNOWN["core"]["text"], **changes), PROVIDER)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b"{", b"[" * 5000, b'{"format":1}'])
def test_a_body_that_is_no_manifest_is_unreadable(body):
    manifest, ring = open_core(KNOWN["core"]["text"], PROVIDER)
    text = f"vgm1.{base64url.encode(body)}.{KNOWN['core']['text'].split('.')[2]}"
    with pytest.raises(Unreadable):
        open_core(text, PROVIDER)
    with pytest.raises(Unreadable):
        open_vector("", text, manifest, ring)


def test_another_key_opens_nothing():
    stranger = LocalWrapping(Key(bytes(32)))
    with pytest.raises(Unreadable):
        open_core(KNOWN["core"]["text"], stranger)
    manifest, _ = open_core(KNOWN["core"]["text"], PROVIDER)
    with pytest.raises(Unreadable):
        open_vector("", KNOWN["vectors"][0]["text"], manifest, ring_of(9))


def test_whoever_lacks_the_key_cannot_make_a_manifest_from_a_good_one():
    """A thief may take the wrapped key of one collection into a manifest of another's uuid: neither opens."""
    (first, _), (second, ring) = new(), new()
    for forged in (first.model_copy(update={"uuid": second.uuid}), second.model_copy(update={"epochs": first.epochs})):
        with pytest.raises(Unreadable):
            open_core(pack_core(forged, ring), PROVIDER)
    assert open_core(pack_core(second, ring), PROVIDER)[0] == second


def test_vector_records_stay_in_their_collection_and_under_their_name():
    (manifest, ring), (other, other_ring) = new(), new()
    text = pack_vector(record_of("a"), manifest, ring)
    assert open_vector("a", text, manifest, ring) == record_of("a")
    with pytest.raises(Unreadable):
        open_vector("b", text, manifest, ring)
    with pytest.raises(Unreadable):
        open_vector("a", text, other, other_ring)
    with pytest.raises(Unreadable):
        open_vector("a", text, manifest.model_copy(update={"uuid": uuid.uuid4()}), ring)
    with pytest.raises(Unreadable):
        open_core(text, PROVIDER)
    with pytest.raises(Unreadable):
        open_vector("core", pack_core(manifest, ring), manifest, ring)


def test_a_record_that_was_tagged_under_another_name_than_it_has_is_unreadable():
    manifest, ring = new()
    disguised = VectorRecord.model_construct(**(dict(record_of("a")) | {"name": "b"}))
    text = pack_vector(disguised, manifest, ring)
    assert open_vector("b", text, manifest, ring).name == "b"
    with pytest.raises(Unreadable):
        open_vector("a", text, manifest, ring)


# -- does the policy still fit? ------------------------------------------------------------------------------------


def test_a_policy_that_fits_has_no_differences():
    records = [record_of("a"), record_of("b", ratio=0.0, recover="sealed"), record_of("s", kind="sparse")]
    assert differences(manifest_of(), {r.name: r for r in records}, policy_of(records)) == []


def test_each_difference_is_named():
    records = {"a": record_of("a", ratio=1.0), "b": record_of("b", recover="sealed")}
    policy = policy_of([record_of("a", ratio=2.0), record_of("b", recover="derived")], PayloadRule(default="plain"))
    found = differences(manifest_of(), records, policy)
    assert len(found) == 3
    assert found[0].startswith("payload is {default: sealed; deep: searchable")
    assert found[0].endswith("in the collection, {default: plain; } in the policy")
    assert found[1] == (
        'transforms of vector `a` are [{"kind":"rotation"}, {"kind":"gaussian","ratio":1.0}] in the collection, '
        '[{"kind":"rotation"}, {"kind":"gaussian","ratio":2.0}] in the policy'
    )
    assert found[2] == "recover of vector `b` is sealed in the collection, derived in the policy"


def test_the_order_of_payload_rules_does_not_matter():
    turned = PayloadRule(default=PAYLOAD.default, fields=dict(reversed(PAYLOAD.fields.items())))
    assert differences(manifest_of(turned), {}, policy_of([], PAYLOAD)) == []


def test_a_vector_that_the_policy_no_longer_names_is_refused():
    with pytest.raises(FailedPrecondition, match="no rule in"):
        differences(manifest_of(), {"b": record_of("b")}, policy_of([record_of("a")]))


def test_records_cannot_be_changed_and_take_no_unknown_keys():
    record = record_of("a")
    with pytest.raises(ValueError, match="frozen"):
        record.name = "b"
    with pytest.raises(ValueError, match="Extra inputs"):
        VectorRecord.model_validate({**record.model_dump(), "more": 1})
    assert record.transforms == transforms_of(1.0)
    assert manifest_of().uuid == IDENTITY


# -- epochs ------------------------------------------------------------------------------------------------------------


def test_a_rotation_goes_through_three_manifests_of_one_collection():
    manifest, ring = new()
    both, both_ring = manifest.with_next_epoch(ring, PROVIDER)
    assert (sorted(both.epochs), both.current, both_ring.epochs) == ([1, 2], 1, (1, 2))
    turned, turned_ring = both.with_newest_current(both_ring)
    assert (sorted(turned.epochs), turned.current, turned_ring.epochs) == ([1, 2], 2, (2, 1))
    ended, ended_ring = turned.with_current_only(turned_ring)
    assert (sorted(ended.epochs), ended.current, ended_ring.epochs) == ([2], 2, (2,))
    for state, keys in ((both, both_ring), (turned, turned_ring), (ended, ended_ring)):
        opened, found = open_core(pack_core(state, keys), PROVIDER)
        assert opened.detection is not None
        assert (opened.model_copy(update={"detection": None}), found.same_keys(keys)) == (state, True)
        assert opened.uuid == manifest.uuid
    with pytest.raises(Unreadable):
        ended_ring.subkey(1, "x")  # what the old key sealed is lost
    assert turned_ring.subkey(2, "x") != turned_ring.subkey(1, "x")
    again, _ = ended.with_next_epoch(ended_ring, PROVIDER)
    assert max(again.epochs) == 3  # an epoch that was rotated away never comes back


def test_the_detection_key_is_derived_until_a_rotation_keeps_it_for_good():
    manifest, ring = new()
    before = manifest.detection_key(ring)
    assert before == ring.subkey(1, "detection")
    opened, again = open_core(pack_core(manifest, ring), PROVIDER)
    assert (opened.detection, opened.detection_key(again)) == (None, before)
    for _ in range(2):
        manifest, ring = manifest.with_next_epoch(ring, PROVIDER)
        manifest, ring = manifest.with_newest_current(ring)
        manifest, ring = manifest.with_current_only(ring)
        manifest, ring = open_core(pack_core(manifest, ring), PROVIDER)
        assert manifest.detection_key(ring) == before
        assert manifest.detection_key(ring) != ring.subkey(manifest.current, "detection")


def test_a_rotation_keeps_the_key_of_tenants_ids_where_there_are_tenants():
    rule = TenantRule(attribute="org")
    manifest, ring = Manifest.new("notes", PayloadRule(), PROVIDER, tenants=rule)
    before = manifest.tenant_id_key(ring)
    assert before == ring.subkey(1, "tenant.id")
    for _ in range(2):
        manifest, ring = manifest.with_next_epoch(ring, PROVIDER)
        manifest, ring = manifest.with_newest_current(ring)
        manifest, ring = manifest.with_current_only(ring)
        manifest, ring = open_core(pack_core(manifest, ring), PROVIDER)
        assert manifest.tenant_id_key(ring) == before != ring.subkey(manifest.current, "tenant.id")
    plain, keys = Manifest.with_next_epoch(*new(), PROVIDER)
    assert open_core(pack_core(plain, keys), PROVIDER)[0].tenant_ids is None


def test_the_known_box_of_a_key_of_tenants_ids_is_made():
    manifest, _ = Manifest.new("notes", PayloadRule(), PROVIDER, tenants=TenantRule(attribute="org"))
    known = manifest.model_copy(update={"uuid": uuid.UUID(TENANTS["collection"])})
    known._tenant_id_key = Key(bytes.fromhex(TENANTS["id_key"]))
    text = pack_core(known, KeyRing({1: Key(bytes.fromhex(TENANTS["data_key"]))}, 1))
    assert json.loads(base64url.decode(text.split(".")[1]))["tenant_ids"] == TENANTS["id_key_box"]


def test_a_box_of_a_detection_key_that_does_not_open(monkeypatch):
    manifest, ring = Manifest.with_next_epoch(*new(), PROVIDER)
    monkeypatch.setattr("vecguard.manifest._sealed_key", lambda key, *_: key and base64url.encode(bytes(48)))
    with pytest.raises(Unreadable):
        open_core(pack_core(manifest, ring), PROVIDER)


def test_epochs_cannot_be_exchanged_or_taken_from_another_collection():
    another, _ = Manifest.with_next_epoch(*new(), PROVIDER)
    both, ring = Manifest.with_next_epoch(*new(), PROVIDER)
    text = pack_core(both, ring)
    first, second = both.epochs[1], both.epochs[2]
    foreign = another.epochs[2]
    for epochs in ({"1": second, "2": first}, {"1": first, "2": foreign}, {"1": first, "2": first}):
        with pytest.raises(Unreadable):
            open_core(repacked(text, epochs=epochs), PROVIDER)
    for current in (2, 3):  # the marker of what is written to, moved
        with pytest.raises(Unreadable):
            open_core(repacked(text, current=current), PROVIDER)
    with pytest.raises(Unreadable):  # and one epoch less than there are
        open_core(repacked(text, epochs={"1": first}), PROVIDER)


def test_a_vector_record_is_of_the_current_epoch():
    manifest, ring = new()
    old = pack_vector(record_of("v"), manifest, ring)
    turned, ring = manifest.with_next_epoch(ring, PROVIDER)
    turned, ring = turned.with_newest_current(ring)
    assert open_vector("v", pack_vector(record_of("v"), turned, ring), turned, ring) == record_of("v")
    with pytest.raises(Unreadable):
        open_vector("v", old, turned, ring)


# -- other key-encryption keys, and none -------------------------------------------------------------------------------


def test_rewrapping_changes_wrapped_keys_and_nothing_else():
    manifest, ring = new()
    other = LocalWrapping(Key(bytes([7] * 32)))
    again = manifest.rewrapped(ring, other)
    assert again.model_copy(update={"epochs": manifest.epochs}) == manifest
    opened, found = open_core(pack_core(again, ring), other)
    assert (opened, found.same_keys(ring)) == (again, True)
    with pytest.raises(Unreadable):
        open_core(pack_core(again, ring), PROVIDER)


def test_a_tombstone_in_its_known_form():
    known = json.loads((Path(__file__).parent / "vectors" / "tombstone.json").read_text())
    text, tombstone = known["text"], Tombstone.model_validate(known["content"])
    assert (pack_tombstone(tombstone), read_tombstone(text), is_shredded(text)) == (text, tombstone, True)
    assert (tombstone.uuid, tombstone.collection, tombstone.epochs) == (IDENTITY, "größe", (1, 2))
    with pytest.raises(Shredded) as caught:
        open_core(text, PROVIDER)
    assert (caught.value.identity, caught.value.status) == (IDENTITY.bytes, "FAILED_PRECONDITION")
    for damaged in ("vgx1.", "vgx1.e30", f"vgx1.{text}"):
        with pytest.raises(Unreadable):
            open_core(damaged, PROVIDER)
