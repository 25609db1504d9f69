"""What a tenant's key is worth: without it noise stays, although the rotation and the noise's own key are there."""

from __future__ import annotations

import numpy as np
import pytest
from shields import manifest_of, policy_of, record_of, ring_of

from vecguard.errors import InvalidArgument, TenantShredded
from vecguard.keys.key import Key
from vecguard.keys.tenants import TenantKeys
from vecguard.metric import normalize
from vecguard.policy.model import PayloadRule
from vecguard.policy.tenants import TenantRule
from vecguard.seal.tenant import tenant_id
from vecguard.shield import DenseShield, Shield
from vecguard.tenancy import MOST_ASKED

DIMS, COUNT = 96, 200
RULE = PayloadRule(fields={"tenant": "searchable", "city": "searchable"})
NUMBERS = {"ada": 2**31 + 5, "bob": 2**31 + 1}


def shield_of(*destroyed: str, more: int = 0) -> Shield:
    ring, keys = ring_of(1), TenantKeys()
    id_key = ring.subkey(1, "tenant.id")
    for tenant, number in NUMBERS.items():
        key = None if tenant in destroyed else Key(tenant.encode().ljust(32))
        keys.learn(number, 1, tenant_id(id_key, tenant), key)
    for i in range(more):
        keys.learn(2**31 + 100 + i, 1, tenant_id(id_key, i), Key(bytes([i] * 32)))
    record = record_of("", DIMS)
    policy = policy_of([record], RULE)
    manifest = manifest_of(RULE).model_copy(update={"tenants": TenantRule(field="tenant")})
    return Shield(manifest, ring.with_tenants(keys), {"": record}, policy)


def dense(shield: Shield) -> DenseShield:
    guard = shield.vectors[""]
    assert isinstance(guard, DenseShield)
    return guard


def written(shield: Shield, tenant: str) -> tuple[list[bytes], np.ndarray, np.ndarray, list[bytes]]:
    x = normalize(np.random.default_rng(7).standard_normal((COUNT, DIMS)).astype(np.float32))
    ids = [b"\x01" + i.to_bytes(8, "big") for i in range(COUNT)]
    stored, entries = dense(shield.under((NUMBERS[tenant],))).protect(ids, x)
    return ids, x, stored, [entry for entry in entries if entry is not None]


def test_without_the_tenants_key_the_live_rotation_gives_back_the_noised_vector_alone() -> None:
    """Cosine to the exact one: 1/sqrt(1 + r²) at ratio r = 1, whatever nonce the noise is computed from."""
    ids, x, stored, entries = written(shield_of(), "ada")
    after = dense(shield_of("ada"))
    with pytest.raises(TenantShredded):
        after.open(ids, stored, [[entry] for entry in entries])
    chain, ones = after._chain, np.ones(COUNT, np.float32)
    turned = stored @ chain.query(np.eye(DIMS, dtype=np.float32)).T  # R^T y
    assert mean_cosine(turned, x) == pytest.approx(1 / np.sqrt(2), abs=0.02)
    # With the noise's own key, which is the collection's, and the nonce that lies open in each entry:
    open_nonces = np.stack([np.frombuffer(entry[7:19], np.uint8) for entry in entries])
    noise = chain.forward(np.zeros((COUNT, DIMS), np.float32), ones, open_nonces)
    scale = np.sqrt(2.0, dtype=np.float32)
    assert mean_cosine(scale * stored - noise, chain.query(x)) < 0.75
    effective = dense(shield_of().under((NUMBERS["ada"],)))._sealer.effective(open_nonces)
    right = chain.forward(np.zeros((COUNT, DIMS), np.float32), ones, effective)
    assert mean_cosine(scale * stored - right, chain.query(x)) > 0.98  # control: only the scale is guessed


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(np.sum(normalize(a) * normalize(b), axis=1)))


def test_with_the_keys_all_tenants_records_open_through_one_shield() -> None:
    shield = shield_of()
    for tenant in NUMBERS:
        ids, x, stored, entries = written(shield, tenant)
        opened = dense(shield).open(ids, stored, [[entry] for entry in entries])
        assert np.allclose(opened.x, x, atol=1e-5)


def test_the_same_record_of_two_tenants_has_other_noise() -> None:
    _, _, first, _ = written(shield_of(), "ada")
    _, _, second, _ = written(shield_of(), "bob")
    assert mean_cosine(first, second) == pytest.approx(0.5, abs=0.03)  # x·x of two noised by ratio 1


def test_one_query_finds_all_tenants_records() -> None:
    shield = shield_of()
    assert dense(shield).parts == (1,)
    assert not shield.rotating


def test_filters_name_the_keys_that_they_need() -> None:
    shield = shield_of()
    keys, tenant = ("city",), ("tenant",)
    everyone = shield.fields.tokens(keys, "Ulm")
    ada = shield.fields.narrowed(tenant, ["ada"]).tokens(keys, "Ulm")
    assert len(everyone) == 2
    assert len(ada) == 1
    assert set(ada) < set(everyone)
    assert shield.fields.narrowed(keys, ["Ulm"]) is shield.fields
    assert shield.fields.narrowed(tenant, ["nobody"]).tokens(keys, "Ulm") == []
    # Whose a record is, is under the collection's own key: one token for all.
    assert len(shield.fields.tokens(tenant, "ada")) == 1
    assert shield.under((NUMBERS["ada"],)).fields.tokens(tenant, "x") == shield.fields.tokens(tenant, "x")
    left = shield_of("ada").fields.narrowed(tenant, ["ada", "bob"]).tokens(keys, "Ulm")
    assert left == [token for token in everyone if token not in ada]
    many = shield_of(more=MOST_ASKED)
    with pytest.raises(InvalidArgument, match=r"`city` over all tenants .* 66 of them, and may name 64"):
        many.fields.tokens(keys, "Ulm")
    assert len(many.fields.narrowed(tenant, ["ada"]).tokens(keys, "Ulm")) == 1
