"""A replay tells what a policy would have done: by the observations' time, with what would have left by then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from detect.observations import observed
from detect.traffic import Desk
from vecguard.cli import app
from vecguard.detect.detector import Evidence, State
from vecguard.detect.linking import EVERYBODY
from vecguard.detect.log import LogWriter
from vecguard.detect.observation import Observation
from vecguard.detect.replay import Outcome, Replay
from vecguard.policy.load import loads

START = 1_800_000_000.0


class Counting:
    """Level 1 at ten records, 2 at twenty and so on."""

    name = "counting"
    most_bytes = 8

    def fresh(self) -> State:
        return {"n": np.zeros(1)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        state["n"] += sum(len(one.ids) for one in batch)
        return Evidence(self.name, float(state["n"][0]) / 10, f"{int(state['n'][0])} records")


def calls(number: int, principal: str = "ann", collection: str = "notes") -> list[Observation]:
    """One call a second, each with two records."""
    return [
        observed(
            time=START + second,
            principal=principal,
            collection=collection,
            ids=np.array([2 * second, 2 * second + 1], np.uint64),
            query_of=np.full(2, -1, np.int32),
            scores=np.full(2, np.nan, np.float32),
        )
        for second in range(number)
    ]


WIDE = "ladder: {alert: 1.0, slow: 1.5, degrade: 2.0, block: 3.0}"


def outcomes(rule: str, observations: list[Observation]) -> list[Outcome]:
    policy = loads(f"version: 1\ncollections: [{{match: 'notes*', detection: {rule}}}]\n")
    return asyncio.run(Replay(policy, {"counting": Counting()}).run(observations))


def test_what_only_observes_refuses_nobody() -> None:
    (one,) = outcomes(f"{{mode: observe, {WIDE}}}", calls(30))
    assert (one.calls, one.records, one.mode, one.rung) == (30, 60, "observe", "block")
    assert [(reached.rung, reached.calls, reached.records) for reached in one.reached] == [
        *(("log", 3, 6), ("alert", 5, 10), ("slow", 8, 16), ("degrade", 10, 20), ("block", 15, 30)),
    ]
    assert one.reached[1].after_s == 4.0
    assert one.reached[1].reasons == ["10 records"]
    assert one.refused == 15  # would have been


def test_answers_too_large_for_one_are_counted_and_with_enforcing_do_not_leave() -> None:
    page = [
        replace(one, ids=np.arange(300, dtype=np.uint64), left=frozenset({"payload"}), records=5_000)
        for one in calls(2)
    ]
    (observed,) = outcomes("{mode: observe}", page)
    (enforced,) = outcomes("{mode: enforce}", page)
    assert (observed.too_large, observed.records) == (2, 600)
    assert (enforced.too_large, enforced.records) == (2, 0)


def test_what_enforces_stops_what_leaves() -> None:
    (one,) = outcomes(f"{{mode: enforce, block_for: 1h, {WIDE}}}", calls(30))
    assert (one.calls, one.records, one.refused) == (30, 30, 15)
    # From the call after each rung; a second later a risk of 2.0 has fallen a little, so one call more is only slowed.
    assert (one.slowed, one.degraded) == (7, 4)
    assert one.risk == pytest.approx(3.0)


def test_rungs_that_a_ladder_leaves_out_are_not_reached() -> None:
    (one,) = outcomes("{mode: enforce, ladder: {slow: 'off', degrade: 'off', block: 2}}", calls(30))
    assert [reached.rung for reached in one.reached] == ["log", "alert", "block"]
    assert one.records == 20


def test_budgets() -> None:
    budget = "budgets: {distinct_ids_per_day: 6}"
    (one,) = outcomes(f"{{mode: enforce, {budget}}}", [*calls(5), *calls(3)])
    assert (one.records, one.over_budget) == (6 + 6, {"distinct_ids_per_day": 2})
    (one,) = outcomes(f"{{mode: observe, {budget}}}", calls(5))
    assert (one.records, one.over_budget) == (10, {"distinct_ids_per_day": 2})


def test_principals_and_collections_are_told_apart_and_what_is_not_watched_is_left_out() -> None:
    mixed = [*calls(12), *calls(2, "bob"), *calls(2, collection="notes-2"), *calls(2, collection="other")]
    found = outcomes("{mode: observe}", sorted(mixed, key=lambda one: one.time))
    assert [(one.principal, one.collection, one.calls) for one in found] == [
        *(("ann", "notes", 12), ("ann", "notes-2", 2), ("bob", "notes", 2)),
    ]
    assert outcomes("{mode: 'off'}", calls(3)) == []


def test_callers_are_looked_at_together() -> None:
    desk = Desk()
    crawl = [desk.search(desk.direction())[0] for _ in range(160)]
    dealt = [replace(one, principal=f"account {at % 40}") for at, one in enumerate(crawl)]
    policy = loads("version: 1\ncollections: [{match: 'notes*', detection: {mode: enforce}}]\n")
    found = asyncio.run(Replay(policy).run(dealt))
    crowd = next(one for one in found if one.principal == EVERYBODY)
    assert (crowd.rung, crowd.calls, crowd.records) == ("alert", 160, 1_600)
    assert crowd.reached[-1].calls < 160
    assert "callers together" in crowd.reached[-1].reasons[0]
    assert {one.rung for one in found if one.principal.startswith("account")} == {""}
    alone = asyncio.run(Replay(policy).run(calls(30)))
    assert [one.principal for one in alone] == ["ann"]
    off = loads("version: 1\ncollections: [{match: 'notes*', detection: {linking: 'off'}}]\n")
    assert EVERYBODY not in {one.principal for one in asyncio.run(Replay(off).run(dealt))}


def test_the_command_reads_a_log(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", 0, file_bytes=1 << 20, most_files=2)
    writer.write([replace(one, request_id="r") for one in calls(4)])
    writer.close()
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "version: 1\ncollections: [{match: '*', detection: {mode: enforce, budgets: {records_per_day: 5}}}]\n"
    )
    command = ["replay", str(tmp_path / "log"), "--policy", str(policy)]
    result = CliRunner().invoke(app, [*command, "--format", "json"])
    assert result.exit_code == 0, result.output
    (one,) = [json.loads(line) for line in result.output.splitlines()]
    assert (one["principal"], one["calls"], one["records"], one["over_budget"]) == ("ann", 4, 4, {"records_per_day": 2})
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert "2 over records_per_day" in shown.output
    assert "1 principals on a collection" in shown.output
    refused = CliRunner().invoke(app, ["replay", str(tmp_path), "--policy", str(policy)])
    assert (refused.exit_code, "holds no recorded observations" in refused.output) == (1, True)
