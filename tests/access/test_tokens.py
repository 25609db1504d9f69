"""JSON Web Tokens: what is accepted, and each way in which one must not be."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from access import issuers
from access.issuers import EC, EDDSA, ISSUER, OTHER_RSA, RSA, key_set, token
from access.issuers import jwk as jwk_of
from vecguard.access import jwks
from vecguard.access.jwks import KeySet
from vecguard.access.tokens import Tokens
from vecguard.errors import Unauthenticated, Unavailable
from vecguard.model import Principal
from vecguard.policy.access import JwtIssuer


@pytest.fixture
def place(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_bytes(
        key_set(jwk_of(RSA, "a"), jwk_of(EC, "e", alg="ES256"), jwk_of(EDDSA, "d"), jwk_of(RSA, "x", use="enc"))
    )
    return file


def issuer_of(place: Path, **more: Any) -> JwtIssuer:
    return JwtIssuer(issuer=ISSUER, audience=("vecguard",), jwks=f"file:{place}", **more)


def principal(text: str, *known: JwtIssuer) -> Principal:
    return asyncio.run(Tokens().principal(text, known))


def test_a_good_token_of_each_kind_of_key(place: Path) -> None:
    known = issuer_of(place)
    for key, kid, algorithm in ((RSA, "a", "RS256"), (EC, "e", "ES256"), (EDDSA, "d", "EdDSA")):
        assert principal(token(key, kid, algorithm), known).name == "ann"


def test_roles_and_attributes_come_from_the_claims_that_the_policy_names(place: Path) -> None:
    known = issuer_of(
        place,
        roles=("base",),
        roles_claim="realm.roles",
        attributes={"tenant": "org.id", "level": "level", "none": "x"},
    )
    text = token(realm={"roles": ["reader", 7]}, org={"id": "acme"}, level=3)
    found = principal(text, known)
    assert (found.kind, found.roles) == ("jwt", frozenset({"base", "reader"}))
    assert dict(found.attributes) == {"tenant": ("acme",), "level": (3,), "none": ()}
    assert principal(token(scope="reader writer"), issuer_of(place, roles_claim="scope")).roles == {"reader", "writer"}


@pytest.mark.parametrize(
    "more",
    [
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": int(time.time()) + 3600},
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.test/"},
        {"iss": None},
        {"sub": None},
        {"exp": int(time.time()) + 10 * 86_400},  # lives longer than the policy allows
        {"key": OTHER_RSA},
        {"kid": "x"},  # a key for encryption
        {"kid": "gone"},
        {"algorithm": "RS512"},  # not in the list
    ],
)
def test_a_token_that_must_not_be_accepted(place: Path, more: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        principal(token(**more), issuer_of(place))
    assert "ey" not in str(refused.value)


def test_none_and_shared_secrets_are_refused(place: Path) -> None:
    unsigned = jwt.encode(issuers.claims(), "", algorithm="none", headers={"kid": "a"})
    shared = jwt.encode(issuers.claims(), b"x" * 40, algorithm="HS256", headers={"kid": "a"})
    for text in (unsigned, shared, "ey.ey.ey", "eyJhbGciOiJSUzI1NiJ9.e30.x", "ey" + "A" * 5000 + ".b.c"):
        with pytest.raises(Unauthenticated):
            principal(text, issuer_of(place))


def test_an_algorithm_that_does_not_fit_the_key_is_refused(place: Path) -> None:
    """The header cannot choose how a key is used: ES256's key has `alg`, RSA's fits RS and PS only as listed."""
    with pytest.raises(Unauthenticated):
        principal(token(RSA, "e"), issuer_of(place))
    with pytest.raises(Unauthenticated):
        principal(token(RSA, "a", "PS256"), issuer_of(place))
    assert principal(token(RSA, "a", "PS256"), issuer_of(place, algorithms=("PS256",))).name == "ann"


def test_a_header_that_brings_its_own_key_does_not_help(place: Path) -> None:
    forged = jwt.encode(
        issuers.claims(), OTHER_RSA, algorithm="RS256", headers={"kid": "a", "jwk": jwk_of(OTHER_RSA, "a")}
    )
    critical = jwt.encode(issuers.claims(), RSA, algorithm="RS256", headers={"kid": "a", "crit": ["b64"]})
    for text in (forged, critical):
        with pytest.raises(Unauthenticated):
            principal(text, issuer_of(place))


def test_a_changed_claim_breaks_the_signature(place: Path) -> None:
    head, _, signature = token(tenant="a").split(".")
    body = base64.urlsafe_b64encode(json.dumps(issuers.claims(tenant="b")).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        principal(f"{head}.{body}.{signature}", issuer_of(place))


@pytest.mark.slow
def test_a_token_is_checked_once_while_its_keys_and_its_rule_are_the_same(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[str] = []
    real = jwt.decode
    monkeypatch.setattr(
        jwt,
        "decode",
        lambda text, *more, **options: checks.append("key" if more else "") or real(text, *more, **options),
    )

    async def run() -> None:
        tokens, known, text = Tokens(), issuer_of(place, leeway_s=0), token(exp=int(time.time()) + 8)
        for _ in range(3):
            assert (await tokens.principal(text, (known,))).name == "ann"
        assert checks.count("key") == 1
        other = issuer_of(place, leeway_s=0, roles=("more",))  # as after a reload of the policy
        assert (await tokens.principal(text, (other,))).roles == {"more"}
        assert checks.count("key") == 2
        await asyncio.sleep(8.1)  # it has expired since
        with pytest.raises(Unauthenticated):
            await tokens.principal(text, (other,))

    asyncio.run(run())


class TestRollover:
    """Keys that change while tokens are checked."""

    def test_a_new_key_is_found_and_made_up_names_are_not_fetched_for_each_time(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loads = 0
        real = KeySet._load

        async def counting(self: KeySet) -> bytes:
            nonlocal loads
            loads += 1
            return await real(self)

        monkeypatch.setattr(KeySet, "_load", counting)
        monkeypatch.setattr(jwks, "ROLLOVER_PAUSE_S", 600.0)

        async def run() -> None:
            tokens, known = Tokens(), (issuer_of(place),)
            await tokens.principal(token(), known)
            assert loads == 1
            place.write_bytes(key_set(jwk_of(OTHER_RSA, "b")))
            for _ in range(20):
                with pytest.raises(Unauthenticated):
                    await tokens.principal(token(OTHER_RSA, "b"), known)
            assert loads == 1  # the last fetch is too young for another one
            monkeypatch.setattr(jwks, "ROLLOVER_PAUSE_S", 0.0)
            assert (await tokens.principal(token(OTHER_RSA, "b"), known)).name == "ann"
            monkeypatch.setattr(jwks, "ROLLOVER_PAUSE_S", 600.0)
            with pytest.raises(Unauthenticated):  # the old key is gone with the old set
                await tokens.principal(token(), known)
            assert loads == 2

        asyncio.run(run())

    def test_without_keys_the_answer_is_try_again_and_known_keys_outlive_an_outage(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jwks, "ROLLOVER_PAUSE_S", 0.0)

        async def run() -> None:
            with pytest.raises(Unavailable):
                await KeySet(f"file:{place}.gone", 10).find("a")
            keys = KeySet(f"file:{place}", 0.0)
            assert len(await keys.find("a")) == 1
            place.write_bytes(b"<html>maintenance</html>")
            assert len(await keys.find("a")) == 1
            monkeypatch.setattr(jwks, "STALE_S", 0.0)
            with pytest.raises(Unavailable):
                await keys.find("a")

        asyncio.run(run())
