"""Vault's Transit engine, as far as its API documentation describes `encrypt` and `decrypt`: checks and encrypts."""

from __future__ import annotations

import base64
import re
import ssl
from typing import Any

from cryptography.exceptions import InvalidTag
from sealing import Answer, Asked, JsonServer, SymmetricKey

TOKEN = "hvs.the-token-of-these-tests"
_PATH = re.compile(r"/v1/(?P<mount>transit|team/kms)/(?P<operation>encrypt|decrypt)/(?P<name>[\w.-]+)")
_CIPHERTEXT = re.compile(r"vault:v(\d+):(.+)")


def refusal(status: int, text: str) -> Answer:
    return status, {"errors": [text]}, {}


class VaultServer(JsonServer):
    """Keys by name; only `token` may use them."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.keys: dict[str, SymmetricKey] = {}
        self.token = TOKEN
        self.namespace: str | None = None
        self.sealed = False
        self.knows_associated_data = True
        self.oldest = 1
        super().__init__(self.serve, tls)

    def serve(self, asked: Asked) -> Answer:
        if self.sealed:
            return refusal(503, "Vault is sealed")
        found = _PATH.fullmatch(asked.path)
        if asked.headers.get("x-vault-token") != self.token:
            return refusal(403, "1 error occurred:\n\t* permission denied\n\n")
        if asked.headers.get("x-vault-namespace") != self.namespace or found is None:
            return refusal(404, "no handler for route")
        assert asked.method in ("POST", "PUT")
        key = self.keys.get(found["name"])
        if key is None:
            return refusal(400, "encryption key not found")
        aad = base64.b64decode(asked.body.pop("associated_data"), validate=True)
        return getattr(self, found["operation"])(key, asked.body, aad if self.knows_associated_data else b"")

    def encrypt(self, key: SymmetricKey, body: dict[str, Any], aad: bytes) -> Answer:
        (text,) = (body.pop(name) for name in ["plaintext"])
        assert not body
        box = key.encrypt(base64.b64decode(text, validate=True), aad)
        ciphertext = f"vault:v{key.newest}:{base64.b64encode(box).decode()}"
        return 200, {"data": {"ciphertext": ciphertext, "key_version": key.newest}}, {}

    def decrypt(self, key: SymmetricKey, body: dict[str, Any], aad: bytes) -> Answer:
        found = _CIPHERTEXT.fullmatch(body.pop("ciphertext"))
        assert not body
        if found is None:
            return refusal(400, "invalid ciphertext: no prefix")
        if int(found[1]) < self.oldest:
            return refusal(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            plaintext = key.decrypt(int(found[1]), base64.b64decode(found[2], validate=True), aad)
        except (InvalidTag, ValueError):
            return refusal(400, "cipher: message authentication failed")
        except KeyError:
            return refusal(400, "invalid ciphertext: version is not available")
        return 200, {"data": {"plaintext": base64.b64encode(plaintext).decode()}}, {}
