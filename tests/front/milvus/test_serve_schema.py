"""What is asked of the database when a collection's fields change: RPCs that neither server of the tests has.

The database's side is a record of what was sent, with the one state that matters: the collection's properties.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from front.milvus.schemas import field_of, policy_with, schema_of
from vecguard.access.identify import Identifier
from vecguard.catalog import Catalog
from vecguard.front.milvus import FRONT
from vecguard.front.milvus import metadata as meta
from vecguard.front.milvus.declared import show
from vecguard.front.milvus.layout import build
from vecguard.front.milvus.proto import DATA_TYPES, c, m, rpc, s
from vecguard.front.milvus.schema import declare
from vecguard.front.milvus.status import status_of
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import Manifest, open_core
from vecguard.model import Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import Access, CollectionPolicy, Policy
from vecguard.policy.tenants import TenantRule
from vecguard.seal.declaration import open_declaration
from vecguard.upstream import Upstream

PROVIDER = LocalWrapping(Key(bytes([7]) * 32))
POLICY = policy_with()
SCHEMA = schema_of(field_of("other", "VarChar", {"max_length": 10}), field_of("open", "Int64"))


class Database(Upstream):
    """Keeps properties and the stored schema as Milvus does; everything else it is only told."""

    def __init__(self, policy: CollectionPolicy = POLICY) -> None:
        declaration = declare(SCHEMA, policy)
        manifest, ring = Manifest.new("notes", policy.payload, PROVIDER, tenants=policy.tenant_keys)
        properties = meta.manifest_properties(manifest, declaration.vectors, SCHEMA, ring)
        self.described = m.DescribeCollectionResponse(
            collection_name="notes", schema=declaration.stored, properties=meta.pairs(properties)
        )
        self.sent: list[tuple[str, Message]] = []

    async def call(self, rpc: str, request: Message, answer: type[Any], caller: Caller) -> Any:
        name = rpc.rpartition("/")[2]
        if name == "DescribeCollection":
            return self.described
        self.sent.append((name, request))
        if isinstance(request, m.AlterCollectionRequest):
            changed = {pair.key: pair.value for pair in (*self.described.properties, *request.properties)}
            del self.described.properties[:]
            self.described.properties.extend(meta.pairs(changed))
        return answer()

    def named(self, name: str) -> Any:
        """The only request of that name."""
        (found,) = [request for sent, request in self.sent if sent == name]
        return found


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def ask(database: Database) -> Callable[[str, Message], c.Status]:
    """Send a request through the pipeline; the status of what comes back."""
    return asking(database, POLICY)


def asking(database: Database, policy: CollectionPolicy) -> Callable[[str, Message], c.Status]:
    """The same under another policy."""
    rules = Policy(version=1, access=Access(anonymous=("read", "write")), collections=(policy,))

    async def read(key: str, caller: Caller) -> Any:
        return await FRONT.read_manifest(database, key, caller)

    async def real_name(key: str, caller: Caller) -> str:
        return await FRONT.real_name(database, key, caller)

    catalog = Catalog(read, real_name, PROVIDER, lambda: rules, Generation(None, 1, 0))
    pipeline = Pipeline(
        FRONT.routes,
        catalog,
        database,
        lambda: rules,
        Identifier(lambda: rules),
        lambda event, **fields: None,
        failed=FRONT.failed,
    )

    def run(name: str, request: Message) -> c.Status:
        route = FRONT.routes[rpc(name)]
        reply = asyncio.run(pipeline.handle(rpc(name), request.SerializeToString(), {}, 10.0))
        status = status_of(route.reply.FromString(reply))
        assert status is not None
        return status

    return run


def shown(database: Database) -> dict[str, s.FieldSchema]:
    """Declared fields as the next description would show them, had the database made what it was told."""
    texts = {pair.key: pair.value for pair in database.described.properties}
    manifest, ring = open_core(texts["_vg"], PROVIDER)
    declared = s.CollectionSchema.FromString(open_declaration(texts["_vg.declared"], ring, manifest.uuid.bytes))
    answer = m.DescribeCollectionResponse()
    answer.CopyFrom(database.described)
    show(answer, build(declared, POLICY.payload))
    return {field.name: field for field in answer.schema.fields}


def test_an_added_field_is_declared_first_and_made_in_its_stored_form(ask: Any, database: Database) -> None:
    field = field_of("word", "Int64", nullable=True, description="how many")
    status = ask(
        "AddCollectionField", m.AddCollectionFieldRequest(collection_name="notes", schema=field.SerializeToString())
    )
    assert status.code == 0
    assert [name for name, _ in database.sent] == ["AlterCollection", "AddCollectionField"]
    stored = s.FieldSchema.FromString(database.named("AddCollectionField").schema)
    assert (stored.data_type, stored.description, stored.nullable) == (DATA_TYPES["VarChar"], "", True)
    assert b"how many" not in database.named("AddCollectionField").SerializeToString()
    assert "word" not in shown(database)
    database.described.schema.fields.append(stored)
    assert shown(database)["word"] == field


@pytest.mark.parametrize("name", ["v2", "_vg_x"])
def test_fields_that_cannot_be_added(ask: Any, database: Database, name: str) -> None:
    kind = "FloatVector" if name == "v2" else "Int64"
    field = field_of(name, kind, {"dim": 4} if name == "v2" else {})
    request = m.AddCollectionFieldRequest(collection_name="notes", schema=field.SerializeToString())
    assert ask("AddCollectionField", request).code == 1100
    assert database.sent == []


def test_a_field_that_is_there_is_not_declared_anew(ask: Any, database: Database) -> None:
    field = field_of("open", "VarChar", {"max_length": 5}, nullable=True)
    request = m.AddCollectionFieldRequest(collection_name="notes", schema=field.SerializeToString())
    status = ask("AddCollectionField", request)
    assert (status.code, "duplicate field name" in status.reason) == (1100, True)
    assert database.sent == []


def test_a_schema_is_altered_field_by_field(ask: Any, database: Database) -> None:
    request = m.AlterCollectionSchemaRequest(collection_name="notes")
    request.action.add_request.field_infos.add().field_schema.CopyFrom(field_of("word", "Int64", nullable=True))
    assert ask("AlterCollectionSchema", request).code == 0
    (info,) = database.named("AlterCollectionSchema").action.add_request.field_infos
    assert info.field_schema.data_type == DATA_TYPES["VarChar"]
    assert [name for name, _ in database.sent] == ["AlterCollection", "AlterCollectionSchema"]


def test_functions_and_vectors_stay_as_they_were_declared(ask: Any, database: Database) -> None:
    added = m.AlterCollectionSchemaRequest(collection_name="notes")
    added.action.add_request.func_schema.add(name="f", type=1)
    dropped = m.AlterCollectionSchemaRequest(collection_name="notes")
    dropped.action.drop_request.field_name = "v"
    numbered = m.AlterCollectionSchemaRequest(collection_name="notes")
    numbered.action.drop_request.field_id = 105
    hidden = m.AlterCollectionSchemaRequest(collection_name="notes")
    hidden.action.drop_request.field_name = "_vg_v"
    for request in (added, dropped, numbered, hidden):
        assert ask("AlterCollectionSchema", request).code == 1100
    assert database.sent == []
    plain = m.AlterCollectionSchemaRequest(collection_name="notes")
    plain.action.drop_request.field_name = "open"
    assert ask("AlterCollectionSchema", plain).code == 0


def test_a_longer_text_gets_a_longer_column(ask: Any, database: Database) -> None:
    before = shown(database)["other"]
    request = m.AlterCollectionFieldRequest(collection_name="notes", field_name="other")
    request.properties.extend(meta.pairs({"max_length": "500", "mmap.enabled": "true"}))
    assert ask("AlterCollectionField", request).code == 0
    told = {pair.key: pair.value for pair in database.named("AlterCollectionField").properties}
    assert int(told["max_length"]) > 500
    assert told["mmap.enabled"] == "true"
    assert [name for name, _ in database.sent] == ["AlterCollectionField", "AlterCollection"]
    after = shown(database)["other"]
    assert [pair.value for field in (before, after) for pair in field.type_params] == ["10", "500"]


def test_hidden_columns_and_descriptions_cannot_be_altered(ask: Any, database: Database) -> None:
    for field, key in (("_vg_v", "mmap.enabled"), ("other", "description"), ("missing", "max_length")):
        request = m.AlterCollectionFieldRequest(collection_name="notes", field_name=field)
        request.properties.extend(meta.pairs({key: "7"}))
        assert ask("AlterCollectionField", request).code == 1100
    assert database.sent == []


@pytest.mark.parametrize("key", ["collection.description", "dynamicfield.enabled", "_vg"])
def test_what_is_declared_is_not_altered_by_properties(ask: Any, database: Database, key: str) -> None:
    request = m.AlterCollectionRequest(collection_name="notes", properties=meta.pairs({key: "true"}))
    assert ask("AlterCollection", request).code == 1100
    assert database.sent == []
    own = m.AlterCollectionRequest(collection_name="notes", properties=meta.pairs({"mmap.enabled": "true"}))
    assert ask("AlterCollection", own).code == 0


def test_loading_some_fields_loads_their_records(ask: Any, database: Database) -> None:
    request = m.LoadCollectionRequest(collection_name="notes", load_fields=["id", "v"])
    assert ask("LoadCollection", request).code == 0
    assert list(database.named("LoadCollection").load_fields) == ["id", "v", "_vg_v"]


def test_loading_some_fields_loads_what_says_whose_rows_are() -> None:
    policy = POLICY.model_copy(update={"tenant_keys": TenantRule(attribute="org")})
    database = Database(policy)
    request = m.LoadCollectionRequest(collection_name="notes", load_fields=["id", "v"])
    assert asking(database, policy)("LoadCollection", request).code == 0
    assert list(database.named("LoadCollection").load_fields) == ["id", "v", "_vg_v", "_vgk"]
