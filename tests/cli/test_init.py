"""`vecguard init` writes the default policy, and never over a file unasked."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vecguard.cli.init import init
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.load import load


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(init)
    return app


def test_writes_a_policy_that_loads_to_the_default(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    result = CliRunner().invoke(app, [str(file)])
    assert result.exit_code == 0
    assert f"vecguard serve --policy {file}" in result.stdout
    assert load(file) == DEFAULT_POLICY


def test_has_a_name_of_its_own(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, []).exit_code == 0
    assert load("vecguard-policy.yaml") == DEFAULT_POLICY


def test_replaces_a_file_only_when_told(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("mine")
    result = CliRunner().invoke(app, [str(file)])
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert file.read_text() == "mine"
    assert CliRunner().invoke(app, [str(file), "--force"]).exit_code == 0
    assert load(file) == DEFAULT_POLICY


def test_says_why_it_cannot_write(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "gone" / "p.yaml")])
    assert result.exit_code == 1
    assert "cannot be written: No such file" in result.stderr
