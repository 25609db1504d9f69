"""Carrying a Milvus collection over: see `vecguard.front.transfer`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from vecguard.errors import Refused, Unavailable, UpstreamFailure
from vecguard.front.milvus import transfer_rows
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.expression.literals import write_string
from vecguard.front.milvus.layout import FLOAT_VECTOR, MAX_VARCHAR, META, VARCHAR, Layout, build, type_param
from vecguard.front.milvus.metadata import pairs
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.schema import declare
from vecguard.front.milvus.status import carried, checked
from vecguard.front.scratch import scratch_shield
from vecguard.front.transfer import Blueprint, Desk, Key, Page, Reply, Row, Transfer, VectorShape
from vecguard.metric import Distance
from vecguard.model import Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import CollectionPolicy, PayloadRule
from vecguard.shield import Shield
from vecguard.upstream import Upstream

PAGE: Final = 200
_LARGEST: Final = 2**63 - 1
_LOAD_S: Final = 120.0
_PAUSE_S: Final = 0.2
# Milvus' timestamps: milliseconds since 1970, then a counter of so many bits.
_LOGICAL_BITS: Final = 18
_DISTANCES: Final[dict[str, Distance]] = {"COSINE": "cosine", "IP": "dot", "L2": "euclid"}
_METRICS: Final[dict[Distance, str]] = {distance: metric for metric, distance in _DISTANCES.items()}
_NOT_THERE: Final = (100, "find collection", "not found", "not exist")


def transfer(pipeline: Pipeline, upstream: Upstream, name: str) -> MilvusTransfer:
    """The collection with the key `name`, through `pipeline`."""
    return MilvusTransfer(Desk(pipeline), upstream, name)


class MilvusTransfer:
    """One collection of a Milvus database."""

    def __init__(self, desk: Desk, upstream: Upstream, name: str) -> None:
        self.name = name
        self._desk = desk
        self._upstream = upstream
        self._place = from_key(name)
        self._layout: Layout | None = None

    async def _ask(self, method: str, message: Any, reply: type[Reply]) -> Reply:
        message.db_name = self._place.database
        return checked(await self._desk.call(rpc(method), message, reply))

    async def blueprint(self) -> Blueprint:
        """See `Transfer`."""
        described, layout = await self._described()
        if layout.auto_id:
            raise Refused(f"collection `{self.name}`: keys that the database makes cannot be carried over")
        shown = m.ShowPartitionsRequest(collection_name=self._place.name)
        partitions = (await self._ask("ShowPartitions", shown, m.ShowPartitionsResponse)).partition_names
        if len(partitions) > 1 and not any(column.partition_key for column in layout.columns.values()):
            raise Refused(f"collection `{self.name}`: partitions that were made by name cannot be carried over")
        asked = m.DescribeIndexRequest(collection_name=self._place.name)
        indexes = await self._ask("DescribeIndex", asked, m.DescribeIndexResponse)
        shapes = tuple(_shapes(layout, indexes))
        keys: Any = "text" if layout.primary.data_type == VARCHAR else "number"
        native = described.SerializeToString(), indexes.SerializeToString()
        return Blueprint("milvus", shapes, keys, layout.primary.name, native)

    async def _described(self) -> tuple[m.DescribeCollectionResponse, Layout]:
        asked = m.DescribeCollectionRequest(collection_name=self._place.name)
        described = await self._ask("DescribeCollection", asked, m.DescribeCollectionResponse)
        self._layout = _layout(described.schema)
        return described, self._layout

    async def _known(self) -> Layout:
        return self._layout or (await self._described())[1]

    async def is_there(self) -> bool:
        """See `Transfer`."""
        return await self._own_name(self.name) is not None

    async def _own_name(self, key: str) -> str | None:
        """The collection that a key means, itself or as an alias; None where there is none."""
        place = from_key(key)
        asked = m.DescribeCollectionRequest(db_name=place.database, collection_name=place.name)
        answer = await self._upstream.call(rpc("DescribeCollection"), asked, m.DescribeCollectionResponse, Caller())
        try:
            return str(checked(answer).schema.name)
        except UpstreamFailure as failure:
            status = carried(failure)
            if status is not None and (status.code in _NOT_THERE or any(str(t) in str(failure) for t in _NOT_THERE)):
                return None
            raise

    async def make(self, blueprint: Blueprint) -> None:
        """See `Transfer`."""
        created, indexes = _creation(self._place.name, blueprint)
        await self._ask("CreateCollection", created, c.Status)
        try:
            for index in indexes:
                await self._ask("CreateIndex", index, c.Status)
            await self._load()
        except BaseException:
            await self.drop()
            raise

    async def _load(self) -> None:
        """Load the collection, and wait until it is."""
        await self._ask("LoadCollection", m.LoadCollectionRequest(collection_name=self._place.name), c.Status)
        asked = m.GetLoadStateRequest(collection_name=self._place.name)
        for _ in range(int(_LOAD_S / _PAUSE_S)):
            state = (await self._ask("GetLoadState", asked, m.GetLoadStateResponse)).state
            if state == c.LoadState.LoadStateLoaded:
                return
            await asyncio.sleep(_PAUSE_S)
        raise Unavailable(f"the database did not load collection `{self.name}` within {_LOAD_S:.0f} s")

    async def drop(self) -> None:
        """See `Transfer`."""
        await self._ask("DropCollection", m.DropCollectionRequest(collection_name=self._place.name), c.Status)

    async def count(self) -> int:
        """See `Transfer`."""
        answer = await self._query("", ["count(*)"])
        return next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)

    async def _query(self, expression: str, outputs: Sequence[str], **parameters: str) -> m.QueryResults:
        asked = m.QueryRequest(
            collection_name=self._place.name,
            expr=expression,
            output_fields=outputs,
            query_params=pairs(parameters),
            consistency_level=c.ConsistencyLevel.Strong,
            guarantee_timestamp=int(time.time() * 1000) << _LOGICAL_BITS,
        )
        return await self._ask("Query", asked, m.QueryResults)

    async def pages(self, after: str | None, vectors: Sequence[str] | None = None) -> AsyncIterator[Page]:
        """See `Transfer`; a page's `after` is its last key, as JSON."""
        layout = await self._known()
        primary, text = layout.primary, layout.primary.data_type == VARCHAR
        number = (await self._described())[0].collectionID
        # As pymilvus' QueryIterator asks.
        how = {"limit": str(PAGE), "iterator": "True", "reduce_stop_for_best": "True", "collection_id": str(number)}
        outputs = _everything(layout, layout.vectors if vectors is None else vectors)
        while True:
            if after is not None:
                last = json.loads(after)
                expression = f"{primary.name} > {write_string(last) if text else last}"
            else:
                expression = f'{primary.name} >= ""' if text else f"{primary.name} <= {_LARGEST}"
            answer = await self._query(expression, outputs, **how)
            rows = transfer_rows.rows_of(layout, answer.fields_data)
            after = json.dumps(rows[-1].key) if len(rows) == PAGE else None
            yield Page(rows, after)
            if after is None:
                return

    async def read(self, keys: Sequence[Key], vectors: Sequence[str]) -> dict[Key, Row]:
        """See `Transfer`."""
        layout = await self._known()
        answer = await self._query(pk_in(layout.primary.name, keys), _everything(layout, vectors))
        return {row.key: row for row in transfer_rows.rows_of(layout, answer.fields_data)}

    async def write(self, rows: Sequence[Row], *, anew: bool) -> None:
        """See `Transfer`; a server may keep several rows of one key, so what may be there is deleted first."""
        if not rows:
            return
        if anew:
            await self.delete([row.key for row in rows])
        columns = transfer_rows.columns_of(await self._known(), rows)
        inserted = m.InsertRequest(collection_name=self._place.name, fields_data=columns, num_rows=len(rows))
        await self._ask("Insert", inserted, m.MutationResult)

    async def delete(self, keys: Sequence[Key]) -> None:
        """See `Transfer`."""
        primary = (await self._known()).primary.name
        asked = m.DeleteRequest(collection_name=self._place.name, expr=pk_in(primary, keys))
        await self._ask("Delete", asked, m.MutationResult)

    def fitted(self, row: Row, blueprint: Blueprint) -> Row:
        """See `Transfer`."""
        return row if blueprint.front == "milvus" else transfer_rows.foreign(row, blueprint)

    def vector_name(self, name: str) -> str:
        """See `Transfer`."""
        return transfer_rows.column_name(name)

    async def take_over(self, name: str, old: Transfer, aside: str) -> str:
        """See `Transfer`. An alias is switched in one step; else the old collection is renamed to `aside`, and this one
        to its name a moment later."""
        named = MilvusTransfer(self._desk, self._upstream, name)
        if await self._own_name(self.name) is None:
            await named._load()
            return f"`{name}` was taken over already"
        meant = await self._own_name(name)
        if meant is not None and meant != from_key(name).name:
            change = m.AlterAliasRequest(collection_name=self._place.name, alias=from_key(name).name)
            await self._ask("AlterAlias", change, c.Status)
            return f"alias `{name}` now means `{self.name}`; `{meant}` is kept"
        if meant is not None and isinstance(old, MilvusTransfer):
            await old.rename(name, aside)
        await self.rename(self.name, name)
        await named._load()  # Milvus Lite releases what it renames
        return f"`{name}` is the new collection; the old one is kept as `{aside}`"

    async def rename(self, old: str, new: str) -> None:
        """Give a collection another name."""
        change = m.RenameCollectionRequest(oldName=from_key(old).name, newName=from_key(new).name)
        await self._ask("RenameCollection", change, c.Status)

    def scratch(self, blueprint: Blueprint, policy: CollectionPolicy) -> Shield:
        """See `Transfer`."""
        created, _ = _creation(self._place.name, blueprint)
        declaration = declare(s.CollectionSchema.FromString(created.schema), policy)
        declared = declaration.layout.schema.SerializeToString()
        return scratch_shield(self.name, declaration.vectors, policy, declared)

    def sizes(self, rows: Sequence[Row], blueprint: Blueprint, shield: Shield | None) -> tuple[int, int]:
        """See `Transfer`."""
        created, _ = _creation(self._place.name, blueprint)
        layout = build(
            s.CollectionSchema.FromString(created.schema), shield.policy.payload if shield else PayloadRule()
        )
        columns = transfer_rows.columns_of(layout, [self.fitted(row, blueprint) for row in rows])
        clear = sum(data.ByteSize() for data in columns)
        if shield is not None:
            columns = protect_rows(shield, layout, columns, len(rows), whole=True)
        return clear, sum(data.ByteSize() for data in columns)


def _layout(schema: s.CollectionSchema) -> Layout:
    """The columns as clients see them, without the one of dynamic fields, which some databases list."""
    bare = s.CollectionSchema()
    bare.CopyFrom(schema)
    kept = [s.FieldSchema.FromString(known.SerializeToString()) for known in schema.fields if not known.is_dynamic]
    del bare.fields[:]
    bare.fields.extend(kept)
    return build(bare, PayloadRule())


def _everything(layout: Layout, vectors: Sequence[str]) -> list[str]:
    """All output fields, with the vectors of these names."""
    names = [name for name, column in layout.columns.items() if column.role not in ("dense", "sparse", "open_vector")]
    return [*names, *vectors, *([META] if layout.dynamic else [])]


def _shapes(layout: Layout, indexes: m.DescribeIndexResponse) -> list[VectorShape]:
    metrics = {
        index.field_name: pair.value.upper()
        for index in indexes.index_descriptions
        for pair in index.params
        if pair.key == "metric_type"
    }
    shapes = []
    for name in layout.vectors:
        column = layout.columns[name]
        kind: Any = column.role
        distance = _DISTANCES.get(metrics.get(name, ""), "cosine") if kind == "dense" else "dot"
        shapes.append(
            VectorShape(name, kind, column.dims, distance, kind == "dense" and column.data_type != FLOAT_VECTOR)
        )
    return shapes


def _creation(name: str, blueprint: Blueprint) -> tuple[m.CreateCollectionRequest, list[m.CreateIndexRequest]]:
    """The requests that make a collection and its indexes."""
    if blueprint.front != "milvus":
        return _foreign(name, blueprint)
    described = m.DescribeCollectionResponse.FromString(blueprint.native[0])
    indexes = m.DescribeIndexResponse.FromString(blueprint.native[1])
    schema = _layout(described.schema).schema
    schema.name = name
    for known in schema.fields:
        known.ClearField("fieldID")
        known.ClearField("state")
        if known.element_type == VARCHAR and type_param(known, "max_length") is None:
            # Milvus Lite does not say how long an array's texts may be.
            known.type_params.extend(pairs({"max_length": str(MAX_VARCHAR)}))
    created = m.CreateCollectionRequest(
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=described.shards_num,
        consistency_level=described.consistency_level,
        properties=[c.KeyValuePair(key=pair.key, value=pair.value) for pair in described.properties],
    )
    if any(known.is_partition_key for known in schema.fields):
        created.num_partitions = described.num_partitions
    return created, [
        m.CreateIndexRequest(
            collection_name=name,
            field_name=index.field_name,
            index_name=index.index_name,
            extra_params=[c.KeyValuePair(key=pair.key, value=pair.value) for pair in index.params],
        )
        for index in indexes.index_descriptions
    ]


def _foreign(name: str, blueprint: Blueprint) -> tuple[m.CreateCollectionRequest, list[m.CreateIndexRequest]]:
    """A collection for the records of another protocol's: payload goes to dynamic fields."""
    schema = transfer_rows.foreign_schema(name, blueprint)
    created = m.CreateCollectionRequest(
        collection_name=name,
        schema=schema.SerializeToString(),
        shards_num=1,
        consistency_level=c.ConsistencyLevel.Bounded,
    )
    indexes = []
    for shape in blueprint.vectors:
        kind = "SPARSE_INVERTED_INDEX" if shape.kind == "sparse" else "AUTOINDEX"
        params = {"index_type": kind, "metric_type": _METRICS[shape.distance], "params": "{}"}
        indexes.append(
            m.CreateIndexRequest(
                collection_name=name, field_name=transfer_rows.column_name(shape.name), extra_params=pairs(params)
            )
        )
    return created, indexes
