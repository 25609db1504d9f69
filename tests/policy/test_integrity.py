"""`integrity` in a collection's policy entry: its short form, and the rule of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vecguard.cli import app
from vecguard.errors import ConfigError
from vecguard.policy.explain import explain
from vecguard.policy.integrity import UNRECOVERABLE, IntegrityRule
from vecguard.policy.load import loads

ASKING = "version: 1\ncollections:\n  - {match: notes, integrity: {rollback: detect}}\n"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("fail", IntegrityRule(damaged="fail", rollback="ignore")),
        ("drop", IntegrityRule(damaged="drop", rollback="ignore")),
        ("{damaged: drop}", IntegrityRule(damaged="drop", rollback="ignore")),
        ("{rollback: detect}", IntegrityRule(damaged="fail", rollback="detect")),
    ],
)
def test_both_forms(given: str, rule: IntegrityRule) -> None:
    entry = loads(f"version: 1\ncollections:\n  - {{match: a, integrity: {given}}}\n").collections[0]
    assert (entry.checks, entry.detects_rollback) == (rule, rule.rollback == "detect")


@pytest.mark.parametrize("given", ["ignore", "{rollback: perhaps}", "{damage: drop}", "[fail]"])
def test_what_is_no_rule(given: str) -> None:
    with pytest.raises(ConfigError, match="integrity"):
        loads(f"version: 1\ncollections:\n  - {{match: a, integrity: {given}}}\n")


@pytest.mark.parametrize(
    ("beside", "text"),
    [
        ("protect: none", "protect: none"),
        ("vectors: [{recover: none, rerank: 'off'}]", UNRECOVERABLE.split(" cannot")[0]),
    ],
)
def test_where_it_cannot_be_told(beside: str, text: str) -> None:
    entry = f"version: 1\ncollections:\n  - {{match: a, {beside}, integrity: "
    loads(f"{entry}fail}}\n")
    with pytest.raises(ConfigError) as refused:
        loads(f"{entry}{{rollback: detect}}}}\n")
    assert "integrity.rollback" in str(refused.value)
    assert text in str(refused.value)


def test_explained() -> None:
    lines = {line.subject: line.text for section in explain(loads(ASKING), "notes") for line in section.lines}
    assert "not the newest is reported" in lines["older records"]
    assert "older vectors are reported" in lines["F, writer behind the proxy"]
    other = loads("version: 1\ncollections:\n  - {match: notes}\n")
    lines = {line.subject: line.text for section in explain(other, "notes") for line in section.lines}
    assert "older records" not in lines
    assert "putting back an older version, is not noticed" in lines["F, writer behind the proxy"]


def test_checked_with_the_settings(tmp_path: Path) -> None:
    policy, settings = tmp_path / "policy.yaml", tmp_path / "settings.yaml"
    policy.write_text(ASKING)
    alone = CliRunner().invoke(app, ["policy", "check", str(policy)])
    assert (alone.exit_code, "need `state` or" in alone.output) == (0, True)
    check = ["policy", "check", str(policy), "--config", str(settings)]
    settings.write_text("workers: 1\n")
    without = CliRunner().invoke(app, check)
    assert (without.exit_code, "collections[0].integrity" in without.output) == (1, True)
    for given in ("state: {url: 'redis://127.0.0.1:6379'}\n", "rollback_memory: newest.db\n"):
        settings.write_text(given)
        assert CliRunner().invoke(app, check).exit_code == 0
    settings.write_text("state: {url: 'redis://127.0.0.1:6379'}\nupstream: 'milvus://127.0.0.1:19530'\n")
    assert CliRunner().invoke(app, check).exit_code == 0
