"""Sealing of payload leaves: AES-256-GCM where a field is only read back, AES-SIV where it must stay searchable."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, from_text, read_head, stored_kind, to_text
from vecguard.seal.leaf import Leaf, decode_leaf, encode_leaf

UNBOUND: Final = 0x01
"""Head flag: the point id was not known when the value was sealed (say, set_payload by filter)."""

_GCM_NONCE_BYTES: Final = 12
_SIV_KEY_BYTES: Final = 64
_BODY: Final = HEAD_BYTES + _GCM_NONCE_BYTES
# Paths come from clients, so the cipher objects kept per path and epoch must be bounded.
_CACHED_CIPHERS: Final = 2048


class FieldSealer:
    """Seals and opens the payload leaves of one collection.

    `path` is any text that names the field unambiguously, array positions left out: the caller's JSON Pointer.
    """

    def __init__(self, ring: KeyRing, collection_uuid: bytes) -> None:
        self._ring = ring
        self._uuid = collection_uuid
        # Cipher and leading AAD for a head and a path; a head that is not of the kind raises and is not cached.
        self._sealing = lru_cache(maxsize=_CACHED_CIPHERS)(self._make_sealing)
        self._searching = lru_cache(maxsize=_CACHED_CIPHERS)(self._make_searching)
        self._bound_head = Head(SealKind.SEALED_FIELD, ring.current).encode()
        self._token_heads = {epoch: Head(SealKind.SEARCHABLE_FIELD, epoch).encode() for epoch in ring.epochs}
        self._unbound_head = Head(SealKind.SEALED_FIELD, ring.current, UNBOUND).encode()

    def seal(self, path: str, value: Leaf, point_id: bytes | None) -> str:
        """Encrypt for reading back only; the same value never gives the same text twice.

        AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce under the path's subkey, so up to 2^32 values per path
        and epoch. AAD = length-prefixed(head, collection uuid, path[, point id]). Without a point id the value is
        marked unbound, and can be moved to another point's same field by a writer to the database.

        Raises:
            InvalidArgument: the value cannot be encoded (see `encode_leaf`).
        """
        head = self._unbound_head if point_id is None else self._bound_head
        gcm, aad = self._sealing(head, path)
        nonce = secrets.token_bytes(_GCM_NONCE_BYTES)
        return to_text(head + nonce + gcm.encrypt(nonce, encode_leaf(value), _bound(aad, point_id)))

    def open(self, path: str, text: object, point_id: bytes) -> Leaf:
        """Read back what `seal` wrote for this path and point (or for the path alone, when unbound).

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        data = from_text(text)
        head = data[:HEAD_BYTES]
        gcm, aad = self._sealing(head, path)
        # The cached head is whole and of this kind, so its flags are its third byte.
        bound = _bound(aad, None if head[2] & UNBOUND else point_id)
        try:
            leaf = gcm.decrypt(data[HEAD_BYTES:_BODY], data[_BODY:], bound)
        except (InvalidTag, ValueError):
            raise Unreadable from None
        return decode_leaf(leaf)

    def token(self, path: str, value: Leaf) -> str:
        """The searchable form under the current epoch: equal values of a path give equal texts.

        AES-SIV (RFC 5297, 512-bit key) under the path's subkey; AAD = length-prefixed(head, collection uuid, path).
        It is not bound to a point. Equality and frequency of values are visible in the database, and nothing else.

        Raises:
            InvalidArgument: the value cannot be encoded (see `encode_leaf`).
        """
        return self._token(self._ring.current, path, value)

    def tokens_for_filter(self, path: str, value: Leaf) -> list[str]:
        """The searchable form under every live epoch, the current one first: match any of them.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        return [self._token(epoch, path, value) for epoch in self._ring.epochs]

    def open_token(self, path: str, text: object) -> Leaf:
        """Read back what `token` wrote for this path.

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        data = from_text(text)
        siv, aad = self._searching(data[:HEAD_BYTES], path)
        try:
            leaf = siv.decrypt(data[HEAD_BYTES:], [aad])
        except (InvalidTag, ValueError):
            raise Unreadable from None
        return decode_leaf(leaf)

    @staticmethod
    def is_sealed(text: object) -> bool:
        """Whether a stored value has the head of a sealed or searchable field (see `stored_kind`)."""
        return stored_kind(text) is not None

    def _token(self, epoch: int, path: str, value: Leaf) -> str:
        head = self._token_heads[epoch]
        siv, aad = self._searching(head, path)
        return to_text(head + siv.encrypt(encode_leaf(value), [aad]))

    def _make_sealing(self, head: bytes, path: str) -> tuple[AESGCM, bytes]:
        epoch = read_head(head, SealKind.SEALED_FIELD, UNBOUND).epoch
        key = self._ring.subkey(epoch, "field.sealed", path)
        return AESGCM(key.expose()), length_prefixed(head, self._uuid, path.encode())

    def _make_searching(self, head: bytes, path: str) -> tuple[AESSIV, bytes]:
        epoch = read_head(head, SealKind.SEARCHABLE_FIELD, 0).epoch
        key = self._ring.subkey(epoch, "field.searchable", path)
        return AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "aes-siv")), length_prefixed(head, self._uuid, path.encode())


def _bound(aad: bytes, point_id: bytes | None) -> bytes:
    # One more length-prefixed part.
    return aad if point_id is None else aad + len(point_id).to_bytes(4, "big") + point_id
