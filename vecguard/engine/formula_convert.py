"""Score-boosting formulas, from protobuf to Qdrant Edge.

Format: `Formula` and `Expression` of qdrant's `points.proto`.
"""

from __future__ import annotations

from collections.abc import Sequence

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import edge_condition, geo_point, json_path
from vecguard.engine.values_convert import json_object
from vecguard.errors import InvalidArgument

_UNARY = {"neg": "Neg", "abs": "Abs", "sqrt": "Sqrt", "exp": "Exp", "log10": "Log10", "ln": "Ln", "acosh": "Acosh"}
_LISTS = {"mult": "Mult", "sum": "Sum", "max": "Max", "min": "Min"}
_DECAYS = {"exp_decay": edge.DecayKind.Exp, "gauss_decay": edge.DecayKind.Gauss, "lin_decay": edge.DecayKind.Lin}


def edge_formula(source: pb.Formula) -> edge.Formula:
    """A formula with its default values.

    Raises:
        InvalidArgument: an expression is missing, unknown or malformed.
    """
    if not source.HasField("expression"):
        raise InvalidArgument("Malformed Formula: expression is missing")
    try:
        return edge.Formula(_expression(source.expression), json_object(source.defaults))
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"Wrong input: {error}") from error


def _expression(source: pb.Expression) -> edge.Expression:
    kind = source.WhichOneof("variant")
    if kind is None:
        raise InvalidArgument("Malformed Expression: variant is missing")
    if kind in _UNARY:
        operand: pb.Expression = getattr(source, kind)
        built: edge.Expression = getattr(edge.Expression, _UNARY[kind])(_expression(operand))
        return built
    if kind in _LISTS:
        operands: Sequence[pb.Expression] = getattr(getattr(source, kind), kind)
        joined: edge.Expression = getattr(edge.Expression, _LISTS[kind])([_expression(one) for one in operands])
        return joined
    if kind in _DECAYS:
        return _decay(_DECAYS[kind], getattr(source, kind))
    return _leaf(kind, source)


def _leaf(kind: str, source: pb.Expression) -> edge.Expression:
    if kind == "constant":
        return edge.Expression.Constant(source.constant)
    if kind == "variable":
        return edge.Expression.Variable(source.variable)
    if kind == "condition":
        return edge.Expression.Condition(edge_condition(source.condition))
    if kind == "geo_distance":
        return _geo_distance(source.geo_distance)
    if kind == "datetime":
        return edge.Expression.Datetime(source.datetime)
    if kind == "datetime_key":
        return edge.Expression.DatetimeKey(json_path(source.datetime_key))
    if kind == "div":
        return _division(source.div)
    if kind == "pow":
        return _power(source.pow)
    raise InvalidArgument(f"Malformed Expression: unknown variant {kind}")


def _geo_distance(source: pb.GeoDistance) -> edge.Expression:
    if not source.HasField("origin"):
        raise InvalidArgument("Malformed Expression: geo_distance needs origin")
    return edge.Expression.GeoDistance(geo_point(source.origin), json_path(source.to))


def _division(source: pb.DivExpression) -> edge.Expression:
    if not (source.HasField("left") and source.HasField("right")):
        raise InvalidArgument("Malformed Expression: div needs left and right")
    default = source.by_zero_default if source.HasField("by_zero_default") else None
    return edge.Expression.Div(_expression(source.left), _expression(source.right), default)


def _power(source: pb.PowExpression) -> edge.Expression:
    if not (source.HasField("base") and source.HasField("exponent")):
        raise InvalidArgument("Malformed Expression: pow needs base and exponent")
    return edge.Expression.Pow(_expression(source.base), _expression(source.exponent))


def _decay(kind: edge.DecayKind, source: pb.DecayParamsExpression) -> edge.Expression:
    if not source.HasField("x"):
        raise InvalidArgument("Malformed Expression: decay needs x")
    return edge.Expression.Decay(
        kind,
        _expression(source.x),
        target=_expression(source.target) if source.HasField("target") else None,
        midpoint=source.midpoint if source.HasField("midpoint") else None,
        scale=source.scale if source.HasField("scale") else None,
    )
