"""Sealing of payload leaves: AES-256-GCM where a field is only read back, AES-SIV where it must stay searchable."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final, Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, from_text, read_head, to_text
from vecguard.seal.labels import Clock, RangeLabels, WordLabels
from vecguard.seal.leaf import Leaf, decode_leaf, encode_leaf

UNBOUND: Final = 0x01
"""Head flag: the point id was not known when the value was sealed (say, set_payload by filter)."""

_GCM_NONCE_BYTES: Final = 12
_NONCES_DRAWN: Final = 32
_SIV_KEY_BYTES: Final = 64
_BODY: Final = HEAD_BYTES + _GCM_NONCE_BYTES
# Paths come from clients, so the fields that are kept with their ciphers must be bounded.
_CACHED_FIELDS: Final = 2048
_CACHED_HEADS: Final = 512

Cipher = TypeVar("Cipher")


def bound_to(point_id: bytes | None) -> bytes:
    """The part of a sealed field's AAD that binds it to a point; empty, which no id gives, where none is known."""
    # `length_prefixed` of one part.
    return b"" if point_id is None else len(point_id).to_bytes(4, "big") + point_id


def fresh_nonces() -> Iterator[bytes]:
    """Random 96-bit nonces without end, each given out once, for the values of one write.

    They are drawn some at a time, as a system call costs more than a nonce. So an iterator must not outlive its write:
    a copy of it in a forked process would give out the same ones.
    """
    while True:
        drawn = secrets.token_bytes(_NONCES_DRAWN * _GCM_NONCE_BYTES)
        for start in range(0, len(drawn), _GCM_NONCE_BYTES):
            yield drawn[start : start + _GCM_NONCE_BYTES]


class _ByHead(dict[bytes, tuple[Cipher, bytes]], Generic[Cipher]):
    """Cipher and leading AAD of one path by head, made when first asked for.

    A head that is not of the kind, or of no live epoch, raises and is not kept: there are two an epoch at most. Of
    tenants' keys there may be thousands, so that from time to time all are forgotten.
    """

    def __init__(self, make: Callable[[bytes], tuple[Cipher, bytes]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, head: bytes) -> tuple[Cipher, bytes]:
        if len(self) >= _CACHED_HEADS:
            self.clear()
        made = self[head] = self._make(head)
        return made


class SealedField:
    """One path whose values are only read back: AES-256-GCM under the path's subkey, see `FieldSealer.seal`."""

    __slots__ = ("_bound_head", "_ciphers", "_unbound_head")

    def __init__(self, epoch: int, make: Callable[[bytes], tuple[AESGCM, bytes]]) -> None:
        self._bound_head = Head(SealKind.SEALED_FIELD, epoch).encode()
        self._unbound_head = Head(SealKind.SEALED_FIELD, epoch, UNBOUND).encode()
        self._ciphers = _ByHead(make)

    def protect(self, value: Leaf, bound: bytes, nonces: Iterator[bytes]) -> str:
        """The stored form; `bound` from `bound_to`, and the next of `nonces` (`fresh_nonces`) is used up.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        head = self._bound_head if bound else self._unbound_head
        gcm, aad = self._ciphers[head]
        nonce = next(nonces)
        return to_text(head + nonce + gcm.encrypt(nonce, encode_leaf(value), aad + bound))

    def reveal(self, text: object, bound: bytes) -> Leaf:
        """What `protect` took, for the same `bound` (or any, when it was sealed unbound).

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        data = from_text(text)
        head = data[:HEAD_BYTES]
        gcm, aad = self._ciphers[head]
        # A head that has a cipher is whole and of this kind, so its flags are its third byte.
        if not head[2] & UNBOUND:
            aad += bound
        try:
            leaf = gcm.decrypt(data[HEAD_BYTES:_BODY], data[_BODY:], aad)
        except (InvalidTag, ValueError):
            raise Unreadable from None
        return decode_leaf(leaf)


class SearchableField:
    """One path whose equal values have equal stored forms: AES-SIV under the path's subkey, see `FieldSealer.token`."""

    __slots__ = ("_ciphers", "_heads", "_sealing_head")

    def __init__(self, sealing: int, epochs: tuple[int, ...], make: Callable[[bytes], tuple[AESSIV, bytes]]) -> None:
        """`epochs`: those that filters ask for; `sealing`: the one of new values (see `KeyRing`)."""
        self._sealing_head = Head(SealKind.SEARCHABLE_FIELD, sealing).encode()
        self._heads = [Head(SealKind.SEARCHABLE_FIELD, epoch).encode() for epoch in epochs]
        self._ciphers = _ByHead(make)

    def protect(self, value: Leaf, bound: bytes = b"", nonces: Iterator[bytes] | None = None) -> str:
        """The stored form under the current epoch. It is bound to no point and takes no nonce.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        return self._token(self._sealing_head, value)

    def tokens(self, value: Leaf) -> list[str]:
        """The stored form under every epoch that may be asked for, the current one first.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        return [self._token(head, value) for head in self._heads]

    def reveal(self, text: object, bound: bytes = b"") -> Leaf:
        """What `protect` took, under whichever live epoch.

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        data = from_text(text)
        siv, aad = self._ciphers[data[:HEAD_BYTES]]
        try:
            leaf = siv.decrypt(data[HEAD_BYTES:], [aad])
        except (InvalidTag, ValueError):
            raise Unreadable from None
        return decode_leaf(leaf)

    def _token(self, head: bytes, value: Leaf) -> str:
        siv, aad = self._ciphers[head]
        return to_text(head + siv.encrypt(encode_leaf(value), [aad]))


class FieldSealer:
    """Seals and opens the payload leaves of one collection.

    `path` is any text that names the field unambiguously, array positions left out: the caller's JSON Pointer.
    """

    def __init__(self, ring: KeyRing, collection_uuid: bytes) -> None:
        self._ring = ring
        self._uuid = collection_uuid
        self._sealing = lru_cache(maxsize=_CACHED_FIELDS)(self._make_sealed)
        self._searching = lru_cache(maxsize=_CACHED_FIELDS)(self._make_searchable)
        self._wording = lru_cache(maxsize=_CACHED_FIELDS)(self._make_word_labels)
        self._ranging = lru_cache(maxsize=_CACHED_FIELDS)(self._make_range_labels)

    def sealed(self, path: str) -> SealedField:
        """The field at `path` with its ciphers, for many values."""
        return self._sealing(path)

    def searchable(self, path: str) -> SearchableField:
        """The searchable field at `path` with its ciphers, for many values."""
        return self._searching(path)

    def range_labels(self, path: str, clock: Clock) -> RangeLabels:
        """The labels of the range field at `path`, for many values; `clock` reads date-time texts."""
        return self._ranging(path, clock)

    def word_labels(self, path: str) -> WordLabels:
        """The labels of the tokens field at `path`, for many values."""
        return self._wording(path)

    def seal(self, path: str, value: Leaf, point_id: bytes | None) -> str:
        """Encrypt for reading back only; the same value never gives the same text twice.

        AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce under the path's subkey, so up to 2^32 values per path
        and epoch. AAD = length-prefixed(head, collection uuid, path[, point id]). Without a point id the value is
        marked unbound, and can be moved to another point's same field by a writer to the database.

        Raises:
            InvalidArgument: the value cannot be encoded (see `encode_leaf`).
        """
        return self.sealed(path).protect(value, bound_to(point_id), fresh_nonces())

    def open(self, path: str, text: object, point_id: bytes) -> Leaf:
        """Read back what `seal` wrote for this path and point (or for the path alone, when unbound).

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        return self.sealed(path).reveal(text, bound_to(point_id))

    def token(self, path: str, value: Leaf) -> str:
        """The searchable form under the current epoch: equal values of a path give equal texts.

        AES-SIV (RFC 5297, 512-bit key) under the path's subkey; AAD = length-prefixed(head, collection uuid, path).
        It is not bound to a point. Equality and frequency of values are visible in the database, and nothing else.

        Raises:
            InvalidArgument: the value cannot be encoded (see `encode_leaf`).
        """
        return self.searchable(path).protect(value)

    def tokens_for_filter(self, path: str, value: Leaf) -> list[str]:
        """The searchable form under every live epoch, the current one first: match any of them.

        Raises:
            InvalidArgument: the value cannot be encoded.
        """
        return self.searchable(path).tokens(value)

    def open_token(self, path: str, text: object) -> Leaf:
        """Read back what `token` wrote for this path.

        Raises:
            Unreadable: anything else, whatever the cause.
        """
        return self.searchable(path).reveal(text)

    def _make_sealed(self, path: str) -> SealedField:
        return SealedField(self._ring.sealing, partial(self._gcm, path))

    def _make_searchable(self, path: str) -> SearchableField:
        return SearchableField(self._ring.sealing, self._ring.asked, partial(self._siv, path))

    def _make_range_labels(self, path: str, clock: Clock) -> RangeLabels:
        return RangeLabels(self._ring.asked, lambda epoch: self._ring.subkey(epoch, "field.range", path), clock)

    def _make_word_labels(self, path: str) -> WordLabels:
        return WordLabels(self._ring.asked, lambda epoch: self._ring.subkey(epoch, "field.tokens", path))

    def _gcm(self, path: str, head: bytes) -> tuple[AESGCM, bytes]:
        epoch = read_head(head, SealKind.SEALED_FIELD, UNBOUND).epoch
        key = self._ring.subkey(epoch, "field.sealed", path)
        return AESGCM(key.expose()), length_prefixed(head, self._uuid, path.encode())

    def _siv(self, path: str, head: bytes) -> tuple[AESSIV, bytes]:
        epoch = read_head(head, SealKind.SEARCHABLE_FIELD, 0).epoch
        key = self._ring.subkey(epoch, "field.searchable", path)
        return AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "aes-siv")), length_prefixed(head, self._uuid, path.encode())
