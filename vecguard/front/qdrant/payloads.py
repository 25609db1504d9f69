"""A client's payload in Qdrant's `Value` messages: protecting and revealing it leaf by leaf, in place.

Maps and lists keep their shape, so partial updates, `is_empty`, `is_null` and `values_count` work upstream in every
mode; null carries no content and stays.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import Fields, Keys, Leaf
from vecguard.front.qdrant.scope import PAYLOAD
from vecguard.policy.paths import parse
from vecguard.seal.ids import num_id, uuid_id

_LEAVES: Final = ("string_value", "integer_value", "double_value", "bool_value")
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
    if isinstance(leaf, bool):
        value.bool_value = leaf
    elif isinstance(leaf, str):
        value.string_value = leaf
    elif isinstance(leaf, int):
        value.integer_value = leaf
    else:
        value.double_value = leaf


def _protect_value(value: q.Value, keys: Keys, fields: Fields, point_id: bytes | None, level: int) -> None:
    if level > _DEEPEST:
        raise InvalidArgument("Wrong input: payload is nested too deeply")
    kind = value.WhichOneof("kind")
    if kind in _LEAVES:
        leaf: Leaf = getattr(value, kind)
        stored = fields.protect(keys, leaf, point_id)
        if stored is not leaf:
            _set_leaf(value, stored)
    elif kind == "struct_value":
        protect_map(value.struct_value.fields, keys, fields, point_id, level)
    elif kind == "list_value":
        for item in value.list_value.values:
            _protect_value(item, keys, fields, point_id, level + _LIST_LEVELS)


def protect_map(
    payload: MutableMapping[str, q.Value], keys: Keys, fields: Fields, point_id: bytes | None, level: int = 0
) -> None:
    """Protect every leaf of a payload map in place; `keys` name the map's own place in the payload.

    `level` says how many messages deep that place lies (see `levels_of`).

    Raises:
        InvalidArgument: nested too deeply.
    """
    for key in payload:
        _protect_value(payload[key], (*keys, key), fields, point_id, level + _MAP_LEVELS)


def levels_of(path: str) -> int:
    """How many messages deep the map at a payload path lies in its payload, at most."""
    return _MAP_LEVELS * len(parse(path)) + _LIST_LEVELS * path.count("[")


def _reveal_value(value: q.Value, keys: Keys, fields: Fields, point_id: bytes) -> None:
    kind = value.WhichOneof("kind")
    if kind in _LEAVES:
        stored: Leaf = getattr(value, kind)
        leaf = fields.reveal(keys, stored, point_id)
        if leaf is not stored:
            _set_leaf(value, leaf)
    elif kind == "struct_value":
        reveal_map(value.struct_value.fields, keys, fields, point_id)
    elif kind == "list_value":
        for item in value.list_value.values:
            _reveal_value(item, keys, fields, point_id)


def reveal_map(payload: MutableMapping[str, q.Value], keys: Keys, fields: Fields, point_id: bytes) -> None:
    """Open every leaf of a stored payload map in place.

    Raises:
        Unreadable: a leaf does not authenticate.
    """
    for key in payload:
        _reveal_value(payload[key], (*keys, key), fields, point_id)


def wrap(payload: MutableMapping[str, q.Value], fields: Fields, point_id: bytes | None) -> None:
    """Replace a client's payload by the stored one: protected, and under `_p`.

    Raises:
        InvalidArgument: nested too deeply.
    """
    protect_map(payload, (), fields, point_id)
    kept = q.Struct()
    for key in payload:
        kept.fields[key].CopyFrom(payload[key])
    payload.clear()
    payload[PAYLOAD].struct_value.CopyFrom(kept)


def unwrap(payload: MutableMapping[str, q.Value], fields: Fields, point_id: bytes) -> None:
    """Replace a stored payload by the client's: open what lies under `_p`, drop everything else.

    Raises:
        Unreadable: a leaf does not authenticate, or `_p` is not a map.
    """
    stored = payload.get(PAYLOAD)
    kept = q.Struct()
    if stored is not None:
        if stored.WhichOneof("kind") != "struct_value":
            raise Unreadable
        kept.CopyFrom(stored.struct_value)
    payload.clear()
    reveal_map(kept.fields, (), fields, point_id)
    for key in kept.fields:
        payload[key].CopyFrom(kept.fields[key])


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
