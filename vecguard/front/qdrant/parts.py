"""The parts of a stored point that are remembered as its newest (`vecguard.fresh`), and what writes do to them.

Kinds of paths: `r` the record `_vg`, `t` the time `_vgt`, `k` the key's number `_vgk`, `v` and a vector's name the
entry that its vector opens by, `p` and the keys of a field what lies there in `_p`. A list is one part with all that
is in it; a map is none, but for what lies in it; null and an empty map are as good as nothing. `w` is all of it at
once, so that a point that was written whole is judged by one stamp.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from qdrant_client import grpc as q

from vecguard.errors import Unreadable
from vecguard.fresh import numbers
from vecguard.fresh.log import ALL, WHOLE, Change, Cover, Log
from vecguard.fresh.stamps import Stamps
from vecguard.front.qdrant import records
from vecguard.front.qdrant.payloads import point_id_bytes
from vecguard.front.qdrant.reveal import StoredPoint
from vecguard.front.qdrant.scope import PAYLOAD, RECORD, TENANT, UPDATED, WRITTEN
from vecguard.keys.encoding import length_prefixed
from vecguard.seal import base64url, record

Payload: TypeAlias = Mapping[str, q.Value]
Leaves: TypeAlias = dict[bytes, bytes]

_KINDS: Final = {PAYLOAD: b"p", RECORD: b"r", WRITTEN: b"t", TENANT: b"k"}
_VECTOR: Final = b"v"
RECORD_PATH: Final = _KINDS[RECORD]
"""The path of what every point has that is there."""
Nudge: TypeAlias = Callable[[float], float]
# As far as the last bits of a number may move while a database keeps it: 64 of its smallest steps.
_BELOW: Final = 1 - 2.0**-46
_ABOVE: Final = 1 + 2.0**-46
_MOST_NEAR: Final = 6


def canonical(value: q.Value, nudge: Nudge = float) -> bytes:
    """One form of a value whichever way a database answers it; empty for what is as good as nothing.

    `nudge` is done to each number with a fraction before it is rounded.
    """
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return b"s" + value.string_value.encode()
    if kind == "integer_value":
        return b"n%d" % value.integer_value
    if kind == "double_value":
        return numbers.form(nudge(value.double_value))
    if kind == "bool_value":
        return b"t" if value.bool_value else b"f"
    if kind == "list_value":
        return b"l" + length_prefixed(*(canonical(item, nudge) for item in value.list_value.values))
    if kind == "struct_value":
        members = value.struct_value.fields
        listed = [(key.encode(), canonical(members[key], nudge)) for key in sorted(members)]
        return b"m" + length_prefixed(*(part for pair in listed for part in pair if pair[1]))
    return b""


def forms(value: q.Value) -> Iterator[bytes]:
    """All forms that a value may have had before a database took it: numbers near the middle of two roundings have two.

    Of more than a few such numbers in one list not all combinations are tried.
    """
    near: list[float] = []

    def noted(number: float) -> float:
        if numbers.form(number * _BELOW) != numbers.form(number * _ABOVE):
            near.append(number)
        return number

    canonical(value, noted)
    for picks in itertools.product((_BELOW, _ABOVE), repeat=min(len(near), _MOST_NEAR)):
        left = iter(picks)
        odd = frozenset(near)
        yield canonical(value, lambda x, left=left, odd=odd: x * next(left, 1.0) if x in odd else x)  # type: ignore[misc]


def _walk(value: q.Value, path: bytes, stamps: Stamps) -> Iterator[tuple[bytes, bytes]]:
    """Paths and contents at and below a value."""
    return ((at, content) for at, leaf in _values(value, path, stamps) if (content := canonical(leaf)))


def _values(value: q.Value, path: bytes, stamps: Stamps) -> Iterator[tuple[bytes, q.Value]]:
    """Paths and values at and below a value; a map is none."""
    if value.WhichOneof("kind") == "struct_value":
        members = value.struct_value.fields
        for key in members:
            yield from _values(members[key], path + stamps.step(key), stamps)
    else:
        yield path, value


def reconciled(
    found: Leaves, payload: Payload, point_id: bytes, stamps: Stamps, allowed: Callable[[bytes], Collection[bytes]]
) -> Leaves:
    """Stamps of a payload's parts; where a number's rounding hangs on its last bits, the one that is allowed."""
    odd = {path for path, stamp in found.items() if stamp not in allowed(path)}
    if not odd:
        return found
    kept = dict(found)
    for key in payload:
        for path, value in _values(payload[key], _KINDS[key], stamps) if key in _KINDS else ():
            if path in odd:
                tried = (stamps.stamp(point_id, path, form) for form in forms(value))
                kept[path] = next((stamp for stamp in tried if stamp in allowed(path)), found[path])
    return kept


def parts_of(payload: Payload, point_id: bytes, stamps: Stamps, held: Collection[str] | None = None) -> Leaves:
    """The stamps of all parts of a whole stored payload, by path.

    Of each vector that has an entry the one that was settled last; with `held`, of these vectors alone.
    """
    leaves = _written(payload, point_id, stamps)
    updated = payload.get(UPDATED)
    for name, entry in _settled(updated).items():
        path = stamps.path(_VECTOR, (name,))
        leaves[path] = stamps.stamp(point_id, path, entry)
    there = None if held is None else {stamps.path(_VECTOR, (name,)) for name in held}
    return {path: stamp for path, stamp in leaves.items() if there is None or path[:1] != _VECTOR or path in there}


def whole_of(payload: Payload, point_id: bytes, stamps: Stamps) -> bytes:
    """One stamp of all that is stored of a point beside its vectors: equal for equal messages, and for nothing else."""
    held = [part for key in sorted(payload) for part in (key.encode(), _bytes(payload[key])) if key != UPDATED]
    return stamps.stamp(point_id, ALL, length_prefixed(*held))


def _bytes(value: q.Value) -> bytes:
    found: bytes = value.SerializeToString(deterministic=True)
    return found


def content_of(payload: Payload, point_id: bytes, stamps: Stamps) -> Leaves:
    """The same, but for the entries of vectors."""
    leaves: Leaves = {}
    for key in payload:
        if key in _KINDS:
            found = _walk(payload[key], _KINDS[key], stamps)
            leaves |= {path: stamps.stamp(point_id, path, content) for path, content in found}
    return leaves


def _written(payload: Payload, point_id: bytes, stamps: Stamps) -> Leaves:
    """The same, of a payload that is being written whole, and the stamp of all of it."""
    leaves = {ALL: whole_of(payload, point_id, stamps), **content_of(payload, point_id, stamps)}
    if RECORD in payload:
        leaves |= _entries(payload[RECORD].string_value, point_id, stamps)
    return leaves


def _entries(text: str, point_id: bytes, stamps: Stamps) -> Leaves:
    try:
        entries = record.decode(text).entries
    except Unreadable:  # the text has a stamp of its own, which no write of ours made
        return {}
    paths = {stamps.path(_VECTOR, (name,)): entry for name, entry in entries.items()}
    return {path: stamps.stamp(point_id, path, entry) for path, entry in paths.items()}


def _settled(updated: q.Value | None, *, pending: bool = False) -> dict[str, bytes]:
    """Entries of vectors that were updated alone, by name; with `pending` those that wait for their vectors."""
    found: dict[str, bytes] = {}
    fields = {} if updated is None else updated.struct_value.fields
    for key in fields:
        slot, _, digits = key.partition("_")
        if (slot == records.settled_key("").partition("_")[0]) != pending:
            try:
                found[bytes.fromhex(digits).decode()] = base64url.decode(fields[key].string_value)
            except (ValueError, Unreadable):
                continue
    return found


def prune(point: StoredPoint, log: Log, stamps: Stamps, since: int) -> None:
    """Take from an answer's point the entries by which a vector would open that was superseded."""
    payload, point_id = point.payload, point_id_bytes(point.id)

    def allowed(name: str, entry: bytes) -> bool:
        path = stamps.path(_VECTOR, (name,))
        return stamps.stamp(point_id, path, entry) in log.allowed(path, since)

    if RECORD in payload:
        try:
            read = record.decode(payload[RECORD].string_value)
        except Unreadable:
            return
        kept = {name: entry for name, entry in read.entries.items() if allowed(name, entry)}
        if len(kept) < len(read.entries):
            payload[RECORD].string_value = record.encode(read.manifest, kept, read.token)
    if UPDATED in payload:
        fields = payload[UPDATED].struct_value.fields
        for key in list(fields):
            _, _, digits = key.partition("_")
            try:
                fine = allowed(bytes.fromhex(digits).decode(), base64url.decode(fields[key].string_value))
            except (ValueError, Unreadable):
                fine = False
            if not fine:
                del fields[key]


# -- writes ------------------------------------------------------------------------------------------------------------


def upserted(point: q.PointStruct, stamps: Stamps) -> Change:
    """A whole point: all that was there before goes."""
    return Change((WHOLE,), _written(point.payload, point_id_bytes(point.id), stamps))


_ALL: Final = Cover(ALL, exact=True)
DELETED: Final = Change((WHOLE,), {})


def payload_set(payload: Payload, keys: Sequence[str], point_id: bytes, stamps: Stamps) -> Change:
    """Values put at `keys`, which begin with a stored key, or are none; each takes the place of what was there."""
    if keys and keys[0] == UPDATED:
        return _entries_set(payload, point_id, stamps)
    covers, leaves = [_ALL], dict[bytes, bytes]()
    place = stamps.path(_KINDS[keys[0]], tuple(keys[1:])) if keys else b""
    if keys:  # what is no map on the way becomes one
        way = [stamps.path(_KINDS[keys[0]], tuple(keys[1:end])) for end in range(1, len(keys) + 1)]
        covers += [Cover(path, exact=True) for path in way]
    for key in payload:
        path = place + stamps.step(key) if keys else _KINDS[key]
        covers.append(Cover(path))
        found = _walk(payload[key], path, stamps)
        leaves |= {at: stamps.stamp(point_id, at, content) for at, content in found}
        if not keys and key == RECORD:
            entries = _entries(payload[key].string_value, point_id, stamps)
            covers += map(Cover, entries)
            leaves |= entries
    return Change(tuple(covers), leaves)


def _entries_set(payload: Payload, point_id: bytes, stamps: Stamps) -> Change:
    """Entries of vectors that are updated alone."""
    value = q.Value()
    for key in payload:
        value.struct_value.fields[key].CopyFrom(payload[key])
    found = _settled(value) | _settled(value, pending=True)
    paths = {stamps.path(_VECTOR, (name,)): entry for name, entry in found.items()}
    leaves = {path: stamps.stamp(point_id, path, entry) for path, entry in paths.items()}
    return Change((_ALL, *(Cover(path, exact=True) for path in paths)), leaves)


def payload_deleted(paths: Sequence[Sequence[str]], stamps: Stamps) -> Change:
    """What lies at and below some keys, each of which begins with a stored key."""
    kept = [keys for keys in paths if keys[0] in _KINDS]  # of `_vgn` what is left is told by what opens
    return Change((_ALL, *(Cover(stamps.path(_KINDS[keys[0]], tuple(keys[1:]))) for keys in kept)), {})


def vectors_deleted(names: Sequence[str], stamps: Stamps) -> Change:
    """Vectors of these names: nothing opens by their entries any more."""
    return Change((_ALL, *(Cover(stamps.path(_VECTOR, (name,)), exact=True) for name in names)), {})
