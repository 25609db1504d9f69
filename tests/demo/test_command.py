"""`vecguard demo` as a command: refusals in one line, and the whole run on a small corpus."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vecguard.cli.demo import demo
from vecguard.demo import extras
from vecguard.demo.corpus import MIN_ATTACKER_NOTES, QUESTIONS, make_texts
from vecguard.demo.thief import database_files, readable_bytes
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


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = CliRunner().invoke(APP, ["--notes", "200", "--out", str(out), "--seed", "7"])
    assert result.exit_code == 0, result.output
    for shown in ("recall@10 against exact search", "vg:", "Not covered", "demo.png"):
        assert shown in result.output
    figures = json.loads((out / "demo.json").read_text())
    plain, safe, bottom = figures["unprotected"], figures["protected"], figures["floor"]

    assert plain["readable_bytes"] > 20_000
    assert plain["readable_notes"] == 200
    assert plain["leakage"]["words_f1"] > bottom["words_f1"] + 0.2
    assert plain["leakage"]["guessed_diagnosis"] > 0.5

    assert safe["readable_bytes"] == 0
    assert safe["readable_notes"] == 0
    assert safe["leakage"]["words_f1"] < bottom["words_f1"] + 0.1
    assert safe["leakage"]["guessed_diagnosis"] < bottom["guessed_diagnosis"] + 0.1
    assert safe["intact_notes"] == 200
    assert safe["recall"] >= 0.97
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_the_demo_leaves_behind_holds_neither_key_nor_note(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert CliRunner().invoke(APP, ["--notes", "60", "--out", str(out)]).exit_code == 0
    key = (out / "vecguard.key").read_bytes()
    secrets = [note.text for note in make_texts(60, 0).notes] + key.decode().split()
    assert stat.S_IMODE((out / "vecguard.key").stat().st_mode) == 0o600
    kept = [*database_files(out / "protected"), *(path.read_bytes() for path in out.glob("*.log"))]
    assert readable_bytes(kept, secrets) == 0
    assert readable_bytes([key], secrets) > 0  # the search would have found the key, had it been there
