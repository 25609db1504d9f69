"""Named vectors added to or removed from a live collection.

The collection's record is the intent; the shard follows. A crash between the two is repaired when the collection is
opened: the shard gets the vectors that the record has, and loses those that it has not.
"""

from __future__ import annotations

import json
from pathlib import Path

from qdrant_client import grpc as qdrant
from qdrant_edge import EdgeShard, UpdateOperation

from vecguard.engine.config_convert import (
    PLACEHOLDER_VECTOR,
    dense_vectors,
    edge_sparse_params,
    edge_vector_params,
    sparse_vectors,
)
from vecguard.errors import InvalidArgument

_EDGE_CONFIG = "edge_config.json"


def with_vector(
    config: qdrant.CollectionConfig, name: str, vector: qdrant.VectorParams | qdrant.SparseVectorParams
) -> qdrant.CollectionConfig:
    """A copy of the configuration with one more named vector.

    Raises:
        InvalidArgument: the name is taken.
    """
    if name in dense_vectors(config) or name in sparse_vectors(config):
        raise InvalidArgument(f"Wrong input: Vector `{name}` already exists")
    changed = qdrant.CollectionConfig()
    changed.CopyFrom(config)
    if isinstance(vector, qdrant.SparseVectorParams):
        changed.params.sparse_vectors_config.map[name].CopyFrom(vector)
        return changed
    vectors = changed.params.vectors_config
    if vectors.WhichOneof("config") == "params":
        unnamed = qdrant.VectorParams()
        unnamed.CopyFrom(vectors.params)
        vectors.params_map.map[""].CopyFrom(unnamed)
    vectors.params_map.map[name].CopyFrom(vector)
    return changed


def without_vector(config: qdrant.CollectionConfig, name: str) -> qdrant.CollectionConfig:
    """A copy of the configuration without one named vector.

    Raises:
        InvalidArgument: there is no such vector.
    """
    changed = qdrant.CollectionConfig()
    changed.CopyFrom(config)
    params = changed.params
    if name in sparse_vectors(config):
        del params.sparse_vectors_config.map[name]
    elif name not in dense_vectors(config):
        raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
    elif params.vectors_config.WhichOneof("config") == "params":
        params.vectors_config.params_map.SetInParent()
    else:
        del params.vectors_config.params_map.map[name]
    return changed


def reconcile(shard: EdgeShard, shard_folder: Path, config: qdrant.CollectionConfig) -> None:
    """Bring the shard's vector names to those of the record, after a crash between the two."""
    stored = json.loads((shard_folder / _EDGE_CONFIG).read_bytes())
    names = set(stored.get("vectors", {})) | set(stored.get("sparse_vectors", {}))
    dense, sparse = dense_vectors(config), sparse_vectors(config)
    for name in sorted(names - set(dense) - set(sparse) - {PLACEHOLDER_VECTOR}):
        shard.update(UpdateOperation.delete_vector_name(name))
    for name in sorted(set(dense) - names):
        vector = edge_vector_params(dense[name])
        shard.update(
            UpdateOperation.create_dense_vector(
                name, vector.size, vector.distance, vector.multivector_config, vector.datatype
            )
        )
    for name in sorted(set(sparse) - names):
        weights = edge_sparse_params(sparse[name])
        shard.update(UpdateOperation.create_sparse_vector(name, weights.modifier, weights.datatype))
