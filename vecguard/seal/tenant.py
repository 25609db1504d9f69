"""A tenant's data key as it lies with the collection's manifest, and what stands in its place once it is destroyed.

`vgk1.` and base64url of: kind (1 a key, 2 destroyed), number (u32), epoch (u32), tenant id (12), and a box: AES-SIV
(RFC 5297) of the key's 32 bytes, or of the time in seconds since 1970 (i64), under a subkey of the collection's data
key of that epoch, with the collection's uuid and all bytes before the box, each length-prefixed, as AAD. So a tenant's
key opens with the collection's own alone, and whoever destroys the text destroys the key.

A tenant's id is the first 12 bytes of HMAC-SHA256 (RFC 2104) of its value's leaf bytes, under another subkey.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from vecguard.errors import Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import KEY_BYTES, Key
from vecguard.keys.ring import KeyRing
from vecguard.keys.tenants import FIRST_NUMBER, LAST_NUMBER
from vecguard.seal import base64url
from vecguard.seal.leaf import Leaf, encode_leaf

ID_BYTES: Final = 12
_PREFIX: Final = "vgk1."
_HEAD: Final = struct.Struct(f">BII{ID_BYTES}s")
_KEY: Final = 1
_DESTROYED: Final = 2
_TIME: Final = struct.Struct(">q")
_SIV_KEY_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class TenantKey:
    """One text, opened. `key` is None where it was destroyed, at `destroyed` (seconds since 1970)."""

    number: int
    epoch: int
    tenant: bytes
    key: Key | None
    destroyed: int | None = None


def new_number() -> int:
    """A random number for a tenant's key."""
    return FIRST_NUMBER + secrets.randbelow(LAST_NUMBER - FIRST_NUMBER + 1)


def tenant_id(key: Key, value: Leaf) -> bytes:
    """What a tenant is known by, 12 bytes, under the collection's key of tenants' ids.

    Raises:
        InvalidArgument: the value cannot be encoded.
    """
    return hmac.digest(key.expose(), encode_leaf(value), "sha256")[:ID_BYTES]


def pack_key(number: int, tenant: bytes, key: Key, ring: KeyRing, collection_uuid: bytes) -> str:
    """Text of a key, sealed under the ring's current epoch."""
    return _pack(_HEAD.pack(_KEY, number, ring.current, tenant), key.expose(), ring, collection_uuid)


def pack_destroyed(number: int, tenant: bytes, time: int, ring: KeyRing, collection_uuid: bytes) -> str:
    """Text that stands in the place of a key that was destroyed, at `time` in seconds since 1970."""
    return _pack(_HEAD.pack(_DESTROYED, number, ring.current, tenant), _TIME.pack(time), ring, collection_uuid)


def open_tenant_key(number: int, text: str, ring: KeyRing, collection_uuid: bytes) -> TenantKey:
    """What a text of the key `number` says.

    Raises:
        Unreadable: damaged, altered, another key's or collection's, or of an epoch that is not live.
    """
    if not text.startswith(_PREFIX):
        raise Unreadable
    data = base64url.decode(text.removeprefix(_PREFIX))
    if len(data) < _HEAD.size:
        raise Unreadable
    kind, found, epoch, tenant = _HEAD.unpack_from(data)
    if found != number or not FIRST_NUMBER <= number <= LAST_NUMBER:
        raise Unreadable
    head, box = data[: _HEAD.size], data[_HEAD.size :]
    try:
        content = _box(ring, epoch).decrypt(box, [_aad(head, collection_uuid)])
    except (InvalidTag, ValueError):
        raise Unreadable from None
    if kind == _KEY and len(content) == KEY_BYTES:
        return TenantKey(number, epoch, tenant, Key(content))
    if kind == _DESTROYED and len(content) == _TIME.size:
        return TenantKey(number, epoch, tenant, None, _TIME.unpack(content)[0])
    raise Unreadable


def _pack(head: bytes, content: bytes, ring: KeyRing, collection_uuid: bytes) -> str:
    box = _box(ring, ring.current).encrypt(content, [_aad(head, collection_uuid)])
    return _PREFIX + base64url.encode(head + box)


def _box(ring: KeyRing, epoch: int) -> AESSIV:
    return AESSIV(ring.subkey(epoch, "tenant.keys").derive_bytes(_SIV_KEY_BYTES, "aes-siv"))


def _aad(head: bytes, collection_uuid: bytes) -> bytes:
    return length_prefixed(collection_uuid, head)
