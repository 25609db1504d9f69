"""Walking by ids raises it; following a few recommendations, and looking for doubles, do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detect.observations import sketches
from detect.traffic import RECORDS, Desk, questions, told
from vecguard.detect.detectors.examples import EXCUSED, Examples
from vecguard.detect.observation import Observation

DETECTOR = Examples()


def like(desk: Desk, record: int, limit: int = 10) -> Observation:
    """What is like this record, asked by its id."""
    one = desk.search(desk.vectors[record], limit=limit)[0]
    return replace(one, queries=sketches(), query_of=one.query_of * 0 - 1)


def test_a_walk_by_ids_is_seen_before_five_percent_left() -> None:
    desk, seen, taken = Desk(), [], set()
    while len(taken) < 0.049 * RECORDS:
        seen.append(like(desk, int(desk.random.integers(RECORDS))))
        taken.update(seen[-1].ids.tolist())
    assert told(DETECTOR, seen).level > 1


def test_the_same_recommendations_again_do_not_count() -> None:
    desk = Desk()
    assert told(DETECTOR, [like(desk, at % 3) for at in range(300)]).level < 0.7


def test_what_people_follow_from_their_own_questions_is_made_up_for() -> None:
    """A day of a shop window, ten records an answer: three recommendations from a question, and a new question."""
    desk, seen = Desk(), []
    for _ in range(60):
        seen.append(desk.search(desk.question())[0])
        seen += [like(desk, int(desk.random.integers(RECORDS))) for _ in range(3)]
    assert told(DETECTOR, seen).level < 0.7
    alone = [one for one in seen if not len(one.queries)]
    assert told(DETECTOR, alone).level > 1


def test_a_question_makes_up_for_some_records_alone_and_only_with_something_new() -> None:
    desk = Desk()
    walked = [like(desk, at, limit=100) for at in range(0, 1_000, 100)]
    taken = len({number for one in walked for number in one.ids.tolist()})
    assert told(Examples(level_one=1.0), walked).level * RECORDS == pytest.approx(taken, rel=0.03)
    question = desk.search(desk.question(noise=3.0), limit=50)[0]
    again = [question] * 20  # brings something new once
    assert told(Examples(level_one=1.0), [*walked, *again]).level * RECORDS == pytest.approx(taken - EXCUSED, rel=0.03)


def test_looking_for_doubles_takes_no_content() -> None:
    desk = Desk()
    seen = [replace(like(desk, at, limit=3), left=frozenset({"scores"})) for at in range(300)]
    assert told(DETECTOR, seen).level == 0


def test_questions_are_no_examples() -> None:
    assert told(DETECTOR, questions(Desk(), 100)).level == 0
