"""Which parts of stored points lie under other than the current keys, told by the heads of what is sealed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qdrant_client import grpc as q

from vecguard.errors import Unreadable
from vecguard.fields import LABELS, Fields, Keys
from vecguard.front.qdrant.scope import PAYLOAD, RECORD, UPDATED, stored_path
from vecguard.policy.paths import render
from vecguard.seal import base64url, record
from vecguard.seal.envelope import epoch_of, from_text
from vecguard.shield import Shield


@dataclass(frozen=True, slots=True)
class StaleMap:
    """The values of one map of a payload that lie under older keys, whole, by key.

    `keys` name the map's place. `unchanged` holds while none of them was written again: what is written meanwhile is
    under the current keys, so a text under older ones that still stands says that its value is the one that was read.
    """

    keys: Keys
    values: Mapping[str, q.Value]
    unchanged: tuple[q.FieldCondition, ...]

    @property
    def path(self) -> str:
        """The stored path of the map."""
        return stored_path(render(self.keys)) if self.keys else PAYLOAD


def is_stale(shield: Shield, point: q.RetrievedPoint) -> bool:
    """Whether any part of a point lies under older keys.

    Raises:
        Unreadable: its record, or a text in its payload, is malformed.
    """
    return has_stale_record(shield, point) or next(stale_maps(shield, point), None) is not None


def has_stale_record(shield: Shield, point: q.RetrievedPoint) -> bool:
    """Whether an entry of a point's record lies under older keys. Raises Unreadable."""
    return any(epoch_of(entry) != shield.ring.current for entry in _entries(point))


def _entries(point: q.RetrievedPoint) -> Iterator[bytes]:
    value = point.payload.get(RECORD)
    if value is None:
        raise Unreadable
    yield from record.decode(value.string_value).entries.values()
    updated = point.payload.get(UPDATED)
    if updated is not None:
        for entry in updated.struct_value.fields.values():
            yield base64url.decode(entry.string_value)


def stale_maps(shield: Shield, point: q.RetrievedPoint) -> Iterator[StaleMap]:
    """The maps of a point's payload that hold values under older keys. Raises Unreadable."""
    kept = point.payload.get(PAYLOAD)
    if kept is not None:
        yield from _walk(kept.struct_value.fields, (), shield.fields, shield.ring.current)


def _walk(stored: Mapping[str, q.Value], keys: Keys, fields: Fields, current: int) -> Iterator[StaleMap]:
    values: dict[str, q.Value] = {}
    unchanged = []
    for key in stored:
        value, place = stored[key], (*keys, key)
        if key.startswith(LABELS):
            continue  # written together with the value that they are of
        if value.WhichOneof("kind") == "struct_value":
            yield from _walk(value.struct_value.fields, place, fields, current)
            continue
        found = _stale_text(value, place, "", fields, current)
        if found is not None:
            suffix, text = found
            values[key] = value
            path = f"{stored_path(render(place))}{suffix}"
            unchanged.append(q.FieldCondition(key=path, match=q.Match(keyword=text)))
    if values:
        yield StaleMap(keys, values, tuple(unchanged))


def _stale_text(value: q.Value, keys: Keys, suffix: str, fields: Fields, current: int) -> tuple[str, str] | None:
    """The first text under older keys in a value, and where in it that stands, as the end of a path."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        if fields.mode(keys) == "plain" or epoch_of(from_text(value.string_value)) == current:
            return None
        return suffix, value.string_value
    if kind == "list_value":
        inner = (_stale_text(item, keys, f"{suffix}[]", fields, current) for item in value.list_value.values)
    elif kind == "struct_value":
        members = value.struct_value.fields
        inner = (
            _stale_text(members[key], (*keys, key), f"{suffix}.{render((key,))}", fields, current)
            for key in members
            if not key.startswith(LABELS)
        )
    else:
        return None
    return next((found for found in inner if found is not None), None)
