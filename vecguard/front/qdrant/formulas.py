"""Qdrant's score-boosting formulas on protected data: evaluated here, on exact scores and opened payloads.

Conditions inside a formula are left to the database, which is asked which of the candidates satisfy each: its filter
semantics stay the only ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import filters, reveal
from vecguard.front.qdrant.payloads import python_value
from vecguard.front.qdrant.scope import PAYLOAD
from vecguard.front.qdrant.stages import Stage, copy_read_options, id_message, key_of
from vecguard.pipeline import Session
from vecguard.ranking import expression as tree
from vecguard.ranking.formula import Candidates, evaluate
from vecguard.ranking.fusion import Ranking
from vecguard.ranking.payload_path import PayloadPath
from vecguard.rerank import PointId, ordered
from vecguard.shield import Shield

_FUNCTIONS: Final = {function.value: function for function in tree.Function}
_FOLDS: Final = {fold.value: fold for fold in tree.Fold}
_DECAYS: Final = {kind.value: kind for kind in tree.DecayKind}
_DEEPEST: Final = 64


class _Reader:
    """Reads an `Expression` message into the tree; conditions are collected on the way."""

    def __init__(self) -> None:
        self.conditions: list[q.Condition] = []

    def read(self, message: q.Expression, depth: int = 0) -> tree.Expression:
        if depth > _DEEPEST:
            raise InvalidArgument(f"Bad request: the formula is nested more than {_DEEPEST} levels deep")
        kind = message.WhichOneof("variant")
        if kind is None:
            raise InvalidArgument("Expression variant is missing")
        if kind in _FUNCTIONS:
            return tree.Applied(_FUNCTIONS[kind], self.read(getattr(message, kind), depth + 1))
        if kind in _FOLDS:
            operands = getattr(getattr(message, kind), kind)
            return tree.Folded(_FOLDS[kind], tuple(self.read(operand, depth + 1) for operand in operands))
        if kind in _DECAYS:
            return self._decay(_DECAYS[kind], getattr(message, kind), depth)
        return self._leaf_or_binary(message, kind, depth)

    def _leaf_or_binary(self, message: q.Expression, kind: str, depth: int) -> tree.Expression:
        match kind:
            case "constant":
                return tree.Constant(message.constant)
            case "variable":
                return tree.variable(message.variable)
            case "condition":
                self.conditions.append(message.condition)
                return tree.Condition(len(self.conditions) - 1)
            case "geo_distance":
                origin = message.geo_distance.origin
                return tree.GeoDistance(origin.lat, origin.lon, PayloadPath.parse(message.geo_distance.to))
            case "datetime":
                return tree.datetime_constant(message.datetime)
            case "datetime_key":
                return tree.DatetimeKey(PayloadPath.parse(message.datetime_key))
            case "div":
                default = message.div.by_zero_default if message.div.HasField("by_zero_default") else None
                left, right = self.read(message.div.left, depth + 1), self.read(message.div.right, depth + 1)
                return tree.Division(left, right, default)
            case "pow":
                return tree.Power(self.read(message.pow.base, depth + 1), self.read(message.pow.exponent, depth + 1))
        raise InvalidArgument(f"Bad request: formula expression `{kind}` is not known here")

    def _decay(self, kind: tree.DecayKind, message: q.DecayParamsExpression, depth: int) -> tree.Decay:
        return tree.Decay(
            kind,
            self.read(message.x, depth + 1),
            self.read(message.target, depth + 1) if message.HasField("target") else tree.Constant(0.0),
            message.midpoint if message.HasField("midpoint") else tree.DEFAULT_MIDPOINT,
            message.scale if message.HasField("scale") else tree.DEFAULT_SCALE,
        )


async def evaluate_formula(
    stage: Stage,
    keys: Sequence[PointId],
    rankings: Sequence[Ranking],
    session: Session,
    shield: Shield,
    collection: str,
    source: q.QueryPoints | q.QueryPointGroups,
) -> Ranking:
    """The stage's page of the points `keys` that its prefetches found, by the formula's score.

    Raises:
        InvalidArgument: the formula is malformed, misses a value, or gives a result that is not finite.
    """
    assert stage.query is not None  # noqa: S101 - the caller looked at its variant
    reader = _Reader()
    formula = stage.query.formula
    expression = _expression(reader, formula)
    wanted = [stage.filter, *(_stored(condition, shield) for condition in reader.conditions)]
    payloads, masks = await asyncio.gather(
        _payloads(keys, session, shield, collection, source),
        asyncio.gather(*(_holding(condition, keys, session, collection, source) for condition in wanted)),
    )
    allowed, *conditions = masks
    present = np.array([key in payloads for key in keys]) & allowed
    kept = [key for key, here in zip(keys, present, strict=True) if here]
    candidates = Candidates(
        payloads=[payloads[key] for key in kept],
        scores=[_aligned(ranking, kept) for ranking in rankings],
        conditions=[mask[present] for mask in conditions],
        defaults={name: python_value(value) for name, value in formula.defaults.items()},
    )
    if not kept:
        return Ranking((), np.zeros(0, np.float32))
    score = evaluate(expression, candidates)
    order = ordered(kept, score, descending=True)
    ranking = Ranking(tuple(kept[i] for i in order), score[order])
    return ranking.cut(stage.limit, stage.offset, stage.threshold)


def _expression(reader: _Reader, formula: q.Formula) -> tree.Expression:
    try:
        return reader.read(formula.expression)
    except InvalidArgument as fault:
        if str(fault).startswith("Validation failed"):
            raise InvalidArgument(f"Wrong input: failed to parse formula: {fault}") from None
        raise


def _stored(condition: q.Condition, shield: Shield) -> q.Filter:
    stored = q.Condition()
    stored.CopyFrom(condition)
    filters.rewrite_condition(stored, shield.fields)
    return q.Filter(must=[stored])


def _aligned(ranking: Ranking, keys: Sequence[PointId]) -> NDArray[np.float32]:
    score = dict(zip(ranking.ids, ranking.scores.tolist(), strict=True))
    return np.array([score.get(key, np.nan) for key in keys], np.float32)


async def _payloads(
    keys: Sequence[PointId],
    session: Session,
    shield: Shield,
    collection: str,
    source: q.QueryPoints | q.QueryPointGroups,
) -> dict[PointId, dict[str, object]]:
    ask = q.GetPoints(collection_name=collection, ids=[id_message(key) for key in keys])
    ask.with_payload.include.fields.append(PAYLOAD)
    copy_read_options(source, ask)
    answer = await session.call("/qdrant.Points/Get", ask, q.GetResponse)
    reveal.points(shield, answer.result, ())
    return {
        key_of(point.id): {name: python_value(value) for name, value in point.payload.items()}
        for point in answer.result
    }


async def _holding(
    condition: q.Filter | None,
    keys: Sequence[PointId],
    session: Session,
    collection: str,
    source: q.QueryPoints | q.QueryPointGroups,
) -> NDArray[np.bool_]:
    """Which of the points satisfy a stored filter, as the database sees it."""
    if condition is None:
        return np.ones(len(keys), bool)
    both = filters.merged(filters.only_ids([id_message(key) for key in keys]), condition)
    ask = q.ScrollPoints(collection_name=collection, filter=both, limit=len(keys))
    ask.with_payload.enable = False
    copy_read_options(source, ask)
    answer = await session.call("/qdrant.Points/Scroll", ask, q.ScrollResponse)
    holding = {key_of(point.id) for point in answer.result}
    return np.array([key in holding for key in keys], bool)
