"""The expression tree of Qdrant's score-boosting formula: what a formula says, checked when it is built.

Source: the Query API's `formula` (qdrant.tech/documentation/concepts/hybrid-queries), and github.com/qdrant/qdrant,
lib/segment/src/index/query_optimization/rescore_formula/parsed_formula.rs. Every error is an InvalidArgument in
Qdrant's words. Evaluation is in `vecguard.ranking.formula`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from vecguard.errors import InvalidArgument
from vecguard.ranking.datetime_text import MICROSECONDS, microseconds
from vecguard.ranking.payload_path import PayloadPath

DEFAULT_MIDPOINT: Final = 0.5
DEFAULT_SCALE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Constant:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Score:
    """`$score` (prefetch 0) or `$score[i]`: the point's score in a prefetch."""

    prefetch: int


@dataclass(frozen=True, slots=True)
class PayloadNumber:
    """A number at a payload path."""

    path: PayloadPath


@dataclass(frozen=True, slots=True)
class Condition:
    """1 where the condition of this index holds, else 0."""

    index: int


@dataclass(frozen=True, slots=True)
class GeoDistance:
    """Metres from the origin (degrees) to the geo point at a payload path."""

    latitude: float
    longitude: float
    path: PayloadPath


@dataclass(frozen=True, slots=True)
class DatetimeKey:
    """Seconds since the epoch of the date-time text at a payload path."""

    path: PayloadPath


class Fold(Enum):
    """An operator over any number of operands."""

    MULT = "mult"
    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Folded:
    """A product, sum, maximum or minimum. An empty product is 1 and an empty sum 0."""

    fold: Fold
    operands: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if self.fold in {Fold.MAX, Fold.MIN} and not self.operands:
            raise InvalidArgument(f"Validation failed: `{self.fold.value}` needs at least one operand")


class Function(Enum):
    """A function of one operand."""

    NEG = "neg"
    ABS = "abs"
    SQRT = "sqrt"
    EXP = "exp"
    LOG10 = "log10"
    LN = "ln"
    ACOSH = "acosh"


@dataclass(frozen=True, slots=True)
class Applied:
    """A function applied to an expression."""

    function: Function
    operand: Expression


@dataclass(frozen=True, slots=True)
class Division:
    """left / right; 0 when left is 0; `by_zero_default`, where given, when right is 0."""

    left: Expression
    right: Expression
    by_zero_default: float | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """base ^ exponent."""

    base: Expression
    exponent: Expression


class DecayKind(Enum):
    """The shape of a decay."""

    LINEAR = "lin_decay"
    EXPONENTIAL = "exp_decay"
    GAUSSIAN = "gauss_decay"


@dataclass(frozen=True, slots=True)
class Decay:
    """1 at `target` (default 0), `midpoint` at the distance `scale` from it; never above 1 nor below 0."""

    kind: DecayKind
    x: Expression
    target: Expression = Constant(0.0)
    midpoint: float = DEFAULT_MIDPOINT
    scale: float = DEFAULT_SCALE

    def __post_init__(self) -> None:
        if self.kind is DecayKind.LINEAR:
            if not 0.0 <= self.midpoint <= 1.0:
                raise InvalidArgument(
                    f"Validation failed: Linear decay midpoint should be in the range [0.0, 1.0], got {self.midpoint}."
                )
        elif not 0.0 < self.midpoint < 1.0:
            raise InvalidArgument(
                f"Validation failed: Decay midpoint should be in the range (0.0, 1.0), got {self.midpoint}."
            )
        if not self.scale > 0.0:
            raise InvalidArgument(f"Validation failed: Decay scale should be non-zero positive, got {self.scale}.")

    @property
    def rate(self) -> float:
        """The constant in front of the (squared) distance; lambda in Qdrant's documentation."""
        if self.kind is DecayKind.LINEAR:
            return (1.0 - self.midpoint) / self.scale
        reach = self.scale if self.kind is DecayKind.EXPONENTIAL else self.scale**2
        return math.log(self.midpoint) / reach


Expression: TypeAlias = (
    Constant
    | Score
    | PayloadNumber
    | Condition
    | GeoDistance
    | DatetimeKey
    | Folded
    | Applied
    | Division
    | Power
    | Decay
)


def variable(text: str) -> Score | PayloadNumber:
    """A variable by its text: `$score`, `$score[2]`, or a payload path."""
    try:
        if not text.startswith("$"):
            return PayloadNumber(PayloadPath.parse(text))
        return _reserved(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"Validation failed: failed to parse variable ID {text}: {error}") from None


def datetime_constant(text: str) -> Constant:
    """A date-time as seconds since the epoch."""
    try:
        return Constant(microseconds(text) / MICROSECONDS)
    except InvalidArgument as error:
        raise InvalidArgument(f"Validation failed: {error}") from None


def _reserved(text: str) -> Score:
    try:
        steps = PayloadPath.parse(text[1:]).steps
    except InvalidArgument:
        raise InvalidArgument(f"Invalid reserved variable: {text}") from None
    match steps:
        case ("score",):
            return Score(0)
        case ("score", int(prefetch)):
            return Score(prefetch)
        case ("score", *_):
            raise InvalidArgument(f"Invalid reserved variable: {text}")
        case _:
            raise InvalidArgument(f"Invalid reserved word: {text}")
