"""`vecguard policy` as a user meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vecguard.cli.policy import policy_app

BAD = "version: 1\ncollections:\n  - match: notes\n    payload: {default: seald}\n    limts: {}\n"
WARNED = 'version: 1\ncollections:\n  - match: "*"\n  - match: "[bold]notes"\n'


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_check_reports_all_errors_with_lines_and_fails(runner: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(BAD)
    result = runner.invoke(policy_app, ["check", str(file)])
    assert result.exit_code == 1
    assert [line.split(" ", 2)[1] for line in result.stderr.splitlines()] == [f"{file}:4:24:", f"{file}:5:5:"]
    assert "did you mean `sealed`" in result.stderr


def test_check_of_a_good_file_succeeds_and_shows_warnings_as_written(runner: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(WARNED)
    result = runner.invoke(policy_app, ["check", str(file)])
    assert result.exit_code == 0
    assert "2 collection entries" in result.stdout
    assert f"warning: {file}:4:12: collections[1].match: `[bold]notes` is never reached" in result.stderr


def test_check_of_a_missing_file_fails(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(policy_app, ["check", str(tmp_path / "gone.yaml")])
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_explain_without_a_file_speaks_of_the_default_policy(runner: CliRunner) -> None:
    result = runner.invoke(policy_app, ["explain", "notes"])
    assert result.exit_code == 0
    assert "rotated by a secret key" in result.stdout
    assert "F, writer behind the proxy" in result.stdout


def test_explain_reads_the_given_file(runner: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("version: 1\ncollections: [{match: open, protect: none}]")
    assert "everything in clear" in runner.invoke(policy_app, ["explain", "open", "--policy", str(file)]).stdout
    file.write_text(BAD)
    result = runner.invoke(policy_app, ["explain", "notes", "--policy", str(file)])
    assert result.exit_code == 1
    assert "did you mean `sealed`" in result.stderr


def test_schema_is_json(runner: CliRunner) -> None:
    result = runner.invoke(policy_app, ["schema"])
    assert json.loads(result.stdout)["properties"].keys() == {"version", "access", "audit", "collections"}
