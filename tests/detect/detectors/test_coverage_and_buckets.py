"""Shares of the collection and of the space, within a day and a window that moves on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detect.traffic import RECORDS, Desk, questions, told
from vecguard.detect.detectors.buckets import BUCKETS, Buckets
from vecguard.detect.detectors.coverage import PERIOD_S, VECTORS_WEIGH, Coverage

SHARE = Coverage(level_one=1.0)


def test_coverage_is_the_share_of_distinct_records() -> None:
    desk = Desk()
    seen = [desk.read("scroll", range(at, at + 100)) for at in range(0, 1_000, 100)] * 3
    assert told(SHARE, seen).level == pytest.approx(0.5, rel=0.12)


def test_vectors_weigh_more() -> None:
    desk = Desk()
    seen = [desk.read("scroll", range(at, at + 100), vectors=True) for at in range(0, 400, 100)]
    assert told(SHARE, seen).level == pytest.approx(0.2 * VECTORS_WEIGH, rel=0.12)


def test_ids_and_scores_alone_are_no_content() -> None:
    seen = [replace(one, left=frozenset({"scores"})) for one in questions(Desk(), 300)]
    assert told(SHARE, seen).level == 0


def test_it_counts_within_a_window_of_one_to_two_periods() -> None:
    desk, state = Desk(), SHARE.fresh()
    desk.now = 100 * PERIOD_S
    told(SHARE, [desk.read("scroll", range(400))], state=state)
    desk.now += PERIOD_S
    assert told(SHARE, [desk.read("scroll", range(400, 500))], state=state).level == pytest.approx(0.25, rel=0.15)
    desk.now += PERIOD_S
    assert told(SHARE, [desk.read("scroll", range(500, 600))], state=state).level == pytest.approx(0.1, rel=0.15)
    desk.now += 5 * PERIOD_S
    assert told(SHARE, [desk.read("scroll", range(1))], state=state).level < 0.01


def test_a_batch_over_midnight_is_split() -> None:
    desk = Desk()
    desk.now = 100 * PERIOD_S - 1.5
    seen = [desk.read("scroll", range(200)), desk.read("scroll", range(200, 400))]
    state = SHARE.fresh()
    assert SHARE.update(state, seen).level == pytest.approx(0.2, rel=0.15)
    desk.now += PERIOD_S
    assert told(SHARE, [desk.read("scroll", range(1))], state=state).level == pytest.approx(0.1, rel=0.15)


def test_who_wrote_the_collection_covers_nothing() -> None:
    desk = Desk()
    seen = [desk.write(range(RECORDS)), desk.read("scroll", range(RECORDS), vectors=True)]
    assert told(SHARE, seen).level == 0


def test_random_directions_fill_buckets_as_balls_fill_bins() -> None:
    desk = Desk()
    seen = [desk.search(np.stack([desk.direction() for _ in range(100)]))[0] for _ in range(20)]
    expected = 1 - np.exp(-2_000 / BUCKETS)
    assert told(Buckets(level_one=1.0), seen).level == pytest.approx(expected, rel=0.15)


def test_paraphrases_stay_in_few_buckets() -> None:
    desk = Desk()
    spread = told(Buckets(level_one=1.0), questions(desk, 300)).level
    asked = [desk.search(desk.question(at % 20, noise=0.2))[0] for at in range(300)]
    assert told(Buckets(level_one=1.0), asked).level < 0.6 * spread


def test_a_bucket_is_asked_into_once() -> None:
    desk = Desk()
    query = desk.direction()
    assert told(Buckets(level_one=1.0), [desk.search(query)[0] for _ in range(50)]).level == 1 / BUCKETS
