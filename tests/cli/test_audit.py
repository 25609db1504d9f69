"""`vecguard audit` and `vecguard tune`: what is refused, and with which exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vecguard.cli import app

OPEN = "version: 1\ncollections: [{match: 'a*', protect: none}]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--defence", "rotate"], "is no defence"),
        (["run", "--attacks", "guessing", "--quick", "--embedder", "minilm"], "there is no attack 'guessing'"),
        (["run", "--unit", "words"], "sentences or documents"),
        (["run", "--live", "127.0.0.1:1", "--data", "x"], "give one of them"),
        (["run", "--embedder", "nobody", "--quick"], "there is no embedder 'nobody'"),
        (["run", "--data", "nowhere", "--quick"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["audit", *arguments, *(["--out", str(tmp_path)] if arguments[0] == "run" else [])]
    )
    assert result.exit_code == 1
    assert said in result.output
    assert not any(tmp_path.iterdir())


def test_a_collection_that_no_entry_covers_is_named(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(OPEN)
    result = CliRunner().invoke(app, ["audit", "run", "--policy", str(policy), "--collection", "b"])
    assert result.exit_code == 1
    assert "`b`" in result.output


def test_a_gate_without_thresholds_holds_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(OPEN)
    result = CliRunner().invoke(app, ["audit", "gate", "--policy", str(policy)])
    assert result.exit_code == 1
    assert "no `audit` section" in result.output
