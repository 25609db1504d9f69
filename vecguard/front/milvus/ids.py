"""Canonical bytes of what a row is bound to, beside those of `vecguard/seal/ids.py`: a primary key, or a row token.

A row whose primary key the database makes (`autoID`) cannot be bound to it when it is written. A random token takes
its place and stands in the row's record.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from typing import Final

from vecguard.errors import InvalidArgument

TOKEN_BYTES: Final = 16
_INT64: Final = b"\x03"
_TEXT: Final = b"\x04"
_TOKEN: Final = b"\x05"
_BIG_ENDIAN: Final = struct.Struct(">q")


def int64_ids(numbers: Iterable[int]) -> list[bytes]:
    """Nine bytes each: 0x03, int64 big-endian."""
    pack = _BIG_ENDIAN.pack
    return [_INT64 + pack(number) for number in numbers]


def text_ids(texts: Iterable[str]) -> list[bytes]:
    """0x04 and the key's UTF-8.

    Raises:
        InvalidArgument: lone surrogates.
    """
    try:
        return [_TEXT + text.encode() for text in texts]
    except UnicodeEncodeError:
        raise InvalidArgument("a primary key must be valid Unicode") from None


def new_tokens(count: int) -> list[bytes]:
    """Random row tokens of 16 bytes."""
    drawn = secrets.token_bytes(count * TOKEN_BYTES)
    return [drawn[start : start + TOKEN_BYTES] for start in range(0, len(drawn), TOKEN_BYTES)]


def token_ids(tokens: Iterable[bytes]) -> list[bytes]:
    """Seventeen bytes each: 0x05 and the token."""
    return [_TOKEN + token for token in tokens]
