"""Going through all of a tiny collection raises nothing to an alert; the same with some hundreds of records does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from detect.observations import sketches
from detect.traffic import Desk, told
from vecguard.detect.analyst import registered, weigh
from vecguard.detect.detectors.anchored import Anchored
from vecguard.detect.detectors.pinned import Pinned
from vecguard.detect.observation import Observation
from vecguard.detect.store import Profile
from vecguard.policy.detection import DetectionRule
from vecguard.registry import DETECTORS

TINY = (5, 20, 50)
SMALL = 500


def scroll(desk: Desk) -> list[Observation]:
    """All of it, with vectors."""
    return [
        desk.read("scroll", range(at, min(at + 10, desk.records)), vectors=True) for at in range(0, desk.records, 10)
    ]


def by_example(desk: Desk) -> list[Observation]:
    """What is like each record, by its id."""
    found = [desk.search(row, limit=5)[0] for row in desk.vectors]
    return [replace(one, queries=sketches(), query_of=one.query_of * 0 - 1) for one in found]


def each_text(desk: Desk) -> list[Observation]:
    """Whether each record finds itself: what a first test of a search does."""
    return [desk.search(row, limit=1)[0] for row in desk.vectors]


def walk(desk: Desk) -> list[Observation]:
    """Asking with returned vectors, and taking those of what is found, twice."""
    return [desk.search(row, limit=3, vectors=True)[0] for row in desk.vectors] * 2


def words(desk: Desk) -> list[Observation]:
    """Questions that are far from all there is."""
    return [desk.search(desk.question(noise=3.0))[0] for _ in range(2 * desk.records)]


def chain(desk: Desk) -> list[Observation]:
    """Asking about a record that an earlier answer showed, and that was not asked about."""
    seen, known, asked = list[Observation](), [0], set[int]()
    while len(seen) < min(desk.records, 60) and (left := [one for one in known if one not in asked]):
        at = left[int(desk.random.integers(len(left)))]
        asked.add(at)
        one, found = desk.search(desk.question(at, noise=0.1), limit=10)
        seen.append(one)
        known += found.tolist()
    return seen


DOING: dict[str, Callable[[Desk], list[Observation]]] = {
    "enumeration": scroll,
    "coverage": scroll,
    "examples": by_example,
    "membership": each_text,
    "novelty": each_text,
    "walk": walk,
    "crawl": words,
    "chain": chain,
}


@pytest.mark.parametrize("records", TINY)
@pytest.mark.parametrize("name", DOING)
def test_all_of_a_tiny_collection_is_below_an_alert(name: str, records: int) -> None:
    detector = DETECTORS.load(name)
    assert told(detector, DOING[name](Desk(records=records)), batch=1).level < 0.6


@pytest.mark.parametrize("name", DOING)
def test_the_same_with_five_hundred_records_is_found(name: str) -> None:
    assert told(DETECTORS.load(name), DOING[name](Desk(records=SMALL)), batch=1).level > 1


def test_a_list_of_a_small_collection_pins_it_only_where_it_is_long() -> None:
    def asked(records: int, limit: int) -> float:
        desk = Desk(records=records)
        return told(Pinned(), [desk.search(desk.direction(), limit=limit)[0] for _ in range(60)]).level

    assert asked(40, 10) == 0
    assert asked(400, 50) == 0
    assert asked(400, 120) > 1


def test_a_record_is_not_anchored_by_answers_that_hold_much_of_a_small_collection() -> None:
    def asked(records: int, limit: int) -> float:
        desk = Desk(records=records)
        return told(Anchored(), [desk.search(desk.question(3, noise=1.0), limit=limit)[0] for _ in range(60)]).level

    assert asked(5, 5) == 0
    assert asked(60, 10) == 0
    assert asked(60, 3) > 1
    assert asked(1_200, 10) > 1


@pytest.mark.parametrize("records", TINY)
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_demo_of_a_tiny_collection_is_at_most_logged(records: int, limit: int) -> None:
    """The whole risk: a few searches, a retrieval and a scroll of all of it, with vectors, call by call."""
    desk, rule, detectors, profile = Desk(records=records), DetectionRule(), registered(), Profile()
    seen = [desk.search(desk.question(), limit=limit, vectors=True)[0] for _ in range(12)]
    seen += [*each_text(desk), desk.read("retrieve", [0, 1], vectors=True), *scroll(desk), *scroll(desk)]
    rungs = set[str]()
    for one in seen:
        weigh(profile, [one], detectors, rule)
        rungs.add(profile.rung)
    assert rungs <= {"", "log"}
