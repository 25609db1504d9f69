"""Requests that query points, of the Query API and of the older endpoints, as gRPC messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.front.rest import old_models as old
from vecguard.front.rest.ask_points import read_options, shown
from vecguard.front.rest.conversion import Conversion, fill
from vecguard.front.rest.endpoint import Request


def query(request: Request) -> q.QueryPoints:
    """`POST /collections/{collection_name}/points/query`."""
    ask = Conversion.convert_query_request(request.body, request.collection)
    read_options(ask, request)
    return ask


def query_batch(request: Request) -> q.QueryBatchPoints:
    """`POST /collections/{collection_name}/points/query/batch`."""
    body: m.QueryRequestBatch = request.body
    asks = [Conversion.convert_query_request(one, request.collection) for one in body.searches]
    ask = q.QueryBatchPoints(collection_name=request.collection, query_points=asks)
    read_options(ask, request)
    return ask


def query_groups(request: Request) -> q.QueryPointGroups:
    """`POST /collections/{collection_name}/points/query/groups`."""
    body: m.QueryGroupsRequest = request.body
    ask = q.QueryPointGroups(collection_name=request.collection, group_by=body.group_by)
    prefetch = body.prefetch if isinstance(body.prefetch, list) else [body.prefetch] if body.prefetch else []
    ask.prefetch.extend(Conversion.convert_prefetch_query(one) for one in prefetch)
    _searched(ask, body)
    fill(
        ask,
        query=None if body.query is None else Conversion.convert_query_interface(body.query),
        using=body.using,
        limit=body.limit,
        group_size=body.group_size,
        lookup_from=body.lookup_from and Conversion.convert_lookup_location(body.lookup_from),
        with_lookup=_lookup(body.with_lookup),
    )
    read_options(ask, request)
    return ask


def _searched(ask: Any, body: Any) -> None:
    """What every kind of search has in common."""
    fill(
        ask,
        filter=None if body.filter is None else Conversion.convert_filter(body.filter),
        params=None if body.params is None else Conversion.convert_search_params(body.params),
        shard_key_selector=None if body.shard_key is None else Conversion.convert_shard_key_selector(body.shard_key),
        score_threshold=getattr(body, "score_threshold", None),
    )
    shown(ask, body)


def _lookup(asked: m.WithLookupInterface | None) -> q.WithLookup | None:
    """A look-up; a collection's bare name asks for payloads without vectors, as in Qdrant."""
    if asked is None:
        return None
    lookup = Conversion.convert_with_lookup(m.WithLookup(collection=asked) if isinstance(asked, str) else asked)
    if not lookup.HasField("with_payload"):
        lookup.with_payload.enable = True
    if not lookup.HasField("with_vectors"):
        lookup.with_vectors.enable = False
    return lookup


def matrix(request: Request) -> q.SearchMatrixPoints:
    """`POST /collections/{collection_name}/points/search/matrix/pairs` and `.../offsets`."""
    body: m.SearchMatrixRequest = request.body
    ask = q.SearchMatrixPoints(collection_name=request.collection)
    fill(
        ask,
        sample=body.sample,
        limit=body.limit,
        using=body.using,
        filter=None if body.filter is None else Conversion.convert_filter(body.filter),
        shard_key_selector=None if body.shard_key is None else Conversion.convert_shard_key_selector(body.shard_key),
    )
    read_options(ask, request)
    return ask


def _search_vector(ask: Any, vector: old.SearchVector) -> None:
    """The vector of an old search, under its name."""
    if isinstance(vector, list):
        ask.vector.extend(vector)
        return
    ask.vector_name = vector.name
    if isinstance(vector, old.NamedVector):
        ask.vector.extend(vector.vector)
    else:
        ask.vector.extend(vector.vector.values)
        ask.sparse_indices.data.extend(vector.vector.indices)


def _search(body: old.SearchRequest, collection: str) -> q.SearchPoints:
    ask = q.SearchPoints(collection_name=collection, limit=body.limit)
    _search_vector(ask, body.vector)
    _searched(ask, body)
    fill(ask, offset=body.offset)
    return ask


def search(request: Request) -> q.SearchPoints:
    """`POST /collections/{collection_name}/points/search`."""
    ask = _search(request.body, request.collection)
    read_options(ask, request)
    return ask


def search_batch(request: Request) -> q.SearchBatchPoints:
    """`POST /collections/{collection_name}/points/search/batch`."""
    body: old.SearchRequestBatch = request.body
    asks = [_search(one, request.collection) for one in body.searches]
    ask = q.SearchBatchPoints(collection_name=request.collection, search_points=asks)
    read_options(ask, request)
    return ask


def _grouped(ask: Any, body: old.SearchGroupsRequest | old.RecommendGroupsRequest) -> None:
    ask.group_by, ask.group_size, ask.limit = body.group_by, body.group_size, body.limit
    fill(ask, with_lookup=_lookup(body.with_lookup))


def search_groups(request: Request) -> q.SearchPointGroups:
    """`POST /collections/{collection_name}/points/search/groups`."""
    body: old.SearchGroupsRequest = request.body
    ask = q.SearchPointGroups(collection_name=request.collection)
    _search_vector(ask, body.vector)
    _searched(ask, body)
    _grouped(ask, body)
    read_options(ask, request)
    return ask


def _examples(ask: Any, body: old.RecommendRequest | old.RecommendGroupsRequest) -> None:
    """Examples of an old recommendation: ids in one list, vectors in another."""
    for side, examples in (("positive", body.positive), ("negative", body.negative)):
        for example in examples or []:
            if isinstance(example, list | m.SparseVector):
                getattr(ask, f"{side}_vectors").append(_vector(example))
            else:
                getattr(ask, side).append(Conversion.convert_extended_point_id(example))
    fill(
        ask,
        strategy=None if body.strategy is None else Conversion.convert_recommend_strategy(body.strategy),
        using=body.using,
        lookup_from=body.lookup_from and Conversion.convert_lookup_location(body.lookup_from),
    )


def _vector(example: list[float] | m.SparseVector) -> q.Vector:
    if isinstance(example, m.SparseVector):
        return Conversion.convert_sparse_vector_to_vector(example)
    return q.Vector(dense=q.DenseVector(data=example))


def _recommend(body: old.RecommendRequest, collection: str) -> q.RecommendPoints:
    ask = q.RecommendPoints(collection_name=collection, limit=body.limit)
    _examples(ask, body)
    _searched(ask, body)
    fill(ask, offset=body.offset)
    return ask


def recommend(request: Request) -> q.RecommendPoints:
    """`POST /collections/{collection_name}/points/recommend`."""
    ask = _recommend(request.body, request.collection)
    read_options(ask, request)
    return ask


def recommend_batch(request: Request) -> q.RecommendBatchPoints:
    """`POST /collections/{collection_name}/points/recommend/batch`."""
    body: old.RecommendRequestBatch = request.body
    asks = [_recommend(one, request.collection) for one in body.searches]
    ask = q.RecommendBatchPoints(collection_name=request.collection, recommend_points=asks)
    read_options(ask, request)
    return ask


def recommend_groups(request: Request) -> q.RecommendPointGroups:
    """`POST /collections/{collection_name}/points/recommend/groups`."""
    body: old.RecommendGroupsRequest = request.body
    ask = q.RecommendPointGroups(collection_name=request.collection)
    _examples(ask, body)
    _searched(ask, body)
    _grouped(ask, body)
    read_options(ask, request)
    return ask


def _example(example: old.Example) -> q.VectorExample:
    if isinstance(example, int | str | UUID):
        return q.VectorExample(id=Conversion.convert_extended_point_id(example))
    return q.VectorExample(vector=_vector(example))


def _discover(body: old.DiscoverRequest, collection: str) -> q.DiscoverPoints:
    ask = q.DiscoverPoints(collection_name=collection, limit=body.limit)
    if body.target is not None:
        ask.target.single.CopyFrom(_example(body.target))
    for pair in body.context or []:
        ask.context.add(positive=_example(pair.positive), negative=_example(pair.negative))
    _searched(ask, body)
    fill(
        ask,
        offset=body.offset,
        using=body.using,
        lookup_from=body.lookup_from and Conversion.convert_lookup_location(body.lookup_from),
    )
    return ask


def discover(request: Request) -> q.DiscoverPoints:
    """`POST /collections/{collection_name}/points/discover`."""
    ask = _discover(request.body, request.collection)
    read_options(ask, request)
    return ask


def discover_batch(request: Request) -> q.DiscoverBatchPoints:
    """`POST /collections/{collection_name}/points/discover/batch`."""
    body: old.DiscoverRequestBatch = request.body
    asks = [_discover(one, request.collection) for one in body.searches]
    ask = q.DiscoverBatchPoints(collection_name=request.collection, discover_points=asks)
    read_options(ask, request)
    return ask
