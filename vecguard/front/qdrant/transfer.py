"""Carrying a Qdrant collection over: see `vecguard.front.transfer`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import Refused
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.declared import records
from vecguard.front.qdrant.payloads import python_value
from vecguard.front.qdrant.translation import stored
from vecguard.front.qdrant.writes import protect_points
from vecguard.front.scratch import scratch_shield
from vecguard.front.transfer import Blueprint, Desk, Key, Page, Row, Sparse, Transfer, Vector, VectorShape
from vecguard.metric import Distance, normalize
from vecguard.model import Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import Shield
from vecguard.upstream import Upstream

PAGE: Final = 200
_LARGEST_NUMBER: Final = 2**64 - 1
# Names of points that were called by a text elsewhere (RFC 9562, version 5).
_NAMESPACE: Final = uuid.UUID("6d3f7a1e-5c1b-4d0e-9a64-9b1f5f0c7e21")
_DISTANCES: Final[dict[int, Distance]] = {
    q.Distance.Cosine: "cosine",
    q.Distance.Dot: "dot",
    q.Distance.Euclid: "euclid",
}
_NUMBERS: Final[dict[Distance, int]] = {distance: number for number, distance in _DISTANCES.items()}
_SAME: Final = ("hnsw_config", "quantization_config", "strict_mode_config")


def transfer(pipeline: Pipeline, upstream: Upstream, name: str) -> QdrantTransfer:
    """The collection `name`, through `pipeline`."""
    return QdrantTransfer(Desk(pipeline), upstream, name)


class QdrantTransfer:
    """One collection of a Qdrant database."""

    def __init__(self, desk: Desk, upstream: Upstream, name: str) -> None:
        self.name = name
        self._desk = desk
        self._upstream = upstream

    async def blueprint(self) -> Blueprint:
        """See `Transfer`."""
        info = await self._info()
        params = info.config.params
        if params.sharding_method == q.ShardingMethod.Custom:
            raise Refused(f"collection `{self.name}` has shards of its own keys, which cannot be carried over")
        return Blueprint("qdrant", tuple(_shapes(params)), "either", native=(info.SerializeToString(),))

    async def _info(self) -> q.CollectionInfo:
        ask = q.GetCollectionInfoRequest(collection_name=self.name)
        return (await self._desk.call("/qdrant.Collections/Get", ask, q.GetCollectionInfoResponse)).result

    async def is_there(self) -> bool:
        """See `Transfer`."""
        return await self._is_collection(self.name) or await self._meant_by(self.name) is not None

    async def _is_collection(self, name: str) -> bool:
        ask = q.ListCollectionsRequest()
        listed = await self._upstream.call("/qdrant.Collections/List", ask, q.ListCollectionsResponse, Caller())
        return name in {described.name for described in listed.collections}

    async def _meant_by(self, alias: str) -> str | None:
        ask = q.ListAliasesRequest()
        listed = await self._upstream.call("/qdrant.Collections/ListAliases", ask, q.ListAliasesResponse, Caller())
        return next((known.collection_name for known in listed.aliases if known.alias_name == alias), None)

    async def make(self, blueprint: Blueprint) -> None:
        """See `Transfer`."""
        ask, indexes = _creation(self.name, blueprint)
        await self._desk.call("/qdrant.Collections/Create", ask, q.CollectionOperationResponse)
        try:
            for index in indexes:
                await self._desk.call("/qdrant.Points/CreateFieldIndex", index, q.PointsOperationResponse)
        except BaseException:
            await self.drop()
            raise

    async def drop(self) -> None:
        """See `Transfer`."""
        ask = q.DeleteCollection(collection_name=self.name)
        await self._desk.call("/qdrant.Collections/Delete", ask, q.CollectionOperationResponse)

    async def count(self) -> int:
        """See `Transfer`."""
        ask = q.CountPoints(collection_name=self.name, exact=True)
        return (await self._desk.call("/qdrant.Points/Count", ask, q.CountResponse)).result.count

    async def pages(self, after: str | None, vectors: Sequence[str] | None = None) -> AsyncIterator[Page]:
        """See `Transfer`; a page's `after` is the id of the first point that follows."""
        ask = q.ScrollPoints(collection_name=self.name, limit=PAGE)
        ask.with_payload.enable = True
        ask.with_vectors.CopyFrom(_selector(vectors))
        while True:
            if after is not None:
                ask.offset.CopyFrom(_id_of(int(after) if after.isdecimal() else after))
            answer = await self._desk.call("/qdrant.Points/Scroll", ask, q.ScrollResponse)
            after = str(_key_of(answer.next_page_offset)) if answer.HasField("next_page_offset") else None
            yield Page([row_of(point) for point in answer.result], after)
            if after is None:
                return

    async def read(self, keys: Sequence[Key], vectors: Sequence[str]) -> dict[Key, Row]:
        """See `Transfer`."""
        ask = q.GetPoints(collection_name=self.name, ids=[_id_of(key) for key in keys])
        ask.with_payload.enable = True
        ask.with_vectors.CopyFrom(_selector(vectors))
        answer = await self._desk.call("/qdrant.Points/Get", ask, q.GetResponse)
        return {row.key: row for row in map(row_of, answer.result)}

    async def write(self, rows: Sequence[Row], *, anew: bool) -> None:
        """See `Transfer`; an upsert replaces."""
        del anew
        ask = q.UpsertPoints(collection_name=self.name, points=[point_of(row) for row in rows], wait=True)
        await self._desk.call("/qdrant.Points/Upsert", ask, q.PointsOperationResponse)

    async def delete(self, keys: Sequence[Key]) -> None:
        """See `Transfer`."""
        listed = q.PointsSelector(points=q.PointsIdsList(ids=[_id_of(key) for key in keys]))
        ask = q.DeletePoints(collection_name=self.name, points=listed, wait=True)
        await self._desk.call("/qdrant.Points/Delete", ask, q.PointsOperationResponse)

    def fitted(self, row: Row, blueprint: Blueprint) -> Row:
        """See `Transfer`. Another protocol's key stays in the payload under its name; one that
        is no id here gets a UUID made from it."""
        distances = {shape.name: shape for shape in blueprint.vectors}
        vectors = {name: _as_kept(vector, distances[name]) for name, vector in row.vectors.items()}
        if blueprint.front == "qdrant":
            return Row(row.key, vectors, row.payload)
        named = {blueprint.key_name: row.key} if blueprint.key_name else {}
        return Row(_key_here(row.key), vectors, {**named, **row.payload})

    def vector_name(self, name: str) -> str:
        """See `Transfer`."""
        return name

    async def take_over(self, name: str, old: Transfer, aside: str) -> str:
        """See `Transfer`. An alias is switched in one step; a collection cannot be renamed, so it is deleted, and the
        alias of its name follows it a moment later."""
        del aside
        meant = await self._meant_by(name)
        if meant == self.name:
            return f"alias `{name}` means `{self.name}`"
        change = q.ChangeAliases()
        if meant is not None:
            change.actions.add().delete_alias.alias_name = name
        elif await self._is_collection(name):
            await old.drop()
        made = change.actions.add().create_alias
        made.collection_name, made.alias_name = self.name, name
        # Straight to the database: an alias that stands for a collection under other rules could not be looked up here.
        rpc = "/qdrant.Collections/UpdateAliases"
        await self._upstream.call(rpc, change, q.CollectionOperationResponse, Caller())
        kept = f"`{meant}` is kept" if meant is not None else "the old collection is deleted"
        return f"alias `{name}` now means `{self.name}`; {kept}"

    def scratch(self, blueprint: Blueprint, policy: CollectionPolicy) -> Shield:
        """See `Transfer`."""
        ask, _ = _creation(self.name, blueprint)
        return scratch_shield(self.name, records(ask, policy), policy)

    def sizes(self, rows: Sequence[Row], blueprint: Blueprint, shield: Shield | None) -> tuple[int, int]:
        """See `Transfer`."""
        points = [point_of(self.fitted(row, blueprint)) for row in rows]
        clear = sum(point.ByteSize() for point in points)
        if shield is not None:
            protect_points(shield, points)
            points = [stored(point, shield) for point in points]
        return clear, sum(point.ByteSize() for point in points)


def _selector(vectors: Sequence[str] | None) -> q.WithVectorsSelector:
    if vectors is None or "" in vectors:  # the unnamed vector is asked for by `enable`
        return q.WithVectorsSelector(enable=True)
    if not vectors:
        return q.WithVectorsSelector(enable=False)
    return q.WithVectorsSelector(include=q.VectorsSelector(names=vectors))


def _shapes(params: q.CollectionParams) -> list[VectorShape]:
    config, found = params.vectors_config, []
    declared = {"": config.params} if config.WhichOneof("config") == "params" else dict(config.params_map.map)
    for name, vector in declared.items():
        kind: Any = "multi" if vector.HasField("multivector_config") else "dense"
        if vector.distance not in _DISTANCES:
            raise Refused(f"vector `{name}`: its distance (Manhattan) cannot be protected, nor carried over")
        half = vector.datatype == q.Datatype.Float16
        found.append(VectorShape(name, kind, vector.size, _DISTANCES[vector.distance], half))
    found += [VectorShape(name, "sparse", 0, "dot") for name in params.sparse_vectors_config.map]
    return found


def _creation(name: str, blueprint: Blueprint) -> tuple[q.CreateCollection, list[q.CreateFieldIndexCollection]]:
    """The requests that make a collection and its payload indexes."""
    if blueprint.front != "qdrant":
        return _foreign(name, blueprint), []
    info = q.CollectionInfo.FromString(blueprint.native[0])
    config, params = info.config, info.config.params
    ask = q.CreateCollection(collection_name=name)
    ask.vectors_config.CopyFrom(params.vectors_config)
    if params.HasField("sparse_vectors_config"):
        ask.sparse_vectors_config.CopyFrom(params.sparse_vectors_config)
    for part in _SAME:
        if config.HasField(part):
            getattr(ask, part).CopyFrom(getattr(config, part))
    if config.HasField("optimizer_config"):
        ask.optimizers_config.CopyFrom(config.optimizer_config)
    ask.on_disk_payload = params.on_disk_payload
    for number in ("shard_number", "replication_factor", "write_consistency_factor"):
        if value := getattr(params, number):
            setattr(ask, number, value)
    for key in config.metadata:
        ask.metadata[key].CopyFrom(config.metadata[key])
    return ask, [_index(name, path, info.payload_schema[path]) for path in info.payload_schema]


def _index(name: str, path: str, info: q.PayloadSchemaInfo) -> q.CreateFieldIndexCollection:
    # Both enums list the same kinds in the same order; the schema's starts with UnknownType.
    index = q.CreateFieldIndexCollection(collection_name=name, field_name=path, wait=True)
    index.field_type = info.data_type - 1  # type: ignore[assignment]
    if info.params.WhichOneof("index_params") is not None:
        index.field_index_params.CopyFrom(info.params)
    return index


def _foreign(name: str, blueprint: Blueprint) -> q.CreateCollection:
    """A collection for the records of another protocol's."""
    ask = q.CreateCollection(collection_name=name)
    ask.vectors_config.params_map.SetInParent()
    for shape in blueprint.vectors:
        if shape.kind == "sparse":
            ask.sparse_vectors_config.map[shape.name].SetInParent()
        else:
            params = ask.vectors_config.params_map.map[shape.name]
            params.size, params.distance = shape.dims, _NUMBERS[shape.distance]  # type: ignore[assignment]
    return ask


def _key_of(point_id: q.PointId) -> Key:
    return point_id.uuid if point_id.HasField("uuid") else point_id.num


def _id_of(key: Key) -> q.PointId:
    return q.PointId(num=key) if isinstance(key, int) else q.PointId(uuid=key)


def _key_here(key: Key) -> Key:
    if isinstance(key, int) and 0 <= key <= _LARGEST_NUMBER:
        return key
    try:
        return str(uuid.UUID(str(key)))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, str(key)))


def _as_kept(vector: Vector, shape: VectorShape) -> Vector:
    """A vector as the database keeps it: of unit length for cosine."""
    if isinstance(vector, Sparse) or shape.distance != "cosine":
        return vector
    return normalize(np.atleast_2d(vector)).reshape(vector.shape)


def row_of(point: q.RetrievedPoint) -> Row:
    vectors = {name: _vector(message) for name, message in reveal.holders(point)}
    payload = {key: python_value(point.payload[key]) for key in point.payload}
    return Row(_key_of(point.id), vectors, payload)


def _vector(message: q.VectorOutput) -> Vector:
    vector = wire.read(message)
    if isinstance(vector, wire.Sparse):
        order = np.argsort(vector.indices)
        return Sparse(vector.indices[order], vector.values[order])
    return vector.data if isinstance(vector, wire.Dense) else vector.rows


def point_of(row: Row) -> q.PointStruct:
    point = q.PointStruct(id=_id_of(row.key))
    if set(row.vectors) == {""}:
        _fill(point.vectors.vector, row.vectors[""])
    elif row.vectors:
        for name, vector in row.vectors.items():
            _fill(point.vectors.vectors.vectors[name], vector)
    else:
        point.vectors.vectors.SetInParent()
    for key, value in row.payload.items():
        _set(point.payload[key], value)
    return point


def _fill(message: q.Vector, vector: Vector) -> None:
    if isinstance(vector, Sparse):
        form: wire.AnyVector = wire.Sparse(vector.indices, vector.values)
    else:
        form = wire.Dense(vector) if vector.ndim == 1 else wire.Multi(vector)
    message.CopyFrom(_message(form))


def _message(form: wire.AnyVector) -> q.Vector:
    message = q.Vector(dense=q.DenseVector())
    wire.write(message, form)
    return message


_SETTERS: Final[Mapping[type, Callable[[q.Value, Any], None]]] = {
    str: lambda value, leaf: setattr(value, "string_value", leaf),
    bool: lambda value, leaf: setattr(value, "bool_value", leaf),
    int: lambda value, leaf: setattr(value, "integer_value", leaf),
    float: lambda value, leaf: setattr(value, "double_value", leaf),
}


def _set(value: q.Value, content: Any) -> None:
    """Put a JSON value into a message."""
    if isinstance(content, Mapping):
        value.struct_value.SetInParent()
        for key, inner in content.items():
            _set(value.struct_value.fields[key], inner)
    elif isinstance(content, list):
        value.list_value.SetInParent()
        for item in content:
            _set(value.list_value.values.add(), item)
    elif content is None:
        value.null_value = q.NullValue.NULL_VALUE
    else:
        _SETTERS[type(content)](value, content)
