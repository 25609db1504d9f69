"""Hill climbing raises it; repeats, paraphrases and conversations do not."""

from __future__ import annotations

from detect.traffic import DIMS, Desk, questions, sessions, told, unit
from vecguard.detect.detectors.near_duplicates import NEAREST, NearDuplicates

DETECTOR = NearDuplicates()


def test_a_search_by_small_steps_is_seen_long_before_it_arrives() -> None:
    desk = Desk()
    target, at = desk.vectors[7], desk.question(7, noise=1.5)
    assert at @ target < 0.7
    seen, steps = [], 0
    while at @ target < 0.9:
        trial = unit(at + 0.15 * desk.direction())
        seen.append(desk.search(trial)[0])
        at = trial if trial @ target > at @ target else at
        steps += 1
        if told(DETECTOR, seen).level > 1:
            break
    assert at @ target < 0.9
    assert steps < DIMS


def test_steps_too_small_to_see_in_a_cosine_are_seen_too() -> None:
    desk = Desk()
    start = desk.question(7)
    seen = [desk.search(unit(start + 1e-3 * desk.direction()))[0] for _ in range(100)]
    assert told(DETECTOR, seen).level > 1


def test_one_question_again_and_again_is_no_search() -> None:
    desk = Desk()
    query = desk.question(7)
    assert told(DETECTOR, [desk.search(query)[0] for _ in range(500)]).level == 0


def test_repeats_are_the_same_in_batches_of_any_size() -> None:
    desk = Desk()
    query = desk.question(7)
    seen = [desk.search(unit(query[None].repeat(rows, axis=0)))[0] for rows in (1, 3, 17, 40, 2, 64, 9)]
    assert told(DETECTOR, seen, batch=3).level == 0


def test_paraphrases_come_by_the_handful() -> None:
    desk = Desk()
    seen = []
    for _ in range(60):
        question = desk.question()
        phrasings = [question, *(unit(question + 0.3 * desk.direction()) for _ in range(4))]
        seen += [desk.search(one)[0] for one in phrasings]
    assert told(DETECTOR, seen).level < 0.2
    assert NEAREST > 5


def test_conversations_and_questions_do_not_raise_it() -> None:
    assert told(DETECTOR, sessions(Desk(), 300)).level < 0.5
    assert told(DETECTOR, questions(Desk(), 300)).level < 0.5
