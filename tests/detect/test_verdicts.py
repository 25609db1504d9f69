"""The latest word on each principal: bounded, but for what an operator pinned."""

from __future__ import annotations

import pytest

from vecguard.detect import verdicts as module
from vecguard.detect.store import Profile
from vecguard.detect.verdicts import Verdicts


def test_the_oldest_are_forgotten_and_pinned_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    known = Verdicts()
    known.publish(("pinned", "notes"), Profile(pinned=9.0))
    for number in range(10):
        known.publish((str(number), "notes"), Profile(risk=1.0, at=float(number)))
    assert known.of(("pinned", "notes")) is not None
    assert [known.of((str(number), "notes")) is not None for number in (0, 7, 8, 9)] == [False, False, True, True]


def test_what_only_operators_said_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    known = Verdicts()
    for number in range(5):
        known.publish((str(number), "notes"), Profile(pinned=1.0))
    assert all(known.of((str(number), "notes")) is not None for number in range(5))
