"""Messages of any protobuf type, drawn from its descriptor: as odd as its fields allow, and bytes that are broken."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

SECRET = "Zq-what-nobody-may-see-again"
"""The value of every payload, text and string that is no name."""

_DEEPEST = 5
_NAMES = (
    "notes",
    "notes",
    "notes",
    "missing",
    "",
    "default",
    "d",
    "_vg",
    "_default",
    "*",
    "a/b",
    "x" * 300,
    "ünï",
    "\x00",
)
_REALS = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 3.4e38, 1e308, 5e-324)
_VALUES = ("string_value", "text", "json", "str", "keyword", "val", "value")
_BITS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Message:
    """A message of a type."""
    message = kind()
    _fill(draw, message, 0)
    return message


@st.composite
def broken(draw: st.DrawFn, kind: type[Message]) -> bytes:
    """Bytes of a message with some of them changed, cut off, repeated or put in."""
    body = bytearray(draw(messages(kind)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        change = draw(st.sampled_from(("flip", "cut", "insert", "repeat")))
        if change == "flip" and body:
            body[at % len(body)] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del body[at:]
        elif change == "insert":
            body[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            body += body[at:]
    return bytes(body)


def _fill(draw: st.DrawFn, message: Message, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name in {"collection_name", "collection"} or draw(st.integers(0, 2 + depth)) == 0:
            _set(draw, message, field, depth)


def _set(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _set_map(draw, getattr(message, field.name), field, depth)
    elif field.message_type is not None:
        if depth < _DEEPEST:
            here = getattr(message, field.name)
            for _ in range(draw(st.integers(1, 3)) if field.is_repeated else 1):
                inner = here.add() if field.is_repeated else here
                inner.SetInParent() if not field.is_repeated else None
                _fill(draw, inner, depth + 1)
    elif field.is_repeated:
        count = draw(st.sampled_from((0, 1, 2, 3, 8, 8, 9, 64)))
        value = draw(_scalars(field))
        getattr(message, field.name).extend([value] * max(count - 1, 0) + [draw(_scalars(field))] * min(count, 1))
    else:
        setattr(message, field.name, draw(_scalars(field)))


def _set_map(draw: st.DrawFn, mapping: Any, field: FieldDescriptor, depth: int) -> None:
    key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    for _ in range(draw(st.integers(1, 2))):
        key = draw(_scalars(key_field))
        if value_field.message_type is None:
            mapping[key] = draw(_scalars(value_field))
        elif depth < _DEEPEST:
            _fill(draw, mapping[key], depth + 1)


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type in _BITS:
        low, high = _BITS[field.type]
        edges = st.sampled_from([value for value in (0, 1, 2, 8, 10, low, high, -1) if low <= value <= high])
        return st.one_of(edges, st.integers(low, high))
    if field.type in {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}:
        reals = _REALS if field.type == FieldDescriptor.TYPE_DOUBLE else tuple(x for x in _REALS if abs(x) != 1e308)
        return st.one_of(st.sampled_from(reals), st.floats(width=32))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.sampled_from([value.number for value in field.enum_type.values] + [77])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.one_of(st.just(SECRET.encode()), st.binary(max_size=32))
    if field.name in _VALUES:
        return st.just(SECRET)
    return st.sampled_from(_NAMES)
