"""Collection configuration: from a client's request to what Qdrant reports, and from that to Edge's configuration.

Defaults are those of Qdrant's `config/config.yaml` and of `CollectionParams`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import qdrant_edge as edge
from qdrant_client import grpc as qdrant

from vecguard.engine import config_validate
from vecguard.errors import Refused

E = TypeVar("E")

# Edge wants at least one vector; a collection without any gets this one, which no client can see or name.
PLACEHOLDER_VECTOR = "__no_vectors__"

_DISTANCES = {
    qdrant.Cosine: edge.Distance.Cosine,
    qdrant.Euclid: edge.Distance.Euclid,
    qdrant.Dot: edge.Distance.Dot,
    qdrant.Manhattan: edge.Distance.Manhattan,
}
_DATATYPES = {
    qdrant.Datatype.Float32: edge.VectorStorageDatatype.Float32,
    qdrant.Datatype.Float16: edge.VectorStorageDatatype.Float16,
    qdrant.Datatype.Uint8: edge.VectorStorageDatatype.Uint8,
    qdrant.Datatype.Turbo8: edge.VectorStorageDatatype.Turbo8,
    qdrant.Datatype.Turbo16: edge.VectorStorageDatatype.Turbo16,
}
_MEMORY = {
    qdrant.Memory.Cold: edge.Memory.Cold,
    qdrant.Memory.Cached: edge.Memory.Cached,
    qdrant.Memory.Pinned: edge.Memory.Pinned,
}
_COMPRESSION = {
    qdrant.CompressionRatio.x4: edge.CompressionRatio.X4,
    qdrant.CompressionRatio.x8: edge.CompressionRatio.X8,
    qdrant.CompressionRatio.x16: edge.CompressionRatio.X16,
    qdrant.CompressionRatio.x32: edge.CompressionRatio.X32,
    qdrant.CompressionRatio.x64: edge.CompressionRatio.X64,
}
_BINARY = {
    qdrant.BinaryQuantizationEncoding.OneBit: edge.BinaryQuantizationEncoding.OneBit,
    qdrant.BinaryQuantizationEncoding.TwoBits: edge.BinaryQuantizationEncoding.TwoBits,
    qdrant.BinaryQuantizationEncoding.OneAndHalfBits: edge.BinaryQuantizationEncoding.OneAndHalfBits,
}
_BINARY_QUERY = {
    qdrant.BinaryQuantizationQueryEncoding.Default: edge.BinaryQuantizationQueryEncoding.Default,
    qdrant.BinaryQuantizationQueryEncoding.Binary: edge.BinaryQuantizationQueryEncoding.Binary,
    qdrant.BinaryQuantizationQueryEncoding.Scalar4Bits: edge.BinaryQuantizationQueryEncoding.Scalar4Bits,
    qdrant.BinaryQuantizationQueryEncoding.Scalar8Bits: edge.BinaryQuantizationQueryEncoding.Scalar8Bits,
}
_TURBO_BITS = {
    qdrant.TurboQuantBitSize.Bits1: edge.TurboQuantBitSize.Bits1,
    qdrant.TurboQuantBitSize.Bits1_5: edge.TurboQuantBitSize.Bits1_5,
    qdrant.TurboQuantBitSize.Bits2: edge.TurboQuantBitSize.Bits2,
    qdrant.TurboQuantBitSize.Bits4: edge.TurboQuantBitSize.Bits4,
    qdrant.TurboQuantBitSize.Bits8: edge.TurboQuantBitSize.Bits8,
}


def collection_config(request: qdrant.CreateCollection) -> qdrant.CollectionConfig:
    """The configuration that Qdrant would report for a collection created by `request`.

    Raises:
        InvalidArgument: a value is out of Qdrant's bounds.
        Refused: the engine cannot serve what is asked.
    """
    config_validate.check_create(request)
    config = default_config()
    params = config.params
    params.shard_number = request.shard_number or 1
    params.replication_factor = request.replication_factor or 1
    params.write_consistency_factor = request.write_consistency_factor or 1
    params.on_disk_payload = request.on_disk_payload if request.HasField("on_disk_payload") else True
    if request.HasField("vectors_config"):
        params.vectors_config.CopyFrom(request.vectors_config)
    else:
        params.vectors_config.params_map.SetInParent()
    if request.HasField("sparse_vectors_config"):
        params.sparse_vectors_config.CopyFrom(request.sparse_vectors_config)
    if request.HasField("payload"):
        params.payload.CopyFrom(request.payload)
    if request.HasField("id_tracker"):
        params.id_tracker.CopyFrom(request.id_tracker)
    if request.HasField("sharding_method"):
        params.sharding_method = request.sharding_method
    config.hnsw_config.MergeFrom(request.hnsw_config)
    config.optimizer_config.MergeFrom(request.optimizers_config)
    config.wal_config.MergeFrom(request.wal_config)
    if request.HasField("quantization_config"):
        config.quantization_config.CopyFrom(request.quantization_config)
    if request.HasField("strict_mode_config"):
        config.strict_mode_config.CopyFrom(request.strict_mode_config)
    for key, value in request.metadata.items():
        config.metadata[key].CopyFrom(value)
    edge_config(config)  # refuses now what the shard could not hold
    return config


def default_config() -> qdrant.CollectionConfig:
    """Qdrant's own defaults, without vectors."""
    return qdrant.CollectionConfig(
        hnsw_config=qdrant.HnswConfigDiff(
            m=16, ef_construct=100, full_scan_threshold=10000, max_indexing_threads=0, on_disk=False
        ),
        optimizer_config=qdrant.OptimizersConfigDiff(
            deleted_threshold=0.2,
            vacuum_min_vector_number=1000,
            default_segment_number=0,
            indexing_threshold=10000,
            flush_interval_sec=5,
        ),
        wal_config=qdrant.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0, wal_retain_closed=1),
    )


def dense_vectors(config: qdrant.CollectionConfig) -> dict[str, qdrant.VectorParams]:
    """Dense and multivectors by name; the unnamed one has the name ""."""
    vectors = config.params.vectors_config
    if vectors.WhichOneof("config") == "params":
        return {"": vectors.params}
    return dict(vectors.params_map.map)


def sparse_vectors(config: qdrant.CollectionConfig) -> dict[str, qdrant.SparseVectorParams]:
    """Sparse vectors by name."""
    return dict(config.params.sparse_vectors_config.map)


def edge_config(config: qdrant.CollectionConfig) -> edge.EdgeConfig:
    """Edge's configuration for a shard of the collection.

    Raises:
        Refused: Edge has no counterpart for a part of it.
    """
    dense = {name: edge_vector_params(vector) for name, vector in dense_vectors(config).items()}
    sparse = {name: edge_sparse_params(vector) for name, vector in sparse_vectors(config).items()}
    if not dense and not sparse:
        sparse = {PLACEHOLDER_VECTOR: edge.EdgeSparseVectorParams()}
    params, optimizers = config.params, config.optimizer_config
    return edge.EdgeConfig(
        vectors=dense or None,
        sparse_vectors=sparse or None,
        on_disk_payload=params.on_disk_payload,
        hnsw_config=_hnsw(config.hnsw_config, config.hnsw_config),
        quantization_config=_quantization(config.quantization_config),
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=_given(optimizers, "deleted_threshold"),
            vacuum_min_vector_number=_given(optimizers, "vacuum_min_vector_number"),
            default_segment_number=_given(optimizers, "default_segment_number"),
            max_segment_size=_given(optimizers, "max_segment_size"),
            indexing_threshold=_given(optimizers, "indexing_threshold"),
        ),
        payload_memory=_memory(params.payload),
        id_tracker_memory=_memory(params.id_tracker),
    )


def edge_vector_params(vector: qdrant.VectorParams) -> edge.EdgeVectorParams:
    """Edge's parameters of one dense vector or multivector."""
    multivector = None
    if vector.HasField("multivector_config"):
        multivector = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    return edge.EdgeVectorParams(
        vector.size,
        _DISTANCES[vector.distance],
        on_disk=_given(vector, "on_disk"),
        multivector_config=multivector,
        datatype=_datatype(vector.datatype),
        quantization_config=_quantization(vector.quantization_config),
        hnsw_config=_vector_hnsw(vector),
        memory=_memory(vector),
    )


def edge_sparse_params(vector: qdrant.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    """Edge's parameters of one sparse vector."""
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=_given(vector.index, "full_scan_threshold"),
        on_disk=_given(vector.index, "on_disk"),
        modifier=edge.Modifier.Idf if vector.modifier == qdrant.Modifier.Idf else None,
        datatype=_datatype(vector.index.datatype),
        memory=_memory(vector.index),
    )


def _given(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _datatype(datatype: int) -> edge.VectorStorageDatatype | None:
    if datatype == qdrant.Datatype.Default:
        return None
    return _known(_DATATYPES, datatype, "vector datatype Turbo4")


def _memory(message: Any) -> edge.Memory | None:
    placement = _given(message, "memory")
    return None if placement is None else _known(_MEMORY, placement, "this memory placement")


def _known(table: Mapping[Any, E], key: int, feature: str) -> E:
    if key not in table:
        raise Refused(f"The embedded engine does not support {feature}")
    return table[key]


def _vector_hnsw(vector: qdrant.VectorParams) -> edge.HnswIndexConfig | None:
    if not vector.HasField("hnsw_config"):
        return None
    return _hnsw(vector.hnsw_config, default_config().hnsw_config)


def _hnsw(diff: qdrant.HnswConfigDiff, defaults: qdrant.HnswConfigDiff) -> edge.HnswIndexConfig:
    merged = qdrant.HnswConfigDiff()
    merged.CopyFrom(defaults)
    merged.MergeFrom(diff)
    return edge.HnswIndexConfig(
        merged.m,
        merged.ef_construct,
        merged.full_scan_threshold,
        # Edge's own choice is at least eight threads, more than a small machine has cores beside the searches.
        merged.max_indexing_threads or min(8, os.cpu_count() or 1),
        on_disk=_given(merged, "on_disk"),
        payload_m=_given(merged, "payload_m"),
        inline_storage=_given(merged, "inline_storage"),
        memory=_memory(merged),
    )


def _quantization(config: qdrant.QuantizationConfig) -> Any:
    kind = config.WhichOneof("quantization")
    if kind == "scalar":
        scalar = config.scalar
        return edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, _given(scalar, "quantile"), _given(scalar, "always_ram"), _memory(scalar)
        )
    if kind == "product":
        product = config.product
        ratio = _known(_COMPRESSION, product.compression, "this compression ratio")
        return edge.ProductQuantizationConfig(ratio, _given(product, "always_ram"), _memory(product))
    if kind == "binary":
        return _binary_quantization(config.binary)
    if kind == "turboquant":
        turbo = config.turboquant
        bits = _known(_TURBO_BITS, turbo.bits, "this bit size") if turbo.HasField("bits") else None
        return edge.TurboQuantQuantizationConfig(_given(turbo, "always_ram"), bits, _memory(turbo))
    return None


def _binary_quantization(binary: qdrant.BinaryQuantization) -> edge.BinaryQuantizationConfig:
    encoding = query_encoding = None
    if binary.HasField("encoding"):
        encoding = _known(_BINARY, binary.encoding, "this binary encoding")
    if binary.HasField("query_encoding"):
        query_encoding = _known(_BINARY_QUERY, binary.query_encoding.setting, "this query encoding")
    return edge.BinaryQuantizationConfig(_given(binary, "always_ram"), encoding, query_encoding, _memory(binary))
