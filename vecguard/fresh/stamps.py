"""Keyed names of records and paths, and stamps of what lies at a path: all that the memory holds.

None of them says what it is of to who has not the key. A stamp is bound to its collection, record and path, so that it
vouches for nothing else. docs/formats.md §19 has every byte.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from vecguard.keys.encoding import length_prefixed
from vecguard.keys.key import Key
from vecguard.state.sealing import StateKey

NAME_BYTES: Final = 16
STEP_BYTES: Final = 6
STAMP_BYTES: Final = 8
ABSENT: Final = bytes(STAMP_BYTES)
"""The stamp of nothing: a part that is not there."""
_PURPOSE: Final = "freshness"
_KEY_BYTES: Final = 32
_REMEMBERED: Final = 65_536
_COLLECTIONS: Final = 1_024


class Stamps:
    """Names and stamps of one collection."""

    def __init__(self, key: Key, collection: bytes, identity: str) -> None:
        """`key` is the memory's, which `identity` names; `collection` the uuid's 16 bytes."""
        self.identity = identity
        place = collection.hex()
        self.place = key.derive_bytes(NAME_BYTES, _PURPOSE, "place", place)
        """The collection's own name, 16 bytes."""
        self._names = key.derive_bytes(_KEY_BYTES, _PURPOSE, "names", place)
        self._stamps = key.derive_bytes(_KEY_BYTES, _PURPOSE, "stamps", place)
        steps = key.derive_bytes(_KEY_BYTES, _PURPOSE, "steps", place)
        self.step = lru_cache(maxsize=_REMEMBERED)(lambda name: _digest(steps, name.encode(), STEP_BYTES))
        """The 6 bytes of one key of a path."""

    def name(self, record: bytes) -> bytes:
        """The 16 bytes that a record, by its id in canonical bytes, is remembered under."""
        return _digest(self._names, record, NAME_BYTES)

    def path(self, kind: bytes, keys: tuple[str, ...] = ()) -> bytes:
        """The path of a part: its kind, one letter, and a step for each key, so that what lies below begins alike."""
        return kind + b"".join([self.step(key) for key in keys])

    def stamp(self, record: bytes, path: bytes, value: bytes) -> bytes:
        """The 8 bytes for `value` at `path` of a record; never `ABSENT`."""
        made = _digest(self._stamps, length_prefixed(record, path, value), STAMP_BYTES)
        return made if made != ABSENT else b"\xff" * STAMP_BYTES


class StampCache:
    """What names and stamps of collections are made with, kept while the memory's key is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Stamps] = {}

    def of(self, key: StateKey, collection: bytes) -> Stamps:
        """Those of a collection, by its uuid's bytes."""
        known = self._known.get((key.identity, collection))
        if known is None:
            if len(self._known) >= _COLLECTIONS:
                self._known.clear()
            known = self._known[key.identity, collection] = Stamps(key.subkey(_PURPOSE), collection, key.identity)
        return known


def _digest(key: bytes, text: bytes, size: int) -> bytes:
    return hashlib.blake2b(text, digest_size=size, key=key).digest()
