"""Requests about collections, aliases, indexes, shards and snapshots, as gRPC messages."""

from __future__ import annotations

from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.errors import Refused
from vecguard.front.rest.conversion import Conversion, field_type, fill
from vecguard.front.rest.endpoint import Request

_OPERATIONS = {
    "MoveShard": "move_shard",
    "ReplicateShard": "replicate_shard",
    "AbortShardTransfer": "abort_transfer",
    "Replica": "drop_replica",
    "CreateShardKey": "create_shard_key",
    "DeleteShardKey": "delete_shard_key",
    "RestartTransfer": "restart_transfer",
    "ReplicatePoints": "replicate_points",
}


def create(request: Request) -> q.CreateCollection:
    """`PUT /collections/{collection_name}`."""
    body: m.CreateCollection = request.body
    convert = Conversion
    ask = q.CreateCollection(collection_name=request.collection)
    fill(
        ask,
        hnsw_config=body.hnsw_config and convert.convert_hnsw_config_diff(body.hnsw_config),
        wal_config=body.wal_config and convert.convert_wal_config_diff(body.wal_config),
        optimizers_config=body.optimizers_config and convert.convert_optimizers_config_diff(body.optimizers_config),
        shard_number=body.shard_number,
        on_disk_payload=body.on_disk_payload,
        replication_factor=body.replication_factor,
        write_consistency_factor=body.write_consistency_factor,
        vectors_config=None if body.vectors is None else convert.convert_vectors_config(body.vectors),
        quantization_config=body.quantization_config and convert.convert_quantization_config(body.quantization_config),
        sharding_method=body.sharding_method and convert.convert_sharding_method(body.sharding_method),
        strict_mode_config=body.strict_mode_config and convert.convert_strict_mode_config(body.strict_mode_config),
        payload=body.payload and convert.convert_payload_storage_params(body.payload),
        id_tracker=body.id_tracker and convert.convert_id_tracker_params(body.id_tracker),
        timeout=request.query.get("timeout"),
    )
    if body.sparse_vectors is not None:
        ask.sparse_vectors_config.CopyFrom(convert.convert_sparse_vector_config(body.sparse_vectors))
    if body.metadata is not None:
        ask.MergeFrom(q.CreateCollection(metadata=convert.convert_payload(body.metadata)))
    return ask


def update(request: Request) -> q.UpdateCollection:
    """`PATCH /collections/{collection_name}`."""
    ask = Conversion.convert_update_collection(request.body, request.collection)
    fill(ask, timeout=request.query.get("timeout"))
    return ask


def delete(request: Request) -> q.DeleteCollection:
    """`DELETE /collections/{collection_name}`."""
    return q.DeleteCollection(collection_name=request.collection, timeout=request.query.get("timeout"))


def change_aliases(request: Request) -> q.ChangeAliases:
    """`POST /collections/aliases`."""
    body: m.ChangeAliasesOperation = request.body
    actions = [Conversion.convert_alias_operations(action) for action in body.actions]
    return q.ChangeAliases(actions=actions, timeout=request.query.get("timeout"))


def create_index(request: Request) -> q.CreateFieldIndexCollection:
    """`PUT /collections/{collection_name}/index`."""
    body: m.CreateFieldIndex = request.body
    ask = q.CreateFieldIndexCollection(collection_name=request.collection, field_name=body.field_name)
    if body.field_schema is not None:
        ask.field_type = field_type(body.field_schema)
        if not isinstance(body.field_schema, m.PayloadSchemaType):
            ask.field_index_params.CopyFrom(Conversion.convert_payload_schema_params(body.field_schema))
    fill(ask, **request.query)
    return ask


def delete_index(request: Request) -> q.DeleteFieldIndexCollection:
    """`DELETE /collections/{collection_name}/index/{field_name}`."""
    ask = q.DeleteFieldIndexCollection(collection_name=request.collection, field_name=request.path["field_name"])
    fill(ask, **request.query)
    return ask


def create_vector_name(request: Request) -> q.CreateVectorNameRequest:
    """`PUT /collections/{collection_name}/vectors/{vector_name}`."""
    body: m.VectorNameConfig = request.body
    ask = q.CreateVectorNameRequest(collection_name=request.collection, vector_name=request.path["vector_name"])
    if isinstance(body, m.DenseVectorNameConfig):
        dense = body.dense
        ask.dense_config.size = dense.size
        ask.dense_config.distance = Conversion.convert_distance(dense.distance)
        if dense.multivector_config is not None:
            ask.dense_config.multivector_config.CopyFrom(
                Conversion.convert_multivector_config(dense.multivector_config)
            )
        fill(ask.dense_config, datatype=_datatype(dense.datatype))
    else:
        ask.sparse_config.SetInParent()
        modifier = body.sparse.modifier
        fill(
            ask.sparse_config,
            modifier=None if modifier is None else Conversion.convert_modifier(modifier),
            datatype=_datatype(body.sparse.datatype),
        )
    fill(ask, **request.query)
    return ask


def _datatype(stored: m.VectorStorageDatatype | None) -> q.Datatype | None:
    return None if stored is None else Conversion.convert_datatype(m.Datatype(stored.value))


def delete_vector_name(request: Request) -> q.DeleteVectorNameRequest:
    """`DELETE /collections/{collection_name}/vectors/{vector_name}`."""
    ask = q.DeleteVectorNameRequest(collection_name=request.collection, vector_name=request.path["vector_name"])
    fill(ask, **request.query)
    return ask


def cluster_setup(request: Request) -> q.UpdateCollectionClusterSetupRequest:
    """`POST /collections/{collection_name}/cluster`.

    Raises:
        Refused: resharding, which gRPC has no operation for.
    """
    if isinstance(request.body, m.StartReshardingOperation | m.AbortReshardingOperation):
        raise Refused("resharding cannot be asked for over gRPC, by which VecGuard reaches the database")
    operation = Conversion.convert_cluster_operations(request.body)
    ask = q.UpdateCollectionClusterSetupRequest(collection_name=request.collection)
    fill(ask, timeout=request.query.get("timeout"), **{_OPERATIONS[type(operation).__name__]: operation})
    return ask


def create_shard_key(request: Request) -> q.CreateShardKeyRequest:
    """`PUT /collections/{collection_name}/shards`."""
    key = Conversion.convert_create_shard_key(request.body)
    return q.CreateShardKeyRequest(
        collection_name=request.collection, request=key, timeout=request.query.get("timeout")
    )


def delete_shard_key(request: Request) -> q.DeleteShardKeyRequest:
    """`POST /collections/{collection_name}/shards/delete`."""
    key = Conversion.convert_delete_shard_key(request.body)
    return q.DeleteShardKeyRequest(
        collection_name=request.collection, request=key, timeout=request.query.get("timeout")
    )


def delete_snapshot(request: Request) -> q.DeleteSnapshotRequest:
    """`DELETE /collections/{collection_name}/snapshots/{snapshot_name}`."""
    return q.DeleteSnapshotRequest(collection_name=request.collection, snapshot_name=request.path["snapshot_name"])


def delete_full_snapshot(request: Request) -> q.DeleteFullSnapshotRequest:
    """`DELETE /snapshots/{snapshot_name}`."""
    return q.DeleteFullSnapshotRequest(snapshot_name=request.path["snapshot_name"])
