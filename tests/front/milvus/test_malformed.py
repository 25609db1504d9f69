"""Messages with parts changed at random: a client's are refused in so many words, a database's are damage, or both are
fine; never is there another error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from front.milvus.schemas import (
    POLICY,
    arrays_of,
    data_of,
    dynamic_of,
    field_of,
    schema_of,
    shield_for,
    sparse_of,
    vectors_of,
)
from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus.proto import m, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.schema import declare, parse_schema
from vecguard.front.milvus.serve_reads import opened

SCHEMA = schema_of(
    field_of("word", "VarChar", {"max_length": 100}),
    field_of("other", "Int64", nullable=True),
    field_of("list", "Array", {"max_capacity": 3}, element="Bool"),
    field_of("meta", "JSON"),
    field_of("v", "FloatVector", {"dim": 8}),
    field_of("words", "SparseFloatVector"),
    dynamic=True,
)
SHIELD, LAYOUT = shield_for(SCHEMA)
GIVEN = [
    data_of("id", "Int64", [0, 1, 2]),
    data_of("word", "VarChar", ["a", "b", "c"]),
    data_of("other", "Int64", [5], [True, False, False]),
    arrays_of("list", "Bool", [[True], [], [False]]),
    data_of("meta", "JSON", [b'{"a":1}'] * 3),
    vectors_of("v", np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)),
    sparse_of("words", [{1: 1.0}, {}, {5: 2.0}]),
    dynamic_of([b'{"k":1}'] * 3),
]
TEXTS = ["", "x", "id", "word", "v", "_vg_v", "$meta", "vg:", "vgr1.a.b"]
BYTES = [b"", b"{}", b"null", b"[", b"abc", bytes(8), bytes(24)]
NUMBERS = [0, 1, 3, 4, 8, 1000]
KINDS = [0, 1, 5, 21, 22, 23, 24, 101, 102, 104, 106, 999]


def parts(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else (value,):
                yield from parts(part)


def some_value(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice(BYTES)
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice(KINDS)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return rng.choice([0.0, float("nan"), float("inf"), 1e30])
    return rng.choice(NUMBERS)


def change(message: Message, rng: random.Random) -> None:
    """Change one part of a message: leave out, repeat, add or replace."""
    part = rng.choice(list(parts(message)))
    field = rng.choice(part.DESCRIPTOR.fields)
    if rng.random() < 0.3:
        part.ClearField(field.name)
    elif field.is_repeated:
        values = getattr(part, field.name)
        if len(values) and rng.random() < 0.5:
            del values[rng.randrange(len(values))]
        elif field.message_type is not None:
            values.add()
        else:
            values.append(some_value(field, rng))
    elif field.message_type is not None:
        getattr(part, field.name).SetInParent()
    else:
        setattr(part, field.name, some_value(field, rng))


@pytest.mark.parametrize("seed", range(8))
def test_malformed_messages(seed: int) -> None:
    rng = random.Random(seed)
    stored = protect_rows(SHIELD, LAYOUT, GIVEN, 3, whole=True)
    for _ in range(60):
        write = m.InsertRequest(num_rows=3, fields_data=GIVEN)
        answer = m.QueryResults(fields_data=stored)
        schema = s.CollectionSchema.FromString(SCHEMA.SerializeToString())
        for message in (write, answer, schema):
            for _ in range(rng.choice([1, 1, 2, 4])):
                change(message, rng)
        with suppress(InvalidArgument):
            protect_rows(SHIELD, LAYOUT, write.fields_data, min(write.num_rows, 10), whole=True)
        with suppress(Unreadable, StaleEntry):
            opened(answer, LAYOUT, SHIELD)
        with suppress(InvalidArgument):
            declare(parse_schema(schema.SerializeToString()), POLICY)
