"""Wrapping of data keys by a KEK held in this process: AES-256-GCM with a format version and the KEK's id."""

from __future__ import annotations

import secrets
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.hidden import Unpicklable
from vecguard.keys.key import KEY_BYTES, Key

FORMAT_VERSION: Final = 1
KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEADER: Final = struct.Struct(f">B{KEY_ID_BYTES}s")
WRAPPED_BYTES: Final = _HEADER.size + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_DOMAIN: Final = b"vecguard.wrap"


class LocalWrapping(Unpicklable):
    """A `KeyProvider` over a KEK in memory.

    Wrapped form (69 bytes): version, KEK id (8), nonce (12, random), AES-256-GCM (NIST SP 800-38D) of the data key
    (32 + tag 16). AAD = length-prefixed("vecguard.wrap", version and id, context).
    """

    def __init__(self, kek: Key) -> None:
        self._id = kek.derive_bytes(KEY_ID_BYTES, "kek.id")
        self._cipher = AESGCM(kek.derive("kek.wrap").expose())

    @property
    def key_id(self) -> str:
        """16 hex digits, derived one way from the KEK."""
        return self._id.hex()

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """Encrypt `data_key`, bound to `context`. Two calls never give the same bytes."""
        header = _HEADER.pack(FORMAT_VERSION, self._id)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + self._cipher.encrypt(nonce, data_key.expose(), _aad(header, context))

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """Open what `wrap` returned.

        Raises:
            Unreadable: another KEK, another context, altered bytes, or an unknown version; all look alike.
        """
        header, nonce, box = wrapped[:9], wrapped[9:21], wrapped[21:]
        if len(wrapped) != WRAPPED_BYTES or header != _HEADER.pack(FORMAT_VERSION, self._id):
            raise Unreadable
        try:
            return Key(self._cipher.decrypt(nonce, box, _aad(header, context)))
        except InvalidTag:
            raise Unreadable from None


def _aad(header: bytes, context: bytes) -> bytes:
    return length_prefixed(_DOMAIN, header, context)
