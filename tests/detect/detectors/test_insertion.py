"""Writing and reading back vectors raises it; re-indexing, checks of a sample and owners' reads do not."""

from __future__ import annotations

from detect.traffic import RECORDS, Desk, told
from vecguard.detect.detectors.insertion import Insertion

DETECTOR = Insertion()
OWN = range(RECORDS, RECORDS + 4_000)


def test_pairs_are_counted() -> None:
    desk, seen = Desk(), []
    for at in range(0, 60, 4):
        own = OWN[at : at + 4]
        seen += [desk.write(own), desk.read("retrieve", own, vectors=True)]
    evidence = told(DETECTOR, seen)
    assert evidence.level > 1
    assert "of 60 records that the caller wrote, the vectors of 60 were read back" in evidence.reason


def test_all_written_first_and_read_later_counts_too() -> None:
    desk = Desk()
    assert told(DETECTOR, [desk.write(OWN[:200]), desk.read("scroll", OWN[:200], vectors=True)]).level > 1


def test_one_record_again_and_again_is_one_pair() -> None:
    desk = Desk()
    seen = [one for _ in range(100) for one in (desk.write(OWN[:1]), desk.read("retrieve", OWN[:1], vectors=True))]
    assert told(DETECTOR, seen).level < 0.1


def test_re_indexing_reads_first() -> None:
    desk, seen = Desk(), []
    for at in range(0, 500, 50):
        page = range(at, at + 50)
        seen += [desk.read("scroll", page, vectors=True), desk.write(page), desk.read("retrieve", page, vectors=True)]
    assert told(DETECTOR, seen).level == 0


def test_a_writer_who_checks_a_sample_is_left_alone() -> None:
    desk, seen = Desk(), []
    for at in range(0, 800, 100):
        seen += [desk.write(OWN[at : at + 100]), desk.read("retrieve", OWN[at : at + 1], vectors=True)]
    assert told(DETECTOR, seen).level < 0.5


def test_who_wrote_the_collection_may_read_it_back() -> None:
    desk = Desk()
    seen = [desk.write(range(at, at + 200)) for at in range(0, RECORDS, 200)]
    seen += [desk.read("scroll", range(at, at + 200), vectors=True) for at in range(0, RECORDS, 200)]
    assert told(DETECTOR, seen).level == 0


def test_reads_without_vectors_are_no_pairs() -> None:
    desk = Desk()
    assert told(DETECTOR, [desk.write(OWN[:200]), desk.read("retrieve", OWN[:200])]).level == 0
