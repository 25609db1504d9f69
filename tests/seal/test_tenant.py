"""A tenant's key opens with its own collection's key and in its own place only; known answers of what is under it."""

import json
from pathlib import Path

import numpy as np
import pytest

from vecguard.errors import TenantShredded, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.keys.tenants import FIRST_NUMBER, TenantKeys
from vecguard.seal import base64url
from vecguard.seal.entry import EntrySealer
from vecguard.seal.fields import FieldSealer
from vecguard.seal.tenant import new_number, open_tenant_key, pack_destroyed, pack_key, tenant_id

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "tenants.json").read_text())
UUID = bytes.fromhex(KNOWN["collection"])
NUMBER = KNOWN["number"]
POINT = bytes.fromhex(KNOWN["point_id"])
TENANT = bytes.fromhex(KNOWN["ids"][0][1])


def own_ring(seed: int | None = None) -> KeyRing:
    key = bytes.fromhex(KNOWN["data_key"]) if seed is None else bytes([seed] * 32)
    return KeyRing({KNOWN["epoch"]: Key(key)}, KNOWN["epoch"])


def ring_of(key: bytes | None) -> KeyRing:
    tenants = TenantKeys()
    tenants.learn(NUMBER, KNOWN["epoch"], TENANT, None if key is None else Key(key))
    return own_ring().with_tenants(tenants)


@pytest.fixture
def keyed() -> KeyRing:
    return ring_of(bytes.fromhex(KNOWN["tenant_key"]))


def test_while_keys_are_rotated_a_tenants_newest_key_comes_first() -> None:
    first, second = FIRST_NUMBER + 1, FIRST_NUMBER + 9
    ring = own_ring().with_epochs(KNOWN["epoch"] + 1, {KNOWN["epoch"] + 1: Key(bytes(32))})
    tenants = TenantKeys()
    tenants.learn(first, KNOWN["epoch"], TENANT, Key(bytes([1] * 32)))
    tenants.learn(second, KNOWN["epoch"] + 1, TENANT, Key(bytes([2] * 32)))
    ring = ring.with_tenants(tenants)
    assert tenants.of(TENANT) == tenants.siblings(first) == (second, first)
    assert (ring.is_current(first), ring.is_current(second)) == (False, True)
    assert (ring.is_current(ring.current), ring.is_current(ring.current - 1)) == (True, False)
    with pytest.raises(Unreadable):
        ring.is_current(FIRST_NUMBER + 2)


def test_known_ids() -> None:
    for value, expected in KNOWN["ids"]:
        assert tenant_id(own_ring().subkey(KNOWN["epoch"], "tenant.id"), value).hex() == expected


def test_known_texts() -> None:
    key = Key(bytes.fromhex(KNOWN["tenant_key"]))
    assert pack_key(NUMBER, TENANT, key, own_ring(), UUID) == KNOWN["key"]
    assert pack_destroyed(NUMBER, TENANT, KNOWN["destroyed_at"], own_ring(), UUID) == KNOWN["destroyed"]
    found = open_tenant_key(NUMBER, KNOWN["key"], own_ring(), UUID)
    assert (found.number, found.epoch, found.tenant, found.key, found.destroyed) == (NUMBER, 3, TENANT, key, None)
    gone = open_tenant_key(NUMBER, KNOWN["destroyed"], own_ring(), UUID)
    assert (gone.tenant, gone.key, gone.destroyed) == (TENANT, None, KNOWN["destroyed_at"])


def test_known_fields(keyed: KeyRing) -> None:
    reading, writing = FieldSealer(keyed, UUID), FieldSealer(keyed.under((NUMBER,)), UUID)
    assert reading.open(KNOWN["path"], KNOWN["sealed"], POINT) == KNOWN["value"]
    assert writing.token(KNOWN["path"], KNOWN["value"]) == KNOWN["token"]
    assert writing.tokens_for_filter(KNOWN["path"], KNOWN["value"]) == [KNOWN["token"]]
    assert reading.open_token(KNOWN["path"], KNOWN["token"]) == KNOWN["value"]


def test_known_entry(keyed: KeyRing) -> None:
    x = np.array([KNOWN["x"]], np.float32)
    sealer = EntrySealer(keyed.under((NUMBER,)), UUID, KNOWN["vector_name"], 3)
    nonces = sealer.nonces([POINT], x)
    assert nonces.tobytes().hex() == KNOWN["record_nonce"]
    assert sealer.effective(nonces).tobytes().hex() == KNOWN["effective_nonce"]
    scales = np.array([1.5], np.float32), np.array([0.5], np.float32)
    # The sketch may differ in its last bit between machines, and with it the box.
    assert sealer.seal_many([POINT], nonces, *scales, x, exact=False)[0].hex()[:38] == KNOWN["entry"][:38]
    opened = EntrySealer(keyed, UUID, KNOWN["vector_name"], 3).open(POINT, bytes.fromhex(KNOWN["entry"]))
    assert (opened.epoch, opened.nonce.hex()) == (KNOWN["epoch"], KNOWN["effective_nonce"])
    assert (opened.stored_scale, opened.noise_scale) == (1.5, 0.5)
    assert sealer.verify_sketch(x, opened.sketch[np.newaxis], 1e-3).all()


@pytest.mark.parametrize("text", ["key", "destroyed"])
def test_every_byte_of_a_text_counts(text: str) -> None:
    body = base64url.decode(KNOWN[text].removeprefix("vgk1."))
    for at in range(len(body)):
        altered = bytearray(body)
        altered[at] ^= 1
        with pytest.raises(Unreadable):
            open_tenant_key(NUMBER, "vgk1." + base64url.encode(bytes(altered)), own_ring(), UUID)
    for cut in range(len(body)):
        with pytest.raises(Unreadable):
            open_tenant_key(NUMBER, "vgk1." + base64url.encode(body[:cut]), own_ring(), UUID)


def test_another_place_collection_or_key_opens_nothing() -> None:
    others = (NUMBER + 1, own_ring(), UUID), (NUMBER, own_ring(5), UUID), (NUMBER, own_ring(), bytes(16))
    for number, ring, identity in others:
        with pytest.raises(Unreadable):
            open_tenant_key(number, KNOWN["key"], ring, identity)
    with pytest.raises(Unreadable):
        open_tenant_key(NUMBER, KNOWN["key"].replace("vgk1", "vgk2"), own_ring(), UUID)


def test_under_a_key_that_was_destroyed_nothing_opens_and_says_so(keyed: KeyRing) -> None:
    gone = ring_of(None)
    with pytest.raises(TenantShredded):
        FieldSealer(gone, UUID).open(KNOWN["path"], KNOWN["sealed"], POINT)
    with pytest.raises(TenantShredded):
        FieldSealer(gone, UUID).open_token(KNOWN["path"], KNOWN["token"])
    with pytest.raises(TenantShredded):
        EntrySealer(gone, UUID, KNOWN["vector_name"], 3).open(POINT, bytes.fromhex(KNOWN["entry"]))
    assert keyed.subkey(NUMBER, "x") == Key(bytes.fromhex(KNOWN["tenant_key"])).derive("x")


def test_without_a_tenant_nothing_is_sealed(keyed: KeyRing) -> None:
    """Where tenants have keys, who does not say whose a record is writes nothing."""
    with pytest.raises(Unreadable):
        FieldSealer(keyed, UUID).seal("/a", "b", POINT)
    with pytest.raises(Unreadable):
        FieldSealer(keyed, UUID).token("/a", "b")
    with pytest.raises(Unreadable):
        EntrySealer(keyed, UUID, "v", 3).nonces([POINT], np.zeros((1, 3), np.float32))


def test_numbers_are_apart_from_epochs() -> None:
    drawn = {new_number() for _ in range(100)}
    assert len(drawn) == 100
    assert all(FIRST_NUMBER <= number < 2**32 for number in drawn)


def test_several_keys_of_one_tenant_are_known_together() -> None:
    tenants = TenantKeys()
    for number, key in ((NUMBER + 1, b"b" * 32), (NUMBER, b"a" * 32)):
        tenants.learn(number, 1, TENANT, Key(key))
    tenants.learn(NUMBER + 2, 1, b"other".ljust(12), Key(bytes(32)))
    assert tenants.of(TENANT) == tenants.siblings(NUMBER + 1) == (NUMBER, NUMBER + 1)
    assert tenants.of(b"nobody".ljust(12)) == ()
    tenants.learn(NUMBER + 3, 1, TENANT, None)
    with pytest.raises(TenantShredded):  # one that was destroyed says that the tenant is gone
        tenants.of(TENANT)
    assert tenants.all_of(TENANT) == ((NUMBER, NUMBER + 1), (NUMBER + 3,))
    other = tenants.of(b"other".ljust(12))
    tenants.destroy(other)
    for call in (tenants.siblings, tenants.epoch):
        with pytest.raises(TenantShredded):
            call(other[0])
    tenants.close()
    assert "TenantKeys(2 keys, 2 destroyed)" in repr(tenants)
