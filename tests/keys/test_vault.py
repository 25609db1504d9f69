"""Vault: what it is sent, whom it trusts, and which locations are taken."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sealing import JsonServer, SymmetricKey, certificate
from sides import Side, setting
from vault_server import TOKEN, VaultServer

from vecguard.errors import ConfigError, Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.vault import VaultKeyProvider

CONTEXT = b"context"


def at(server: JsonServer, mount: str = "transit", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}/v1/{mount}/keys/kek"


@pytest.fixture
def server() -> Iterator[VaultServer]:
    server = VaultServer()
    server.keys["kek"] = SymmetricKey()
    yield server
    server.close()


def test_what_is_sent_is_what_the_format_says(server: VaultServer, known_keys: dict[str, Any]) -> None:
    (case,) = (case for case in known_keys["enclosed"] if case["provider"] == 1)
    sent: list[tuple[bytes, bytes]] = []
    encrypt = server.encrypt

    def listen(key: SymmetricKey, body: dict[str, Any], aad: bytes) -> Any:
        sent.append((base64.b64decode(body["plaintext"]), aad))
        return encrypt(key, body, aad)

    with setting(server, "encrypt", listen):
        wrapped = VaultKeyProvider(at(server), {"VAULT_TOKEN": TOKEN}).wrap(
            Key(bytes.fromhex(known_keys["data_key"])), bytes.fromhex(case["context"])
        )
    assert sent == [(bytes.fromhex(case["plaintext"]), bytes.fromhex(case["associated_data"]))]
    assert wrapped.startswith(b"\2\1vault:v1:")
    assert [asked.path for asked in server.asked] == ["/v1/transit/encrypt/kek", "/v1/transit/decrypt/kek"]


def test_a_vault_that_overlooks_associated_data_changes_nothing(server: VaultServer) -> None:
    server.knows_associated_data = False
    provider, key = VaultKeyProvider(at(server), {"VAULT_TOKEN": TOKEN}), Key.random()
    wrapped = provider.wrap(key, CONTEXT)
    assert provider.unwrap(wrapped, CONTEXT) == key
    with pytest.raises(Unreadable):
        provider.unwrap(wrapped, b"other")


def test_a_vault_that_gives_back_another_key_wraps_none(server: VaultServer) -> None:
    provider = VaultKeyProvider(at(server), {"VAULT_TOKEN": TOKEN})
    older = provider.wrap(Key.random(), CONTEXT)[2:].decode()
    for answered in (older, "no ciphertext"):
        answer = (200, {"data": {"ciphertext": answered}}, {})
        with setting(server, "encrypt", lambda *_, answer=answer: answer), pytest.raises(Unavailable, match="failed"):
            provider.wrap(Key.random(), CONTEXT)


def test_namespace_and_mount_are_heeded(server: VaultServer) -> None:
    server.namespace = "clinic/"
    environ = {"VAULT_TOKEN": TOKEN, "VAULT_NAMESPACE": "clinic/"}
    assert VaultKeyProvider(at(server, "team/kms"), environ).wrap(Key.random(), CONTEXT)
    del environ["VAULT_NAMESPACE"]
    with pytest.raises(Unavailable, match="does not know the key"):
        VaultKeyProvider(at(server, "team/kms"), environ).wrap(Key.random(), CONTEXT)


def test_a_renewed_token_is_used_at_once(server: VaultServer) -> None:
    environ = {"VAULT_TOKEN": TOKEN}
    provider = VaultKeyProvider(at(server), environ)
    wrapped = provider.wrap(Key.random(), CONTEXT)
    server.token = "hvs.renewed"
    with pytest.raises(Unavailable, match="does not let"):
        provider.unwrap(wrapped, CONTEXT)
    environ["VAULT_TOKEN"] = "hvs.renewed"
    assert provider.unwrap(wrapped, CONTEXT)


def test_a_token_may_lie_in_the_home_folder(
    server: VaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    provider = VaultKeyProvider(at(server), {})
    with pytest.raises(Unavailable, match="does not let"):
        provider.wrap(Key.random(), CONTEXT)
    (tmp_path / ".vault-token").write_text(f"{TOKEN}\n")
    assert provider.wrap(Key.random(), CONTEXT)


def test_a_server_is_spoken_to_only_if_its_certificate_is_trusted(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    server = VaultServer(context)
    server.keys["kek"] = SymmetricKey()
    location, environ = at(server, scheme="https"), {"VAULT_TOKEN": TOKEN, "VAULT_CACERT": str(trusted)}
    assert VaultKeyProvider(location, environ).wrap(Key.random(), CONTEXT)
    asked = len(server.asked)
    with pytest.raises(Unavailable, match="cannot be reached"):
        VaultKeyProvider(location, {"VAULT_TOKEN": TOKEN}).wrap(Key.random(), CONTEXT)
    assert len(server.asked) == asked
    server.close()


def test_a_token_does_not_follow_a_redirect(server: VaultServer) -> None:
    elsewhere = {"Location": f"http://127.0.0.1:{server.port}/v1/transit/encrypt/kek"}
    redirecting = JsonServer(lambda _: (307, {}, elsewhere))
    with pytest.raises(Unavailable):
        VaultKeyProvider(at(redirecting), {"VAULT_TOKEN": TOKEN}).wrap(Key.random(), CONTEXT)
    assert (len(redirecting.asked), len(server.asked)) == (1, 0)
    redirecting.close()


def test_a_sealed_vault_is_unavailable(vault: tuple[Side, VaultServer]) -> None:
    side, server = vault
    wrapped = side.good().wrap(Key.random(), CONTEXT)
    with setting(server, "sealed", True), pytest.raises(Unavailable, match="cannot be reached"):
        side.good().unwrap(wrapped, CONTEXT)
    assert side.good().unwrap(wrapped, CONTEXT)


@pytest.mark.parametrize(
    "location",
    [
        "https://vault/v1/transit/keys/kek",
        "https://vault.example:8200/v1/a/b-c/keys/k.1_2",
        "http://127.0.0.1:8200/v1/transit/keys/kek",
        "http://localhost/v1/transit/keys/kek",
        "http://[::1]:8200/v1/transit/keys/kek",
    ],
)
def test_locations_that_are_taken(location: str) -> None:
    assert VaultKeyProvider(location, {}).key_id.startswith("vault:")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "vault",
        "http://vault/v1/transit/keys/kek",
        "http://127.0.0.1.example/v1/transit/keys/kek",
        "ftp://vault/v1/transit/keys/kek",
        "https:///v1/transit/keys/kek",
        "https://vault/transit/keys/kek",
        "https://vault/v1/transit/kek",
        "https://vault/v1/transit/keys/kek/",
        "https://vault/v1/transit/keys/a%2Fb",
        "https://vault/v1/transit/keys/../kek",
        "https://vault/v1/transit/keys/kek?x=1",
        "https://vault/v1/transit/keys/kek#x",
        "https://user@vault/v1/transit/keys/kek",
        "https://vault:0/v1/transit/keys/kek",
        "https://vault:x/v1/transit/keys/kek",
        "https://vault:99999/v1/transit/keys/kek",
    ],
)
def test_locations_that_are_refused(location: str) -> None:
    with pytest.raises(ConfigError):
        VaultKeyProvider(location, {})
