"""Scroll, ids and deep or long answers raise it; first pages, known records and re-indexing do not."""

from __future__ import annotations

from dataclasses import replace

from detect.traffic import RECORDS, Desk, questions, told
from vecguard.detect.detectors.enumeration import Enumeration

DETECTOR = Enumeration()


def pages(desk: Desk, size: int, count: int) -> list[range]:
    return [range(at * size, (at + 1) * size) for at in range(count)]


def test_a_scroll_is_seen_before_five_percent_left() -> None:
    desk = Desk()
    seen = [desk.read("scroll", page) for page in pages(desk, 10, 9)]
    evidence = told(DETECTOR, seen)
    assert evidence.level > 1
    assert 90 / RECORDS < 0.05
    assert "4.5% of the collection is outstanding" in evidence.reason


def test_ids_one_by_one_count_as_pages_do() -> None:
    desk = Desk()
    assert told(DETECTOR, [desk.read("retrieve", [at]) for at in range(90)]).level > 1


def test_deep_and_long_answers_count() -> None:
    desk = Desk()
    deep = [desk.search(desk.question(1), limit=20, offset=offset)[0] for offset in range(100, 200, 20)]
    assert told(DETECTOR, deep).level > 1
    assert told(DETECTOR, [desk.search(desk.question(1), limit=600)[0]]).level > 1


def test_a_slow_drip_adds_up() -> None:
    desk, seen = Desk(), []
    for at in range(100):
        seen.append(desk.read("retrieve", [at]))
        desk.now += 3 * 3_600
    assert told(DETECTOR, seen).level > 1


def test_the_first_page_over_and_over_is_one_page() -> None:
    desk = Desk()
    assert told(DETECTOR, [desk.read("scroll", range(20)) for _ in range(500)]).level <= 0.5


def test_questions_do_not_count() -> None:
    assert told(DETECTOR, questions(Desk(), 200)).level == 0


def test_re_indexing_reads_and_writes_page_by_page() -> None:
    desk, seen = Desk(), []
    for page in pages(desk, 40, 50):
        seen += [desk.read("scroll", page, vectors=True), desk.write(page)]
    state = DETECTOR.fresh()
    levels = [told(Enumeration(level_one=1.0), [one], state=state).level for one in seen]
    assert max(levels) < 1.2 * 40 / RECORDS  # never more than the page that it is at


def test_who_wrote_the_collection_may_list_it() -> None:
    desk = Desk()
    seen = [desk.write(range(RECORDS)), *(desk.read("scroll", page) for page in pages(desk, 100, 20))]
    assert told(DETECTOR, seen).level == 0


def test_writing_one_record_again_and_again_pays_for_one() -> None:
    desk = Desk()
    seen = [desk.read("scroll", page) for page in pages(desk, 10, 9)]
    mixed = [one for read in seen for one in (read, *(desk.write([0]) for _ in range(20)))]
    assert told(DETECTOR, mixed).level > 0.95


def test_of_an_unknown_size_it_still_counts() -> None:
    desk = Desk()
    seen = [replace(desk.read("scroll", page), records=0) for page in pages(desk, 50, 12)]
    assert told(DETECTOR, seen).level > 1
