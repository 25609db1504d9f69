"""Constants and template values, and the leaves that equal them at rest."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Final, TypeAlias

from vecguard.errors import InvalidArgument
from vecguard.fields import Leaf
from vecguard.front.milvus.expression.tree import Arithmetic, Listed, Literal, Literals, Node, Placeholder, Signed
from vecguard.front.milvus.proto import TYPE_NAMES, s

Value: TypeAlias = "Leaf | list[Value]"

_INTEGERS: Final = frozenset({s.DataType.Int8, s.DataType.Int16, s.DataType.Int32, s.DataType.Int64})
_STRINGS: Final = frozenset({s.DataType.VarChar, s.DataType.String})
_FLOATS: Final = frozenset({s.DataType.Float, s.DataType.Double})
_INT64: Final = range(-(2**63), 2**63)


def template_value(name: str, templates: Mapping[str, s.TemplateValue]) -> Value:
    """What a placeholder stands for.

    Raises:
        InvalidArgument: nothing was sent for it, or a value of a kind that is not known here.
    """
    if name not in templates:
        raise InvalidArgument(f"the value of expression template variable name {{{name}}} is not found")
    message = templates[name]
    kind = message.WhichOneof("val")
    if kind == "array_val":
        return _array(name, message.array_val)
    if kind not in ("bool_val", "int64_val", "float_val", "string_val"):
        raise InvalidArgument(f"the value of expression template variable name {{{name}}} is of no known kind")
    value: Leaf = getattr(message, kind)
    return value


def _array(name: str, message: s.TemplateArrayValue) -> list[Value]:
    kind = message.WhichOneof("data")
    if kind is None:
        return []
    data = getattr(message, kind).data
    if kind == "array_data":
        return [_array(name, item) for item in data]
    if kind == "json_data":
        return [_json(name, item) for item in data]
    return list(data)


def _json(name: str, text: bytes) -> Value:
    try:
        value: Value = json.loads(text)
    except (ValueError, RecursionError):
        value = None  # type: ignore[assignment]
    if not isinstance(value, bool | int | float | str | list):
        raise InvalidArgument(f"the value of expression template variable name {{{name}}} is of no known kind")
    return value


def written(value: Value) -> Node:
    """The node that a value is written as.

    Raises:
        InvalidArgument: it is infinite or no number, which no literal is.
    """
    if isinstance(value, list):
        nodes = tuple(written(item) for item in value)
        flat = tuple(node for node in nodes if isinstance(node, Literal))
        return Literals(flat) if len(flat) == len(nodes) else Listed(nodes)
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise InvalidArgument("a number in an expression is finite")
    if isinstance(value, str):
        return Literal(value)
    return Literal(value, ("true" if value else "false") if isinstance(value, bool) else repr(value))


def constant(node: Node, templates: Mapping[str, s.TemplateValue]) -> Value | None:
    """The value of a node that reads no field; None where it does.

    Raises:
        InvalidArgument: it is arithmetic on constants that servers compute differently.
    """
    match node:
        case Literal(value):
            return value
        case Literals(items):
            return [item.value for item in items]
        case Listed(items):
            values = [constant(item, templates) for item in items]
            if any(value is None for value in values):
                raise InvalidArgument("array element type must be generic value")
            return [value for value in values if value is not None]
        case Placeholder(name):
            return template_value(name, templates)
        case Signed() | Arithmetic():
            return _computed(node, templates)
        case _:
            return None


def _computed(node: Signed | Arithmetic, templates: Mapping[str, s.TemplateValue]) -> Leaf | None:
    """Sums, differences and products. A quotient is a float in Milvus Lite and an integer in Milvus."""
    parts = (node.operand,) if isinstance(node, Signed) else (node.first, *(part for _, part in node.rest))
    values = [constant(part, templates) for part in parts]
    if any(value is None for value in values):
        return None
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or any(isinstance(part, Placeholder) for part in parts):
        raise InvalidArgument("arithmetic on constants takes numbers, and no placeholders")
    if isinstance(node, Signed):
        result = -numbers[0] if node.sign == "-" else numbers[0]
    else:
        result = numbers[0]
        for (op, _), number in zip(node.rest, numbers[1:], strict=True):
            result = _applied(op, result, number)
    if (isinstance(result, int) and result not in _INT64) or not abs(result) < float("inf"):
        raise InvalidArgument("value out of range")
    return result


def _applied(op: str, left: float, right: float) -> int | float:
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    raise InvalidArgument(f"constants joined by {op} cannot be compared with a protected field: write their result")


def leaves(value: Value, data_type: int) -> tuple[Leaf, ...]:
    """The leaves that may be at rest where a value of this type equals `value`.

    A number in JSON may be an integer or a float there; zero has two signs. A FLOAT field holds the nearest float32.

    Raises:
        InvalidArgument: values of this type are not compared with such a constant; in Milvus' words.
    """
    if isinstance(value, list):
        raise _incomparable(data_type, "Array")
    if isinstance(value, int) and value not in _INT64:
        raise InvalidArgument("value out of range")
    if isinstance(value, float) and not abs(value) < float("inf"):
        # A template value may be one. None is stored, and a test of no leaves would be no test at all.
        raise InvalidArgument("a number in an expression is finite")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if data_type == s.DataType.JSON:
        return _json_leaves(value)
    if data_type in _INTEGERS and number and isinstance(value, int):
        return (value,)
    if data_type in _FLOATS and number:
        return _signs(_float32(float(value)) if data_type == s.DataType.Float else float(value))
    if data_type in _STRINGS and isinstance(value, str):
        return (value,)
    if data_type == s.DataType.Bool and isinstance(value, bool):
        return (value,)
    names = {bool: "Bool", int: "Int64", float: "Double", str: "VarChar"}
    raise _incomparable(data_type, names[type(value)])


def _incomparable(data_type: int, other: str) -> InvalidArgument:
    return InvalidArgument(f"comparisons between {TYPE_NAMES.get(data_type)} and {other} are not supported")


def _json_leaves(value: Leaf) -> tuple[Leaf, ...]:
    if isinstance(value, bool | str):
        return (value,)
    found: list[Leaf] = []
    if isinstance(value, int) or value.is_integer():
        whole = int(value)
        found += [whole] if whole in _INT64 else []
    as_float = float(value)
    if as_float == value:
        found += _signs(as_float)
    return tuple(found)


def _signs(value: float) -> tuple[float, ...]:
    return (0.0, -0.0) if value == 0 else (value,)


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
