"""Filters, from protobuf to Qdrant Edge.

Formats: `Filter` and its conditions in qdrant's `qdrant_common.proto`; texts of refusals follow
`lib/api/src/grpc/conversions.rs` and `validate.rs`. A condition that is not understood is refused, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import qdrant_edge as edge
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as pb

from vecguard.engine.values_convert import EdgeId, edge_ids
from vecguard.errors import InvalidArgument

Condition = Any  # one of Edge's condition classes, or edge.Filter

_TIMESTAMP_MIN = -62_135_596_800  # 0001-01-01T00:00:00Z
_TIMESTAMP_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def edge_filter(source: pb.Filter) -> edge.Filter:
    """A whole filter.

    Raises:
        InvalidArgument: a malformed or unknown condition.
    """
    return edge.Filter(
        must=_conditions(source.must),
        should=_conditions(source.should),
        must_not=_conditions(source.must_not),
        min_should=_min_should(source.min_should) if source.HasField("min_should") else None,
    )


def optional_filter(message: Any, field: str = "filter") -> edge.Filter | None:
    """The filter in a message's field, or None where it is not set."""
    return edge_filter(getattr(message, field)) if message.HasField(field) else None


def excluding_ids(ids: Iterable[EdgeId]) -> edge.Filter:
    """A filter that lets every point pass but these."""
    return edge.Filter(must_not=[edge.HasIdCondition(set(ids))])


def both(first: edge.Filter | None, second: edge.Filter | None) -> edge.Filter | None:
    """A filter that passes what both pass; None passes everything.

    The clauses are joined, not nested, as in Qdrant's `Filter::merge`: that decides what becomes of `should` when a
    root's filter meets a prefetch's. `second` has no `should` and no `min_should`.
    """
    if first is None or second is None:
        return second if first is None else first
    return edge.Filter(
        must=[*(first.must or ()), *(second.must or ())] or None,
        should=first.should,
        must_not=[*(first.must_not or ()), *(second.must_not or ())] or None,
        min_should=first.min_should,
    )


def _conditions(sources: Iterable[pb.Condition]) -> list[Condition] | None:
    return [edge_condition(source) for source in sources] or None


def _min_should(source: pb.MinShould) -> edge.MinShould:
    return edge.MinShould([edge_condition(condition) for condition in source.conditions], source.min_count)


def edge_condition(source: pb.Condition) -> Condition:
    """One condition of a filter or formula; raises InvalidArgument as `edge_filter`."""
    kind = source.WhichOneof("condition_one_of")
    if kind == "field":
        return _field_condition(source.field)
    if kind == "filter":
        return edge_filter(source.filter)
    if kind == "has_id":
        return edge.HasIdCondition(set(edge_ids(source.has_id.has_id)))
    if kind == "is_empty":
        return edge.IsEmptyCondition(json_path(source.is_empty.key))
    if kind == "is_null":
        return edge.IsNullCondition(json_path(source.is_null.key))
    if kind == "nested":
        return _nested(source.nested)
    if kind == "has_vector":
        return edge.HasVectorCondition(source.has_vector.has_vector)
    if kind == "slice":
        return _slice(source.slice)
    raise InvalidArgument("Malformed Condition type")


def _nested(source: pb.NestedCondition) -> edge.NestedCondition:
    if not source.HasField("filter"):
        raise InvalidArgument("Nested condition filter cannot be empty")
    return edge.NestedCondition(json_path(source.key), edge_filter(source.filter))


def _slice(source: pb.SliceCondition) -> Condition:
    if source.total < 1 or source.index >= source.total:
        raise InvalidArgument(f"Malformed SliceCondition: index {source.index} of total {source.total}")
    return edge.SliceCondition(source.total, source.index)  # type: ignore[attr-defined]  # missing in Edge's stub


def json_path(path: str) -> str:
    """A payload key path that Edge can parse.

    Raises:
        InvalidArgument: the path is malformed.
    """
    try:
        edge.IsEmptyCondition(path)
    except ValueError as error:
        raise InvalidArgument(f"Invalid json path: '{path}'") from error
    return path


def _field_condition(source: pb.FieldCondition) -> edge.FieldCondition:
    fields = {descriptor.name for descriptor, _ in source.ListFields()} - {"key"}
    if not fields:
        raise InvalidArgument("Validation error in body: [match: At least one field condition must be specified]")
    return edge.FieldCondition(
        key=json_path(source.key),
        match=_match(source.match) if "match" in fields else None,
        range=_range(source, fields),
        geo_bounding_box=_bounding_box(source.geo_bounding_box) if "geo_bounding_box" in fields else None,
        geo_radius=_radius(source.geo_radius) if "geo_radius" in fields else None,
        geo_polygon=_polygon(source.geo_polygon) if "geo_polygon" in fields else None,
        values_count=_values_count(source.values_count) if "values_count" in fields else None,
        is_empty=source.is_empty if "is_empty" in fields else None,
        is_null=source.is_null if "is_null" in fields else None,
    )


def _match(source: pb.Match) -> Any:
    kind = source.WhichOneof("match_value")
    if kind in ("keyword", "integer"):
        return edge.MatchValue(getattr(source, kind))
    if kind == "boolean":
        # Edge's binding takes Python's True for the integer 1, which matches other points; numpy's bool is no integer.
        return edge.MatchValue(np.bool_(source.boolean))  # type: ignore[arg-type]
    if kind == "keywords":
        return edge.MatchAny(list(source.keywords.strings))
    if kind == "integers":
        return edge.MatchAny(list(source.integers.integers))
    if kind == "except_keywords":
        return edge.MatchExcept(list(source.except_keywords.strings))
    if kind == "except_integers":
        return edge.MatchExcept(list(source.except_integers.integers))
    if kind == "text":
        return edge.MatchText(source.text)
    if kind == "text_any":
        return edge.MatchTextAny(source.text_any)  # type: ignore[attr-defined, unused-ignore]
    if kind == "phrase":
        return edge.MatchPhrase(source.phrase)
    if kind == "prefix":
        return edge.MatchPrefix(source.prefix)
    if kind == "substring":
        return edge.MatchSubstring(source.substring)
    raise InvalidArgument("Malformed Match condition")


def _range(source: pb.FieldCondition, fields: set[str]) -> edge.RangeFloat | edge.RangeDateTime | None:
    if "range" in fields:
        return edge.RangeFloat(**_bounds(source.range))
    if "datetime_range" in fields:
        bounds = {name: rfc3339(moment) for name, moment in _bounds(source.datetime_range).items()}
        return edge.RangeDateTime(**bounds)
    return None


def _bounds(source: Any) -> dict[str, Any]:
    return {name: getattr(source, name) for name in ("lt", "gt", "gte", "lte") if source.HasField(name)}


def rfc3339(moment: Timestamp) -> str:
    """A protobuf timestamp as RFC 3339 text, to the microsecond that Qdrant keeps.

    Raises:
        InvalidArgument: outside the years 1 to 9999, or nanoseconds outside a second.
    """
    if not _TIMESTAMP_MIN <= moment.seconds <= _TIMESTAMP_MAX:
        raise InvalidArgument(
            f"Validation error in body: [seconds: value {moment.seconds} invalid, "
            f"must be from {_TIMESTAMP_MIN} to {_TIMESTAMP_MAX}]"
        )
    if not 0 <= moment.nanos <= 999_999_999:
        raise InvalidArgument(
            f"Validation error in body: [nanos: value {moment.nanos} invalid, must be from 0 to 999999999]"
        )
    exact = _EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)
    return exact.isoformat()


def _values_count(source: pb.ValuesCount) -> edge.ValuesCount:
    return edge.ValuesCount(**_bounds(source))


def geo_point(source: pb.GeoPoint) -> edge.GeoPoint:
    """A point on the globe, degrees.

    Raises:
        InvalidArgument: latitude or longitude out of range.
    """
    try:
        return edge.GeoPoint(source.lon, source.lat)
    except ValueError as error:
        raise InvalidArgument(f"Wrong input: {error}") from error


def _bounding_box(source: pb.GeoBoundingBox) -> edge.GeoBoundingBox:
    if not (source.HasField("top_left") and source.HasField("bottom_right")):
        raise InvalidArgument("Malformed GeoBoundingBox type")
    return edge.GeoBoundingBox(geo_point(source.top_left), geo_point(source.bottom_right))


def _radius(source: pb.GeoRadius) -> edge.GeoRadius:
    if not source.HasField("center"):
        raise InvalidArgument("Malformed GeoRadius type")
    return edge.GeoRadius(geo_point(source.center), source.radius)


def _polygon(source: pb.GeoPolygon) -> edge.GeoPolygon:
    if not source.HasField("exterior") or not source.exterior.points:
        raise InvalidArgument("Validation error in body: [exterior: value invalid, must not be empty]")
    exterior = _ring(source.exterior, "exterior")
    return edge.GeoPolygon(exterior, [_ring(line, "interiors") for line in source.interiors] or None)


def _ring(line: pb.GeoLineString, field: str) -> list[edge.GeoPoint]:
    points = line.points
    if len(points) < 4:
        raise InvalidArgument(
            f"Validation error in body: [{field}: value invalid, the size must be at least 4, got {len(points)}]"
        )
    if points[0] != points[-1]:
        raise InvalidArgument(
            f"Validation error in body: [{field}: value invalid, "
            "the first and the last points should be same to form a closed line]"
        )
    return [geo_point(point) for point in points]
