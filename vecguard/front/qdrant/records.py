"""The record's entry that lies beside each stored point: `_vg = {"m": manifest, "v": {name: entry}, "n": {...}}`.

`v` holds the entry of each vector name. A vector that is updated on its own cannot be written in one atomic operation
with its entry. So the new entry goes to `n` first; then the vector, and after it the entry in `v`, both only where the
new entry still stands in `n`. Whatever a crash, another update or a whole new point between these steps leaves, the
vector that is stored fits an entry in `v` or `n`, and the sealed sketch tells which.
`n` is a ring of a few slots, `"<slot>_<name in hex>"`, so that it cannot grow.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import Unreadable
from vecguard.front.qdrant.scope import RECORD
from vecguard.seal import base64url

SLOTS: Final = 4
FINAL: Final = f"{RECORD}.v"
PENDING: Final = f"{RECORD}.n"


def encode(entry: bytes) -> q.Value:
    """An entry as a payload value."""
    return q.Value(string_value=base64url.encode(entry))


def attach(payload: MutableMapping[str, q.Value], manifest: str, entries: Mapping[str, bytes]) -> None:
    """Put a new record's entry into its stored payload."""
    fields = payload[RECORD].struct_value.fields
    fields["m"].string_value = manifest
    final = fields["v"].struct_value
    final.SetInParent()
    for name, entry in entries.items():
        final.fields[name].string_value = base64url.encode(entry)


def pending_key(name: str, entry: bytes) -> str:
    """Where in the ring `n` a new entry goes: a slot by its own (random-looking) bytes.

    The name is in hex because a filter has to be able to name the key, whatever signs the name holds.
    """
    return _slot_key(entry[-1] % SLOTS, name)


def _slot_key(slot: int, name: str) -> str:
    return f"{slot}_{name.encode().hex()}"


def still_pending(entries: Sequence[Mapping[str, bytes]]) -> q.Filter:
    """The stored filter for those points whose new entries, the same names for each, still stand in the ring."""
    names = entries[0].keys() if entries else ()
    return q.Filter(must=[_pending_under(name, [sealed[name] for sealed in entries]) for name in names])


def _pending_under(name: str, entries: Sequence[bytes]) -> q.Condition:
    slots: dict[str, list[str]] = {}
    for entry in entries:
        slots.setdefault(pending_key(name, entry), []).append(base64url.encode(entry))
    matches = (
        q.FieldCondition(key=f"{PENDING}.{key}", match=q.Match(keywords=q.RepeatedStrings(strings=texts)))
        for key, texts in slots.items()
    )
    return q.Condition(filter=q.Filter(should=[q.Condition(field=match) for match in matches]))


class Record:
    """A stored point's `_vg`, read."""

    def __init__(self, payload: Mapping[str, q.Value], manifest: str) -> None:
        """Raises:
        StaleEntry: the record belongs to another manifest than `manifest`.
        Unreadable: there is none, or it is malformed.
        """
        # `get`, for one look-up each: this runs for every candidate of a search.
        record = payload.get(RECORD)
        if record is None:
            raise Unreadable
        self._fields = record.struct_value.fields
        written_under = self._fields.get("m")
        if written_under is None:
            raise Unreadable
        if written_under.string_value != manifest:
            raise StaleEntry

    def entries(self, name: str) -> list[bytes]:
        """Entries that the vector `name` may fit, the likeliest first."""
        found: list[bytes] = []
        final = self._fields.get("v")
        entry = None if final is None else final.struct_value.fields.get(name)
        if entry is not None:
            found.append(base64url.decode(entry.string_value))
        ring = self._fields.get("n")
        if ring is not None:
            pending = ring.struct_value.fields
            keys = (_slot_key(slot, name) for slot in range(SLOTS))
            found.extend(base64url.decode(pending[key].string_value) for key in keys if key in pending)
        return found
