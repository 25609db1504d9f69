"""Trilateration: scores of pinned records in many directions raise it; questions about one document do not."""

from __future__ import annotations

import numpy as np

from detect.traffic import DIMS, RECORDS, Desk, questions, told
from vecguard.detect.detectors.pinned import DIMS as RANK_DIMS
from vecguard.detect.detectors.pinned import SLOTS, Pinned

DETECTOR = Pinned()


def test_random_directions_by_filter_are_seen_long_before_they_tell_the_vector() -> None:
    desk = Desk()
    seen = [desk.search(desk.direction(), limit=1, only=(7,))[0] for _ in range(60)]
    evidence = told(DETECTOR, seen)
    assert evidence.level > 1
    assert len(seen) < DIMS / 2
    assert "60 queries scored one pinned record" in evidence.reason


def test_its_level_is_the_count_times_the_share_of_directions() -> None:
    desk = Desk()
    queries = np.stack([desk.direction() for _ in range(200)])
    seen = [desk.search(query, limit=1, only=(7,))[0] for query in queries]
    found = told(Pinned(level_one=1.0), seen).level
    assert 0.75 * 200 < found < 200  # random directions have nearly full rank in so few dimensions
    assert RANK_DIMS == 16


def test_lists_that_hold_most_of_the_collection_pin_all_of_it() -> None:
    desk = Desk()
    seen = [desk.search(desk.direction(), limit=RECORDS // 2)[0] for _ in range(60)]
    assert told(DETECTOR, seen).level > 1


def test_a_filter_that_leaves_one_record_pins_it() -> None:
    desk = Desk()
    asked = [desk.search(desk.direction(), limit=1, only=(7,))[0] for _ in range(60)]
    by_field = [type(one)(**{**{f: getattr(one, f) for f in one.__slots__}, "filter_ids": 0}) for one in asked]
    assert told(DETECTOR, by_field).level > 1


def test_decoys_do_not_hide_a_record() -> None:
    desk = Desk()
    seen = []
    for at in range(80):
        seen.append(desk.search(desk.direction(), limit=1, only=(7,))[0])
        seen += [desk.search(desk.direction(), limit=1, only=(100 + 3 * at + d,))[0] for d in range(3)]
    assert told(DETECTOR, seen).level > 1


def test_more_records_in_turn_than_there_are_slots_are_seen_in_the_sum() -> None:
    desk = Desk()
    seen = [desk.search(desk.direction(), limit=1, only=(at % 40,))[0] for at in range(60 * SLOTS)]
    evidence = told(DETECTOR, seen)
    assert evidence.level > 1
    assert "records that it pinned" in evidence.reason


def test_questions_about_one_document_do_not_raise_it() -> None:
    desk = Desk()
    seen = [desk.search(desk.question(7, noise=0.9), limit=1, only=(7,))[0] for _ in range(30)]
    assert told(DETECTOR, seen).level < 1


def test_the_same_question_tells_nothing_new() -> None:
    desk = Desk()
    query = desk.direction()
    seen = [desk.search(query, limit=1, only=(7,))[0] for _ in range(2_000)]
    assert told(DETECTOR, seen).level < 0.2  # single precision leaves the rank a little above 1


def test_ordinary_questions_pin_nothing() -> None:
    assert told(DETECTOR, questions(Desk(), 300)).level == 0


def test_scores_that_did_not_leave_tell_nothing() -> None:
    desk = Desk()
    seen = []
    for _ in range(100):
        one = desk.search(desk.direction(), limit=1, only=(7,))[0]
        given = {name: getattr(one, name) for name in one.__slots__}
        seen.append(type(one)(**{**given, "scores": np.full(1, np.nan, np.float32)}))
    assert told(DETECTOR, seen).level == 0
