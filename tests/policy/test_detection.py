"""The detection section: its ladder rises, its budgets fit each other, and what has no use is an error."""

import pytest

from vecguard.model import Shape
from vecguard.policy.detection import Budgets, DetectionRule, Ladder
from vecguard.policy.load import check_text

POLICY = "version: 1\ncollections:\n  - match: '*'\n    detection: {}\n"


def errors(section):
    checked = check_text(f"version: 1\ncollections:\n  - match: '*'\n    detection: {section}\n")
    return [f"{error.path.removeprefix('collections[0].detection')}: {error.text}" for error in checked.errors]


def test_told_nothing_it_observes():
    rule = DetectionRule()
    assert (rule.watches, rule.enforces) == (True, False)
    assert [name for name, _ in rule.ladder.rungs] == ["log", "alert", "slow", "degrade", "block"]
    assert not rule.budgets
    assert errors("{}") == []


def test_a_risk_is_on_the_highest_rung_that_it_reaches():
    ladder = Ladder(log=1.0, alert=2.0, slow="off", degrade=3.0, block=4.0)
    assert [ladder.rung(risk) for risk in (0.0, 0.99, 1.0, 2.5, 3.0, 3.99, 4.0, 1e9)] == [
        *(None, None, "log", "alert", "degrade", "degrade", "block", "block"),
    ]
    assert Ladder(log="off", alert="off", slow="off", degrade="off", block="off").rung(1e9) is None


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        ("{alert: 0.5}", [".ladder.alert: must be above `log` (0.5): a ladder is climbed rung by rung"]),
        (
            "{slow: off, degrade: 0.7}",
            [".ladder.degrade: must be above `alert` (0.8): a ladder is climbed rung by rung"],
        ),
        ("{slow: off, degrade: 1.2, block: off}", []),
        ("{log: 0}", [".ladder.log: must be more than 0, not 0"]),
        ("{log: never}", [".ladder.log: must be `off`, not `never`"]),
    ],
)
def test_thresholds_rise(ladder, said):
    assert errors(f"{{ladder: {ladder}}}") == said


def test_an_hours_budget_that_never_counts_is_an_error():
    said = "is more than records_per_day (5), so it never counts: lower it, or remove it"
    assert errors("{budgets: {records_per_hour: 6, records_per_day: 5}}") == [f".budgets.records_per_hour: {said}"]
    assert errors("{budgets: {records_per_hour: 5, records_per_day: 5}}") == []
    budgets = Budgets(records_per_hour=1, vectors_per_day=2, distinct_ids_per_day=3)
    assert budgets.buckets == (("records", 1, 3_600), ("vectors", 2, 86_400))
    assert budgets.distinct == ((3, 86_400),)


def test_off_leaves_nothing_to_rule():
    said = "`mode: off` looks at no call, so there is nothing to rule here: remove one or the other"
    assert errors("{mode: off, slow_ms: 5}") == [f".slow_ms: {said}"]
    assert errors("{mode: off}") == []


def test_a_rung_that_does_nothing_is_an_error():
    nothing = "degraded: {vectors: exact, scores: exact, max_limit: 5}"
    assert errors(f"{{{nothing}}}") == []
    rule = DetectionRule()
    assert rule.degraded.shape == Shape("deny", "rounded", 2)


def test_switches_name_detectors_that_there_are():
    (said,) = errors("{detectors: {crystal-ball: true}}")
    assert said.startswith(".detectors.crystal-ball: is no detector; there are: ")


@pytest.mark.parametrize(("period", "seconds"), [("90s", 90), ("15m", 900), ("1d", 86_400)])
def test_a_block_lasts_so_long(period, seconds):
    assert DetectionRule(block_for=period).block_s == seconds
    assert errors("{block_for: 5 minutes}") != []


def test_canaries_are_few_enough_and_lie_under_one_key():
    assert errors("{canaries: 256}") == []
    assert errors("{canaries: 257}") == [".canaries: must be at most 256, not 257"]
    assert errors('{mode: "off", canaries: 8}')[0].startswith(".canaries: `mode: off` looks at no call")
    said = ".canaries: records are planted under the one key of a collection: not with `protect: none` or `tenant_keys`"
    assert errors("{canaries: 8}\n    protect: none") == [said]
    assert errors("{canaries: 8}\n    tenant_keys: {attribute: tenant}") == [said]
