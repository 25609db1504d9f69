"""`qdrant.Points` over the store: every RPC reads its request, runs it on the collection and writes the answer.

What this adds to Qdrant Edge: collections, ids as query inputs and `lookup_from`, groups, the distance matrix,
averages, the older Search/Recommend/Discover RPCs, and whole-batch checks before a write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import grpc
from qdrant_client import grpc as pb
from qdrant_edge import Point, UpdateOperation

from vecguard.engine import points_write, search
from vecguard.engine.collection import Collection
from vecguard.engine.group_answers import answer_groups
from vecguard.engine.matrix import Matrix, distance_matrix, fill_offsets, fill_pairs
from vecguard.engine.payload_index import create_index, delete_index
from vecguard.engine.points_answers import apply_write, fill_update, operation_response, run_all, since
from vecguard.engine.points_read import (
    count_points,
    facet_counts,
    fill_facet_hit,
    fill_id,
    fill_records,
    get_points,
    scroll_points,
)
from vecguard.engine.points_write import Build
from vecguard.engine.query import QueryCompiler, named_ids
from vecguard.engine.references import Lookup, ReferencedVectors, fetch_vectors
from vecguard.engine.selectors import check_timeout, refuse_shard_keys
from vecguard.engine.shard_query import ShardQuery
from vecguard.engine.store import Store
from vecguard.engine.values_convert import EdgeId
from vecguard.engine.vector_creation import creation_operation, deletion_operation, vector_params
from vecguard.engine.vectors_convert import VectorSpace
from vecguard.errors import InvalidArgument

# A batch holds the engine for the reading of this many points at a stretch: about 1 ms.
POINTS_AT_A_TIME = 25

_Context = grpc.aio.ServicerContext[Any, Any]


class PointsService(pb.PointsServicer):
    """Points and queries of every collection in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._spaces: WeakKeyDictionary[Collection, tuple[pb.CollectionConfig, VectorSpace]] = WeakKeyDictionary()

    async def Upsert(self, request: pb.UpsertPoints, context: _Context) -> pb.PointsOperationResponse:
        """Insert or replace points."""
        started = time.perf_counter()
        collection = self._open(request)
        # One batch after the other: taking turns would make each of them wait for all.
        async with self._reading:
            operation = await self._upsert_operation(request, collection)
        number = await apply_write(collection, operation, request.wait, request)
        return operation_response(number, request.wait, started)

    async def Delete(self, request: pb.DeletePoints, context: _Context) -> pb.PointsOperationResponse:
        """Delete points by ids or filter."""
        return await self._write(request, points_write.delete_points)

    async def UpdateVectors(self, request: pb.UpdatePointVectors, context: _Context) -> pb.PointsOperationResponse:
        """Replace vectors of points."""
        return await self._write(request, points_write.update_vectors)

    async def DeleteVectors(self, request: pb.DeletePointVectors, context: _Context) -> pb.PointsOperationResponse:
        """Remove named vectors from points."""
        return await self._write(request, points_write.delete_vectors)

    async def SetPayload(self, request: pb.SetPayloadPoints, context: _Context) -> pb.PointsOperationResponse:
        """Merge fields into payloads."""
        return await self._write(request, points_write.set_payload)

    async def OverwritePayload(self, request: pb.SetPayloadPoints, context: _Context) -> pb.PointsOperationResponse:
        """Replace payloads."""
        return await self._write(request, points_write.overwrite_payload)

    async def DeletePayload(self, request: pb.DeletePayloadPoints, context: _Context) -> pb.PointsOperationResponse:
        """Remove fields from payloads."""
        return await self._write(request, points_write.delete_payload)

    async def ClearPayload(self, request: pb.ClearPayloadPoints, context: _Context) -> pb.PointsOperationResponse:
        """Remove payloads."""
        return await self._write(request, points_write.clear_payload)

    async def CreateFieldIndex(
        self, request: pb.CreateFieldIndexCollection, context: _Context
    ) -> pb.PointsOperationResponse:
        """Index a payload field."""
        return await self._write(request, lambda message, space: create_index(message))

    async def DeleteFieldIndex(
        self, request: pb.DeleteFieldIndexCollection, context: _Context
    ) -> pb.PointsOperationResponse:
        """Drop the index of a payload field."""
        return await self._write(request, lambda message, space: delete_index(message))

    async def CreateVectorName(
        self, request: pb.CreateVectorNameRequest, context: _Context
    ) -> pb.PointsOperationResponse:
        """Add a named vector to the collection."""
        started = time.perf_counter()
        collection = self._open(request)
        params = vector_params(request)
        number = await collection.create_vector_name(
            request.vector_name, params, creation_operation(request.vector_name, params)
        )
        return operation_response(number, request.wait, started)

    async def DeleteVectorName(
        self, request: pb.DeleteVectorNameRequest, context: _Context
    ) -> pb.PointsOperationResponse:
        """Remove a named vector from the collection."""
        started = time.perf_counter()
        collection = self._open(request)
        number = await collection.delete_vector_name(request.vector_name, deletion_operation(request.vector_name))
        return operation_response(number, request.wait, started)

    async def UpdateBatch(self, request: pb.UpdateBatchPoints, context: _Context) -> pb.UpdateBatchResponse:
        """Several writes, one after the other; the first that fails ends the batch, those before it stay."""
        started = time.perf_counter()
        collection = self._open(request)
        if not request.operations:
            raise InvalidArgument("Validation error in body: [operations: must be at least 1 characters]")
        response = pb.UpdateBatchResponse()
        space = self._space(collection)
        for source in request.operations:
            operation = points_write.batch_operation(source, space)
            number = await apply_write(collection, operation, request.wait, source)
            fill_update(response.result.add(), number, request.wait)
        response.time = since(started)
        return response

    async def Get(self, request: pb.GetPoints, context: _Context) -> pb.GetResponse:
        """Points by id."""
        started = time.perf_counter()
        records = await self._open(request).read(lambda shard: get_points(request, shard))
        response = pb.GetResponse()
        await fill_records(response.result, records)
        response.time = since(started)
        return response

    async def Scroll(self, request: pb.ScrollPoints, context: _Context) -> pb.ScrollResponse:
        """Points page by page."""
        started = time.perf_counter()
        records, following = await self._open(request).read(lambda shard: scroll_points(request, shard))
        response = pb.ScrollResponse()
        await fill_records(response.result, records)
        if following is not None:
            fill_id(response.next_page_offset, following)
        response.time = since(started)
        return response

    async def Count(self, request: pb.CountPoints, context: _Context) -> pb.CountResponse:
        """The number of points that pass a filter."""
        started = time.perf_counter()
        count = await self._open(request).read(lambda shard: count_points(request, shard))
        return pb.CountResponse(result=pb.CountResult(count=count), time=since(started))

    async def Facet(self, request: pb.FacetCounts, context: _Context) -> pb.FacetResponse:
        """The most frequent values of a payload field."""
        started = time.perf_counter()
        hits = await self._open(request).read(lambda shard: facet_counts(request, shard))
        response = pb.FacetResponse()
        for hit in hits:
            fill_facet_hit(response.hits.add(), hit)
        response.time = since(started)
        return response

    async def Query(self, request: pb.QueryPoints, context: _Context) -> pb.QueryResponse:
        """One query of the Query API."""
        started = time.perf_counter()
        collection = self._open(request)
        compiled = await self._compile(collection, [request])
        response = pb.QueryResponse()
        await run_all(collection, compiled, [response.result])
        response.time = since(started)
        return response

    async def QueryBatch(self, request: pb.QueryBatchPoints, context: _Context) -> pb.QueryBatchResponse:
        """Several queries of the Query API; one that fails fails all."""
        started = time.perf_counter()
        collection = self._open(request)
        for query in request.query_points:
            refuse_shard_keys(query)
        compiled = await self._compile(collection, request.query_points)
        response = pb.QueryBatchResponse()
        await run_all(collection, compiled, [response.result.add().result for _ in compiled])
        response.time = since(started)
        return response

    async def QueryGroups(self, request: pb.QueryPointGroups, context: _Context) -> pb.QueryGroupsResponse:
        """A grouped query of the Query API."""
        started = time.perf_counter()
        collection = self._open(request)
        references = await self._references(named_ids(request, collection.name))
        source = QueryCompiler(collection.name, self._space(collection), references).group_source(request)
        response = pb.QueryGroupsResponse()
        response.result.SetInParent()
        await answer_groups(response.result, request, source, collection, self._store)
        response.time = since(started)
        return response

    async def Search(self, request: pb.SearchPoints, context: _Context) -> pb.SearchResponse:
        """Nearest points to a vector."""
        started = time.perf_counter()
        collection = self._open(request)
        response = pb.SearchResponse()
        await run_all(collection, [search.search_query(request, self._space(collection))], [response.result])
        response.time = since(started)
        return response

    async def SearchBatch(self, request: pb.SearchBatchPoints, context: _Context) -> pb.SearchBatchResponse:
        """Several searches."""
        started = time.perf_counter()
        collection = self._open(request)
        for one in request.search_points:
            refuse_shard_keys(one)
        space = self._space(collection)
        compiled = [search.search_query(one, space) for one in request.search_points]
        response = pb.SearchBatchResponse()
        await run_all(collection, compiled, [response.result.add().result for _ in compiled])
        response.time = since(started)
        return response

    async def SearchGroups(self, request: pb.SearchPointGroups, context: _Context) -> pb.SearchGroupsResponse:
        """A grouped search."""
        started = time.perf_counter()
        collection = self._open(request)
        source = search.search_query(request, self._space(collection))
        response = pb.SearchGroupsResponse()
        response.result.SetInParent()
        await answer_groups(response.result, request, source, collection, self._store)
        response.time = since(started)
        return response

    async def Recommend(self, request: pb.RecommendPoints, context: _Context) -> pb.RecommendResponse:
        """Points like some and unlike other examples."""
        started = time.perf_counter()
        collection = self._open(request)
        response = pb.RecommendResponse()
        await run_all(collection, [await self._recommend(collection, request)], [response.result])
        response.time = since(started)
        return response

    async def RecommendBatch(self, request: pb.RecommendBatchPoints, context: _Context) -> pb.RecommendBatchResponse:
        """Several recommendations."""
        started = time.perf_counter()
        collection = self._open(request)
        for one in request.recommend_points:
            refuse_shard_keys(one)
        compiled = [await self._recommend(collection, one) for one in request.recommend_points]
        response = pb.RecommendBatchResponse()
        await run_all(collection, compiled, [response.result.add().result for _ in compiled])
        response.time = since(started)
        return response

    async def RecommendGroups(self, request: pb.RecommendPointGroups, context: _Context) -> pb.RecommendGroupsResponse:
        """A grouped recommendation."""
        started = time.perf_counter()
        collection = self._open(request)
        source = await self._recommend(collection, request)
        response = pb.RecommendGroupsResponse()
        response.result.SetInParent()
        await answer_groups(response.result, request, source, collection, self._store)
        response.time = since(started)
        return response

    async def Discover(self, request: pb.DiscoverPoints, context: _Context) -> pb.DiscoverResponse:
        """Points near a target, on the right side of pairs of examples."""
        started = time.perf_counter()
        collection = self._open(request)
        response = pb.DiscoverResponse()
        await run_all(collection, [await self._discover(collection, request)], [response.result])
        response.time = since(started)
        return response

    async def DiscoverBatch(self, request: pb.DiscoverBatchPoints, context: _Context) -> pb.DiscoverBatchResponse:
        """Several discoveries."""
        started = time.perf_counter()
        collection = self._open(request)
        for one in request.discover_points:
            refuse_shard_keys(one)
        compiled = [await self._discover(collection, one) for one in request.discover_points]
        response = pb.DiscoverBatchResponse()
        await run_all(collection, compiled, [response.result.add().result for _ in compiled])
        response.time = since(started)
        return response

    async def SearchMatrixPairs(
        self, request: pb.SearchMatrixPoints, context: _Context
    ) -> pb.SearchMatrixPairsResponse:
        """Distances within a sample, as pairs."""
        started = time.perf_counter()
        response = pb.SearchMatrixPairsResponse()
        response.result.SetInParent()
        fill_pairs(response.result, await self._matrix(request))
        response.time = since(started)
        return response

    async def SearchMatrixOffsets(
        self, request: pb.SearchMatrixPoints, context: _Context
    ) -> pb.SearchMatrixOffsetsResponse:
        """Distances within a sample, as offsets into its ids."""
        started = time.perf_counter()
        response = pb.SearchMatrixOffsetsResponse()
        response.result.SetInParent()
        fill_offsets(response.result, await self._matrix(request))
        response.time = since(started)
        return response

    def _open(self, request: Any) -> Collection:
        """The request's collection, after the checks that all requests share."""
        fields = request.DESCRIPTOR.fields_by_name
        if "timeout" in fields:
            check_timeout(request)
        if "shard_key_selector" in fields:
            refuse_shard_keys(request)
        return self._store.collection(request.collection_name)

    def _space(self, collection: Collection) -> VectorSpace:
        """The collection's vectors; worked out anew only when its configuration was replaced."""
        config = collection.config
        known = self._spaces.get(collection)
        if known is None or known[0] is not config:
            known = (config, VectorSpace(collection.vectors, collection.sparse_vectors))
            self._spaces[collection] = known
        return known[1]

    async def _write(self, request: Any, build: Build) -> pb.PointsOperationResponse:
        started = time.perf_counter()
        collection = self._open(request)
        operation = build(request, self._space(collection))
        number = await apply_write(collection, operation, request.wait, request)
        return operation_response(number, request.wait, started)

    async def _upsert_operation(self, request: pb.UpsertPoints, collection: Collection) -> UpdateOperation:
        """Read a batch of points, letting other calls in between: a search must not wait for all of it."""
        points_write.check_upsert(request)
        while True:
            space, points = self._space(collection), list[Point]()
            for start in range(0, len(request.points), POINTS_AT_A_TIME):
                if start:
                    await asyncio.sleep(0)
                points += [points_write.point(one, space) for one in request.points[start : start + POINTS_AT_A_TIME]]
            # The collection's vectors may have changed meanwhile; then the points have to fit the new ones.
            if self._space(collection) is space:
                return points_write.upsert_of(points, request)

    async def _references(self, wanted: dict[Lookup, list[EdgeId]]) -> ReferencedVectors:
        return await fetch_vectors(self._store, wanted) if wanted else ReferencedVectors()

    async def _compile(self, collection: Collection, requests: Iterable[pb.QueryPoints]) -> list[ShardQuery]:
        wanted: dict[Lookup, list[EdgeId]] = {}
        queries = list(requests)
        for request in queries:
            for lookup, ids in named_ids(request, collection.name).items():
                wanted.setdefault(lookup, []).extend(ids)
        references = await self._references(wanted)
        # As Qdrant's query_batch does, and its grouped queries do not.
        for lookup, ids in wanted.items():
            for point_id in ids:
                references.require_point(lookup, point_id)
        compiler = QueryCompiler(collection.name, self._space(collection), references)
        return [compiler.query(request) for request in queries]

    async def _recommend(self, collection: Collection, request: search.Recommend) -> ShardQuery:
        references = await self._references(search.recommend_ids(request, collection.name))
        return search.recommend_query(request, collection.name, self._space(collection), references)

    async def _discover(self, collection: Collection, request: pb.DiscoverPoints) -> ShardQuery:
        references = await self._references(search.discover_ids(request, collection.name))
        return search.discover_query(request, collection.name, self._space(collection), references)

    async def _matrix(self, request: pb.SearchMatrixPoints) -> Matrix:
        collection = self._open(request)
        space = self._space(collection)
        return await collection.read(lambda shard: distance_matrix(request, space, shard))
