"""Serving Qdrant's collection RPCs: a manifest at birth, and afterwards the collection shown as its client made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from qdrant_client import grpc as q

from vecguard.catalog import Entry, StaleEntry
from vecguard.errors import InvalidArgument, NotFound, UpstreamFailure
from vecguard.fields import Fields, client_keys
from vecguard.front.newest import forgotten, not_made, to_be_forgotten
from vecguard.front.qdrant import metadata as meta
from vecguard.front.qdrant.declared import dense_record, records, sparse_record
from vecguard.front.qdrant.fresh_life import newest_from_now
from vecguard.front.qdrant.labels import client_field, label_path
from vecguard.front.qdrant.rotating import require_settled
from vecguard.front.qdrant.scope import client_path, stored_path
from vecguard.manifest import Manifest
from vecguard.pipeline import Session
from vecguard.policy.model import FieldMode
from vecguard.policy.paths import render
from vecguard.seal.fields import FieldSealer
from vecguard.shield import Shield

_UPDATE: Final = "/qdrant.Collections/Update"
_KINDS: Final = {number: name.removeprefix("FieldType").lower() for name, number in q.FieldType.items()}
_EQUALITY: Final = ("keyword", "integer", "bool", "uuid")
_INDEXABLE: Final[dict[FieldMode, tuple[str, ...]]] = {
    "searchable": _EQUALITY,
    "range": (*_EQUALITY, "float", "datetime"),
    "tokens": ("text",),
}


_KEPT: Final[dict[FieldMode, str]] = {
    "searchable": "equality only",
    "range": "equality and ranges only",
    "tokens": "words only",
}
# Of a text index on words that are labelled as they are written: what does not change which words those are.
_TEXT_OPTIONS: Final = frozenset({"tokenizer", "lowercase", "on_disk", "enable_hnsw", "memory", "nested"})


# The database says so without having made the collection.
_NOT_MADE: Final = frozenset({"INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "PERMISSION_DENIED"})


async def create(ask: q.CreateCollection, session: Session) -> q.CollectionOperationResponse:
    """`Collections/Create`."""
    policy, guard = session.grant("write", ask.collection_name).collection_policy, None
    if policy is not None and policy.protected:
        vectors = records(ask, policy)
        manifest, ring = await asyncio.to_thread(
            Manifest.new, ask.collection_name, policy.payload, session.catalog.provider, policy.ids, policy.tenant_keys
        )
        fields = Fields(policy.payload, FieldSealer(ring, manifest.uuid.bytes), policy.rule_for)
        meta.seal_client_metadata(ask.metadata, fields, manifest)
        for key, value in meta.core_metadata(manifest, vectors, ring).items():
            ask.metadata[key].CopyFrom(value)
        guard = await newest_from_now(ask, session, manifest, policy)
        if guard is not None:
            ask.metadata[meta.NEWEST].bool_value = True
    try:
        return await session.call("/qdrant.Collections/Create", ask, q.CollectionOperationResponse)
    except UpstreamFailure as failure:
        if failure.status in _NOT_MADE:
            await not_made(guard)
        raise
    finally:
        session.catalog.forget()


async def update(ask: q.UpdateCollection, session: Session) -> q.CollectionOperationResponse:
    """`Collections/Update`."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is not None:
        meta.seal_client_metadata(ask.metadata, entry.shield.own_fields, entry.shield.manifest)
    return await session.call(_UPDATE, ask, q.CollectionOperationResponse)


async def delete(ask: q.DeleteCollection, session: Session) -> q.CollectionOperationResponse:
    """`Collections/Delete`: the wrapped keys go with the collection's metadata."""
    policy = session.grant("write", ask.collection_name).collection_policy
    guard = await to_be_forgotten(ask.collection_name, policy, session)
    try:
        answer = await session.call("/qdrant.Collections/Delete", ask, q.CollectionOperationResponse)
    finally:
        session.catalog.forget()
    await forgotten(guard if answer.result else None)
    return answer


async def info(ask: q.GetCollectionInfoRequest, session: Session) -> q.GetCollectionInfoResponse:
    """`Collections/Get`."""
    entry = await session.open(ask.collection_name, "read")
    session.hidden.leave_out_declared(ask.collection_name, entry)
    answer = await session.call("/qdrant.Collections/Get", ask, q.GetCollectionInfoResponse)
    if entry.shield is not None:
        _show(answer.result, entry.shield)
    return answer


def _show(shown: q.CollectionInfo, shield: Shield) -> None:
    """Turn a stored collection's description into that of the collection that the client made."""
    declared = meta.declared_indexes(shown.config.metadata)
    schema = {path: info for path in shown.payload_schema if (info := shown.payload_schema[path])}
    clear: dict[str, q.PayloadSchemaInfo] = {}
    for path, info in schema.items():
        own = client_path(path)
        if own is None:
            continue
        if shield.fields.labels_at is not None:
            own = client_field(own)
        kept = q.PayloadSchemaInfo()
        kept.CopyFrom(info)
        _move_nested(kept.params, lambda stored: client_path(stored) or stored)
        if path in declared:
            _show_declared(kept, declared[path])
        clear[own] = kept
    _show_dims(shown.config.params.vectors_config, shield)
    shown.payload_schema.clear()
    for path, info in clear.items():
        shown.payload_schema[path].CopyFrom(info)
    meta.client_metadata(shown.config.metadata, shield.own_fields, shield.manifest)


def _show_dims(shown: q.VectorsConfig, shield: Shield) -> None:
    """Dimensions as clients declared them, where those at rest are others."""
    named = {"": shown.params} if shown.WhichOneof("config") == "params" else shown.params_map.map
    for name in list(named):
        guard = shield.vectors.get(name)
        if guard is not None:
            named[name].size = guard.record.dims


def _show_declared(info: q.PayloadSchemaInfo, declared: q.CreateFieldIndexCollection) -> None:
    if declared.HasField("field_type"):
        # Both enums list the same kinds in the same order; the schema's starts with UnknownType.
        info.data_type = declared.field_type + 1  # type: ignore[assignment]
    # The database writes this path in a form of its own.
    nested = info.params.keyword_index_params.nested
    info.ClearField("params")
    if declared.HasField("field_index_params"):
        info.params.CopyFrom(declared.field_index_params)
        _move_nested(info.params, lambda _: nested)


async def create_index(ask: q.CreateFieldIndexCollection, session: Session) -> q.PointsOperationResponse:
    """`Points/CreateFieldIndex`: at rest it is one of keywords, whatever was declared, unless the field is plain."""
    rpc = "/qdrant.Points/CreateFieldIndex"
    entry = await session.open(ask.collection_name, "write")
    shield = entry.shield
    if shield is None:
        return await session.call(rpc, ask, q.PointsOperationResponse)
    mode = _indexed_mode(ask, shield)
    if mode != "plain":
        _check_indexable(ask, mode)
    if mode == "tokens":
        _check_words(ask)
    ask.field_name = _indexed_path(ask.field_name, shield)
    if mode == "plain":
        _move_nested(ask.field_index_params, stored_path)
        return await session.call(rpc, ask, q.PointsOperationResponse)
    await _update_metadata(ask.collection_name, meta.index_metadata(ask.field_name, _remembered(ask, shield)), session)
    stored = q.CreateFieldIndexCollection()
    stored.CopyFrom(ask)
    stored.field_type = q.FieldType.FieldTypeKeyword
    stored.ClearField("field_index_params")
    _keep_placement(ask.field_index_params, stored)
    _move_nested(stored.field_index_params, stored_path)
    return await session.call(rpc, stored, q.PointsOperationResponse)


def _remembered(ask: q.CreateFieldIndexCollection, shield: Shield) -> q.CreateFieldIndexCollection:
    """What is remembered of a declared index. Of an array's path only that there is one, which the database knows."""
    if shield.fields.names is None:
        return ask
    kept = q.CreateFieldIndexCollection()
    kept.CopyFrom(ask)
    _move_nested(kept.field_index_params, lambda _: "")
    return kept


def _indexed_path(path: str, shield: Shield) -> str:
    """The stored path that conditions on a client's path look at: that of its labels, where it has any."""
    labels_at = shield.fields.labels_at
    labelled = labels_at is not None and labels_at(client_keys(path)) is not None
    return stored_path(label_path(path) if labelled else path)


def _indexed_mode(ask: q.CreateFieldIndexCollection, shield: Shield) -> FieldMode:
    """The mode of the field to be indexed.

    Raises:
        InvalidArgument: it answers nothing that an index could be of; names the modes that an index of this kind needs.
    """
    mode = shield.fields.mode(client_keys(ask.field_name))
    if mode in _INDEXABLE:
        return mode
    told = _told(ask)
    able = (mode for mode, kinds in _INDEXABLE.items() if told is None or told in kinds)
    return shield.fields.require(ask.field_name, (), ("plain", *able), "a payload index")


def _told(ask: q.CreateFieldIndexCollection) -> str | None:
    """The kind of index that is asked for, by type or by parameters.

    Raises:
        InvalidArgument: both are given, and differ.
    """
    typed = _KINDS.get(ask.field_type, str(ask.field_type)) if ask.HasField("field_type") else None
    params = ask.field_index_params.WhichOneof("index_params")
    told = params.removesuffix("_index_params") if params is not None else typed
    if typed is not None and told != typed:
        raise InvalidArgument("field_type and field_index_params do not match")
    return told


def _check_indexable(ask: q.CreateFieldIndexCollection, mode: FieldMode) -> None:
    """Refuse a kind of index that works on more than the mode can answer."""
    told = _told(ask)
    if told is not None and told not in _INDEXABLE[mode]:
        path = render(client_keys(ask.field_name))
        keeps = _KEPT[mode]
        raise InvalidArgument(
            f"a {told} index cannot work on field `{path}`: its mode is {mode}, which keeps {keeps}; "
            "it needs mode plain"
        )


def _check_words(ask: q.CreateFieldIndexCollection) -> None:
    """Refuse options of a text index that would find other words than those that are labelled.

    Raises:
        InvalidArgument: there is one; names it.
    """
    declared = ask.field_index_params.text_index_params
    given = {field.name: value for field, value in declared.ListFields()}
    odd = sorted(name for name, value in given.items() if name not in _TEXT_OPTIONS and value is not False)
    if given.get("tokenizer", q.TokenizerType.Word) != q.TokenizerType.Word:
        odd.append("tokenizer")
    if declared.HasField("lowercase") and not declared.lowercase:
        odd.append("lowercase")
    if odd:
        path = render(client_keys(ask.field_name))
        raise InvalidArgument(
            f"a text index on field `{path}` cannot have {', '.join(odd)}: its mode is tokens, which labels lower-case "
            "words as the word tokenizer finds them; other options need mode plain"
        )


def _keep_placement(params: q.PayloadIndexParams, stored: q.CreateFieldIndexCollection) -> None:
    """Carry over what a keyword index understands: tenancy, the array it is of, and where it is kept."""
    kind = params.WhichOneof("index_params")
    if kind is None:
        return
    declared = getattr(params, kind)
    keyword = stored.field_index_params.keyword_index_params
    keyword.SetInParent()
    for name in ("is_tenant", "on_disk", "enable_hnsw", "memory", "nested"):
        if name in declared.DESCRIPTOR.fields_by_name and declared.HasField(name):
            setattr(keyword, name, getattr(declared, name))


def _move_nested(params: q.PayloadIndexParams, place: Callable[[str], str]) -> None:
    """Put the path of the array whose objects are indexed one by one, if there is one, in another place."""
    kind = params.WhichOneof("index_params")
    declared = getattr(params, kind) if kind is not None else None
    if declared is not None and "nested" in declared.DESCRIPTOR.fields_by_name and declared.HasField("nested"):
        declared.nested = place(declared.nested)


async def delete_index(ask: q.DeleteFieldIndexCollection, session: Session) -> q.PointsOperationResponse:
    """`Points/DeleteFieldIndex`."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is not None:
        client_keys(ask.field_name)
        ask.field_name = _indexed_path(ask.field_name, entry.shield)
        await _update_metadata(ask.collection_name, meta.without_index(ask.field_name), session)
    return await session.call("/qdrant.Points/DeleteFieldIndex", ask, q.PointsOperationResponse)


async def _update_metadata(collection: str, changes: dict[str, q.Value], session: Session) -> None:
    ask = q.UpdateCollection(collection_name=collection, metadata=changes)
    await session.call(_UPDATE, ask, q.CollectionOperationResponse)


async def create_vector_name(ask: q.CreateVectorNameRequest, session: Session) -> q.PointsOperationResponse:
    """`Points/CreateVectorName`: the record comes first, so that no vector can exist without one."""
    entry = await session.open(ask.collection_name, "write")
    rpc = "/qdrant.Points/CreateVectorName"
    if entry.shield is None:
        return await session.call(rpc, ask, q.PointsOperationResponse)
    require_settled(entry.shield, "a new vector name")
    if ask.vector_name not in entry.shield.vectors:
        await _record_vector(ask, entry, entry.shield, session)
    session.written.clear()  # the manifest changes on purpose here
    try:
        return await session.call(rpc, ask, q.PointsOperationResponse)
    finally:
        session.catalog.forget()


async def _record_vector(ask: q.CreateVectorNameRequest, entry: Entry, shield: Shield, session: Session) -> None:
    """Add a vector's record to the manifest; take it back where the collection turns out to be another one.

    Raises:
        StaleEntry: it does.
        InvalidArgument, FailedPrecondition: see `declared`.
    """
    record = (
        sparse_record(ask.vector_name, shield.policy)
        if ask.HasField("sparse_config")
        else dense_record(ask.vector_name, ask.dense_config, shield.policy)
    )
    if not await session.catalog.confirm(entry, session.caller):
        raise StaleEntry
    name = ask.collection_name
    await _update_metadata(name, meta.vector_metadata(record, shield.manifest, shield.ring), session)
    look = q.GetCollectionInfoRequest(collection_name=name)
    answer = await session.call("/qdrant.Collections/Get", look, q.GetCollectionInfoResponse)
    if entry.stored is None or not meta.has_core(answer.result.config.metadata, entry.stored.core):
        await _update_metadata(name, meta.without_vector(ask.vector_name), session)
        raise StaleEntry


async def delete_vector_name(ask: q.DeleteVectorNameRequest, session: Session) -> q.PointsOperationResponse:
    """`Points/DeleteVectorName`: the record goes last, so that no vector can exist without one."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is not None:
        require_settled(entry.shield, "the deletion of a vector name")
    answer = await session.call("/qdrant.Points/DeleteVectorName", ask, q.PointsOperationResponse)
    if entry.shield is not None:
        session.written.clear()  # the manifest changes on purpose here
        await _update_metadata(ask.collection_name, meta.without_vector(ask.vector_name), session)
        session.catalog.forget()
    return answer


async def update_aliases(ask: q.ChangeAliases, session: Session) -> q.CollectionOperationResponse:
    """`Collections/UpdateAliases`: an alias is granted like the collection that it names.

    Deleting an alias that does not exist is no error, so it is left out: nobody could be asked whether it is allowed.
    """
    made: set[str] = set()
    kept = [action for action in ask.actions if await _alias_change(action, made, session)]
    left_out = len(ask.actions) - len(kept)
    del ask.actions[:]
    ask.actions.extend(kept)
    if left_out and not kept:
        return q.CollectionOperationResponse(result=True)
    try:
        return await session.call("/qdrant.Collections/UpdateAliases", ask, q.CollectionOperationResponse)
    finally:
        session.written.clear()  # aliases, not records, were written
        session.catalog.forget()


async def _alias_change(action: q.AliasOperations, made: set[str], session: Session) -> bool:
    """Grant one change; False if there is nothing to change. `made`: aliases that the request itself makes."""
    kind = action.WhichOneof("action")
    if kind == "create_alias":
        session.grant("write", action.create_alias.collection_name)
        made.add(action.create_alias.alias_name)
        return True
    if kind == "rename_alias":
        rename = action.rename_alias
        if not await _grant_alias(rename.old_alias_name, made, session):
            raise NotFound(f"Not found: Alias {rename.old_alias_name} does not exists!")
        made.add(rename.new_alias_name)
        return True
    if kind == "delete_alias":
        return await _grant_alias(action.delete_alias.alias_name, made, session)
    raise InvalidArgument("Malformed AliasOperation type")


async def _grant_alias(name: str, made: set[str], session: Session) -> bool:
    """Whether the alias exists; what it names is granted then."""
    if name in made:
        return True
    try:
        await session.open(name, "write")
    except UpstreamFailure as failure:
        if failure.status == "NOT_FOUND":
            return False
        raise
    return True
