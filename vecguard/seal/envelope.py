"""The head that every sealed thing starts with, and the text form of sealed payload values."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from vecguard.errors import Unreadable
from vecguard.seal import base64url

FORMAT_VERSION: Final = 1
TEXT_PREFIX: Final = "vg:"
_HEAD: Final = struct.Struct(">BBBI")
HEAD_BYTES: Final = _HEAD.size


class SealKind(IntEnum):
    """What a sealed thing is. A value never opens as another kind: the head is authenticated."""

    SEALED_FIELD = 1
    SEARCHABLE_FIELD = 2
    DENSE_ENTRY = 3
    ROWS_ENTRY = 4
    SPARSE_ENTRY = 5
    DECLARATION = 6


@dataclass(frozen=True, slots=True)
class Head:
    """Seven bytes: format version, kind, flags, key epoch as uint32 big-endian."""

    kind: SealKind
    epoch: int
    flags: int = 0

    def encode(self) -> bytes:
        """The seven bytes."""
        return _HEAD.pack(FORMAT_VERSION, self.kind, self.flags, self.epoch)


def read_head(data: bytes, kind: SealKind, known_flags: int) -> Head:
    """The head of `data`, which must be of `kind`.

    Raises:
        Unreadable: too short, another version or kind, or a flag outside `known_flags`.
    """
    if len(data) < HEAD_BYTES:
        raise Unreadable
    version, found, flags, epoch = _HEAD.unpack_from(data)
    if version != FORMAT_VERSION or found != kind or flags & ~known_flags:
        raise Unreadable
    return Head(kind, epoch, flags)


def epoch_of(data: bytes) -> int:
    """The key epoch that the head of `data` names, of whatever kind; nothing is authenticated by this.

    Raises:
        Unreadable: too short, or another version.
    """
    if len(data) < HEAD_BYTES or data[0] != FORMAT_VERSION:
        raise Unreadable
    return int(_HEAD.unpack_from(data)[3])


def to_text(data: bytes) -> str:
    """`vg:` and base64url without padding (RFC 4648 §5)."""
    return TEXT_PREFIX + base64url.encode(data)


def from_text(text: object) -> bytes:
    """What `to_text` took; exactly one text stands for given bytes.

    Raises:
        Unreadable: not a text, another prefix, not canonical base64url.
    """
    if not isinstance(text, str) or not text.startswith(TEXT_PREFIX):
        raise Unreadable
    return base64url.decode(text[len(TEXT_PREFIX) :])
