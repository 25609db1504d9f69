"""Named vectors added to a live collection: `CreateVectorNameRequest` of qdrant's `points.proto`."""

from __future__ import annotations

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.config_convert import edge_sparse_params, edge_vector_params
from vecguard.errors import InvalidArgument

MAX_DIMENSIONS = 65_536


def vector_params(request: pb.CreateVectorNameRequest) -> pb.VectorParams | pb.SparseVectorParams:
    """The new vector as the collection's configuration states it.

    Raises:
        InvalidArgument: no name, no configuration, no distance, or a size outside [1, 65536].
    """
    if not request.vector_name:
        raise InvalidArgument(
            'Validation error in body: [vector_name: value "" invalid, must be at least 1 characters]'
        )
    kind = request.WhichOneof("vector_config")
    if kind == "dense_config":
        return _dense_params(request.dense_config)
    if kind == "sparse_config":
        return _sparse_params(request.sparse_config)
    raise InvalidArgument("Malformed CreateVectorNameRequest: vector_config is missing")


def _dense_params(source: pb.DenseVectorCreationConfig) -> pb.VectorParams:
    if not 1 <= source.size <= MAX_DIMENSIONS:
        raise InvalidArgument(
            f"Validation error in body: [dense_config.size: value {source.size} invalid, "
            f"must be from 1 to {MAX_DIMENSIONS}]"
        )
    if source.distance == pb.Distance.UnknownDistance:
        raise InvalidArgument("Malformed distance parameter, unexpected value: 0")
    params = pb.VectorParams(size=source.size, distance=source.distance)
    if source.HasField("multivector_config"):
        params.multivector_config.CopyFrom(source.multivector_config)
    if source.HasField("datatype"):
        params.datatype = source.datatype
    return params


def _sparse_params(source: pb.SparseVectorCreationConfig) -> pb.SparseVectorParams:
    params = pb.SparseVectorParams()
    if source.HasField("modifier"):
        params.modifier = source.modifier
    if source.HasField("datatype"):
        params.index.datatype = source.datatype
    return params


def creation_operation(name: str, params: pb.VectorParams | pb.SparseVectorParams) -> edge.UpdateOperation:
    """The operation that adds the vector to the shard."""
    if isinstance(params, pb.SparseVectorParams):
        sparse = edge_sparse_params(params)
        return edge.UpdateOperation.create_sparse_vector(name, sparse.modifier, sparse.datatype)
    dense = edge_vector_params(params)
    return edge.UpdateOperation.create_dense_vector(
        name, dense.size, dense.distance, dense.multivector_config, dense.datatype
    )


def deletion_operation(name: str) -> edge.UpdateOperation:
    """The operation that removes the vector from the shard."""
    return edge.UpdateOperation.delete_vector_name(name)
