"""What counts as known of a request is written down, so that a newer pymilvus cannot make it more in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from vecguard.errors import InvalidArgument, UnknownField
from vecguard.front.milvus import known_fields
from vecguard.front.milvus.known_fields import KNOWN, has_newer_fields, require_known
from vecguard.front.milvus.placeholder import read_queries
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.schema import parse_schema
from vecguard.front.milvus.table import ROUTES
from vecguard.pipeline import Session


def serve(name: str, request: Message) -> None:
    """Serve a request that must not come as far as to need a session."""

    async def run() -> None:
        await ROUTES[rpc(name)].serve(request, cast("Session", None))

    asyncio.run(run())


def within(descriptor: Descriptor, seen: dict[str, Descriptor]) -> Iterator[Descriptor]:
    if descriptor.full_name not in seen:
        seen[descriptor.full_name] = descriptor
        yield descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                yield from within(field.message_type, seen)


def test_every_field_of_the_installed_client_is_known() -> None:
    """A newer pymilvus fails here: each field that it adds needs to be looked at, then handled, then written down."""
    seen: dict[str, Descriptor] = {}
    roots = [route.ask.DESCRIPTOR for route in ROUTES.values() if route.handling != "refused"]
    for root in (*roots, s.CollectionSchema.DESCRIPTOR, c.PlaceholderGroup.DESCRIPTOR):
        for descriptor in within(root, seen):
            if not descriptor.GetOptions().map_entry:
                names = {field.name for field in descriptor.fields}
                assert names <= KNOWN.get(descriptor.full_name, frozenset()), descriptor.full_name
        assert not has_newer_fields(root)
    assert len(seen) > 100


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Take a field out of the table, as if the client had learnt it since."""

    def forget(message: str, field: str) -> None:
        name = f"milvus.proto.{message}"
        monkeypatch.setitem(cast("dict[str, frozenset[str]]", KNOWN), name, KNOWN[name] - {field})
        monkeypatch.setattr(known_fields, "_newer", {})

    return forget


REQUESTS: list[tuple[str, str, Message]] = [
    ("milvus.SearchRequest", "namespace", m.SearchRequest(namespace="Berlin")),
    ("schema.FieldData", "is_dynamic", m.InsertRequest(fields_data=[s.FieldData(is_dynamic=True)])),
    ("schema.StringArray", "data", m.DeleteRequest(expr_template_values={
        "x": s.TemplateValue(array_val=s.TemplateArrayValue(string_data=s.StringArray(data=["Berlin"])))
    })),
    ("milvus.FlushAllTarget", "db_name", m.FlushAllRequest(flush_targets=[m.FlushAllTarget(db_name="Berlin")])),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field", "request_"), REQUESTS)
def test_a_field_that_is_not_in_the_table_is_refused_at_any_depth(
    older: Any, message: str, field: str, request_: Message
) -> None:
    require_known(request_)
    older(message, field)
    require_known(type(request_)())
    with pytest.raises(UnknownField, match=field):
        require_known(request_)
    name = type(request_).__name__.removesuffix("Request")
    with pytest.raises(UnknownField, match=field):
        serve(name, request_)


def test_messages_within_messages_are_looked_at_too(older: Any) -> None:
    schema = s.CollectionSchema(fields=[s.FieldSchema(name="v", description="Berlin")]).SerializeToString()
    group = c.PlaceholderGroup(
        placeholders=[c.PlaceholderValue(tag="$0", type=c.PlaceholderType.FloatVector, values=[bytes(8)])]
    ).SerializeToString()
    assert parse_schema(schema).fields[0].name == "v"
    assert len(read_queries(group)) == 1
    older("schema.FieldSchema", "description")
    older("common.PlaceholderValue", "tag")
    with pytest.raises(UnknownField):
        parse_schema(schema)
    with pytest.raises(UnknownField):
        read_queries(group)


@pytest.mark.parametrize(
    "base", [c.MsgBase(properties={"note": "Berlin"}), c.MsgBase(replicateInfo=c.ReplicateInfo(isReplicate=True))]
)
def test_what_servers_say_to_each_other_is_refused(base: c.MsgBase) -> None:
    with pytest.raises(InvalidArgument, match="base"):
        serve("Insert", m.InsertRequest(base=base))
