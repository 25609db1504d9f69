"""Asking for texts that are stored raises it; questions, caches of one's own and what was shown before do not."""

from __future__ import annotations

from detect.traffic import RECORDS, Desk, questions, told
from vecguard.detect.detectors.membership import Membership

DETECTOR = Membership()


def test_candidates_that_are_stored_are_hits() -> None:
    desk, seen = Desk(), []
    for at in range(30):
        seen += [desk.search(desk.vectors[at], limit=1)[0], desk.search(desk.direction(), limit=1)[0]]
    evidence = told(DETECTOR, seen)
    assert evidence.level > 1
    assert " of 60 queries met a stored record almost exactly" in evidence.reason


def test_questions_are_no_hits() -> None:
    assert told(DETECTOR, questions(Desk(), 200)).level == 0


def test_a_cache_asks_for_what_it_wrote() -> None:
    desk, seen = Desk(), []
    for at in range(100):
        seen += [desk.write([at]), desk.search(desk.vectors[at], limit=1)[0]]
    assert told(DETECTOR, seen).level == 0


def test_what_was_returned_before_is_known() -> None:
    desk = Desk()
    first, ids = desk.search(desk.question(3), limit=50)
    assert told(DETECTOR, [first, *(desk.search(desk.vectors[at], limit=1)[0] for at in ids)]).level == 0


def test_one_text_again_and_again_is_one_hit() -> None:
    desk = Desk()
    assert told(DETECTOR, [desk.search(desk.vectors[5], limit=1)[0] for _ in range(RECORDS)]).level < 0.1
