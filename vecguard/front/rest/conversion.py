"""Qdrant's models to its gRPC messages: `qdrant_client`'s own conversions, and ours where theirs lose something.

What they lose, or leave to their caller: all but the first of several conditions in one `FieldCondition`; whole numbers
in payloads beyond 64 signed bits, which gRPC cannot carry; the tokenizer of a text index, which REST lets be left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from qdrant_client import grpc as q
from qdrant_client.common.validation import validate_batch_lengths
from qdrant_client.conversions.conversion import RestToGrpc, payload_to_grpc
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument
from vecguard.front.rest.decoding import FORMAT
from vecguard.front.rest.refusals import validation

# serde_json reads whole numbers as signed or unsigned 64-bit integers where they fit, and as doubles where they do not.
_SIGNED: Final = range(-(2**63), 2**63)
_UNSIGNED: Final = range(2**64)

_FIELD_TYPES: Final = {
    "keyword": q.FieldType.FieldTypeKeyword,
    "integer": q.FieldType.FieldTypeInteger,
    "float": q.FieldType.FieldTypeFloat,
    "geo": q.FieldType.FieldTypeGeo,
    "text": q.FieldType.FieldTypeText,
    "bool": q.FieldType.FieldTypeBool,
    "datetime": q.FieldType.FieldTypeDatetime,
    "uuid": q.FieldType.FieldTypeUuid,
}


@contextlib.contextmanager
def into_grpc() -> Iterator[None]:
    """Tell of what protobuf and the client's conversions raise for a number out of range, or without counterpart.

    Raises:
        InvalidArgument: they did.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError):
        raise InvalidArgument(
            f"{FORMAT}a value is out of range, or of a kind that gRPC has no counterpart of"
        ) from None


def _carried(value: Any) -> Any:
    """A payload value as gRPC can carry it.

    Raises:
        InvalidArgument: a whole number is too large for gRPC's signed 64 bits, but not for Qdrant's unsigned ones.
    """
    if type(value) is int and value not in _SIGNED:
        if value in _UNSIGNED:
            raise InvalidArgument(f"{FORMAT}a payload holds a whole number above 2^63 - 1, which gRPC cannot carry")
        try:
            return float(value)
        except OverflowError:
            raise InvalidArgument(f"{FORMAT}number out of range") from None
    if isinstance(value, list):
        return [_carried(item) for item in value]
    if isinstance(value, dict):
        return {key: _carried(item) for key, item in value.items()}
    return value


def payload_values(payload: m.Payload) -> dict[str, Any]:
    """A payload as the arguments of a `map<string, Value>`.

    Raises:
        InvalidArgument: it holds a number that gRPC cannot carry.
    """
    return payload_to_grpc(_carried(payload))


class Conversion(RestToGrpc):
    """`RestToGrpc` with our own pieces; its other methods reach them through `cls`."""

    @classmethod
    def convert_payload(cls, model: m.Payload) -> dict[str, Any]:
        """See `payload_values`."""
        return payload_values(model)

    @classmethod
    def convert_field_condition(cls, model: m.FieldCondition) -> q.FieldCondition:
        """Every condition that is there; theirs keeps the first alone.

        Raises:
            Refusal: there is none.
        """
        condition = q.FieldCondition(key=model.key)
        if model.match is not None:
            condition.match.CopyFrom(cls.convert_match(model.match))
        if isinstance(model.range, m.Range):
            condition.range.CopyFrom(cls.convert_range(model.range))
        if isinstance(model.range, m.DatetimeRange):
            condition.datetime_range.CopyFrom(cls.convert_datetime_range(model.range))
        if model.geo_bounding_box is not None:
            condition.geo_bounding_box.CopyFrom(cls.convert_geo_bounding_box(model.geo_bounding_box))
        if model.geo_radius is not None:
            condition.geo_radius.CopyFrom(cls.convert_geo_radius(model.geo_radius))
        if model.geo_polygon is not None:
            condition.geo_polygon.CopyFrom(cls.convert_geo_polygon(model.geo_polygon))
        if model.values_count is not None:
            condition.values_count.CopyFrom(cls.convert_values_count(model.values_count))
        if model.is_empty is not None:
            condition.is_empty = model.is_empty
        if model.is_null is not None:
            condition.is_null = model.is_null
        if len(condition.ListFields()) == (1 if model.key else 0):
            raise validation("JSON body", "filter: At least one field condition must be specified")
        return condition

    @classmethod
    def convert_point_insert_operation(cls, model: m.PointInsertOperations) -> list[q.PointStruct]:
        """Points, from columns too; theirs would not take columns' payloads through `convert_payload`."""
        if isinstance(model, m.PointsList):
            return [cls.convert_point_struct(point) for point in model.points]
        batch = model.batch
        validate_batch_lengths(batch)
        payloads = batch.payloads if batch.payloads is not None else [None] * len(batch.ids)
        vectors = cls.convert_batch_vector_struct(batch.vectors, len(batch.ids))
        return [
            q.PointStruct(
                id=cls.convert_extended_point_id(point_id),
                vectors=vector,
                payload=None if payload is None else cls.convert_payload(payload),
            )
            for point_id, vector, payload in zip(batch.ids, vectors, payloads, strict=True)
        ]

    @classmethod
    def convert_text_index_params(cls, model: m.TextIndexParams) -> q.TextIndexParams:
        """With the tokenizer that REST means where none is named; gRPC demands one."""
        params = super().convert_text_index_params(model)
        if model.tokenizer is None:
            params.tokenizer = q.TokenizerType.Word
        return params


def field_type(schema: m.PayloadSchemaType | m.PayloadSchemaParams) -> q.FieldType.ValueType:
    """The type of a payload index, named alone or by its parameters."""
    name = schema.value if isinstance(schema, m.PayloadSchemaType) else schema.type.value
    return _FIELD_TYPES[name]


def selector(
    points: list[m.ExtendedPointId] | None, chosen: m.Filter | None, *, required: bool = True
) -> q.PointsSelector | None:
    """The points that an operation is about, told by ids or by a filter.

    Raises:
        InvalidArgument: both are given, which one gRPC message cannot carry; or neither, where one is required.
    """
    if points is not None and chosen is not None:
        raise InvalidArgument(f"{FORMAT}`points` and `filter` together are not supported: send two requests")
    if points is not None:
        ids = [Conversion.convert_extended_point_id(point) for point in points]
        return q.PointsSelector(points=q.PointsIdsList(ids=ids))
    if chosen is not None:
        return q.PointsSelector(filter=Conversion.convert_filter(chosen))
    if required:
        raise InvalidArgument(f"{FORMAT}Either list of points or filter must be provided")
    return None


def fill(message: Any, **parts: Any) -> None:
    """Set the parts of a message that are not None."""
    for name, part in parts.items():
        if part is None:
            continue
        if hasattr(part, "DESCRIPTOR"):
            getattr(message, name).CopyFrom(part)
        else:
            setattr(message, name, part)
