"""From credentials to principals."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from access.issuers import ISSUER, RSA, jwk, key_set, token
from vecguard.access import passwords
from vecguard.access.identify import Identifier
from vecguard.errors import Unauthenticated
from vecguard.model import ANONYMOUS, Peer, Principal
from vecguard.policy.credentials import hash_key, hash_password
from vecguard.policy.model import Policy

KEY, PASSWORD = "vgk_abc", "a chosen one"


def rules(anonymous: tuple[str, ...] = (), **access: Any) -> Policy:
    return Policy.model_validate(
        {"version": 1, "access": {"anonymous": anonymous, **access}, "collections": [{"match": "*"}]}
    )


ONE_KEY = {
    "api_keys": [{"name": "ingest", "hash": hash_key(KEY), "roles": ["write"], "attributes": {"tenant": "acme"}}]
}


def who(policy: Policy, metadata: dict[str, str] | None = None, peer: Peer | None = None) -> Principal:
    return asyncio.run(Identifier(lambda: policy)(metadata or {}, peer or Peer()))


def milvus(text: str) -> dict[str, str]:
    return {"authorization": base64.b64encode(text.encode()).decode()}


def test_where_the_policy_names_no_credential_everybody_is_anonymous_whatever_they_send() -> None:
    assert who(rules(("read",)), {"api-key": "x", "authorization": "Bearer y"}) is ANONYMOUS


@pytest.mark.parametrize(
    "metadata",
    [{"api-key": KEY}, {"authorization": f"Bearer {KEY}"}, milvus(KEY), milvus(f"ingest:{KEY}")],
)
def test_an_api_key_in_each_of_its_places(metadata: dict[str, str]) -> None:
    found = who(rules(**ONE_KEY), metadata)
    assert (found.name, found.kind, found.roles) == ("ingest", "api-key", frozenset({"write"}))
    assert found.attributes["tenant"] == ("acme",)


@pytest.mark.parametrize(
    "metadata", [{"api-key": KEY + "x"}, {"api-key": hash_key(KEY)}, milvus(f"another:{KEY}"), milvus("ingest:x")]
)
def test_a_credential_that_is_not_known_is_refused_even_where_anonymous_callers_are_not(
    metadata: dict[str, str],
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        who(rules(("read",), **ONE_KEY), metadata)
    assert KEY not in str(refused.value)


def test_without_a_credential() -> None:
    assert who(rules(("read",), **ONE_KEY)) is ANONYMOUS
    with pytest.raises(Unauthenticated, match="none was sent"):
        who(rules(**ONE_KEY))


def test_two_credentials_are_refused() -> None:
    with pytest.raises(Unauthenticated):
        who(rules(**ONE_KEY), {"api-key": KEY}, Peer(repeated=frozenset({"api-key"})))
    with pytest.raises(Unauthenticated):
        who(rules(**ONE_KEY), {"api-key": KEY, "authorization": f"Bearer {KEY}"})


def test_a_reloaded_policy_counts_at_once() -> None:
    current = rules(**ONE_KEY)
    identify = Identifier(lambda: current)
    assert asyncio.run(identify({"api-key": KEY})).name == "ingest"
    current = rules(api_keys=[{"name": "other", "hash": hash_key("vgk_other"), "roles": ["read"]}])
    with pytest.raises(Unauthenticated):
        asyncio.run(identify({"api-key": KEY}))


@pytest.mark.slow
def test_passwords_are_checked_once_and_wrong_ones_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[str] = []
    real = passwords.password_fits
    monkeypatch.setattr(passwords, "password_fits", lambda text, kept: checks.append(text) or real(text, kept))
    policy = rules(accounts=[{"name": "ann", "hash": hash_password(PASSWORD), "roles": ["read"]}])
    identify = Identifier(lambda: policy)

    async def run() -> None:
        for _ in range(3):
            found = await identify(milvus(f"ann:{PASSWORD}"))
            assert (found.name, found.kind) == ("ann", "password")
        assert len(checks) == 1
        for text in ("ann:wrong", "nobody:wrong", "nobody:wrong"):
            with pytest.raises(Unauthenticated):
                await identify(milvus(text))
        assert len(checks) == 4  # a user that there is not takes as long
        with pytest.raises(Unauthenticated):
            await identify({"api-key": PASSWORD})

    asyncio.run(run())


def test_tokens_go_to_their_issuer(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(key_set(jwk(RSA, "a")))
    issuer = {"issuer": ISSUER, "audience": ["vecguard"], "jwks": f"file:{tmp_path / 'k'}", "roles": ["read"]}
    policy = rules(jwt=[issuer])
    for metadata in ({"authorization": f"Bearer {token()}"}, {"api-key": token()}, milvus(token())):
        assert who(policy, metadata).kind == "jwt"
    with pytest.raises(Unauthenticated):
        who(policy, {"api-key": token(aud="else")})


def certificate(common_name: str, *names: x509.GeneralName) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(RSA, hashes.SHA256()).public_bytes(Encoding.DER)


def test_client_certificates_by_subject_and_by_alternative_name() -> None:
    policy = rules(
        certificates=[
            {"name": "batch", "subject": "CN=batch", "roles": ["read"]},
            {"name": "mesh", "san": "spiffe://cluster/ingest", "roles": ["write"], "attributes": {"tenant": [1, 2]}},
        ]
    )
    assert who(policy, peer=Peer(certificate("batch"))).name == "batch"
    uri = x509.UniformResourceIdentifier("spiffe://cluster/ingest")
    found = who(policy, peer=Peer(certificate("x", uri)))
    assert (found.name, found.kind, found.attributes["tenant"]) == ("mesh", "certificate", (1, 2))
    for other in (certificate("batch2"), certificate("x", x509.DNSName("spiffe://cluster/ingest2"))):
        with pytest.raises(Unauthenticated):
            who(policy, peer=Peer(other))
    with pytest.raises(Unauthenticated):  # what is sent decides, and it is wrong
        who(policy, {"api-key": "x"}, Peer(certificate("batch")))
