"""Evaluation of Qdrant's score-boosting formula on opened candidates, all candidates at once.

Source: github.com/qdrant/qdrant, lib/segment/src/index/query_optimization/rescore_formula/formula_scorer.rs. Values are
float64, the result float32. Like Qdrant, a factor or numerator of 0 ends its product or quotient, so that what stands
behind it is not evaluated for that candidate, and anything not finite is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.metric import FloatArray
from vecguard.ranking.datetime_text import MICROSECONDS, microseconds
from vecguard.ranking.expression import (
    Applied,
    Condition,
    Constant,
    DatetimeKey,
    Decay,
    DecayKind,
    Division,
    Expression,
    Fold,
    Folded,
    Function,
    GeoDistance,
    PayloadNumber,
    Power,
    Score,
    variable,
)
from vecguard.ranking.payload_path import PayloadPath

Values: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
T = TypeVar("T")

# Mean radius R1 of the Earth in metres as recommended by the IUGG (Moritz 2000), which Qdrant uses for haversine.
MEAN_EARTH_RADIUS: Final = 6_371_008.8


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a formula may look at, for n candidates.

    payloads: n opened payloads. scores: (n,) float32 for each prefetch, NaN where it did not return the point.
    conditions: (n,) bool for each `Condition`, by index.
    defaults: from variable text (`$score[1]`, a payload path) to value.
    """

    payloads: Sequence[Mapping[str, object]]
    scores: Sequence[FloatArray] = ()
    conditions: Sequence[Mask] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)


def evaluate(expression: Expression, candidates: Candidates) -> FloatArray:
    """The formula's score of every candidate, (n,) float32; bigger is better.

    Raises InvalidArgument, in Qdrant's words, for a value that is missing or of the wrong type and for a result that
    is not finite.
    """
    scorer = _Scorer(candidates, {variable(name): value for name, value in candidates.defaults.items()})
    everyone = np.ones(len(candidates.payloads), dtype=np.bool_)
    with np.errstate(all="ignore"):
        value = scorer.value(expression, everyone)
        score = value.astype(np.float32)
    _require_finite(score, everyone, lambda i: f"{_shown(value[i])} as f32 = {_shown(score[i])}")
    return score


def haversine(latitude: float, longitude: float, latitudes: Values, longitudes: Values) -> Values:
    """Great-circle distances in metres from one point to (n,) points, all in degrees."""
    here, there = np.radians(latitude), np.radians(latitudes)
    across = np.radians(longitudes - longitude)
    chord = np.sin((there - here) / 2) ** 2 + np.cos(here) * np.cos(there) * np.sin(across / 2) ** 2
    return np.asarray(2 * MEAN_EARTH_RADIUS * np.arcsin(np.sqrt(chord)))


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Evaluates expressions; `live` marks the candidates whose value is wanted, the others get any value."""

    candidates: Candidates
    defaults: Mapping[Score | PayloadNumber, object]

    def value(self, expression: Expression, live: Mask) -> Values:
        match expression:
            case Constant(value):
                return np.full(len(live), value)
            case Score():
                return self._score(expression, len(live))
            case PayloadNumber(path):
                return self._payload(path, live, "number", _number)
            case Condition(index):
                return self.candidates.conditions[index].astype(np.float64)
            case GeoDistance():
                return self._geo_distance(expression, live)
            case DatetimeKey(path):
                return self._payload(path, live, "datetime", _datetime_seconds)
            case Folded(Fold.MULT, operands):
                return self._product(operands, live)
            case Folded(fold, operands):
                return _FOLDS[fold]([self.value(operand, live) for operand in operands], len(live))
            case Applied():
                return self._applied(expression, live)
            case Division():
                return self._quotient(expression, live)
            case Power(base, exponent):
                return _power(self.value(base, live), self.value(exponent, live), live)
            case Decay():
                return _decayed(expression, self.value(expression.x, live), self.value(expression.target, live))
        assert_never(expression)

    def _score(self, variable_: Score, count: int) -> Values:
        default = self.defaults.get(variable_)
        missing = float(default) if _is_number(default) else 0.0
        if variable_.prefetch >= len(self.candidates.scores):
            return np.full(count, missing)
        found = self.candidates.scores[variable_.prefetch].astype(np.float64)
        return np.where(np.isnan(found), missing, found)

    def _product(self, operands: Sequence[Expression], live: Mask) -> Values:
        product, open_ = np.ones(len(live)), live.copy()
        for operand in operands:
            value = self.value(operand, open_)
            product = np.where(open_, np.where(value == 0.0, 0.0, product * value), product)
            open_ &= value != 0.0
        return product

    def _quotient(self, division: Division, live: Mask) -> Values:
        left = self.value(division.left, live)
        open_ = live & (left != 0.0)
        right = self.value(division.right, open_)
        quotient = left / right
        if division.by_zero_default is not None:
            quotient = np.where(right == 0.0, division.by_zero_default, quotient)
            open_ &= right != 0.0
        _require_finite(quotient, open_, lambda i: f"{_shown(left[i])}/{_shown(right[i])} = {_shown(quotient[i])}")
        return np.where(left == 0.0, 0.0, quotient)

    def _applied(self, applied: Applied, live: Mask) -> Values:
        operand = self.value(applied.operand, live)
        compute, text = _FUNCTIONS[applied.function]
        result = compute(operand)
        if text is not None:
            _require_finite(result, live, lambda i: f"{text.format(_shown(operand[i]))} = {_shown(result[i])}")
        return result

    def _geo_distance(self, geo: GeoDistance, live: Mask) -> Values:
        points = np.zeros((2, len(live)))
        for i in np.flatnonzero(live).tolist():
            points[:, i] = self._read(geo.path, i, "geo point", _geo_point)
        return haversine(geo.latitude, geo.longitude, points[0], points[1])

    def _payload(self, path: PayloadPath, live: Mask, kind: str, read: Callable[[object], float]) -> Values:
        values = np.zeros(len(live))
        for i in np.flatnonzero(live).tolist():
            values[i] = self._read(path, i, kind, read)
        return values

    def _read(self, path: PayloadPath, candidate: int, kind: str, read: Callable[[object], T]) -> T:
        try:
            return read(self._found(path, self.candidates.payloads[candidate]))
        except InvalidArgument as error:
            raise InvalidArgument(
                f"Wrong input: Expected {kind} value for {path} in the payload and/or in the formula defaults. "
                f"Error: {error}"
            ) from None

    def _found(self, path: PayloadPath, payload: Mapping[str, object]) -> object:
        items = path.select_items(payload)
        if items:
            return items[0] if len(items) == 1 else items
        default = self.defaults.get(PayloadNumber(path))
        if default is None:
            raise InvalidArgument("No value found in a payload nor defaults")
        return default


def _power(base: Values, exponent: Values, live: Mask) -> Values:
    result = np.power(base, exponent)
    _require_finite(result, live, lambda i: f"{_shown(base[i])}^{_shown(exponent[i])} = {_shown(result[i])}")
    return np.asarray(result)


def _decayed(decay: Decay, x: Values, target: Values) -> Values:
    distance = np.abs(x - target)
    if decay.kind is DecayKind.LINEAR:
        return np.maximum(1.0 - decay.rate * distance, 0.0)
    return np.exp(decay.rate * (distance if decay.kind is DecayKind.EXPONENTIAL else distance**2))


def _summed(values: list[Values], count: int) -> Values:
    return np.asarray(sum(values, np.zeros(count)))


_FOLDS: Final[Mapping[Fold, Callable[[list[Values], int], Values]]] = {
    Fold.SUM: _summed,
    Fold.MAX: lambda values, _: np.asarray(np.fmax.reduce(values)),
    Fold.MIN: lambda values, _: np.asarray(np.fmin.reduce(values)),
}

_FUNCTIONS: Final[Mapping[Function, tuple[Callable[[Values], Values], str | None]]] = {
    Function.NEG: (np.negative, None),
    Function.ABS: (np.abs, None),
    Function.SQRT: (np.sqrt, "√{}"),
    Function.EXP: (np.exp, "exp({})"),
    Function.LOG10: (np.log10, "log10({})"),
    Function.LN: (np.log, "ln({})"),
    Function.ACOSH: (np.arccosh, "acosh({})"),
}


def _number(value: object) -> float:
    if not _is_number(value):
        raise InvalidArgument("Value is not a number")
    return float(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _datetime_seconds(value: object) -> float:
    if not isinstance(value, str):
        raise InvalidArgument("Value is not a string")
    return microseconds(value) / MICROSECONDS


def _geo_point(value: object) -> tuple[float, float]:
    """(latitude, longitude) in degrees."""
    if not isinstance(value, dict):
        raise InvalidArgument("Value is not a geo point")
    latitude, longitude = value.get("lat"), value.get("lon")
    if not (_is_number(latitude) and _is_number(longitude)):
        raise InvalidArgument("`lat` and `lon` must be numbers")
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
        raise InvalidArgument("`lat` must be within [-90;90] and `lon` within [-180;180]")
    return float(latitude), float(longitude)


def _require_finite(result: NDArray[np.floating[Any]], live: Mask, shown: Callable[[int], str]) -> None:
    broken = np.flatnonzero(live & ~np.isfinite(result))
    if broken.size:
        raise InvalidArgument(f"Wrong input: The expression {shown(int(broken[0]))} produced a non-finite number")


def _shown(number: float) -> str:
    """A number as Rust displays it: shortest digits, never an exponent."""
    return np.format_float_positional(number, trim="-") if np.isfinite(number) else str(number).replace("nan", "NaN")
