"""Payload indexes and named vectors to be created, from protobuf to the operation that the shard applies.

Formats: `CreateFieldIndexCollection` and `CreateVectorNameRequest` of qdrant's `points.proto`, index parameters of
`collections.proto`.
"""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import json_path
from vecguard.errors import InvalidArgument

_TYPES = {
    pb.FieldType.FieldTypeKeyword: edge.PayloadSchemaType.Keyword,
    pb.FieldType.FieldTypeInteger: edge.PayloadSchemaType.Integer,
    pb.FieldType.FieldTypeFloat: edge.PayloadSchemaType.Float,
    pb.FieldType.FieldTypeGeo: edge.PayloadSchemaType.Geo,
    pb.FieldType.FieldTypeText: edge.PayloadSchemaType.Text,
    pb.FieldType.FieldTypeBool: edge.PayloadSchemaType.Bool,
    pb.FieldType.FieldTypeDatetime: edge.PayloadSchemaType.Datetime,
    pb.FieldType.FieldTypeUuid: edge.PayloadSchemaType.Uuid,
}
_PARAMS: dict[str, tuple[int, Any]] = {
    "keyword_index_params": (pb.FieldType.FieldTypeKeyword, edge.KeywordIndexParams),
    "integer_index_params": (pb.FieldType.FieldTypeInteger, edge.IntegerIndexParams),
    "float_index_params": (pb.FieldType.FieldTypeFloat, edge.FloatIndexParams),
    "geo_index_params": (pb.FieldType.FieldTypeGeo, edge.GeoIndexParams),
    "text_index_params": (pb.FieldType.FieldTypeText, edge.TextIndexParams),
    "bool_index_params": (pb.FieldType.FieldTypeBool, edge.BoolIndexParams),
    "datetime_index_params": (pb.FieldType.FieldTypeDatetime, edge.DatetimeIndexParams),
    "uuid_index_params": (pb.FieldType.FieldTypeUuid, edge.UuidIndexParams),
}
_MEMORY = {
    pb.Memory.Cold: edge.Memory.Cold,
    pb.Memory.Cached: edge.Memory.Cached,
    pb.Memory.Pinned: edge.Memory.Pinned,
}
_TOKENIZERS = {
    pb.TokenizerType.Prefix: edge.TokenizerType.Prefix,
    pb.TokenizerType.Whitespace: edge.TokenizerType.Whitespace,
    pb.TokenizerType.Word: edge.TokenizerType.Word,
    pb.TokenizerType.Multilingual: edge.TokenizerType.Multilingual,
    pb.TokenizerType.Code: edge.TokenizerType.Code,
}


def create_index(request: pb.CreateFieldIndexCollection) -> edge.UpdateOperation:
    """The operation that builds an index on a payload field.

    Raises:
        InvalidArgument: no field, no type, or parameters of another type.
    """
    return edge.UpdateOperation.create_field_index(_field_name(request), _schema(request))


def delete_index(request: pb.DeleteFieldIndexCollection) -> edge.UpdateOperation:
    """The operation that drops the index of a payload field (nothing, if there is none)."""
    return edge.UpdateOperation.delete_field_index(_field_name(request))


def _field_name(request: Any) -> str:
    if not request.field_name:
        raise InvalidArgument('Validation error in body: [field_name: value "" invalid, must be at least 1 characters]')
    return json_path(request.field_name)


def _schema(request: pb.CreateFieldIndexCollection) -> Any:
    kind = request.field_index_params.WhichOneof("index_params")
    if kind is None:
        schema = _TYPES.get(request.field_type) if request.HasField("field_type") else None
        if schema is None:
            raise InvalidArgument("cannot convert field_type")
        return schema
    field_type, make = _PARAMS[kind]
    if request.HasField("field_type") and request.field_type != field_type:
        raise InvalidArgument("field_type and field_index_params do not match")
    return make(**_index_params(getattr(request.field_index_params, kind)))


def _index_params(params: Any) -> dict[str, Any]:
    """Every parameter that is set, in Edge's terms; both sides name them alike."""
    given = {descriptor.name: value for descriptor, value in params.ListFields()}
    if "memory" in given:
        given["memory"] = _member(_MEMORY, given["memory"], "memory")
    if "prefix" in given:
        given["prefix"] = True
    if isinstance(params, pb.TextIndexParams):
        given["tokenizer"] = _member(_TOKENIZERS, params.tokenizer, "tokenizer")
        if "stopwords" in given:
            given["stopwords"] = _stopwords(params.stopwords)
        if "stemmer" in given:
            given["stemmer"] = _stemmer(params.stemmer)
        if "scoring" in given:
            given["scoring"] = edge.TextScoringParams(edge.TextScoringType.Bm25)
    return given


def _member(table: dict[Any, Any], number: int, feature: str) -> Any:
    if number not in table:
        raise InvalidArgument(f"unknown {feature} type")
    return table[number]


def _stopwords(source: pb.StopwordsSet) -> edge.StopwordsSet:
    languages = {_named(edge.Language, language, "stopwords language") for language in source.languages}
    return edge.StopwordsSet(languages=languages or None, custom=set(source.custom) or None)


def _stemmer(source: pb.StemmingAlgorithm) -> Any:
    kind = source.WhichOneof("stemming_params")
    if kind == "snowball":
        return edge.SnowballParams(_named(edge.SnowballLanguage, source.snowball.language, "stemmer language"))
    if kind == "disabled":
        return edge.DisabledStemmer()
    raise InvalidArgument("Malformed StemmingAlgorithm")


def _named(members: Any, name: str, feature: str) -> Any:
    member = getattr(members, name.capitalize(), None)
    if member is None or not name.isalpha():
        raise InvalidArgument(f"Wrong input: unknown {feature} `{name}`")
    return member
