"""Queries that turn around one record raise it; conversations, repeats and popular records do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detect.traffic import DIMS, Desk, questions, sessions, told, unit
from vecguard.detect.detectors.anchored import ABSENT, Anchored
from vecguard.detect.observation import Observation

DETECTOR = Anchored()


def scattered(desk: Desk, calls: int, spread: float = 0.8) -> list[Observation]:
    """Far apart from each other, and all finding one record."""
    start = desk.vectors[7]
    return [desk.search(unit(start + spread * desk.direction()), limit=50)[0] for _ in range(calls)]


def test_trilateration_without_a_filter_is_seen_before_there_are_enough_scores() -> None:
    evidence = told(DETECTOR, scattered(Desk(), 80))
    assert evidence.level > 1
    assert DIMS > 80
    assert "one record is in the answers of some" in evidence.reason


def test_its_count_is_the_recursion() -> None:
    desk = Desk()
    seen = scattered(desk, 30) + questions(desk, 3) + scattered(desk, 5)
    victim, expected = desk.hashes([7])[0], 0.0
    for one in seen:
        if victim in one.ids:
            expected += 1
        else:
            expected = max(0.0, expected - ABSENT)
    state = DETECTOR.fresh()
    told(DETECTOR, seen, state=state)
    kept = state["counts"][state["ids"] == victim]
    np.testing.assert_allclose(kept, expected, rtol=1e-2)


def test_conversations_and_questions_do_not_raise_it() -> None:
    assert told(DETECTOR, sessions(Desk(), 300)).level < 0.5
    assert told(DETECTOR, questions(Desk(), 300)).level < 0.3


def test_one_question_again_and_again_is_one_question() -> None:
    desk = Desk()
    query = desk.question(7)
    assert told(DETECTOR, [desk.search(query)[0] for _ in range(500)]).level < 0.1


def test_without_scores_there_is_nothing_to_learn() -> None:
    hidden = [replace(one, scores=np.full(50, np.nan, np.float32)) for one in scattered(Desk(), 80)]
    assert told(DETECTOR, hidden).level == 0
