"""The file of operators' acts: the latest of each kind, in order, for workers that start and for those that run."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vecguard.detect import acts as module
from vecguard.detect.acts import Acts
from vecguard.detect.desk import Acknowledge, Pardon, Pin

ANN, BOB = ("ann", "notes"), ("bob", "notes")


def test_a_worker_that_runs_takes_what_is_new_and_one_that_starts_takes_all(tmp_path: Path) -> None:
    plane, worker = Acts(tmp_path / "acts.json"), Acts(tmp_path / "acts.json")
    assert worker.after(0) == (0, [])
    plane.add(ANN, Pin(2.0))
    plane.add(BOB, Acknowledge(9.5))
    number, acts = worker.after(0)
    assert acts == [(ANN, Pin(2.0)), (BOB, Acknowledge(9.5))]
    plane.add(ANN, Pardon())
    plane.add(ANN, Pin(None))
    number, acts = worker.after(number)
    assert acts == [(ANN, Pardon()), (ANN, Pin(None))]
    assert worker.after(number) == (number, [])
    # Of each kind on each principal and collection the latest, in the order in which they were told.
    assert Acts(tmp_path / "acts.json").after(0)[1] == [(BOB, Acknowledge(9.5)), (ANN, Pardon()), (ANN, Pin(None))]
    assert stat.S_IMODE((tmp_path / "acts.json").stat().st_mode) == 0o600


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 5)
    plane = Acts(tmp_path / "acts.json")
    for number in range(12):
        plane.add((str(number), "notes"), Pardon())
    assert [key[0] for key, _ in plane.after(0)[1]] == ["7", "8", "9", "10", "11"]


def test_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acts.json").write_text('[{"number": 1}]')
    assert Acts(tmp_path / "acts.json").after(0) == (0, [])
