"""Requests that write points, or read them without a query, as gRPC messages."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument
from vecguard.front.rest.conversion import Conversion, fill, selector
from vecguard.front.rest.endpoint import Request
from vecguard.front.rest.points_body import Points

_NUMBER: Final = re.compile(r"[0-9]{1,20}")


def _shards(key: m.ShardKeySelector | None) -> q.ShardKeySelector | None:
    return None if key is None else Conversion.convert_shard_key_selector(key)


def _filter(chosen: m.Filter | None) -> q.Filter | None:
    return None if chosen is None else Conversion.convert_filter(chosen)


def read_options(ask: Any, request: Request) -> None:
    """Set the time limit and the consistency that a read was asked with."""
    fill(ask, timeout=request.query.get("timeout"), read_consistency=request.query.get("consistency"))


def upsert(request: Request) -> q.UpsertPoints:
    """`PUT /collections/{collection_name}/points`."""
    body: Points = request.body
    ask = q.UpsertPoints(collection_name=request.collection, points=body.points)
    fill(ask, **request.query, **body.options())
    return ask


def delete(request: Request) -> q.DeletePoints:
    """`POST /collections/{collection_name}/points/delete`."""
    body: m.PointsSelector = request.body
    ask = q.DeletePoints(collection_name=request.collection, points=Conversion.convert_points_selector(body))
    fill(ask, shard_key_selector=_shards(body.shard_key), **request.query)
    return ask


def update_vectors(request: Request) -> q.UpdatePointVectors:
    """`PUT /collections/{collection_name}/points/vectors`."""
    body: m.UpdateVectors = request.body
    points = [Conversion.convert_point_vectors(point) for point in body.points]
    ask = q.UpdatePointVectors(collection_name=request.collection, points=points)
    fill(ask, shard_key_selector=_shards(body.shard_key), update_filter=_filter(body.update_filter), **request.query)
    return ask


def delete_vectors(request: Request) -> q.DeletePointVectors:
    """`POST /collections/{collection_name}/points/vectors/delete`."""
    body: m.DeleteVectors = request.body
    ask = q.DeletePointVectors(
        collection_name=request.collection,
        points_selector=selector(body.points, body.filter),
        vectors=q.VectorsSelector(names=body.vector),
    )
    fill(ask, shard_key_selector=_shards(body.shard_key), **request.query)
    return ask


def set_payload(request: Request) -> q.SetPayloadPoints:
    """`POST` (set) and `PUT` (overwrite) `/collections/{collection_name}/points/payload`."""
    body: m.SetPayload = request.body
    ask = q.SetPayloadPoints(
        collection_name=request.collection,
        payload=Conversion.convert_payload(body.payload),
        points_selector=selector(body.points, body.filter),
    )
    fill(ask, key=body.key, shard_key_selector=_shards(body.shard_key), **request.query)
    return ask


def delete_payload(request: Request) -> q.DeletePayloadPoints:
    """`POST /collections/{collection_name}/points/payload/delete`."""
    body: m.DeletePayload = request.body
    ask = q.DeletePayloadPoints(
        collection_name=request.collection, keys=body.keys, points_selector=selector(body.points, body.filter)
    )
    fill(ask, shard_key_selector=_shards(body.shard_key), **request.query)
    return ask


def clear_payload(request: Request) -> q.ClearPayloadPoints:
    """`POST /collections/{collection_name}/points/payload/clear`."""
    body: m.PointsSelector = request.body
    ask = q.ClearPayloadPoints(collection_name=request.collection, points=Conversion.convert_points_selector(body))
    fill(ask, shard_key_selector=_shards(body.shard_key), **request.query)
    return ask


def update_batch(request: Request) -> q.UpdateBatchPoints:
    """`POST /collections/{collection_name}/points/batch`."""
    body: m.UpdateOperations = request.body
    ask = q.UpdateBatchPoints(collection_name=request.collection)
    ask.operations.extend(_operation(operation) for operation in body.operations)
    fill(ask, **request.query)
    return ask


def _operation(operation: m.UpdateOperation) -> q.PointsUpdateOperation:
    about = next(iter(operation.__dict__.values()))
    if isinstance(about, m.SetPayload | m.DeletePayload | m.DeleteVectors):
        selector(about.points, about.filter)  # refuses what the conversion would choose from
    return Conversion.convert_update_operation(operation)


def retrieve(request: Request) -> q.GetPoints:
    """`POST /collections/{collection_name}/points`."""
    body: m.PointRequest = request.body
    ask = q.GetPoints(
        collection_name=request.collection, ids=[Conversion.convert_extended_point_id(one) for one in body.ids]
    )
    shown(ask, body)
    fill(ask, shard_key_selector=_shards(body.shard_key))
    read_options(ask, request)
    return ask


def shown(ask: Any, body: Any) -> None:
    """Set what an answer shall show of each point."""
    if body.with_payload is not None:
        ask.with_payload.CopyFrom(Conversion.convert_with_payload_interface(body.with_payload))
    if body.with_vector is not None:
        ask.with_vectors.CopyFrom(Conversion.convert_with_vectors(body.with_vector))


def one_point(request: Request) -> q.GetPoints:
    """`GET /collections/{collection_name}/points/{id}`: payload and vectors, as in Qdrant.

    Raises:
        InvalidArgument: the id is neither a number nor a UUID.
    """
    text = request.path["id"]
    ask = q.GetPoints(collection_name=request.collection)
    ask.with_payload.enable = ask.with_vectors.enable = True
    try:
        ask.ids.append(q.PointId(num=int(text)) if _NUMBER.fullmatch(text) else q.PointId(uuid=str(UUID(text))))
    except ValueError:
        raise InvalidArgument(f'Wrong input: Can not recognize "{text}" as point id') from None
    read_options(ask, request)
    return ask


def scroll(request: Request) -> q.ScrollPoints:
    """`POST /collections/{collection_name}/points/scroll`."""
    body: m.ScrollRequest = request.body
    ask = q.ScrollPoints(collection_name=request.collection)
    ask.with_payload.enable = True  # Qdrant's default for this endpoint
    shown(ask, body)
    fill(
        ask,
        offset=None if body.offset is None else Conversion.convert_extended_point_id(body.offset),
        limit=body.limit,
        filter=_filter(body.filter),
        order_by=None if body.order_by is None else Conversion.convert_order_by_interface(body.order_by),
        shard_key_selector=_shards(body.shard_key),
    )
    read_options(ask, request)
    return ask


def count(request: Request) -> q.CountPoints:
    """`POST /collections/{collection_name}/points/count`."""
    body: m.CountRequest = request.body
    ask = q.CountPoints(collection_name=request.collection)
    fill(ask, exact=body.exact, filter=_filter(body.filter), shard_key_selector=_shards(body.shard_key))
    read_options(ask, request)
    return ask


def facet(request: Request) -> q.FacetCounts:
    """`POST /collections/{collection_name}/facet`."""
    body: m.FacetRequest = request.body
    ask = q.FacetCounts(collection_name=request.collection, key=body.key)
    fill(
        ask,
        limit=body.limit,
        exact=body.exact,
        filter=_filter(body.filter),
        shard_key_selector=_shards(body.shard_key),
    )
    read_options(ask, request)
    return ask
