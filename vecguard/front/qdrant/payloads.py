"""A client's payload in Qdrant's `Value` messages: protecting and revealing it leaf by leaf, in place.

Maps and lists keep their shape, so partial updates, `is_empty`, `is_null` and `values_count` work upstream in every
mode; null carries no content and stays. Each value is made anew beside the old one, so nothing of a message goes on but
what is put there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Final, TypeAlias

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import LABELS, UNREADABLE_NAME, Fields, Keys, Labels, LabelsAt, Leaf
from vecguard.front.qdrant import value_wire
from vecguard.front.qdrant.scope import PAYLOAD
from vecguard.front.qdrant.value_wire import leaf, map_entry, text_entry
from vecguard.policy.paths import parse
from vecguard.seal.fields import bound_to, fresh_nonces
from vecguard.seal.ids import num_id, uuid_id

Values: TypeAlias = MutableMapping[str, q.Value]

_LEAVES: Final = frozenset({"string_value", "integer_value", "double_value", "bool_value"})
# Decoders of protobuf (upb here, prost in Qdrant) give up at 100 nested messages, of which a map costs three (value,
# struct, map entry) and a list two. What is written must be readable in every answer, of which a group's look-up is the
# deepest, and it is stored one map deeper than it came.
_DEEPEST: Final = 93
_MAP_LEVELS: Final = 3
_LIST_LEVELS: Final = 2


def point_id_bytes(point_id: q.PointId) -> bytes:
    """Canonical bytes of a point id, the same for all spellings of one UUID.

    Raises:
        InvalidArgument: empty, or not a UUID.
    """
    kind = point_id.WhichOneof("point_id_options")
    if kind == "num":
        return num_id(point_id.num)
    if kind is None:
        raise InvalidArgument("No ID options provided")
    try:
        return uuid_id(point_id.uuid)
    except InvalidArgument:
        raise InvalidArgument(f"Unable to parse UUID: {point_id.uuid}") from None


def _set_leaf(value: q.Value, leaf: Leaf) -> None:
    if isinstance(leaf, str):
        value.string_value = leaf
    elif isinstance(leaf, bool):  # before int, which it is a subclass of
        value.bool_value = leaf
    elif isinstance(leaf, int):
        value.integer_value = leaf
    else:
        value.double_value = leaf


def _leaf_of(value: q.Value) -> Leaf | None:
    """The content of a value; None where it is none of the leaves."""
    kind = value.WhichOneof("kind")
    return getattr(value, kind) if kind in _LEAVES else None


def _taken(payload: Values) -> dict[str, q.Value]:
    """The values of a map, which is empty afterwards. Messages outlive the map that held them: none is copied."""
    values = {key: payload[key] for key in payload}
    payload.clear()
    return values


class _Protection:
    """Protecting the leaves of one point."""

    __slots__ = ("at", "bound", "labels_at", "nonces")

    def __init__(self, fields: Fields, point_id: bytes | None, nonces: Iterator[bytes]) -> None:
        self.at, self.labels_at = fields.at, fields.labels_at
        self.bound = bound_to(point_id)
        self.nonces = nonces

    def fields(self, client: Mapping[str, q.Value], keys: Keys, level: int) -> bytes:
        """Wire bytes of a `Struct` with the protected form of each value; `keys` name the place of both."""
        level += _MAP_LEVELS
        at, bound, nonces, entries = self.at, self.bound, self.nonces, []
        for key in client:
            value = client[key]
            clear: Leaf | None = value.string_value or _leaf_of(value)
            if clear is not None and level <= _DEEPEST:  # nearly every value, so without a step for each
                stored = at((*keys, key)).protect(clear, bound, nonces)
                entries.append(text_entry(key, stored) if type(stored) is str else map_entry(key, leaf(stored)))
            else:
                entries.append(map_entry(key, self.value(value, (*keys, key), level)))
            if self.labels_at is not None:
                entries += self.labels(key, value, (*keys, key), level, self.labels_at)
        return b"".join(entries)

    def labels(self, key: str, client: q.Value, keys: Keys, level: int, labels_at: LabelsAt) -> list[bytes]:
        """The map entry with the labels of a field, if it has any: `labels.py` has their shape."""
        if key.startswith(LABELS):
            raise InvalidArgument(f"payload key `{key}` is reserved: keys that begin with `{LABELS}` hold labels")
        labels = labels_at(keys)
        return [] if labels is None else [map_entry(LABELS + key, self._shaped(client, labels, level))]

    def _shaped(self, client: q.Value, labels: Labels, level: int) -> bytes:
        level += _LIST_LEVELS
        if level > _DEEPEST:
            raise InvalidArgument("Wrong input: payload is nested too deeply")
        kind = client.WhichOneof("kind")
        if kind in _LEAVES:
            return value_wire.array([leaf(label) for label in labels.of(getattr(client, kind))])
        items = client.list_value.values if kind == "list_value" else ()
        return value_wire.array([self._shaped(item, labels, level) for item in items])

    def value(self, client: q.Value, keys: Keys, level: int) -> bytes:
        """Wire bytes of a `Value`: the protected form of `client`."""
        if level > _DEEPEST:
            raise InvalidArgument("Wrong input: payload is nested too deeply")
        kind = client.WhichOneof("kind")
        if kind in _LEAVES:
            return leaf(self.at(keys).protect(getattr(client, kind), self.bound, self.nonces))
        if kind == "struct_value":
            return value_wire.struct(self.fields(client.struct_value.fields, keys, level))
        if kind == "list_value":
            items = client.list_value.values
            return value_wire.array([self.value(item, keys, level + _LIST_LEVELS) for item in items])
        return value_wire.NOTHING if kind is None else value_wire.NULL


def protect_map(payload: Values, keys: Keys, fields: Fields, point_id: bytes | None, level: int = 0) -> None:
    """Protect every leaf of a payload map in place; `keys` name the map's own place in the payload.

    `level` says how many messages deep that place lies (see `levels_of`).

    Raises:
        InvalidArgument: nested too deeply, or a leaf cannot be encoded.
    """
    kept = _Protection(fields, point_id, fresh_nonces()).fields(payload, keys, level)
    payload.clear()
    for key, value in q.Struct.FromString(kept).fields.items():
        payload[key].CopyFrom(value)


def levels_of(path: str) -> int:
    """How many messages deep the map at a payload path lies in its payload, at most."""
    return _MAP_LEVELS * len(parse(path)) + _LIST_LEVELS * path.count("[")


class _Revealing:
    """Opening the leaves of one point."""

    __slots__ = ("at", "bound", "hidden", "labelled")

    def __init__(self, fields: Fields, point_id: bytes) -> None:
        self.at, self.labelled, self.hidden = fields.at, fields.labels_at is not None, fields.names is not None
        self.bound = bound_to(point_id)

    def fill(self, client: Values, stored: Mapping[str, q.Value], keys: Keys) -> None:
        """Put the opened form of each value of `stored` into `client`; `keys` name the place of both."""
        at, bound = self.at, self.bound
        for key in stored:
            if self.labelled and key.startswith(LABELS):
                continue
            if self.hidden and key.startswith(UNREADABLE_NAME):
                raise Unreadable
            value, place = stored[key], (*keys, key)
            text = value.string_value
            if text:  # a sealed leaf, as nearly every value is: without a step for each
                _set_leaf(client[key], at(place).reveal(text, bound))
            else:
                self._value(client[key], value, place)

    def _value(self, client: q.Value, stored: q.Value, keys: Keys) -> None:
        kind = stored.WhichOneof("kind")
        if kind in _LEAVES:
            kept: Leaf = getattr(stored, kind)
            _set_leaf(client, self.at(keys).reveal(kept, self.bound))
        elif kind == "struct_value":
            client.struct_value.SetInParent()
            self.fill(client.struct_value.fields, stored.struct_value.fields, keys)
        elif kind == "list_value":
            client.list_value.SetInParent()
            for item in stored.list_value.values:
                self._value(client.list_value.values.add(), item, keys)
        elif kind is not None:
            client.null_value = q.NullValue.NULL_VALUE


def reveal_map(payload: Values, keys: Keys, fields: Fields, point_id: bytes) -> None:
    """Open every leaf of a stored payload map in place.

    Raises:
        Unreadable: a leaf does not authenticate.
    """
    _Revealing(fields, point_id).fill(payload, _taken(payload), keys)


def wrap(payload: Values, fields: Fields, point_id: bytes | None, nonces: Iterator[bytes] | None = None) -> None:
    """Replace a client's payload by the stored one: protected, and under `_p`.

    Points of one write share `nonces` (`fresh_nonces`).

    Raises:
        InvalidArgument: nested too deeply, or a leaf cannot be encoded.
    """
    kept = _Protection(fields, point_id, nonces or fresh_nonces()).fields(payload, (), 0)
    payload.clear()
    payload[PAYLOAD].ParseFromString(value_wire.struct(kept))


def unwrap(payload: Values, fields: Fields, point_id: bytes) -> None:
    """Replace a stored payload by the client's: open what lies under `_p`, drop everything else.

    Raises:
        Unreadable: a leaf does not authenticate, or `_p` is not a map.
    """
    kept = payload.get(PAYLOAD)
    payload.clear()  # `kept` outlives it, as in `_taken`
    if kept is None:
        return
    if not kept.HasField("struct_value"):
        raise Unreadable
    _Revealing(fields, point_id).fill(payload, kept.struct_value.fields, ())


def python_value(value: q.Value) -> object:
    """A payload value as plain Python: None, bool, int, float, str, list or dict."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: python_value(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [python_value(item) for item in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    leaf: Leaf = getattr(value, kind)
    return leaf
