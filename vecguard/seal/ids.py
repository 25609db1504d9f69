"""Canonical bytes of point ids, so that all spellings of one id authenticate alike."""

from __future__ import annotations

import re
import struct
from typing import Final

from vecguard.errors import InvalidArgument

_NUMBER: Final = b"\x01"
_UUID: Final = b"\x02"
_MAX_NUMBER: Final = 2**64 - 1
# The spellings that Qdrant's parser takes: simple, hyphenated, urn and braced; hexadecimal digits of either case.
_SIMPLE: Final = re.compile(r"[0-9a-fA-F]{32}\Z")
_HYPHENATED: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def num_id(number: int) -> bytes:
    """Nine bytes: 0x01, uint64 big-endian.

    Raises:
        InvalidArgument: not in 0..2^64-1.
    """
    if not 0 <= number <= _MAX_NUMBER:
        raise InvalidArgument("a numeric point id is 0 to 2^64-1")
    return _NUMBER + struct.pack(">Q", number)


def uuid_id(text: str) -> bytes:
    """Seventeen bytes: 0x02 and the UUID's 16 bytes (RFC 9562 network order), whatever the spelling.

    Raises:
        InvalidArgument: not a simple, hyphenated, `urn:uuid:` or braced UUID.
    """
    bare = text.removeprefix("urn:uuid:")
    if text.startswith("{") and text.endswith("}"):
        bare = text[1:-1]
    is_simple = _SIMPLE.match(text) is not None
    if not is_simple and _HYPHENATED.match(bare) is None:
        raise InvalidArgument("a text point id must be a UUID")
    return _UUID + bytes.fromhex(bare.replace("-", ""))
