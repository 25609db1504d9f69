"""A collection as its client declared it, sealed: names, descriptions and defaults may say what the data is about.

Kept by fronts that store another schema than they show (see docs/formats.md): head (7 bytes), nonce (12), AES-256-GCM
(NIST SP 800-38D) of the front's own bytes, with the head and the collection's uuid, each length-prefixed, as AAD; in
the text form of sealed values.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, from_text, read_head, to_text

_NONCE_BYTES: Final = 12
_BODY: Final = HEAD_BYTES + _NONCE_BYTES
_PURPOSE: Final = "declaration"


def seal_declaration(content: bytes, ring: KeyRing, collection_uuid: bytes) -> str:
    """Text form of a declaration, sealed under the ring's current epoch."""
    head = Head(SealKind.DECLARATION, ring.current).encode()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    box = _cipher(ring, ring.current).encrypt(nonce, content, length_prefixed(head, collection_uuid))
    return to_text(head + nonce + box)


def open_declaration(text: str, ring: KeyRing, collection_uuid: bytes) -> bytes:
    """What `seal_declaration` took.

    Raises:
        Unreadable: damaged, altered, another collection's, or of an epoch whose key is gone.
    """
    data = from_text(text)
    head = read_head(data, SealKind.DECLARATION, known_flags=0)
    cipher = _cipher(ring, head.epoch)
    try:
        return cipher.decrypt(data[HEAD_BYTES:_BODY], data[_BODY:], length_prefixed(data[:HEAD_BYTES], collection_uuid))
    except (InvalidTag, ValueError):  # ValueError: a nonce cut short
        raise Unreadable from None


def _cipher(ring: KeyRing, epoch: int) -> AESGCM:
    return AESGCM(ring.subkey(epoch, _PURPOSE).expose())
