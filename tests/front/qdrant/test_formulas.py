"""Every formula message is read into the tree that says the same, or refused."""

import numpy as np
import pytest
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant.formulas import _Reader
from vecguard.ranking import expression as tree
from vecguard.ranking.formula import Candidates, evaluate
from vecguard.ranking.payload_path import PayloadPath

ONE, TWO = q.Expression(constant=1.0), q.Expression(constant=2.0)
C1, C2 = tree.Constant(1.0), tree.Constant(2.0)
CONDITION = q.Condition(is_null=q.IsNullCondition(key="a"))


def decay(**parts):
    return q.DecayParamsExpression(x=ONE, **parts)


CASES = {
    "constant": (q.Expression(constant=1.5), tree.Constant(1.5)),
    "variable": (q.Expression(variable="a.b"), tree.PayloadNumber(PayloadPath.parse("a.b"))),
    "condition": (q.Expression(condition=CONDITION), tree.Condition(0)),
    "geo_distance": (
        q.Expression(geo_distance=q.GeoDistance(origin=q.GeoPoint(lat=1, lon=2), to="place")),
        tree.GeoDistance(1.0, 2.0, PayloadPath.parse("place")),
    ),
    "datetime": (q.Expression(datetime="1970-01-02T00:00:00Z"), tree.Constant(86_400.0)),
    "datetime_key": (q.Expression(datetime_key="when"), tree.DatetimeKey(PayloadPath.parse("when"))),
    "mult": (q.Expression(mult=q.MultExpression(mult=[ONE, TWO])), tree.Folded(tree.Fold.MULT, (C1, C2))),
    "sum": (q.Expression(sum=q.SumExpression(sum=[ONE, TWO])), tree.Folded(tree.Fold.SUM, (C1, C2))),
    "max": (q.Expression(max=q.MaxExpression(max=[ONE, TWO])), tree.Folded(tree.Fold.MAX, (C1, C2))),
    "min": (q.Expression(min=q.MinExpression(min=[ONE, TWO])), tree.Folded(tree.Fold.MIN, (C1, C2))),
    "div": (q.Expression(div=q.DivExpression(left=ONE, right=TWO)), tree.Division(C1, C2, None)),
    "neg": (q.Expression(neg=ONE), tree.Applied(tree.Function.NEG, C1)),
    "abs": (q.Expression(abs=ONE), tree.Applied(tree.Function.ABS, C1)),
    "sqrt": (q.Expression(sqrt=ONE), tree.Applied(tree.Function.SQRT, C1)),
    "exp": (q.Expression(exp=ONE), tree.Applied(tree.Function.EXP, C1)),
    "log10": (q.Expression(log10=ONE), tree.Applied(tree.Function.LOG10, C1)),
    "ln": (q.Expression(ln=ONE), tree.Applied(tree.Function.LN, C1)),
    "acosh": (q.Expression(acosh=ONE), tree.Applied(tree.Function.ACOSH, C1)),
    "pow": (q.Expression(pow=q.PowExpression(base=ONE, exponent=TWO)), tree.Power(C1, C2)),
    "exp_decay": (q.Expression(exp_decay=decay()), tree.Decay(tree.DecayKind.EXPONENTIAL, C1)),
    "gauss_decay": (q.Expression(gauss_decay=decay()), tree.Decay(tree.DecayKind.GAUSSIAN, C1)),
    "lin_decay": (q.Expression(lin_decay=decay()), tree.Decay(tree.DecayKind.LINEAR, C1)),
}


def test_every_expression_of_the_api_is_known_here():
    """A newer client library that brings another expression must be looked at before it is used."""
    assert {f.name for f in q.Expression.DESCRIPTOR.oneofs_by_name["variant"].fields} == set(CASES)


@pytest.mark.parametrize("kind", CASES)
def test_each_expression_is_read(kind):
    message, expected = CASES[kind]
    assert message.WhichOneof("variant") == kind
    assert _Reader().read(message) == expected


@pytest.mark.parametrize(("text", "prefetch"), [("$score", 0), ("$score[0]", 0), ("$score[3]", 3)])
def test_scores_are_named_by_prefetch(text, prefetch):
    assert _Reader().read(q.Expression(variable=text)) == tree.Score(prefetch)


def test_options_are_taken_and_their_absence_is_kept():
    by_zero = q.Expression(div=q.DivExpression(left=ONE, right=TWO, by_zero_default=0.0))
    assert _Reader().read(by_zero) == tree.Division(C1, C2, 0.0)
    full = q.Expression(gauss_decay=decay(target=TWO, scale=3.0, midpoint=0.25))
    assert _Reader().read(full) == tree.Decay(tree.DecayKind.GAUSSIAN, C1, C2, 0.25, 3.0)


def test_conditions_are_numbered_as_they_come():
    other = q.Condition(is_null=q.IsNullCondition(key="b"))
    reader = _Reader()
    message = q.SumExpression(sum=[q.Expression(condition=CONDITION), q.Expression(neg=q.Expression(condition=other))])
    read = reader.read(q.Expression(sum=message))
    second = tree.Applied(tree.Function.NEG, tree.Condition(1))
    assert read == tree.Folded(tree.Fold.SUM, (tree.Condition(0), second))
    assert reader.conditions == [CONDITION, other]


@pytest.mark.parametrize(
    "message",
    [
        q.Expression(),
        q.Expression(neg=q.Expression()),
        q.Expression(sum=q.SumExpression(sum=[ONE, q.Expression()])),
        q.Expression(div=q.DivExpression(left=ONE)),
        q.Expression(pow=q.PowExpression(exponent=TWO)),
        q.Expression(exp_decay=q.DecayParamsExpression()),
        q.Expression(max=q.MaxExpression()),
        q.Expression(variable="$other"),
        q.Expression(variable="a..b"),
        q.Expression(datetime="yesterday"),
        q.Expression(datetime_key=""),
        q.Expression(geo_distance=q.GeoDistance(to="a b c[")),
        q.Expression(lin_decay=decay(midpoint=2.0)),
        q.Expression(exp_decay=decay(scale=0.0)),
    ],
)
def test_malformed_formulas_are_refused(message):
    with pytest.raises(InvalidArgument):
        _Reader().read(message)


def nested(depth):
    message = q.Expression(constant=1.0)
    for _ in range(depth):
        message = q.Expression(neg=message)
    return message


def test_formulas_may_be_nested_but_not_without_end():
    value = evaluate(_Reader().read(nested(64)), Candidates(payloads=[{}]))
    np.testing.assert_array_equal(value, [1.0])
    with pytest.raises(InvalidArgument, match="nested more than 64 levels deep"):
        _Reader().read(nested(65))


def test_a_formula_is_evaluated_as_it_was_written():
    message = q.Expression(
        sum=q.SumExpression(
            sum=[
                q.Expression(variable="$score"),
                q.Expression(mult=q.MultExpression(mult=[q.Expression(condition=CONDITION), TWO])),
                q.Expression(variable="bonus"),
            ]
        )
    )
    candidates = Candidates(
        payloads=[{"bonus": 10}, {"bonus": 20}],
        scores=[np.float32([0.5, 0.25])],
        conditions=[np.array([True, False])],
    )
    np.testing.assert_allclose(evaluate(_Reader().read(message), candidates), [12.5, 20.25])
