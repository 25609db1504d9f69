"""`UpdateCollection`: a collection's configuration after a partial change, with Qdrant's merging rules."""

from __future__ import annotations

from qdrant_client import grpc as qdrant

from vecguard.engine import config_validate
from vecguard.engine.config_convert import edge_config
from vecguard.errors import InvalidArgument


def updated_config(config: qdrant.CollectionConfig, request: qdrant.UpdateCollection) -> qdrant.CollectionConfig:
    """A changed copy of `config`.

    Raises:
        InvalidArgument: a value is out of bounds, or names a vector that is not there.
        Refused: a feature that the engine does not have.
    """
    changed = qdrant.CollectionConfig()
    changed.CopyFrom(config)
    config_validate.check_timeout(request)
    config_validate.check_optimizers(request.optimizers_config, "optimizers_config")
    config_validate.check_hnsw(request.hnsw_config, "hnsw_config")
    changed.optimizer_config.MergeFrom(request.optimizers_config)
    changed.hnsw_config.MergeFrom(request.hnsw_config)
    _merge_params(changed.params, request.params)
    _merge_quantization(changed, request.quantization_config, "quantization_config")
    _merge_vectors(changed.params.vectors_config, request.vectors_config)
    _merge_sparse_vectors(changed.params.sparse_vectors_config, request.sparse_vectors_config)
    if request.HasField("strict_mode_config"):
        config_validate.check_strict_mode(request.strict_mode_config)
        changed.strict_mode_config.MergeFrom(request.strict_mode_config)
    _merge_metadata(changed, request)
    edge_config(changed)
    return changed


def _merge_params(params: qdrant.CollectionParams, diff: qdrant.CollectionParamsDiff) -> None:
    for field, value in diff.ListFields():
        if field.message_type is not None:
            getattr(params, field.name).MergeFrom(value)
        else:
            setattr(params, field.name, value)


def _merge_quantization(
    owner: qdrant.CollectionConfig | qdrant.VectorParams, diff: qdrant.QuantizationConfigDiff, path: str
) -> None:
    kind = diff.WhichOneof("quantization")
    if kind is None:
        return
    config_validate.check_quantization(diff, path)
    owner.ClearField("quantization_config")
    if kind != "disabled":
        getattr(owner.quantization_config, kind).CopyFrom(getattr(diff, kind))


def _merge_vectors(vectors: qdrant.VectorsConfig, diff: qdrant.VectorsConfigDiff) -> None:
    kind = diff.WhichOneof("config")
    if kind == "params":
        if vectors.WhichOneof("config") != "params":
            raise _no_vector("")
        _merge_vector(vectors.params, diff.params, "vectors_config")
    elif kind == "params_map":
        for name, change in diff.params_map.map.items():
            if name == "" and vectors.WhichOneof("config") == "params":
                _merge_vector(vectors.params, change, "vectors_config")
            elif name in vectors.params_map.map:
                _merge_vector(vectors.params_map.map[name], change, f"vectors_config[{name}]")
            else:
                raise _no_vector(name)


def _merge_vector(vector: qdrant.VectorParams, diff: qdrant.VectorParamsDiff, path: str) -> None:
    if diff.HasField("hnsw_config"):
        config_validate.check_hnsw(diff.hnsw_config, f"{path}.hnsw_config")
        if diff.hnsw_config.ListFields():
            vector.hnsw_config.MergeFrom(diff.hnsw_config)
        else:
            vector.ClearField("hnsw_config")
    _merge_quantization(vector, diff.quantization_config, f"{path}.quantization_config")
    for field in ("on_disk", "memory"):
        if diff.HasField(field):
            setattr(vector, field, getattr(diff, field))


def _merge_sparse_vectors(vectors: qdrant.SparseVectorConfig, diff: qdrant.SparseVectorConfig) -> None:
    for name, change in diff.map.items():
        if name not in vectors.map:
            raise _no_vector(name)
        if change.HasField("index"):
            vectors.map[name].index.MergeFrom(change.index)
        if change.HasField("modifier"):
            vectors.map[name].modifier = change.modifier


def _merge_metadata(config: qdrant.CollectionConfig, request: qdrant.UpdateCollection) -> None:
    for key, value in request.metadata.items():
        if value.WhichOneof("kind") == "null_value":
            config.metadata.pop(key, None)
        else:
            config.metadata[key].CopyFrom(value)


def _no_vector(name: str) -> InvalidArgument:
    return InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
