"""Google: what it is sent, credentials by default, and which names are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_server import GcpServer
from sides import Side

from vecguard.errors import ConfigError
from vecguard.keys.gcp_kms import open_provider
from vecguard.keys.key import Key

NAME = "projects/clinic/locations/europe-west3/keyRings/vecguard/cryptoKeys/kek"


def test_what_is_sent_is_what_the_format_says(gcp: tuple[Side, GcpServer], known_keys: dict[str, Any]) -> None:
    side, server = gcp
    (case,) = (case for case in known_keys["enclosed"] if case["provider"] == 3)
    before = len(server.asked)
    side.good().wrap(Key(bytes.fromhex(known_keys["data_key"])), bytes.fromhex(case["context"]))
    (encrypt, sent), (decrypt, opened) = server.asked[before:]
    assert (encrypt, decrypt) == ("Encrypt", "Decrypt")
    assert sent.name == opened.name == NAME
    assert sent.plaintext.hex() == case["plaintext"]
    assert {r.additional_authenticated_data.hex() for r in (sent, opened)} == {case["associated_data"]}


def test_application_default_credentials_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "clinic",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "vecguard@clinic.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/token",
    }
    file = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    for content in ("not json", json.dumps({"type": "service_account"})):
        file.write_text(content)
        with pytest.raises(ConfigError, match="no usable Google credentials"):
            open_provider(NAME, {})
    file.write_text(json.dumps(account))
    assert open_provider(NAME, {}).key_id == f"gcp-kms:{NAME}"


@pytest.mark.parametrize(
    "name", ["", "kek", f"{NAME}/cryptoKeyVersions/1", f"/{NAME}", f"{NAME}/", NAME.replace("clinic", "a/b")]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is named gcp-kms"):
        open_provider(name, {})
