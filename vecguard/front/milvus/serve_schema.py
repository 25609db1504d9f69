"""Serving Milvus' collection RPCs: a manifest at birth, and afterwards the collection shown as its client made it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from vecguard.errors import FailedPrecondition, InvalidArgument, NotFound, UpstreamFailure
from vecguard.fresh.guard import Guard
from vecguard.front.milvus import metadata as meta
from vecguard.front.milvus.declared import show
from vecguard.front.milvus.layout import (
    META,
    TENANT_FIELD,
    WRITTEN_FIELD,
    column_of,
    is_hidden,
    label_field,
    layout_of,
    record_field,
    stored_length,
)
from vecguard.front.milvus.metadata import described_as, pairs, require_clients
from vecguard.front.milvus.numbered import place_of_number
from vecguard.front.milvus.place import Place, database_of, place_of
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.retention import kept
from vecguard.front.milvus.rotating import require_settled
from vecguard.front.milvus.schema import Declaration, added_field, declare, key_length, parse_field, parse_schema
from vecguard.front.milvus.status import ask, carried, checked
from vecguard.front.newest import forgotten, not_made, to_be_forgotten
from vecguard.manifest import Manifest, differences, pack_core
from vecguard.pipeline import Session
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import Shield

_CREATE: Final = rpc("CreateCollection")
_DESCRIBE: Final = rpc("DescribeCollection")
_ALTER: Final = rpc("AlterCollection")
# Properties by which newer servers let a client change what else is in the schema.
_DESCRIPTION: Final = "collection.description"
_DECLARED: Final = frozenset({_DESCRIPTION, "dynamicfield.enabled"})


async def create(request: m.CreateCollectionRequest, session: Session) -> c.Status:
    """`CreateCollection`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    policy = session.grant("write", place.key).collection_policy
    if policy is None or not policy.protected:
        return await _forgetting(session, _CREATE, request)
    require_clients(request.properties)
    if any(pair.key == _DESCRIPTION for pair in request.properties):
        raise InvalidArgument(f"{_DESCRIPTION}: a protected collection has its description in its schema")
    declaration = declare(parse_schema(request.schema), policy)
    if policy.kept is not None:
        kept(policy.kept, declaration.layout, 0.0)  # refused now rather than at every read
    guard = await _protect(request, place, declaration, policy, session)
    try:
        return await _forgetting(session, _CREATE, request)
    except UpstreamFailure as failure:
        if carried(failure) is not None:  # the database says that it did not make it
            await not_made(guard)
        if await _is_there(place, declaration, session):
            return c.Status()
        raise


async def _protect(
    request: m.CreateCollectionRequest,
    place: Place,
    declaration: Declaration,
    policy: CollectionPolicy,
    session: Session,
) -> Guard | None:
    """Turn a request into that for the stored collection, with a new manifest; what remembers its newest rows."""
    manifest, ring = await asyncio.to_thread(
        Manifest.new, place.key, policy.payload, session.catalog.provider, policy.ids, policy.tenant_keys
    )
    guard = session.catalog.guard(manifest, policy)
    properties = meta.manifest_properties(manifest, declaration.vectors, declaration.layout.schema, ring)
    if guard is not None:
        await guard.open_empty()
        properties[meta.NEWEST] = "true"
    request.db_name = place.database
    request.schema = declaration.stored.SerializeToString()
    request.properties.extend(pairs(properties))
    return guard


async def _is_there(place: Place, declaration: Declaration, session: Session) -> bool:
    """Whether the database, which calls it an error that the properties differ, holds the very collection that is asked
    for: making that again is no error of a Milvus server."""
    try:
        version = checked(await session.call(rpc("GetVersion"), m.GetVersionRequest(), m.GetVersionResponse)).version
        entry = await session.open(place.key, "read", of_all=True)
    except UpstreamFailure:
        return False
    # Milvus Lite calls it an error whatever the properties are.
    if entry.shield is None or "milvus_lite" in version:
        return False
    return bool(layout_of(entry.shield).schema == declaration.layout.schema)


async def _forgetting(session: Session, method: str, request: object) -> c.Status:
    """Send a request after which nothing that is known of collections is to be trusted."""
    try:
        return await ask(session, method, request, c.Status)  # type: ignore[arg-type]  # any request message
    finally:
        session.catalog.forget()


async def drop(request: m.DropCollectionRequest, session: Session) -> c.Status:
    """`DropCollection`: the wrapped keys go with the collection's properties."""
    key = place_of(request.db_name, request.collection_name, session.metadata).key
    policy = session.grant("write", key).collection_policy
    guard = await to_be_forgotten(key, policy, session)
    answer = await _forgetting(session, rpc("DropCollection"), request)
    await forgotten(guard)
    return answer


async def describe(request: m.DescribeCollectionRequest, session: Session) -> m.DescribeCollectionResponse:
    """`DescribeCollection`, by name, or by number where the client gives no name."""
    if request.collectionID and not request.collection_name:
        return await _describe_numbered(request, session)
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read", of_all=True)
    request.ClearField("collectionID")  # a number may be that of another collection: the name is what was granted
    answer = await ask(session, _DESCRIBE, request, m.DescribeCollectionResponse)
    if entry.shield is not None:
        show(answer, layout_of(entry.shield))
    return answer


async def _describe_numbered(request: m.DescribeCollectionRequest, session: Session) -> m.DescribeCollectionResponse:
    number = request.collectionID
    place = await place_of_number(number, database_of(request.db_name, session.metadata), session)
    request.db_name, request.collection_name = place
    answer = await describe(request, session)
    if answer.collectionID != number:
        raise NotFound(f"collection not found[collection={number}]")
    return answer


async def _show_opened(answer: m.DescribeCollectionResponse, database: str, session: Session) -> None:
    named = described_as(answer, Place(answer.db_name or database, ""))
    entry = await session.open(named.key, "read", of_all=True)
    if entry.shield is not None:
        show(answer, layout_of(entry.shield))


async def batch_describe(
    request: m.BatchDescribeCollectionRequest, session: Session
) -> m.BatchDescribeCollectionResponse:
    """`BatchDescribeCollection`."""
    if request.collectionID:
        raise InvalidArgument("collections are described together by their names, by numbers one by one")
    for name in request.collection_name:
        session.grant("read", place_of(request.db_name, name, session.metadata).key)
    answer = await ask(session, rpc("BatchDescribeCollection"), request, m.BatchDescribeCollectionResponse)
    for described in answer.responses:
        if not described.status.code and not described.status.error_code:
            await _show_opened(described, database_of(request.db_name, session.metadata), session)
    return answer


async def alter(request: m.AlterCollectionRequest, session: Session) -> c.Status:
    """`AlterCollection`: properties of the client's."""
    require_clients(request.properties, request.delete_keys)
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    changed = next((pair.key for pair in request.properties if pair.key in _DECLARED), None)
    if entry.shield is not None and changed is not None:
        raise InvalidArgument(f"{changed} of a protected collection is declared when it is made: invalid parameter")
    request.ClearField("collectionID")
    return await ask(session, _ALTER, request, c.Status)


async def _set_properties(place: Place, properties: dict[str, str], session: Session) -> None:
    request = m.AlterCollectionRequest(db_name=place.database, collection_name=place.name, properties=pairs(properties))
    await _forgetting(session, _ALTER, request)


async def rename(request: m.RenameCollectionRequest, session: Session) -> c.Status:
    """`RenameCollection`: the manifest names its collection, so the core under the new name is put beside it first."""
    old = place_of(request.db_name, request.oldName, session.metadata)
    new = place_of(getattr(request, "newDBName", "") or old.database, request.newName, session.metadata)
    entry = await session.open(old.key, "write", of_all=True)
    policy = session.grant("write", new.key).collection_policy
    session.written.clear()  # the name, and with it the manifest, changes on purpose here
    if entry.shield is None:
        if policy is None or policy.protected:
            raise FailedPrecondition(f"collection `{old.key}` is not protected, but `{new.key}` would have to be")
        return await _forgetting(session, rpc("RenameCollection"), request)
    shield = entry.shield
    require_settled(shield, "renaming")
    _require_fit(shield, policy, new)
    core = pack_core(shield.manifest.model_copy(update={"collection": new.key}), shield.ring)
    real = Place(old.database, entry.name.rpartition("/")[2])
    await _set_properties(real, {meta.NEXT: core}, session)
    answer = await _forgetting(session, rpc("RenameCollection"), request)
    await _set_properties(new, {meta.CORE: core}, session)
    return answer


def _require_fit(shield: Shield, policy: CollectionPolicy | None, new: Place) -> None:
    if policy is None or not policy.protected:
        raise FailedPrecondition(f"the policy does not protect `{new.key}`: a protected collection cannot go there")
    records = {name: guard.record for name, guard in shield.vectors.items()}
    changed = differences(shield.manifest, records, policy)
    if changed:
        raise FailedPrecondition(f"{policy.name} does not fit the collection under its new name: {'; '.join(changed)}")


async def add_field(request: m.AddCollectionFieldRequest, session: Session) -> c.Status:
    """`AddCollectionField`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    request.ClearField("collectionID")
    if entry.shield is not None:
        field = parse_field(request.schema)
        stored = added_field(field, layout_of(entry.shield), entry.shield.policy)
        await _declare_also(field, place, entry.shield, session)
        request.schema = stored.SerializeToString()
    return await _forgetting(session, rpc("AddCollectionField"), request)


async def alter_schema(request: m.AlterCollectionSchemaRequest, session: Session) -> m.AlterCollectionSchemaResponse:
    """`AlterCollectionSchema`: a field more or less. Functions stay as they were declared."""
    method = rpc("AlterCollectionSchema")
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    request.ClearField("collectionID")
    if entry.shield is not None:
        session.written.clear()  # the manifest changes on purpose here
        if request.action.HasField("add_request"):
            await _add_fields(request.action.add_request, place, entry.shield, session)
        else:
            _require_droppable(request.action.drop_request, entry.shield)
    try:
        return await ask(session, method, request, m.AlterCollectionSchemaResponse)
    finally:
        session.catalog.forget()


async def _add_fields(
    added: m.AlterCollectionSchemaRequest.AddRequest, place: Place, shield: Shield, session: Session
) -> None:
    if added.func_schema:
        raise InvalidArgument("functions of a protected collection are declared when it is made: invalid parameter")
    layout = layout_of(shield)
    for info in added.field_infos:
        field = s.FieldSchema()
        field.CopyFrom(info.field_schema)
        if info.extra_params:
            raise InvalidArgument("make the index of an added field on its own: invalid parameter")
        info.field_schema.CopyFrom(added_field(field, layout, shield.policy))
        await _declare_also(field, place, shield, session)


def _require_droppable(dropped: m.AlterCollectionSchemaRequest.DropRequest, shield: Shield) -> None:
    name, layout = dropped.field_name, layout_of(shield)
    if not name:
        raise InvalidArgument("a protected collection's field is dropped by its name: invalid parameter")
    column = layout.column(name)
    if column.role not in ("scalar", "array", "json") or column.labelled:
        raise InvalidArgument(f"field {name} of a protected collection cannot be dropped: invalid parameter")
    if shield.fresh is not None:  # of a later field of its name nobody could say that its rows have nothing there
        raise InvalidArgument(
            f"field {name} cannot be dropped: {shield.policy.name}.integrity has `rollback: detect`: invalid parameter"
        )


async def _declare_also(field: s.FieldSchema, place: Place, shield: Shield, session: Session) -> None:
    """Declare a field before it is made: the other way round, a crash would leave one that nobody can name."""
    require_settled(shield, "a new field")
    session.written.clear()  # the manifest changes on purpose here
    schema = s.CollectionSchema()
    schema.CopyFrom(layout_of(shield).schema)
    kept = [known for known in schema.fields if known.name != field.name]
    if len(kept) < len(schema.fields) and await _is_stored(field.name, place, session):
        raise InvalidArgument(f"duplicate field name: {field.name}: invalid parameter")
    declared = [s.FieldSchema.FromString(known.SerializeToString()) for known in (*kept, field)]
    del schema.fields[:]
    schema.fields.extend(declared)
    await _set_properties(place, meta.declared_property(schema, shield.manifest, shield.ring), session)


async def _is_stored(name: str, place: Place, session: Session) -> bool:
    request = m.DescribeCollectionRequest(db_name=place.database, collection_name=place.name)
    described = await ask(session, _DESCRIBE, request, m.DescribeCollectionResponse)
    return any(field.name == name for field in described.schema.fields)


async def alter_field(request: m.AlterCollectionFieldRequest, session: Session) -> c.Status:
    """`AlterCollectionField`: a new bound is also declared, and turned into what the stored form needs."""
    method = rpc("AlterCollectionField")
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    if is_hidden(request.field_name):
        raise InvalidArgument(f"field {request.field_name} not exist: invalid parameter")
    if entry.shield is None:
        return await _forgetting(session, method, request)
    shield, layout = entry.shield, layout_of(entry.shield)
    require_settled(shield, "a change of a field")
    column = layout.column(request.field_name)
    session.written.clear()  # the manifest changes on purpose here
    bounds = {pair.key: pair.value for pair in request.properties if pair.key in ("max_length", "max_capacity")}
    schema = _with_bounds(layout.schema, column.name, bounds)
    field = next(known for known in schema.fields if known.name == column.name)
    changed = column_of(field, shield.manifest.payload, frozenset())
    for pair in request.properties:
        if pair.key == "description":
            raise InvalidArgument("the description of a protected collection's field cannot be changed")
        if pair.key == "max_length" and changed.role == "primary" and shield.ids is not None:
            pair.value = str(key_length(changed))
        elif pair.key == "max_length" and changed.protected:
            value_type = changed.element_type if changed.role == "array" else changed.data_type
            pair.value = str(stored_length(changed.mode, value_type, changed.max_length))
    answer = await _forgetting(session, method, request)
    if bounds:
        await _set_properties(place, meta.declared_property(schema, shield.manifest, shield.ring), session)
    return answer


def _with_bounds(declared: s.CollectionSchema, name: str, bounds: dict[str, str]) -> s.CollectionSchema:
    schema = s.CollectionSchema()
    schema.CopyFrom(declared)
    field = next(known for known in schema.fields if known.name == name)
    kept = [c.KeyValuePair(key=p.key, value=p.value) for p in field.type_params if p.key not in bounds]
    del field.type_params[:]
    field.type_params.extend([*kept, *pairs(bounds)])
    return schema


async def truncate(request: m.TruncateCollectionRequest, session: Session) -> m.TruncateCollectionResponse:
    """`TruncateCollection`: its rows go, its manifest stays."""
    key = place_of(request.db_name, request.collection_name, session.metadata).key
    entry = await session.open(key, "write", of_all=True)
    guard = None if entry.shield is None else entry.shield.fresh
    async with contextlib.nullcontext() if guard is None else guard.emptied():
        return await ask(session, rpc("TruncateCollection"), request, m.TruncateCollectionResponse)


async def load(request: m.LoadCollectionRequest | m.LoadPartitionsRequest, session: Session) -> c.Status:
    """`LoadCollection` and `LoadPartitions`: with the records of the vectors that are loaded."""
    method = rpc("LoadCollection" if isinstance(request, m.LoadCollectionRequest) else "LoadPartitions")
    entry = await session.open(
        place_of(request.db_name, request.collection_name, session.metadata).key, "read", of_all=True
    )
    if entry.shield is not None and getattr(request, "load_fields", None):
        layout = layout_of(entry.shield)
        hidden = [record_field(name) for name in layout.vectors if name in request.load_fields]
        hidden += [label_field(name) for name in layout.labelled if name in request.load_fields]
        asked_for = [WRITTEN_FIELD] * layout.written + [TENANT_FIELD] * layout.tenants
        request.load_fields.extend([*hidden, *layout.needs_record(META), *asked_for])
    return await ask(session, method, request, c.Status)


async def create_alias(request: m.CreateAliasRequest | m.AlterAliasRequest, session: Session) -> c.Status:
    """`CreateAlias` and `AlterAlias`: granted by the collection named, and by the alias."""
    method = rpc("CreateAlias" if isinstance(request, m.CreateAliasRequest) else "AlterAlias")
    session.grant("write", place_of(request.db_name, request.collection_name, session.metadata).key)
    session.grant("write", place_of(request.db_name, request.alias, session.metadata).key)
    return await _forgetting(session, method, request)


async def drop_alias(request: m.DropAliasRequest, session: Session) -> c.Status:
    """`DropAlias`."""
    session.grant("write", place_of(request.db_name, request.alias, session.metadata).key)
    return await _forgetting(session, rpc("DropAlias"), request)
