"""Point ids and payloads, between protobuf and the plain Python values that Qdrant Edge takes and gives.

Formats: `PointId`, `Value`, `Struct` and `ListValue` of qdrant's `points.proto` / `json_with_int.proto`; the JSON rules
(integers that fit i64 stay integers, NaN has no JSON form, a `Value` without a kind is null) are those of qdrant's
`lib/api/src/conversions/json.rs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from uuid import UUID

from qdrant_client import grpc as pb

from vecguard.errors import InvalidArgument

EdgeId = int | UUID
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_I64_MIN = -(2**63)
_I64_MAX = 2**63 - 1


def edge_id(point_id: pb.PointId) -> EdgeId:
    """A protobuf point id as Edge takes it.

    Raises:
        InvalidArgument: neither a number nor a UUID, or a text that is no UUID.
    """
    kind = point_id.WhichOneof("point_id_options")
    if kind == "num":
        return point_id.num
    if kind is None:
        raise InvalidArgument("No ID options provided")
    try:
        return UUID(point_id.uuid)
    except ValueError as error:
        raise InvalidArgument(f"Unable to parse UUID: {point_id.uuid}") from error


def edge_ids(point_ids: Iterable[pb.PointId]) -> list[EdgeId]:
    """Every id of a request, in its order."""
    return [edge_id(point_id) for point_id in point_ids]


def id_order(point_id: EdgeId | str) -> tuple[bool, int]:
    """Qdrant's order of ids: numbers before UUIDs, each ascending."""
    if isinstance(point_id, int):
        return False, point_id
    return True, UUID(str(point_id)).int


def json_object(fields: Mapping[str, pb.Value]) -> dict[str, Json]:
    """A payload (protobuf map) as a Python dict.

    Raises:
        InvalidArgument: a NaN or infinite number, which JSON cannot hold.
    """
    payload: dict[str, Json] = {}
    # By key: the map's `items()` costs three times as much. Texts are most of what payloads hold.
    for key in fields:
        value = fields[key]
        payload[key] = value.string_value or _json_value(value, value.WhichOneof("kind"))
    return payload


def _json_value(value: pb.Value, kind: str | None) -> Json:
    if kind == "string_value":
        return value.string_value
    if kind == "integer_value":
        return value.integer_value
    if kind == "double_value":
        return _finite(value.double_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return json_object(value.struct_value.fields)
    if kind == "list_value":
        return [_json_value(item, item.WhichOneof("kind")) for item in value.list_value.values]
    return None


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise InvalidArgument("cannot convert to json number")
    return number


def fill_payload(target: MutableMapping[str, pb.Value], payload: Mapping[str, Any] | None) -> None:
    """Write a payload that Edge returned into a protobuf map."""
    if payload:
        for key, value in payload.items():
            if type(value) is str:  # most of what payloads hold
                target[key].string_value = value
            else:
                fill_value(target[key], value)


def fill_value(target: pb.Value, value: Any) -> None:
    """Write one JSON value into a protobuf `Value`."""
    kind = type(value)  # Edge returns no subclasses
    if kind is str:
        target.string_value = value
    elif kind is dict:
        struct = target.struct_value
        if value:
            fill_payload(struct.fields, value)
        else:
            struct.SetInParent()
    elif kind is bool:
        target.bool_value = value
    elif kind is int:
        if _I64_MIN <= value <= _I64_MAX:
            target.integer_value = value
        else:
            target.double_value = float(value)
    elif kind is float:
        target.double_value = value
    elif kind is list:
        items = target.list_value
        items.SetInParent()
        for item in value:
            fill_value(items.values.add(), item)
    else:
        target.null_value = pb.NullValue.NULL_VALUE
