"""Planted rows in Milvus' messages: found in what the database answers, and in what a client names.

Where a key is a number, the planted one is the form `number` (`vecguard.seal.planted`) as 64 signed bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from google.protobuf.message import Message

from vecguard.catalog import Entry
from vecguard.errors import InvalidArgument, UpstreamFailure
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.expression import keys_named, pk_in
from vecguard.front.milvus.layout import VARCHAR, Column, layout_of
from vecguard.front.milvus.place import Place
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.status import checked
from vecguard.pipeline import Session
from vecguard.seal.planted import Planted, PlantedId, signed
from vecguard.shield import Shield

_COUNT: Final = "count(*)"
_NUMBERS: Final = 2**64


def keys_of(planted: Planted, primary: Column, count: int | None = None) -> list[Any]:
    """The keys that the first `count` planted rows can have, or all, as a client would know them."""
    if primary.data_type == VARCHAR:
        return [*planted.ids("uuid4", count), *planted.ids("uuid5", count)]
    return [signed(one) for one in planted.ids("number", count)]


def as_keys(ids: Iterable[PlantedId], primary: Column) -> list[Any]:
    """Those of planted ids of any form that can be keys of a collection, as a client would know them."""
    if primary.data_type == VARCHAR:
        return [one for one in ids if isinstance(one, str)]
    return [signed(one) for one in ids if isinstance(one, int)]


def planted_among(keys: Iterable[Any], shield: Shield) -> list[PlantedId]:
    """Those of a client's keys that are planted ones, in the one form that each has in `Planted`."""
    numbers = shield.planted.numbers
    return [key if isinstance(key, str) else key % _NUMBERS for key in keys if key in numbers]


def planted_in(message: Message, shield: Shield) -> list[PlantedId]:
    """The planted ids within a request or an answer of rows, as the client would know them."""
    return planted_among(_keys(message, layout_of(shield).primary), shield)


def _keys(message: Message, primary: Column) -> Iterator[Any]:
    if isinstance(message, m.SearchResults):
        yield from _listed(message.results.ids)
    elif isinstance(message, m.QueryResults | m.InsertRequest | m.UpsertRequest):
        yield from _column(message.fields_data, primary)
    elif isinstance(message, m.SearchRequest):
        if "ids" in message.DESCRIPTOR.fields_by_name and message.HasField("ids"):
            yield from _listed(message.ids)
        yield from _named(message.dsl, message.expr_template_values, primary)
    elif isinstance(message, m.HybridSearchRequest):
        for search in message.requests:
            yield from _keys(search, primary)
    elif isinstance(message, m.QueryRequest | m.DeleteRequest):
        yield from _named(message.expr, message.expr_template_values, primary)


def _listed(ids: s.IDs) -> Sequence[Any]:
    keys: Sequence[Any] = ids.str_id.data if ids.HasField("str_id") else ids.int_id.data
    return keys


def _column(columns: Sequence[s.FieldData], primary: Column) -> Sequence[Any]:
    data = next((data for data in columns if data.field_name == primary.name), None)
    return () if data is None else scalars(data, primary.data_type, row_count(data)).elements


def _named(text: str, templates: Mapping[str, s.TemplateValue], primary: Column) -> Sequence[Any]:
    with suppress(InvalidArgument):  # what is no expression names nothing, and is refused elsewhere
        return keys_named(text, primary.name, templates)
    return ()


async def planted_there(place: Place, entry: Entry, session: Session, partition: str = "") -> int:
    """How many planted rows there are, of those that the policy has for the collection.

    As many as it has where the collection is not loaded, so that nobody can count them.
    """
    declared = entry.policy.detection.canaries
    if entry.shield is None or not declared:
        return 0
    primary = layout_of(entry.shield).primary
    request = m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        partition_names=[partition] if partition else [],
        expr=pk_in(primary.name, keys_of(entry.shield.planted, primary, declared)),
        output_fields=[_COUNT],
        consistency_level=c.ConsistencyLevel.Strong,
    )
    try:
        answer = checked(await session.send(rpc("Query"), request, m.QueryResults))
    except UpstreamFailure:
        return declared
    return next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)
