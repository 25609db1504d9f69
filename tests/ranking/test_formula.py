"""Formulas: random expression trees against the engine, and every error's wording."""

import math

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.hybrid.formula import evaluate_expression

from ranking.engine import Reference
from vecguard.errors import InvalidArgument
from vecguard.ranking.expression import (
    Applied,
    Condition,
    Constant,
    DatetimeKey,
    Decay,
    DecayKind,
    Division,
    Fold,
    Folded,
    Function,
    GeoDistance,
    PayloadNumber,
    Power,
    Score,
    datetime_constant,
    variable,
)
from vecguard.ranking.formula import Candidates, evaluate, haversine
from vecguard.ranking.payload_path import PayloadPath

PAYLOADS = [
    {
        "n": 5,
        "one": [7],
        "o": {"p": 3.5},
        "neg": -4,
        "flag": True,
        "on": 1,
        "geo": {"lon": 13.4, "lat": 52.5},
        "d": "2024-01-02",
    },
    {
        "n": 2.5,
        "one": [7, 8],
        "o": {"p": 1},
        "neg": -1,
        "flag": False,
        "on": 0,
        "geo": {"lon": -0.1, "lat": 51.5},
        "d": "2023-06-01",
    },
    {
        "n": 0,
        "one": 1,
        "o": {},
        "neg": 0,
        "flag": True,
        "on": 1,
        "geo": [{"lon": 0, "lat": 0}],
        "d": "1999-12-31T23:59:59Z",
    },
    {"n": -3, "one": [], "o": 4, "neg": -2.5, "geo": {"lon": 1, "lat": 2}, "d": "2024-01-02 10:00+01"},
]
DEFAULTS = {"o.p": 2.0, "one": 9, "$score[1]": 0.25, "missing": "text"}
FIRST, SECOND = [0.9, 0.6, 0.3, 0.1], [0.5, 0.25, 0.125]
ORIGIN = (52.0, 13.0)
FLAGS = np.array([payload.get("on") == 1 for payload in PAYLOADS])


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    vectors = np.array([[score, [*SECOND, 0.0][i]] for i, score in enumerate(FIRST)], np.float32)
    return Reference(tmp_path_factory.mktemp("engine"), vectors, payloads=PAYLOADS)


def by_engine(engine, expression, defaults, only):
    """The engine's score of one point, or None where it refuses the formula."""
    this = edge.Filter(must=[edge.HasIdCondition({only})])
    second = edge.Filter(must=[edge.HasIdCondition(set(range(len(SECOND))))])
    prefetches = [
        edge.Prefetch(limit=1, query=edge.Query.Nearest([1.0, 0.0]), filter=this),
        edge.Prefetch(limit=1, query=edge.Query.Nearest([0.0, 1.0]), filter=edge.Filter(must=[this, second])),
    ]
    try:
        return engine.query(edge.Formula(expression, defaults), prefetches=prefetches)[0][1]
    except Exception as error:  # the binding raises nothing narrower
        # A failed evaluation comes out as a cancelled operation; anything else is a mistake in this test.
        if "cancelled" in str(error):
            return None
        raise


def by_us(expression, defaults, only):
    second = SECOND[only] if only < len(SECOND) else math.nan
    candidates = Candidates(
        [PAYLOADS[only]],
        [np.array([FIRST[only]], np.float32), np.array([second], np.float32)],
        [FLAGS[[only]]],
        defaults,
    )
    try:
        return float(evaluate(expression, candidates)[0])
    except InvalidArgument:
        return None


E = edge.Expression
NUMBER = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0, 1e30])
NAMES = ["n", "one", "one[0]", "o.p", "neg", "missing", "absent", "$score", "$score[1]", "$score[7]", "flag", "d"]
LEAVES = st.one_of(
    NUMBER.map(lambda value: (E.Constant(value), Constant(value))),
    st.sampled_from(NAMES).map(lambda name: (E.Variable(name), variable(name))),
    st.just((E.Condition(edge.FieldCondition(key="on", match=edge.MatchValue(1))), Condition(0))),
    st.just((E.GeoDistance(edge.GeoPoint(lon=13.0, lat=52.0), "geo"), GeoDistance(*ORIGIN, PayloadPath.parse("geo")))),
    st.just((E.DatetimeKey("d"), DatetimeKey(PayloadPath.parse("d")))),
    st.just((E.Datetime("2024-01-02T03:04:05Z"), datetime_constant("2024-01-02T03:04:05Z"))),
)
FUNCTIONS = {
    Function.NEG: E.Neg,
    Function.ABS: E.Abs,
    Function.SQRT: E.Sqrt,
    Function.EXP: E.Exp,
    Function.LOG10: E.Log10,
    Function.LN: E.Ln,
    Function.ACOSH: E.Acosh,
}
FOLDS = {Fold.MULT: E.Mult, Fold.SUM: E.Sum, Fold.MAX: E.Max, Fold.MIN: E.Min}
KINDS = {
    DecayKind.LINEAR: edge.DecayKind.Lin,
    DecayKind.EXPONENTIAL: edge.DecayKind.Exp,
    DecayKind.GAUSSIAN: edge.DecayKind.Gauss,
}


def nested(inner):
    def applied(function, x):
        return FUNCTIONS[function](x[0]), Applied(function, x[1])

    def folded(fold, parts):
        return FOLDS[fold]([p[0] for p in parts]), Folded(fold, tuple(p[1] for p in parts))

    def divided(left, right, default):
        return E.Div(left[0], right[0], default), Division(left[1], right[1], default)

    def decayed(kind, x, target, midpoint, scale):
        theirs = E.Decay(KINDS[kind], x[0], target[0], midpoint, scale)
        return theirs, Decay(kind, x[1], target[1], midpoint, scale)

    return st.one_of(
        st.builds(applied, st.sampled_from(list(FUNCTIONS)), inner),
        st.builds(folded, st.sampled_from(list(FOLDS)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(divided, inner, inner, st.none() | NUMBER),
        st.builds(lambda b, e: (E.Pow(b[0], e[0]), Power(b[1], e[1])), inner, inner),
        st.builds(
            decayed,
            st.sampled_from(list(KINDS)),
            inner,
            inner,
            st.sampled_from([0.25, 0.5]),
            st.sampled_from([1.0, 4.0]),
        ),
    )


TREES = st.recursive(LEAVES, nested, max_leaves=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, with_defaults=st.booleans(), only=st.integers(0, len(PAYLOADS) - 1))
def test_any_formula_is_scored_or_refused_as_by_the_engine(engine, tree, with_defaults, only):
    theirs, ours = tree
    defaults = DEFAULTS if with_defaults else {}
    expected, found = by_engine(engine, theirs, defaults, only), by_us(ours, defaults, only)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=200, deadline=None)
@given(tree=TREES)
def test_all_candidates_at_once_are_scored_as_one_by_one(tree):
    _, expression = tree
    alone = [by_us(expression, DEFAULTS, i) for i in range(len(PAYLOADS))]
    candidates = Candidates(
        PAYLOADS, [np.array(FIRST, np.float32), np.array([*SECOND, np.nan], np.float32)], [FLAGS], DEFAULTS
    )
    if None in alone:
        with pytest.raises(InvalidArgument):
            evaluate(expression, candidates)
    else:
        np.testing.assert_array_equal(evaluate(expression, candidates), np.array(alone, np.float32))


def number(value):
    return Constant(value)


def scored(expression, payload=None, **more):
    return float(evaluate(expression, Candidates([payload or {}], **more))[0])


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        (Division(number(1.0), number(0.0)), "1/0 = inf"),
        (Division(number(-2.5), number(0.0)), "-2.5/0 = -inf"),
        (Applied(Function.SQRT, number(-4.0)), "√-4 = NaN"),
        (Applied(Function.LN, number(0.0)), "ln(0) = -inf"),
        (Applied(Function.LOG10, number(-1.0)), "log10(-1) = NaN"),
        (Applied(Function.EXP, number(1000.0)), "exp(1000) = inf"),
        (Applied(Function.ACOSH, number(0.5)), "acosh(0.5) = NaN"),
        (Power(number(-8.0), number(0.5)), "-8^0.5 = NaN"),
        (number(1e39), "1000000000000000000000000000000000000000 as f32 = inf"),
    ],
)
def test_results_that_are_not_finite_are_refused_in_qdrants_words(expression, shown):
    with pytest.raises(InvalidArgument) as refused:
        scored(expression)
    assert str(refused.value) == f"Wrong input: The expression {shown} produced a non-finite number"


@pytest.mark.parametrize(
    ("expression", "payload", "text"),
    [
        (variable("a.b"), {}, "Expected number value for a.b in the payload and/or in the formula defaults. "
         "Error: No value found in a payload nor defaults"),
        (variable("a"), {"a": "5"}, "Expected number value for a .* Error: Value is not a number"),
        (variable("a"), {"a": [1, 2]}, "Error: Value is not a number"),
        (variable("a"), {"a": True}, "Error: Value is not a number"),
        (DatetimeKey(PayloadPath.parse("a")), {"a": 5}, "Expected datetime value .* Error: Value is not a string"),
        (DatetimeKey(PayloadPath.parse("a")), {"a": "soon"}, "Error: failed to parse date-time soon"),
        (GeoDistance(0, 0, PayloadPath.parse("a")), {"a": 5}, "Expected geo point value for a"),
        (GeoDistance(0, 0, PayloadPath.parse("a")), {"a": {"lat": 1}}, "Expected geo point value for a"),
        (GeoDistance(0, 0, PayloadPath.parse("a")), {"a": {"lat": 91, "lon": 0}}, "within"),
    ],
)  # fmt: skip
def test_missing_and_mistyped_values_are_refused_in_qdrants_words(expression, payload, text):
    with pytest.raises(InvalidArgument, match=f"^Wrong input: .*{text}"):
        scored(expression, payload)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: variable("$score[]"), "failed to parse variable ID \\$score\\[\\]: Invalid reserved variable"),
        (lambda: variable("$score[0].x"), "Invalid reserved variable"),
        (lambda: variable("$foo"), "Invalid reserved word: \\$foo"),
        (lambda: variable("$"), "Invalid reserved variable"),
        (lambda: variable("a b"), "failed to parse variable ID a b: Invalid payload variable: a b"),
        (lambda: datetime_constant("soon"), "failed to parse date-time soon"),
        (lambda: Folded(Fold.MAX, ()), "`max` needs at least one operand"),
        (lambda: Folded(Fold.MIN, ()), "`min` needs at least one operand"),
        (lambda: Decay(DecayKind.LINEAR, number(1), midpoint=1.5), "Linear decay midpoint should be in the range"),
        (lambda: Decay(DecayKind.GAUSSIAN, number(1), midpoint=1.0), "Decay midpoint should be in the range"),
        (lambda: Decay(DecayKind.EXPONENTIAL, number(1), midpoint=0.0), "Decay midpoint should be in the range"),
        (lambda: Decay(DecayKind.LINEAR, number(1), scale=0.0), "Decay scale should be non-zero positive"),
        (lambda: Decay(DecayKind.LINEAR, number(1), scale=math.nan), "Decay scale should be non-zero positive"),
    ],
)
def test_formulas_that_qdrant_does_not_parse_are_refused(build, text):
    with pytest.raises(InvalidArgument, match=f"^Validation failed: .*{text}"):
        build()


@pytest.mark.parametrize(
    ("text", "expected"), [("$score", Score(0)), ("$score[2]", Score(2)), ("$score[007]", Score(7))]
)
def test_score_variables(text, expected):
    assert variable(text) == expected


def test_payload_variables():
    assert variable("a.b[0]") == PayloadNumber(PayloadPath(("a", "b", 0)))


def test_empty_products_and_sums():
    assert scored(Folded(Fold.MULT, ())) == 1.0
    assert scored(Folded(Fold.SUM, ())) == 0.0


def test_a_zero_factor_or_numerator_hides_what_stands_behind_it():
    broken = Applied(Function.LN, number(-1.0))
    assert scored(Folded(Fold.MULT, (number(0.0), broken))) == 0.0
    assert scored(Division(number(0.0), broken)) == 0.0
    with pytest.raises(InvalidArgument):
        scored(Folded(Fold.MULT, (broken, number(0.0))))


def test_defaults_stand_in_for_missing_values_only():
    assert scored(variable("a"), {}, defaults={"a": 4}) == 4.0
    assert scored(variable("a"), {"a": None}, defaults={"a": 4}) == 4.0
    assert scored(variable("a"), {"a": 1}, defaults={"a": 4}) == 1.0
    assert scored(variable("$score"), defaults={"$score[0]": 4}) == 4.0
    assert scored(variable("$score[1]"), defaults={"$score[1]": "no number"}) == 0.0
    with pytest.raises(InvalidArgument):
        scored(variable("a"), {"a": "text"}, defaults={"a": 4})


def test_the_great_circle_is_the_clients():
    rng = np.random.default_rng(0)
    latitudes, longitudes = rng.uniform(-90, 90, 20), rng.uniform(-180, 180, 20)
    for latitude, longitude, metres in zip(
        latitudes, longitudes, haversine(*ORIGIN, latitudes, longitudes), strict=True
    ):
        to = models.GeoDistance(
            geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lat=ORIGIN[0], lon=ORIGIN[1]), to="g")
        )
        expected = evaluate_expression(to, 1, [], {"g": {"lat": latitude, "lon": longitude}}, {}, {})
        assert metres == pytest.approx(expected, rel=1e-9)


def test_no_candidates():
    assert evaluate(variable("a"), Candidates([])).shape == (0,)
