"""`vecguard demo` as a command: refusals in one line, and the whole run on a small corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vecguard.cli.demo import demo
from vecguard.demo import extras
from vecguard.demo.corpus import MIN_ATTACKER_NOTES, QUESTIONS, make_texts
from vecguard.errors import ConfigError

APP = typer.Typer()
APP.command()(demo)


def test_every_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "PACKAGES", {"no_such_one": "no-such-one", "json": "json", "no_such_two": "two"})
    with pytest.raises(ConfigError, match=r"no-such-one, two: pip install 'vecguard\[demo\]'"):
        extras.require_extras()
    result = CliRunner().invoke(APP, ["--out", str(tmp_path / "demo")])
    assert result.exit_code == 1
    assert "vecguard[demo]" in result.output
    assert not (tmp_path / "demo").exists()


def test_present_packages_pass() -> None:
    assert extras.missing_extras({"json": "json"}) == []
    extras.require_extras()


def test_a_foreign_folder_and_too_many_notes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").touch()
    refused = CliRunner().invoke(APP, ["--out", str(tmp_path)])
    assert refused.exit_code == 1
    assert "--out" in refused.output
    assert CliRunner().invoke(APP, ["--notes", "1000000", "--out", str(tmp_path / "demo")]).exit_code == 1
    assert CliRunner().invoke(APP, ["--notes", "3", "--out", str(tmp_path / "demo")]).exit_code == 2


def test_the_attacker_knows_nobody_in_the_database() -> None:
    texts = make_texts(300, 0)
    assert len(texts.questions) == QUESTIONS
    assert len(texts.own) == MIN_ATTACKER_NOTES
    assert len(texts) == 300 + QUESTIONS + MIN_ATTACKER_NOTES
    assert not {note.patient for note in texts.notes} & {note.patient for note in texts.own}
