"""Indexed payload fields as Qdrant reports them, read from what Edge says about its shard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as qdrant

_DATA_TYPES = {
    "Keyword": qdrant.PayloadSchemaType.Keyword,
    "Integer": qdrant.PayloadSchemaType.Integer,
    "Float": qdrant.PayloadSchemaType.Float,
    "Geo": qdrant.PayloadSchemaType.Geo,
    "Text": qdrant.PayloadSchemaType.Text,
    "Bool": qdrant.PayloadSchemaType.Bool,
    "Datetime": qdrant.PayloadSchemaType.Datetime,
    "Uuid": qdrant.PayloadSchemaType.Uuid,
}
_TOKENIZERS = {
    "Prefix": qdrant.TokenizerType.Prefix,
    "Whitespace": qdrant.TokenizerType.Whitespace,
    "Word": qdrant.TokenizerType.Word,
    "Multilingual": qdrant.TokenizerType.Multilingual,
    "Code": qdrant.TokenizerType.Code,
}
_MEMORY = {"Cold": qdrant.Memory.Cold, "Cached": qdrant.Memory.Cached, "Pinned": qdrant.Memory.Pinned}
# Fields that both sides name alike and that are plain values; a field that Edge does not give is left unset.
_PLAIN_FIELDS = (
    "is_tenant",
    "is_principal",
    "lookup",
    "range",
    "on_disk",
    "enable_hnsw",
    "nested",
    "min_token_len",
    "max_token_len",
    "lowercase",
    "ascii_folding",
    "phrase_matching",
)


def payload_schema_of(indexes: Mapping[str, edge.PayloadIndexInfo]) -> dict[str, qdrant.PayloadSchemaInfo]:
    """Translate `ShardInfo.payload_schema`.

    Returns:
        By field path: data type, index parameters (unless the index was made from a bare type), indexed points.
    """
    return {path: _schema_info(index) for path, index in indexes.items()}


def _schema_info(index: edge.PayloadIndexInfo) -> qdrant.PayloadSchemaInfo:
    kind = _member_name(index.data_type)
    info = qdrant.PayloadSchemaInfo(data_type=_DATA_TYPES[kind], points=index.points)
    if index.params is not None:
        target = getattr(info.params, f"{kind.lower()}_index_params")
        target.SetInParent()
        _fill_params(target, index.params)
    return info


def _fill_params(target: Any, params: Any) -> None:
    for field in _PLAIN_FIELDS:
        value = getattr(params, field, None)
        if value is not None and field in target.DESCRIPTOR.fields_by_name:
            setattr(target, field, value)
    if params.memory is not None:
        target.memory = _MEMORY[_member_name(params.memory)]
    if isinstance(params, edge.KeywordIndexParams) and params.prefix:
        target.prefix.SetInParent()
    if isinstance(params, edge.TextIndexParams):
        _fill_text_params(target, params)


def _fill_text_params(target: qdrant.TextIndexParams, params: edge.TextIndexParams) -> None:
    target.tokenizer = _TOKENIZERS[_member_name(params.tokenizer)]
    if params.scoring is not None:
        target.scoring.type = qdrant.TextScoringType.Bm25
    if isinstance(params.stopwords, edge.StopwordsSet):
        target.stopwords.SetInParent()
        target.stopwords.languages.extend(
            sorted(_member_name(word).lower() for word in params.stopwords.languages or ())
        )
        target.stopwords.custom.extend(sorted(params.stopwords.custom or ()))
    elif params.stopwords is not None:
        target.stopwords.languages.append(_member_name(params.stopwords).lower())
    if isinstance(params.stemmer, edge.SnowballParams):
        target.stemmer.snowball.language = _member_name(params.stemmer.language).lower()
    elif params.stemmer is not None:
        target.stemmer.disabled.SetInParent()


def _member_name(member: object) -> str:
    # Edge's enumerations are no Python enums; they print as `Type.Member`.
    return repr(member).rpartition(".")[2]
