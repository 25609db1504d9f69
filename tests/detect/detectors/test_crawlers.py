"""Crawlers against honest questions, by the sequential detectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detect.observations import observed
from detect.traffic import Desk, questions, sessions, told, unit
from vecguard.detect.answers import answers, phrasings
from vecguard.detect.detectors.aimless import FLAT, Aimless, standing_out
from vecguard.detect.detectors.chain import SLACK, Chain
from vecguard.detect.detectors.crawl import FULL, HEAVIEST, LEAST, MOST, Crawl, features
from vecguard.detect.detectors.novelty import REFERENCE, Novelty
from vecguard.detect.observation import Observation
from vecguard.detect.statistics import ring


def guided(desk: Desk, calls: int) -> list[Observation]:
    """Asks about what came back, in the order in which it came."""
    seen, waiting, asked = [], [3], set()
    while len(seen) < calls:
        record = waiting.pop(0)
        if record in asked:
            continue
        asked.add(record)
        one, ids = desk.search(desk.question(record, noise=0.6))
        seen.append(one)
        waiting += ids.tolist()[1:]
    return seen


def aimless(desk: Desk, calls: int) -> list[Observation]:
    return [desk.search(desk.direction())[0] for _ in range(calls)]


def test_queries_made_from_answers_are_chained() -> None:
    evidence = told(Chain(), guided(Desk(), 80))
    assert evidence.level > 1
    assert "answers were led by a record that an earlier one had shown further down" in evidence.reason


@pytest.mark.parametrize("honest", [questions, sessions])
def test_honest_questions_are_not(honest: object) -> None:
    assert told(Chain(), honest(Desk(), 300)).level < 0.7  # type: ignore[operator]


def test_ids_and_scores_alone_do_not_chain() -> None:
    seen = [replace(one, left=frozenset({"scores"})) for one in guided(Desk(), 80)]
    assert told(Chain(), seen).level == 0


def test_the_chains_sum_is_led_less_chance_less_slack() -> None:
    ids = np.arange(1, 40, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    batch = [
        ask(ids[:4]),
        ask(ids[[3, 20, 21, 22]]),
        ask(ids[[20, 3, 23, 24]]),
        ask(ids[[3, 30, 31, 32]]),
        ask(ids[[3, 33, 34, 35]]),
    ]
    # Nothing known; led by a known one, none of the rest known; the same, with one of three known; led by one a second
    # time; and a third, which does not count.
    expected = max(0, (0 - 0 - SLACK)) + (1 - 0 - SLACK) + (1 - 1 / 3 - SLACK) + (1 - 0 - SLACK) + (0 - 0 - SLACK)
    assert told(Chain(level_one=1.0), batch).level == pytest.approx(expected)
    assert told(Chain(level_one=1.0), batch, batch=1).level == pytest.approx(expected)


def ask(ids: np.ndarray, scores: tuple[float, ...] = (0.7, 0.5, 0.45, 0.4)) -> Observation:  # type: ignore[type-arg]
    """One query's answer, with payload."""
    return observed(
        queries=np.random.default_rng(int(ids[0]) % 1000).standard_normal((1, 32)).astype(np.float32),
        ids=ids,
        query_of=np.zeros(len(ids), np.int32),
        scores=np.array(scores[: len(ids)], np.float32),
        left=frozenset({"payload", "scores"}),
        records=1_000,
    )


def test_random_directions_are_aimless() -> None:
    assert told(Aimless(), aimless(Desk(), 40)).level > 1


@pytest.mark.parametrize("honest", [questions, sessions])
def test_questions_are_not_aimless(honest: object) -> None:
    assert told(Aimless(), honest(Desk(), 300)).level < 0.7  # type: ignore[operator]


def test_how_much_the_best_stands_out() -> None:
    table = answers([ask(np.arange(1, 5, dtype=np.uint64))])
    assert standing_out(table)[0] == pytest.approx((0.7 - 0.4) / 0.6 / (1 + 1 / 2 + 1 / 3), rel=1e-5)
    assert standing_out(table)[0] > FLAT
    for scores in ((0.7, 0.5), (1.7, 0.5, 0.4, 0.3), (0.2, 0.5, 0.6, 0.7), (np.nan,) * 4):
        assert np.isnan(standing_out(answers([ask(np.arange(1, 5, dtype=np.uint64)[: len(scores)], scores)]))).all()


def test_its_scale_does_not_depend_on_how_many_were_asked_for() -> None:
    """For the best of many exponential scores, whatever their number: Renyi's representation."""
    random = np.random.default_rng(0)
    top = np.sort(random.exponential(0.05, (2_000, 3_000)), axis=1)[:, ::-1][:, :10]
    ids = np.arange(1, 11, dtype=np.uint64)
    means = []
    for count in (3, 5, 10):
        table = answers([ask(ids[:count], tuple(row[:count] - top.max())) for row in top])
        away = 1 - (top[:, count - 1] - top.max())
        means.append(float((standing_out(table) * away).mean()))
    np.testing.assert_allclose(means, 0.05, rtol=0.06)


def test_a_crawl_is_told_from_questions() -> None:
    """Far from what is stored and from each other, as the model's cosines are those of sentence embeddings."""
    seen = [scored(at, 0.40, 0.33) for at in range(60)]
    honest = [scored(at, 0.64, 0.52) for at in range(60)]
    assert told(Crawl(), seen).level > 1
    assert told(Crawl(), honest).level < 0.2
    assert "60 of the 60 searches that brought new records look like a crawler's" in told(Crawl(), seen).reason


def test_only_new_content_counts() -> None:
    crawl = [scored(at, 0.40, 0.33) for at in range(60)]
    without = [replace(one, left=frozenset({"scores"})) for one in crawl]
    again = [scored(0, 0.40, 0.33) for _ in range(60)]
    assert told(Crawl(), without).level == 0
    assert told(Crawl(level_one=1.0), again).level <= MOST


def test_a_question_weighs_by_what_it_got_away_with() -> None:
    def level(*answered: Observation) -> float:
        return told(Crawl(level_one=1.0), list(answered)).level

    whole = scored(1, 0.40, 0.20)
    assert level(whole) == pytest.approx(MOST)
    assert level(scored(1, 0.40, 0.20, records=4)) == pytest.approx(MOST * 4 / FULL)
    assert level(scored(1, 0.40, 0.20, records=90)) == pytest.approx(MOST * HEAVIEST)
    # What speaks for honesty does so whatever it brought.
    honest = scored(2, 0.70, 0.60, records=4)
    assert level(whole, honest) == pytest.approx(MOST + LEAST)


def test_phrasings_of_one_question_in_one_call_are_one_question() -> None:
    """Retrieval that expands asks each question in several ways; a batch of different questions is as many."""
    random = np.random.default_rng(3)
    base = random.standard_normal(32)
    alike = [scored(at, 0.40, 0.10, records=4, query=base + 0.3 * random.standard_normal(32)) for at in range(4)]
    apart = [scored(at, 0.40, 0.10, records=4) for at in range(4)]
    assert told(Crawl(level_one=1.0), [together(alike)]).level == pytest.approx(MOST * 16 / FULL)
    same = [replace(one, ids=alike[0].ids) for one in alike]
    assert told(Crawl(level_one=1.0), [together(same)]).level == pytest.approx(MOST * 4 / FULL)
    assert told(Crawl(level_one=1.0), [together(apart)]).level == pytest.approx(4 * MOST * 4 / FULL)
    mixed = [alike[0], scored(9, 0.70, 0.60, records=4, query=base)]
    assert told(Crawl(level_one=1.0), [together(mixed)]).level == pytest.approx((MOST + LEAST) / 2 * 8 / FULL)
    flat = [scored(at, 0.31, 0.30, query=base + 0.3 * random.standard_normal(32)) for at in range(4)]
    assert told(Aimless(level_one=1.0), [together(flat)]).level == pytest.approx(0.5)
    assert told(Aimless(level_one=1.0), flat).level == pytest.approx(2.0)


def test_who_says_a_question_again() -> None:
    rows = np.zeros((6, 32), np.float32)
    rows[0, 0] = rows[3, 0] = rows[1, 1] = rows[5, 0] = 1.0
    rows[2, :3] = 0.0, 0.7, 0.7  # like row 1
    rows[4, :3] = 0.0, 0.1, 1.0  # like row 2, and not like row 1
    one_call = together([replace(scored(at, 0.4, 0.3), queries=rows[at : at + 1]) for at in range(5)])
    another = replace(scored(5, 0.4, 0.3), queries=rows[5:])
    assert phrasings(answers([one_call, another])).tolist() == [0, 1, 1, 0, 1, 5]
    assert phrasings(answers([])).size == 0


def together(parts: list[Observation]) -> Observation:
    """One call with the queries of several."""
    return replace(
        parts[0],
        queries=np.concatenate([one.queries for one in parts]),
        ids=np.concatenate([one.ids for one in parts]),
        scores=np.concatenate([one.scores for one in parts]),
        query_of=np.repeat(np.arange(len(parts), dtype=np.int32), [len(one.ids) for one in parts]),
    )


def scored(
    at: int,
    best: float,
    fourth: float,
    records: int = 10,
    query: np.ndarray | None = None,  # type: ignore[type-arg]
) -> Observation:
    """An answer of records that nobody saw before, found by a query like no other unless one is given."""
    random = np.random.default_rng(at)
    tail = fourth - np.linspace(0.004, 0.02, max(records - 4, 0))
    asked = random.standard_normal(32) if query is None else query
    return observed(
        queries=asked[np.newaxis].astype(np.float32),
        ids=random.integers(1, 2**64 - 1, records, dtype=np.uint64),
        query_of=np.zeros(records, np.int32),
        scores=np.concatenate([np.linspace(best, fourth, 4), tail]).astype(np.float32),
        left=frozenset({"payload", "scores"}),
        records=10_000,
    )


def test_the_models_features_are_what_they_are_said_to_be() -> None:
    ids = np.arange(1, 9, dtype=np.uint64)
    table = answers([ask(ids[:4]), ask(ids[[0, 1, 6, 7]])])
    known = np.isin(np.arange(8), [4, 5])  # the second answer's first two
    found = features(table, standing_out(table), known, np.array([0.0, 0.3], np.float32))
    scale = (0.7 - 0.4) / 0.6 / (1 + 1 / 2 + 1 / 3)
    np.testing.assert_allclose(found[0], [np.log(scale / 0.08), 0.15, -0.05, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[1], [np.log(scale / 0.08), 0.15, -0.05, 1, 1 / 3, 0.3], atol=1e-6)


def test_novelty_is_pages_recursion() -> None:
    desk = Desk()
    seen, met, expected = questions(desk, 30), set(), 0.0
    for one in seen:
        ids = one.ids.tolist()
        new = sum(number not in met for number in ids)
        met.update(ids)
        expected = max(0.0, expected + new - REFERENCE * len(ids))
    level = told(Novelty(level_one=1.0), seen).level
    assert level * seen[0].records == pytest.approx(expected, rel=0.05)
    repeated = [desk.search(desk.question(5, noise=0.01))[0] for _ in range(60)]
    assert told(Novelty(level_one=1.0), repeated).level * seen[0].records < 10


def test_novelty_is_of_content_and_not_of_long_answers_of_ids_and_scores() -> None:
    random = np.random.default_rng(4)
    takes = [
        observed(
            queries=random.standard_normal((16, 32)).astype(np.float32),
            ids=random.integers(1, 2**64 - 1, 1_600, dtype=np.uint64),
            query_of=np.repeat(np.arange(16, dtype=np.int32), 100),
            scores=np.linspace(0.5, 0.1, 1_600, dtype=np.float32),
            left=frozenset({"payload", "scores"}),
            records=10_000,
        )
        for _ in range(5)
    ]
    assert told(Novelty(level_one=1.0), takes).level == pytest.approx(5 * 1_600 * (1 - REFERENCE) / 10_000, rel=0.1)
    assert told(Novelty(level_one=1.0), [replace(one, left=frozenset({"scores"})) for one in takes]).level == 0


def test_unit_rows_are_what_near_is_of() -> None:
    rows = unit(np.random.default_rng(1).standard_normal((3, 32)))
    np.testing.assert_allclose(ring.unit(5 * rows), rows, atol=1e-6)
