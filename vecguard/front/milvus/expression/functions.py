"""The functions of Milvus' filter expressions, and what they take.

Source: Plan.g4 and parser_visitor.go of github.com/milvus-io/milvus, internal/parser/planparserv2; `empty` and
`starts_with` from internal/core/src/exec/expression/function; the `geometry_` names are Milvus Lite's.
"""

from __future__ import annotations

from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.columns import Place
from vecguard.front.milvus.expression.tree import Call, Literal, Placeholder, Quantity, Ref, Signed
from vecguard.front.milvus.proto import s

CONTAINS: Final[dict[str, Quantity]] = {
    "json_contains": "one",
    "json_contains_all": "all",
    "json_contains_any": "any",
    "array_contains": "one",
    "array_contains_all": "all",
    "array_contains_any": "any",
}
_SPATIAL: Final = (
    *("st_equals", "st_touches", "st_overlaps", "st_crosses", "st_contains", "st_intersects", "st_within"),
    *("geometry_contains", "geometry_within", "geometry_intersects"),
)
# Functions of a field's content, with the least and the most number of their arguments, the field included.
_READING: Final[dict[str, tuple[int, int]]] = {
    **dict.fromkeys((*CONTAINS, *_SPATIAL), (2, 2)),
    "text_match": (2, 2),
    "phrase_match": (2, 3),
    "st_dwithin": (3, 3),
    "geometry_dwithin": (3, 3),
    "st_isvalid": (1, 1),
    "geometry_isvalid": (1, 1),
    "empty": (1, 1),
    "starts_with": (2, 2),
}
_OPTIONS: Final = {"text_match": ("minimum_should_match",)}
_SAMPLE: Final = "random_sample"


def check_call(call: Call) -> None:
    """Let a call through whose function and arguments are known.

    Raises:
        InvalidArgument: they are not.
    """
    allowed = _OPTIONS.get(call.name, ())
    if any(name not in allowed for name, _ in call.options) or len(call.options) > 1:
        raise InvalidArgument(f"{call.name}: mismatched input '='")
    if call.name == _SAMPLE:
        if len(call.arguments) != 1 or not isinstance(call.arguments[0], Literal):
            raise InvalidArgument('"float factor" should be a const float expression')
        return
    bounds = _READING.get(call.name)
    if bounds is None:
        raise InvalidArgument(f"function {call.name} not found")
    if not bounds[0] <= len(call.arguments) <= bounds[1] or not isinstance(call.arguments[0], Ref):
        raise InvalidArgument(f"{call.name} takes a field and {bounds[0] - 1} to {bounds[1] - 1} constants")
    if call.name not in CONTAINS and not all(
        isinstance(argument, Literal | Placeholder | Signed) for argument in call.arguments[1:]
    ):
        raise InvalidArgument(f"{call.name} takes a field and constants")


def element_type(place: Place) -> int:
    """Type of what a list at a place holds.

    Raises:
        InvalidArgument: no list can be there, in Milvus' words.
    """
    if place.json:
        return place.data_type
    if place.data_type != s.DataType.Array or place.column is None:
        raise InvalidArgument("contains operation are only supported on json or array fields now")
    return place.column.element_type
