"""The record's entries that lie beside each stored point: the text `_vg`, and `_vgn` for vectors updated alone.

`_vg` is the record as the point was written (`vecguard.seal.record`). A vector that is updated on its own cannot be
written in one atomic operation with its entry. So the new entry goes to a ring of pending ones in `_vgn` first; then
the vector, and after it the entry to its settled place in `_vgn`, both only where the new entry still stands in the
ring. Whatever a crash, another update or a whole new point between these steps leaves, the vector that is stored fits
an entry of the point, and the sealed sketch tells which.

`_vgn` is a map: `"f_<name in hex>"` is a settled entry, `"<slot>_<name in hex>"` a pending one. There are few slots, so
that it cannot grow.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Final

from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import Unreadable
from vecguard.front.qdrant.scope import RECORD, UPDATED
from vecguard.seal import base64url, record

SLOTS: Final = 4
_SETTLED: Final = "f"
# Names of vectors are those of collections' manifests.
_REMEMBERED: Final = 256


def encode(entry: bytes) -> q.Value:
    """An entry as a payload value."""
    return q.Value(string_value=base64url.encode(entry))


def attach(payload: MutableMapping[str, q.Value], manifest: str, entries: Mapping[str, bytes]) -> None:
    """Put a new record into its stored payload."""
    payload[RECORD].string_value = record.encode(manifest, entries)


def settled_key(name: str) -> str:
    """Where in `_vgn` the entry of a vector goes that was updated alone.

    The name is in hex because a filter has to be able to name such a key, whatever signs the name holds.
    """
    return f"{_SETTLED}_{name.encode().hex()}"


def pending_key(name: str, entry: bytes) -> str:
    """Where in `_vgn` a new entry waits for its vector: in a slot by its own (random-looking) last byte."""
    return f"{entry[-1] % SLOTS}_{name.encode().hex()}"


@lru_cache(maxsize=_REMEMBERED)
def _keys(name: str) -> tuple[str, tuple[str, ...]]:
    """The settled key, and the pending ones by slot."""
    return settled_key(name), tuple(pending_key(name, bytes([slot])) for slot in range(SLOTS))


def keys_of(name: str) -> tuple[str, ...]:
    """Every key that `_vgn` may have for the vector `name`: the settled one, and the pending ones by slot."""
    settled, slots = _keys(name)
    return settled, *slots


def still_pending(entries: Sequence[Mapping[str, bytes]]) -> q.Filter:
    """The stored filter for those points whose new entries, the same names for each, still stand in the ring."""
    names = entries[0].keys() if entries else ()
    return q.Filter(must=[_pending_under(name, [sealed[name] for sealed in entries]) for name in names])


def _pending_under(name: str, entries: Sequence[bytes]) -> q.Condition:
    slots: dict[str, list[str]] = {}
    for entry in entries:
        slots.setdefault(pending_key(name, entry), []).append(base64url.encode(entry))
    matches = (
        q.FieldCondition(key=f"{UPDATED}.{key}", match=q.Match(keywords=q.RepeatedStrings(strings=texts)))
        for key, texts in slots.items()
    )
    return q.Condition(filter=q.Filter(should=[q.Condition(field=match) for match in matches]))


def entries_of(payload: Mapping[str, q.Value], manifest: str, name: str) -> list[bytes]:
    """Entries that a stored point's vector `name` may fit, the likeliest first.

    Raises:
        StaleEntry: the record belongs to another manifest than `manifest`.
        Unreadable: there is none, or it is malformed.
    """
    # `get`, for one look-up each: this runs for every candidate of a search.
    value = payload.get(RECORD)
    if value is None:
        raise Unreadable
    text, head = value.string_value, record.head_of(manifest, name)
    digits = text[len(head) :]
    if text.startswith(head) and "." not in digits:  # a record of this vector alone
        found = [base64url.decode(digits)]
    else:
        found = _entry_in(text, manifest, name)
    updated = payload.get(UPDATED)
    return found if updated is None else _newer(updated, name, found)


def _entry_in(text: str, manifest: str, name: str) -> list[bytes]:
    """The entry of the vector `name` in any record, if there is one."""
    written_under, entries, token = record.decode(text)
    if written_under != manifest:
        raise StaleEntry
    if token:
        raise Unreadable  # ids of Qdrant's points are known when they are written, so this is not ours
    return [entries[name]] if name in entries else []


def _newer(updated: q.Value, name: str, written: list[bytes]) -> list[bytes]:
    """The entries of a point whose vectors were updated alone, before and after the one it was written with."""
    fields = updated.struct_value.fields
    settled, slots = _keys(name)
    first = [settled] if settled in fields else []
    ordered = [*first, None, *(key for key in slots if key in fields)]
    found: list[bytes] = []
    for key in ordered:
        found += written if key is None else [base64url.decode(fields[key].string_value)]
    return found
