"""Azure Key Vault's "Keys" API over TLS: challenges, checks tokens and bodies, and really wraps, signs and encrypts."""

from __future__ import annotations

import base64
import re
import secrets
import ssl
import time
from typing import Any

from azure.core.credentials import AccessToken
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sealing import Answer, Asked, JsonServer

TOKEN = "eyJ.the-token-of-these-tests"
_PATH = re.compile(r"/keys/(?P<name>[\w-]+)(?:/(?P<version>[0-9a-f]{32})?)?(?:/(?P<operation>\w+))?/?\?api-version=.+")
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_HASHED = Prehashed(hashes.SHA256())

Material = rsa.RSAPrivateKey | AESGCM


class StaticCredential:
    """Azure's protocol for whoever has tokens; checks what they are asked for."""

    def __init__(self, token: str = TOKEN) -> None:
        self._token = token

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://vault.azure.net/.default",)
        return AccessToken(self._token, int(time.time()) + 3600)


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def refusal(status: int, code: str, inner: str | None = None) -> Answer:
    error: dict[str, Any] = {"code": code, "message": "refused"}
    return status, {"error": error | ({"innererror": {"code": inner}} if inner else {})}, {}


class AzureServer(JsonServer):
    """Keys by name, each a list of (version, material), oldest first; only `token` may use them."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.keys: dict[str, list[tuple[str, Material]]] = {}
        self.token = TOKEN
        self.enabled = True
        self.answer = self.serve
        super().__init__(lambda asked: self.answer(asked), tls)  # noqa: PLW0108 - tests replace it

    def add(self, name: str, material: Material) -> None:
        self.keys.setdefault(name, []).append((secrets.token_hex(16), material))

    def serve(self, asked: Asked) -> Answer:
        given = asked.headers.get("authorization")
        if given is None:
            assert not asked.body, "a client that has not been challenged must not send the body"
            where = f"https://127.0.0.1:{self.port}/tenant"
            challenge = f'Bearer authorization="{where}", resource="https://vault.azure.net"'
            return 401, {"error": {"code": "Unauthorized", "message": "AKV10000"}}, {"WWW-Authenticate": challenge}
        if given != f"Bearer {self.token}":
            return refusal(403, "Forbidden", "ForbiddenByRbac")
        found = _PATH.fullmatch(asked.path)
        assert found is not None, asked.path
        versions = self.keys.get(found["name"], [])
        chosen = [pair for pair in versions if found["version"] in (None, pair[0])]
        if not chosen:
            return refusal(404, "KeyNotFound")
        version, material = chosen[-1]
        kid = f"https://127.0.0.1:{self.port}/keys/{found['name']}/{version}"
        if found["operation"] is None:
            assert asked.method == "GET"
            return 200, {"key": {"kid": kid, **public(material)}, "attributes": {"enabled": True}}, {}
        if not self.enabled:
            return refusal(403, "Forbidden", "KeyDisabled")
        assert asked.method == "POST"
        try:
            return 200, {"kid": kid, **operate(found["operation"], material, asked.body)}, {}
        except (InvalidTag, ValueError):
            return refusal(400, "BadParameter")


def public(material: Material) -> dict[str, Any]:
    if isinstance(material, AESGCM):
        return {"kty": "oct-HSM", "key_ops": ["encrypt", "decrypt"]}
    numbers = material.public_key().public_numbers()
    operations = ["wrapKey", "unwrapKey", "sign", "verify"]
    return {"kty": "RSA", "key_ops": operations, "n": number(numbers.n), "e": number(numbers.e)}


def operate(operation: str, material: Material, body: dict[str, Any]) -> dict[str, Any]:
    """Raises InvalidTag, ValueError."""
    algorithm = body["alg"]
    if isinstance(material, AESGCM):
        assert algorithm == "A256GCM"
        aad, value = decoded(body["aad"]), decoded(body["value"])
        if operation == "encrypt":
            iv = secrets.token_bytes(12)
            sealed = material.encrypt(iv, value, aad)
            return {"value": encoded(sealed[:-16]), "iv": encoded(iv), "tag": encoded(sealed[-16:]), "aad": body["aad"]}
        assert operation == "decrypt"
        return {"value": encoded(material.decrypt(decoded(body["iv"]), value + decoded(body["tag"]), aad))}
    if operation == "verify":
        assert algorithm == "PS256"
        return {"value": verified(material, body)}
    value = decoded(body["value"])
    if operation == "sign":
        assert algorithm == "PS256"
        return {"value": encoded(material.sign(value, _PSS, _HASHED))}
    assert algorithm == "RSA-OAEP-256"
    assert operation in ("wrapkey", "unwrapkey")
    if operation == "wrapkey":
        return {"value": encoded(material.public_key().encrypt(value, _OAEP))}
    return {"value": encoded(material.decrypt(value, _OAEP))}


def verified(material: rsa.RSAPrivateKey, body: dict[str, Any]) -> bool:
    try:
        material.public_key().verify(decoded(body["value"]), decoded(body["digest"]), _PSS, _HASHED)
    except InvalidSignature:
        return False
    return True
