"""The structure of a Qdrant filter without its values: what is asked of which field, in which nesting."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.front.qdrant.ids import ids_in

_NAMES: Final = ("key", "has_vector")


def shape_of(given: q.Filter) -> str:
    """Nested conditions as `must(field(key=city,match(keyword)),has_id)`; no value of a client is in it but paths."""
    return _shape(given)


def ids_named(given: q.Filter) -> int:
    """How many point ids it names."""
    return sum(1 for _ in ids_in(given))


def _shape(message: Message) -> str:
    parts = []
    for field, value in message.ListFields():
        if field.message_type is None:
            parts.append(f"{field.name}={value}" if field.name in _NAMES else field.name)
        elif field.message_type.full_name == q.PointId.DESCRIPTOR.full_name:
            parts.append(field.name)
        else:
            parts += [_below(field, item) for item in (value if field.is_repeated else [value])]
    return ",".join(parts)


def _below(field: FieldDescriptor, message: Message) -> str:
    inner = _shape(message)
    return f"{field.name}({inner})" if inner else field.name
