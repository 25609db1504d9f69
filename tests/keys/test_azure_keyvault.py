"""Azure: nobody who knows an RSA key's public half can plant a data key; which locations are taken."""

from __future__ import annotations

import secrets

import pytest
from azure_server import AzureServer, StaticCredential
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from sides import Side, setting

from vecguard.errors import ConfigError, Unavailable, Unreadable
from vecguard.keys.azure_keyvault import _RSA, AzureKeyProvider, _Box
from vecguard.keys.key import Key
from vecguard.keys.remote import _binding

CONTEXT = b"context"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@pytest.mark.slow
def test_a_box_that_only_the_public_key_was_needed_for_is_unreadable(azure_rsa: tuple[Side, AzureServer]) -> None:
    side, server = azure_rsa
    provider = side.good()
    assert isinstance(provider, AzureKeyProvider)
    good = _Box.parse(provider.wrap(Key.random(), CONTEXT)[2:])
    version, material = server.keys["kek"][-1]
    assert isinstance(material, rsa.RSAPrivateKey)
    aad = provider._aad(CONTEXT)
    planted = material.public_key().encrypt(secrets.token_bytes(32) + _binding(aad), OAEP)
    forged = _Box(_RSA, version, planted, b"")
    own = rsa.generate_private_key(65537, 2048).sign(
        forged.digest(aad), padding.PSS(padding.MGF1(hashes.SHA256()), 32), Prehashed(hashes.SHA256())
    )
    for signature in (own, good.second, bytes(256), b"x"):
        with pytest.raises(Unreadable):
            provider.unwrap(b"\2\4" + forged._replace(second=signature).pack(), CONTEXT)
    signed = material.sign(
        forged.digest(aad), padding.PSS(padding.MGF1(hashes.SHA256()), 32), Prehashed(hashes.SHA256())
    )
    # Signed by Azure's key it opens: the box was well-formed, and it was the signature that was missing.
    assert provider.unwrap(b"\2\4" + forged._replace(second=signed).pack(), CONTEXT)


@pytest.mark.slow
def test_a_key_that_cannot_encrypt_is_refused(azure_rsa: tuple[Side, AzureServer]) -> None:
    side, server = azure_rsa
    serve = server.answer

    def elliptic(asked):  # type: ignore[no-untyped-def]
        status, body, more = serve(asked)
        if "key" in body:
            body["key"] = {"kid": body["key"]["kid"], "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
        return status, body, more

    with setting(server, "answer", elliptic), pytest.raises(Unavailable, match="does not let"):
        side.good().wrap(Key.random(), CONTEXT)


@pytest.mark.slow
def test_each_request_is_made_with_the_newest_or_the_named_version(azure_aes: tuple[Side, AzureServer]) -> None:
    side, server = azure_aes
    before = side.good().wrap(Key.random(), CONTEXT)
    side.rotate()
    after = side.good().wrap(Key.random(), CONTEXT)
    versions = [_Box.parse(wrapped[2:]).version for wrapped in (before, after)]
    assert versions == [version for version, _ in server.keys["kek"]][-2:]


@pytest.mark.parametrize("location", ["https://v.vault.azure.net/keys/k", "https://h.managedhsm.azure.net/keys/K-1/"])
def test_locations_that_are_taken(location: str) -> None:
    assert AzureKeyProvider(location, StaticCredential()).key_id.startswith("azure-keyvault:https://")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "v",
        "http://v.vault.azure.net/keys/k",
        "https://v.vault.azure.net/secrets/k",
        "https://v.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef",
        "https://v.vault.azure.net/keys/k?x=1",
        "https://user:password@v.vault.azure.net/keys/k",
        "https://v.vault.azure.net/keys/a_b",
    ],
)
def test_locations_that_are_refused(location: str) -> None:
    with pytest.raises(ConfigError):
        AzureKeyProvider(location, StaticCredential())
