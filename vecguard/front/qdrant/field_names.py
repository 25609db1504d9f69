"""Field names on their way to the database and back, where the policy says `payload.hash_names`.

In what is sent and what is answered a client's field name stands in a payload under `_p`, in a path below `_p`, or in
the key under which a declared index is remembered. All are found by the fields of messages that hold them, which
`PATHS` and `_HOLDERS` list, so that the rest of the front knows the client's names alone. A test goes through every
text of Qdrant's API, so that none can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import cache
from typing import Any, Final, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.fields import UNREADABLE_NAME, Keys, Names
from vecguard.front.qdrant.metadata import INDEX
from vecguard.front.qdrant.scope import PAYLOAD, client_path, stored_path
from vecguard.ranking.payload_path import PayloadPath

PATHS: Final = frozenset({
    *("qdrant.FieldCondition.key", "qdrant.IsEmptyCondition.key", "qdrant.IsNullCondition.key"),
    *("qdrant.PayloadIncludeSelector.fields", "qdrant.PayloadExcludeSelector.fields"),
    *("qdrant.DeletePayloadPoints.keys", "qdrant.PointsUpdateOperation.DeletePayload.keys"),
    *("qdrant.CreateFieldIndexCollection.field_name", "qdrant.DeleteFieldIndexCollection.field_name"),
    *("qdrant.KeywordIndexParams.nested", "qdrant.IntegerIndexParams.nested", "qdrant.FloatIndexParams.nested"),
    *("qdrant.GeoIndexParams.nested", "qdrant.TextIndexParams.nested", "qdrant.BoolIndexParams.nested"),
    *("qdrant.DatetimeIndexParams.nested", "qdrant.UuidIndexParams.nested"),
    *("qdrant.SearchPointGroups.group_by", "qdrant.RecommendPointGroups.group_by", "qdrant.QueryPointGroups.group_by"),
    *("qdrant.OrderBy.key", "qdrant.FacetCounts.key"),
    *("qdrant.Expression.variable", "qdrant.Expression.datetime_key", "qdrant.GeoDistance.to"),
    # Of a full-text query `using` names a field; of others a vector, which no path below `_p` is the name of.
    *("qdrant.QueryPoints.using", "qdrant.PrefetchQuery.using", "qdrant.QueryPointGroups.using"),
})  # fmt: skip
"""Fields of messages that hold a path, or several."""


class _Turn(Protocol):
    """One way: a name of the map at `parent`, whose keys are in clear, and the same once more in clear."""

    def __call__(self, parent: Keys, name: str) -> tuple[str, str]:
        """The name that takes its place, and the name in clear."""


def hide(message: Message, names: Names) -> None:
    """Turn a client's names in a message to the database into those at rest, in place.

    Raises:
        InvalidArgument: a path is none, or a name is not Unicode.
    """

    def turn(parent: Keys, name: str) -> tuple[str, str]:
        return names.hidden(parent, name), name

    _change(message, (), turn)


def show(message: Message, names: Names) -> None:
    """Turn the names at rest in an answer of the database into the client's, in place."""

    def turn(parent: Keys, name: str) -> tuple[str, str]:
        clear = names.shown(parent, name)
        return clear, clear

    _change(message, (), turn)


_SHOWN_PATH: Final = re.compile(rf"(?<![\w.]){PAYLOAD}\.(?:[\w-]+(?:\[[0-9]*\])*)(?:\.[\w-]+(?:\[[0-9]*\])*)*")


def shown_text(details: str, names: Names) -> str:
    """The text of one of the database's errors, with the stored names of fields in it as the client knows them."""

    def turn(parent: Keys, name: str) -> tuple[str, str]:
        clear = names.shown(parent, name)
        return clear, clear

    def one(found: re.Match[str]) -> str:
        path = str(_path(found[0], turn))
        return found[0] if UNREADABLE_NAME in path else path

    return _SHOWN_PATH.sub(one, details)


def holds_names(message: Message) -> bool:
    """Whether a message of this type can hold a name of a field anywhere within."""
    return message.DESCRIPTOR.full_name in _HOLDERS or bool(_leading(message.DESCRIPTOR))


# -- one message -------------------------------------------------------------------------------------------------------


def _change(message: Message, within: Keys, turn: _Turn) -> None:
    """Change every name below a message. `within`: the keys, in clear, of the array whose items a filter looks at."""
    descriptor = message.DESCRIPTOR
    holder = _HOLDERS.get(descriptor.full_name)
    if holder is not None:
        holder(message, within, turn)
    nested = descriptor.full_name == _NESTED
    for field in _leading(descriptor):
        if field.full_name in PATHS:
            _change_paths(message, field, within, turn)
        elif not (nested or field.message_type is None):
            for part in _parts(message, field):
                _change(part, within, turn)


def _change_paths(message: Message, field: FieldDescriptor, within: Keys, turn: _Turn) -> None:
    if field.is_repeated:
        held = getattr(message, field.name)
        held[:] = [_moved(path, within, turn) for path in held]
    elif path := getattr(message, field.name):
        setattr(message, field.name, _moved(path, within, turn))


def _parts(message: Message, field: FieldDescriptor) -> Iterator[Message]:
    held = getattr(message, field.name)
    if not field.is_repeated:
        if message.HasField(field.name):
            yield held
        return
    yield from held.values() if isinstance(held, Mapping) else held


def _moved(path: str, within: Keys, turn: _Turn) -> str:
    """A path with its names turned; what does not lie in a client's payload stays."""
    if within:
        return str(_steps(PayloadPath.parse(path), within, turn)[0])
    return path if client_path(path) is None else _path(path, turn)


def _path(stored: str, turn: _Turn) -> str:
    path = PayloadPath.parse(stored)
    inner, _ = _steps(PayloadPath(path.steps[1:]), (), turn)
    return stored_path(str(inner))


def _steps(path: PayloadPath, within: Keys, turn: _Turn) -> tuple[PayloadPath, Keys]:
    """The path with its names turned, and its keys in clear, those of `within` before them."""
    keys, steps = within, list(path.steps)
    for i, step in enumerate(steps):
        if isinstance(step, str):
            steps[i], clear = turn(keys, step)
            keys = (*keys, clear)
    return PayloadPath(tuple(steps)), keys


def _keys_below(path: str, turn: _Turn) -> Keys:
    """The keys, in clear, of a path below `_p`."""
    return _steps(PayloadPath(PayloadPath.parse(path).steps[1:]), (), turn)[1]


# -- messages that hold names otherwise than in paths ------------------------------------------------------------------


def _change_nested(message: Any, within: Keys, turn: _Turn) -> None:
    """A condition on the items of an array: its own filter's paths begin there."""
    if within:
        path, keys = _steps(PayloadPath.parse(message.key), within, turn)
        message.key = str(path)
    elif client_path(message.key) is None:
        raise InvalidArgument(f"Wrong input: nested condition on `{message.key}`")
    else:
        keys = _keys_below(message.key, turn)
        message.key = _path(message.key, turn)
    _change(message.filter, keys, turn)


def _change_point(message: Any, within: Keys, turn: _Turn) -> None:
    """A point: the client's payload is under `_p`."""
    del within
    _change_payload(message.payload, turn)


def _change_payload(payload: MutableMapping[str, q.Value], turn: _Turn) -> None:
    if PAYLOAD in payload:
        kept = payload[PAYLOAD]
        if kept.WhichOneof("kind") == "struct_value":
            _change_map(kept.struct_value.fields, (), turn)


def _change_set(message: Any, within: Keys, turn: _Turn) -> None:
    """A payload to be set: at the top of a point, or in one of the client's maps."""
    del within
    if not message.HasField("key"):
        _change_payload(message.payload, turn)
    elif message.key == PAYLOAD:
        _change_map(message.payload, (), turn)
    elif client_path(message.key) is not None:
        _change_map(message.payload, _keys_below(message.key, turn), turn)
        message.key = _path(message.key, turn)


def _change_map(held: MutableMapping[str, q.Value], keys: Keys, turn: _Turn) -> None:
    values = {key: held[key] for key in held}
    held.clear()  # the values outlive it, as a map gives out messages of their own
    for key, value in values.items():
        other, clear = turn(keys, key)
        _change_value(value, (*keys, clear), turn)
        held[other].CopyFrom(value)


def _change_value(value: q.Value, keys: Keys, turn: _Turn) -> None:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        _change_map(value.struct_value.fields, keys, turn)
    elif kind == "list_value":
        for item in value.list_value.values:
            _change_value(item, keys, turn)


def _change_metadata(message: Any, within: Keys, turn: _Turn) -> None:
    """A collection's metadata, of whose keys some are those of declared indexes."""
    del within
    for key in [key for key in message.metadata if client_path(key.removeprefix(INDEX)) and key.startswith(INDEX)]:
        _rename(message.metadata, key, INDEX + _path(key.removeprefix(INDEX), turn))


def _change_schema(message: Any, within: Keys, turn: _Turn) -> None:
    """A collection's description, with its payload indexes by path."""
    del within
    for path in [path for path in message.payload_schema if client_path(path) is not None]:
        _rename(message.payload_schema, path, _path(path, turn))


def _change_defaults(message: Any, within: Keys, turn: _Turn) -> None:
    """A formula's values for what a point lacks, by path."""
    del within
    for path in [path for path in message.defaults if client_path(path) is not None]:
        _rename(message.defaults, path, _path(path, turn))


def _rename(messages: Any, key: str, name: str) -> None:
    """Put what a map of messages has under `key` under `name`."""
    kept = type(messages[key])()
    kept.CopyFrom(messages[key])
    del messages[key]
    messages[name].CopyFrom(kept)


_NESTED: Final = "qdrant.NestedCondition"
_HOLDERS: Final[dict[str, Callable[[Any, Keys, _Turn], None]]] = {
    _NESTED: _change_nested,
    "qdrant.PointStruct": _change_point,
    "qdrant.RetrievedPoint": _change_point,
    "qdrant.ScoredPoint": _change_point,
    "qdrant.SetPayloadPoints": _change_set,
    "qdrant.PointsUpdateOperation.SetPayload": _change_set,
    "qdrant.PointsUpdateOperation.OverwritePayload": _change_set,
    "qdrant.CreateCollection": _change_metadata,
    "qdrant.UpdateCollection": _change_metadata,
    "qdrant.CollectionConfig": _change_metadata,
    "qdrant.CollectionInfo": _change_schema,
    "qdrant.Formula": _change_defaults,
}
HELD: Final = frozenset({
    *("qdrant.NestedCondition.key", "qdrant.PointStruct.PayloadEntry.key", "qdrant.RetrievedPoint.PayloadEntry.key"),
    *("qdrant.ScoredPoint.PayloadEntry.key", "qdrant.SetPayloadPoints.PayloadEntry.key", "qdrant.SetPayloadPoints.key"),
    "qdrant.PointsUpdateOperation.SetPayload.PayloadEntry.key",
    "qdrant.PointsUpdateOperation.SetPayload.key",
    "qdrant.PointsUpdateOperation.OverwritePayload.PayloadEntry.key",
    "qdrant.PointsUpdateOperation.OverwritePayload.key",
    *("qdrant.CreateCollection.MetadataEntry.key", "qdrant.UpdateCollection.MetadataEntry.key"),
    *("qdrant.CollectionConfig.MetadataEntry.key", "qdrant.CollectionInfo.PayloadSchemaEntry.key"),
    *("qdrant.Formula.DefaultsEntry.key", "qdrant.Struct.FieldsEntry.key"),
})  # fmt: skip
"""Texts of messages with names that the functions above know of."""


@cache
def _leading(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message that hold names, or through which such are reached."""
    return tuple(field for field in descriptor.fields if field.full_name in PATHS or _leads(field.message_type))


def _leads(descriptor: Descriptor | None) -> bool:
    """Whether names are reached through messages of this type."""
    if descriptor is None:
        return False
    seen, waiting = {descriptor.full_name}, [descriptor]
    while waiting:
        one = waiting.pop()
        if one.full_name in _HOLDERS:
            return True
        for field in one.fields:
            if field.full_name in PATHS:
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                waiting.append(field.message_type)
    return False
