"""The demo's folder is its own: made and remade, but never taken from the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecguard.demo.folder import prepare
from vecguard.errors import ConfigError


def test_a_missing_and_an_empty_folder_are_taken(tmp_path: Path) -> None:
    assert prepare(tmp_path / "new" / "demo").root.is_dir()
    (tmp_path / "empty").mkdir()
    assert prepare(tmp_path / "empty").root == tmp_path / "empty"


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    (prepare(tmp_path / "demo").root / "old.png").touch()
    assert not (prepare(tmp_path / "demo").root / "old.png").exists()


def test_a_users_folder_and_a_file_are_refused_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not made by the demo"):
        prepare(mine)
    with pytest.raises(ConfigError, match="not made by the demo"):
        prepare(mine / "thesis.tex")
    assert (mine / "thesis.tex").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConfigError, match="/proc/demo"):
        prepare(Path("/proc/demo"))
