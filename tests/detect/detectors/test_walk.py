"""Walking from returned vector to returned vector raises it; recommending and looking for doubles do not."""

from __future__ import annotations

from collections import deque

import numpy as np

from detect.traffic import RECORDS, Desk, questions, told, unit
from vecguard.detect.detectors.walk import Walk
from vecguard.detect.observation import Observation

DETECTOR = Walk()


def walk(desk: Desk, calls: int, noise: float = 0.0) -> list[Observation]:
    """Breadth first, by what came back."""
    waiting, met, seen = deque([desk.question()]), set(), []
    while waiting and len(seen) < calls:
        query = waiting.popleft()
        one, ids = desk.search(unit(query + noise * desk.direction()), vectors=True)
        seen.append(one)
        waiting.extend(desk.vectors[at] for at in ids.tolist() if at not in met)
        met.update(ids.tolist())
    return seen


def test_a_walk_is_seen_early() -> None:
    evidence = told(DETECTOR, walk(Desk(), 30))
    assert evidence.level > 1
    assert "29 of 30 searches asked with a vector that an earlier answer had brought" in evidence.reason


def test_a_little_noise_does_not_hide_it() -> None:
    assert told(DETECTOR, walk(Desk(), 40, noise=0.15)).level > 1


def test_recommending_by_what_was_read_lets_no_vectors_go_on() -> None:
    desk = Desk()
    seen = []
    for _ in range(100):
        at = int(desk.random.integers(RECORDS))
        seen.append(desk.read("retrieve", [at], vectors=True))
        seen.append(desk.search(desk.vectors[at])[0])
    assert told(DETECTOR, seen).level == 0


def test_questions_whose_answers_carry_vectors_do_not_raise_it() -> None:
    """As maximal marginal relevance asks."""
    desk = Desk()
    seen = [desk.search(desk.question(), vectors=True)[0] for _ in range(200)]
    assert told(DETECTOR, seen).level < 0.2


def test_answers_without_vectors_do_not_raise_it() -> None:
    assert told(DETECTOR, questions(Desk(), 100)).level == 0


def test_it_fades() -> None:
    desk, state = Desk(), DETECTOR.fresh()
    before = told(DETECTOR, walk(desk, 30), state=state).level
    desk.now += 86_400.0
    after = told(DETECTOR, [desk.search(desk.question())[0]], state=state).level
    assert after < 0.55 * before
    assert np.isfinite(after)
