"""Which parts of stored points lie under other than the current keys, told by the heads of what is sealed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qdrant_client import grpc as q

from vecguard.errors import Unreadable
from vecguard.fields import LABELS, Fields, Keys
from vecguard.front.qdrant.scope import PAYLOAD, RECORD, TENANT, UPDATED, stored_path
from vecguard.keys.ring import KeyRing
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
    """Whether an entry of a point's record, or the key that it says it was written under, is an older one.

    Raises:
        Unreadable: the record is malformed.
        TenantShredded: the keys of the point's tenant were destroyed.
    """
    under = [epoch_of(entry) for entry in _entries(point)]
    if shield.tenancy is not None and TENANT in point.payload:
        under.append(point.payload[TENANT].integer_value)
    return not all(shield.ring.is_current(one) for one in under)


def tenants_keys(shield: Shield, point: q.RetrievedPoint) -> tuple[int, ...]:
    """Numbers of all keys of a point's tenant, the one that is sealed with first.

    Raises:
        Unreadable: the point does not say whose it is, or a part of it is another tenant's.
        TenantShredded: the tenant's keys were destroyed.
    """
    assert shield.tenancy is not None  # noqa: S101 - the caller looked
    numbers = shield.tenancy.keys.siblings(point.payload[TENANT].integer_value if TENANT in point.payload else 0)
    under = [epoch_of(entry) for entry in _entries(point)]
    if PAYLOAD in point.payload:
        under += _sealed(point.payload[PAYLOAD], (), shield.fields)
    if any(shield.ring.is_tenants(one) and one not in numbers for one in under):
        raise Unreadable
    return numbers


def _sealed(value: q.Value, keys: Keys, fields: Fields) -> Iterator[int]:
    """What each sealed leaf of a value names as its key."""
    kind = value.WhichOneof("kind")
    if kind == "string_value" and fields.mode(keys) != "plain":
        yield epoch_of(from_text(value.string_value))
    elif kind == "list_value":
        for item in value.list_value.values:
            yield from _sealed(item, keys, fields)
    elif kind == "struct_value":
        members = value.struct_value.fields
        for key in members:
            if not key.startswith(LABELS):
                yield from _sealed(members[key], (*keys, key), fields)


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
        yield from _walk(kept.struct_value.fields, (), shield.fields, shield.ring)


def _walk(stored: Mapping[str, q.Value], keys: Keys, fields: Fields, ring: KeyRing) -> Iterator[StaleMap]:
    values: dict[str, q.Value] = {}
    unchanged = []
    for key in stored:
        value, place = stored[key], (*keys, key)
        if key.startswith(LABELS):
            continue  # written together with the value that they are of
        if value.WhichOneof("kind") == "struct_value":
            yield from _walk(value.struct_value.fields, place, fields, ring)
            continue
        found = _stale_text(value, place, "", fields, ring)
        if found is not None:
            suffix, text = found
            values[key] = value
            path = f"{stored_path(render(place))}{suffix}"
            unchanged.append(q.FieldCondition(key=path, match=q.Match(keyword=text)))
    if values:
        yield StaleMap(keys, values, tuple(unchanged))


def _stale_text(value: q.Value, keys: Keys, suffix: str, fields: Fields, ring: KeyRing) -> tuple[str, str] | None:
    """The first text under older keys in a value, and where in it that stands, as the end of a path."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        if fields.mode(keys) == "plain" or ring.is_current(epoch_of(from_text(value.string_value))):
            return None
        return suffix, value.string_value
    if kind == "list_value":
        inner = (_stale_text(item, keys, f"{suffix}[]", fields, ring) for item in value.list_value.values)
    elif kind == "struct_value":
        members = value.struct_value.fields
        inner = (
            _stale_text(members[key], (*keys, key), f"{suffix}.{render((key,))}", fields, ring)
            for key in members
            if not key.startswith(LABELS)
        )
    else:
        return None
    return next((found for found in inner if found is not None), None)
