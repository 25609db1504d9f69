"""Bounds of collection requests, checked as Qdrant's gRPC layer does and answered in its words.

The rules are those that `lib/api/build.rs` and `lib/common/common/src/validation.rs` in qdrant/qdrant attach to the
request messages; the texts are those of `common::validation::label_errors`.
"""

from __future__ import annotations

from qdrant_client import grpc as qdrant

from vecguard.errors import InvalidArgument, Refused

_FORBIDDEN_IN_NAMES = '<>:"/\\|?*\0\x1f'
_MAX_NAME_LENGTH = 255
_MAX_VECTOR_SIZE = 65536


def check_collection_name(name: str) -> None:
    """Refuse names that Qdrant refuses for new collections and aliases.

    Raises:
        InvalidArgument: the name is empty, longer than 255 characters, or holds a character unfit for file names.
    """
    check_name_length(name)
    for character in _FORBIDDEN_IN_NAMES:
        if character in name:
            raise _invalid("collection_name", f'collection name cannot contain "{character}" char')


def check_name_length(name: str) -> None:
    """Refuse names that no collection can have. Raises InvalidArgument."""
    if not 1 <= len(name) <= _MAX_NAME_LENGTH:
        raise _invalid("collection_name", f'value "{name}" invalid, must be from 1 to {_MAX_NAME_LENGTH} characters')


def check_timeout(request: qdrant.UpdateCollection | qdrant.DeleteCollection | qdrant.ChangeAliases) -> None:
    """Check a request's time limit in seconds. Raises InvalidArgument."""
    _check_range(request, "timeout", "timeout", minimum=1)


def check_create(request: qdrant.CreateCollection) -> None:
    """Check a request to create a collection.

    Raises:
        InvalidArgument: a value is out of bounds.
        Refused: a feature that the engine does not have.
    """
    check_collection_name(request.collection_name)
    for field in ("shard_number", "replication_factor", "write_consistency_factor"):
        _check_range(request, field, field, minimum=1)
    if request.sharding_method == qdrant.ShardingMethod.Custom:
        raise Refused("The embedded engine does not support custom sharding")
    check_hnsw(request.hnsw_config, "hnsw_config")
    check_optimizers(request.optimizers_config, "optimizers_config")
    check_strict_mode(request.strict_mode_config)
    _check_wal(request.wal_config)
    check_quantization(request.quantization_config, "quantization_config")
    _check_vectors(request.vectors_config)
    shared = _dense_names(request.vectors_config) & set(request.sparse_vectors_config.map)
    if shared:
        raise InvalidArgument(
            f"Wrong input: Dense and sparse vector names must be unique - duplicate vector name: {min(shared)}"
        )


def check_vector_params(vector: qdrant.VectorParams, path: str) -> None:
    """Check one dense vector's parameters; `path` names it in the message.

    Raises:
        InvalidArgument: its size, distance or index parameters are out of bounds.
    """
    if not 1 <= vector.size <= _MAX_VECTOR_SIZE:
        raise _invalid(f"{path}.size", f"value {vector.size} invalid, must be from 1 to {_MAX_VECTOR_SIZE}")
    if vector.distance not in (qdrant.Cosine, qdrant.Euclid, qdrant.Dot, qdrant.Manhattan):
        raise InvalidArgument("Malformed distance parameter: UnknownDistance")
    if vector.multivector_config.comparator != qdrant.MultiVectorComparator.MaxSim:
        raise InvalidArgument("Wrong input: unknown multivector comparator")
    check_hnsw(vector.hnsw_config, f"{path}.hnsw_config")
    check_quantization(vector.quantization_config, f"{path}.quantization_config")


def check_hnsw(diff: qdrant.HnswConfigDiff, path: str) -> None:
    """Check index parameters. Raises InvalidArgument."""
    _check_range(diff, "ef_construct", f"{path}.ef_construct", minimum=4)


def check_optimizers(diff: qdrant.OptimizersConfigDiff, path: str) -> None:
    """Check optimizer parameters. Raises InvalidArgument, or Refused for deferred points."""
    _check_range(diff, "deleted_threshold", f"{path}.deleted_threshold", minimum=0.0, maximum=1.0)
    _check_range(diff, "vacuum_min_vector_number", f"{path}.vacuum_min_vector_number", minimum=100)
    _check_range(diff, "max_segment_size", f"{path}.max_segment_size", minimum=1)
    if diff.prevent_unoptimized:
        raise Refused("The embedded engine does not support prevent_unoptimized (deferred points)")


def check_strict_mode(config: qdrant.StrictModeConfig) -> None:
    """Strict mode is not enforced here, so it may be described but not switched on. Raises Refused."""
    if config.enabled:
        raise Refused("The embedded engine does not support strict mode")


def check_quantization(
    config: qdrant.QuantizationConfig | qdrant.QuantizationConfigDiff,
    path: str,
) -> None:
    """Check quantization parameters. Raises InvalidArgument."""
    if config.WhichOneof("quantization") == "scalar":
        if config.scalar.type != qdrant.QuantizationType.Int8:
            raise InvalidArgument("Unknown quantization type")
        _check_range(config.scalar, "quantile", f"{path}.quantization.scalar.quantile", minimum=0.5, maximum=1.0)


def _check_wal(diff: qdrant.WalConfigDiff) -> None:
    _check_range(diff, "wal_capacity_mb", "wal_config.wal_capacity_mb", minimum=1)
    _check_range(diff, "wal_retain_closed", "wal_config.wal_retain_closed", minimum=1)


def _check_vectors(config: qdrant.VectorsConfig) -> None:
    if config.WhichOneof("config") == "params":
        check_vector_params(config.params, "vectors_config.config.params")
    for name, vector in config.params_map.map.items():
        check_vector_params(vector, f"vectors_config.config.params_map.map[{name}]")


def _dense_names(config: qdrant.VectorsConfig) -> set[str]:
    return {""} if config.WhichOneof("config") == "params" else set(config.params_map.map)


def _check_range(message: object, field: str, path: str, minimum: float, maximum: float | None = None) -> None:
    if not message.HasField(field):  # type: ignore[attr-defined]
        return
    value = getattr(message, field)
    if value < minimum or (maximum is not None and value > maximum):
        bounds = f"{minimum} or larger" if maximum is None else f"from {minimum} to {maximum}"
        raise _invalid(path, f"value {value} invalid, must be {bounds}")


def _invalid(path: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"Validation error in body: [{path}: {problem}]")
