"""Which events are alerts."""

from __future__ import annotations

import pytest

from vecguard.alerting.kinds import alert_of

FOUND = {
    "principal": "ann",
    "collection": "notes",
    "rung": "slow",
    "risk": 1.7,
    "reasons": ["walks"],
    "request_id": "r1",
    "enforced": True,
    "acknowledged": False,
    "secret": "x",
}


def test_a_principal_on_a_rung() -> None:
    found = alert_of("detection", FOUND)
    assert found is not None
    kind, told = found
    assert (kind, told["rung"], told["risk"], told["reasons"], told["collections"]) == (
        *("DETECTION", "slow", 1.7, ["walks"], ["notes"]),
    )
    assert "secret" not in told


@pytest.mark.parametrize("change", [{"rung": "log"}, {"rung": ""}, {"acknowledged": True}])
def test_what_is_only_logged_is_none(change: dict[str, object]) -> None:
    assert alert_of("detection", {**FOUND, **change}) is None


@pytest.mark.parametrize("rung", ["alert", "slow", "degrade", "block"])
def test_every_rung_from_alert_on(rung: str) -> None:
    assert alert_of("detection", {**FOUND, "rung": rung}) is not None


def test_a_budget() -> None:
    told = alert_of("budget", {"principal": "ann", "collection": "notes", "budget": "records_per_day", "wait_s": 3})
    assert told == (
        "BUDGET_USED_UP",
        {"principal": "ann", "budget": "records_per_day", "wait_s": 3, "collections": ["notes"]},
    )


def test_other_events_are_none() -> None:
    assert alert_of("call", {"cause": "policy"}) is None
    assert alert_of("policy reloaded", {}) is None


def test_records_that_are_not_the_newest() -> None:
    fields = {"collection": "notes", "records": 3, "ids": ["7"], "principal": "ann", "outcome": "drop"}
    assert alert_of("integrity", {**fields, "rolled_back": 0}) is None
    assert alert_of("integrity", {**fields, "rolled_back": 2}) == (
        *("ROLLED_BACK", {"principal": "ann", "collections": ["notes"]}),
    )
