"""The format of a journal: lines chained by HMAC-SHA256 (RFC 2104), under a key of each file's own.

A line is `{"seq":N,"mac":"HEX","event":{...}}`, and its mac covers the mac before it, its number and the event's bytes
as they stand in the line. So no line can be altered, inserted, left out or moved without the key; what the end of a
file may lack, checkpoints and later files tell (docs/operations.md, "A trail that cannot be altered unnoticed").

Line 0 of each file is its opening: the chain's format, the wrapped key, and which file and line came before.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Final

FORMAT: Final = 1
MAC_BYTES: Final = 32
OPENING, CLOSING, LOST = "journal opened", "journal closed", "journal lost events"
CHECKPOINT: Final = "trail checkpoint"
"""The event of the log that says where a chain stands; see `vecguard.journal.verify`."""
SHREDDED: Final = "keys shredded"
"""The event that proves a crypto-shred; see `vecguard.upkeep.shred`."""
CONTEXT: Final = b"vecguard journal 1"
"""What a journal's key is wrapped for, so that it opens as no other key."""

_BEGINNING: Final = bytes(MAC_BYTES)
_SEQUENCE_BYTES: Final = 8
_LINE: Final = re.compile(rb'\{"seq":(0|[1-9][0-9]{0,18}),"mac":"([0-9a-f]{64})","event":(\{.*\})\}')


def file_key(key: bytes, identity: bytes) -> bytes:
    """A file's key, 32 bytes: HMAC-SHA256 of the file's random identity (16 bytes) under the process's journal key."""
    return hmac.digest(key, identity, "sha256")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, read."""

    number: int
    mac: bytes
    event: bytes
    """The event's JSON, byte by byte as it was written."""


class Chain:
    """The state of a chain: the number of the next line and the mac of the last."""

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes, of this file alone."""
        self._key = key
        self.number = 0
        self.mac = _BEGINNING

    def follow(self, event: bytes) -> bytes:
        """The mac of the next line, whose event this is; the chain goes on from it."""
        numbered = self.number.to_bytes(_SEQUENCE_BYTES, "big")
        self.mac = hmac.digest(self._key, self.mac + numbered + event, "sha256")
        self.number += 1
        return self.mac

    def line(self, event: bytes) -> bytes:
        """The next line, with its newline. `event` is a JSON object on one line."""
        number = self.number
        return b'{"seq":%d,"mac":"%s","event":%s}\n' % (number, self.follow(event).hex().encode(), event)


def read_line(text: bytes) -> Line | None:
    """A line without its newline; None where it is none."""
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    return Line(int(match[1]), bytes.fromhex(match[2].decode()), match[3])
