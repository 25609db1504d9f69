"""How shared state looks to whoever holds the store: keyed names and sealed values, under a key that replicas share.

A name is a keyed hash, so that the store tells neither who calls nor what collections there are, but for how many. A
value is AES-256-GCM under a key of its name, bound to that name and to the write that made it. docs/formats.md has the
format. Whoever can write to the store can still delete what is in it, or put an older state of the same name back.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import Key

VERSION: Final = 1
NAME_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_DOMAIN: Final = b"vecguard.state"
_CACHED: Final = 4_096


class StateKey:
    """The key of one store, and what is made with it."""

    def __init__(self, key: Key) -> None:
        self._names = key.derive_bytes(32, "state.names")
        self._values = key.derive("state.values")
        self._cipher = lru_cache(maxsize=_CACHED)(self._make_cipher)
        self.identity = base64.urlsafe_b64encode(key.derive_bytes(9, "state.identity")).decode()
        """Names the key; not secret."""

    def subkey(self, purpose: str) -> Key:
        """A key for something else that all who share the store must have."""
        return self._values.derive(f"state.{purpose}")

    def name(self, kind: str, *parts: str) -> str:
        """The name, 22 characters, of what `parts` name."""
        text = length_prefixed(_DOMAIN, kind.encode(), *(part.encode() for part in parts))
        digest = hmac.digest(self._names, text, hashlib.sha256)[:NAME_BYTES]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def seal(self, name: str, part: str, token: bytes, value: bytes) -> bytes:
        """Seal one part of what is written under a name. `token` is the write's own."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher(name).encrypt(nonce, value, _bound(name, part, token))
        return bytes([VERSION]) + nonce + sealed

    def open(self, name: str, part: str, token: bytes, value: bytes) -> bytes:
        """What was sealed. Raises Unreadable where it is anything else."""
        if len(value) < 1 + _NONCE_BYTES + _TAG_BYTES or value[0] != VERSION:
            raise Unreadable
        nonce, sealed = value[1 : 1 + _NONCE_BYTES], value[1 + _NONCE_BYTES :]
        try:
            return self._cipher(name).decrypt(nonce, sealed, _bound(name, part, token))
        except InvalidTag:
            raise Unreadable from None

    def _make_cipher(self, name: str) -> AESGCM:
        # A key a name: random nonces of 96 bits are good for 2**32 values each, and one store may write more.
        return AESGCM(self._values.derive_bytes(32, "state.value", name))


def _bound(name: str, part: str, token: bytes) -> bytes:
    return length_prefixed(_DOMAIN, bytes([VERSION]), name.encode(), part.encode(), token)
