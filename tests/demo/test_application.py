"""The application's own measures: exact neighbours, recall, hits, latency."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.demo.application import Answers, exact_neighbours, hit_rate, recall
from vecguard.demo.notes import make_notes


def answers(*ids: tuple[int, ...]) -> Answers:
    return Answers(ids, np.linspace(0.001, 0.002, len(ids)))


def test_exact_neighbours_are_sorted_by_score() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    questions = np.array([[0.1, 0.9, 0.3, 0.0]], dtype=np.float32)
    assert exact_neighbours(embeddings, questions).tolist() == [[1, 2, 0, 3]]


def test_no_more_than_ten_neighbours() -> None:
    embeddings = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    assert exact_neighbours(embeddings, embeddings[:3]).shape == (3, 10)


def test_recall_counts_the_share_found_in_any_order() -> None:
    notes = make_notes(4, 0)
    exact = np.array([[0, 1], [2, 3]])
    assert recall(answers((2, 1), (3, 4)), exact, notes) == 1.0
    assert recall(answers((1, 9), ()), exact, notes) == pytest.approx(0.25)


def test_a_hit_is_any_relevant_note() -> None:
    relevant = [frozenset({1, 2}), frozenset({5})]
    assert hit_rate(answers((9, 2), (5,)), relevant) == 1.0
    assert hit_rate(answers((9, 8), (5,)), relevant) == 0.5


def test_latency_is_in_milliseconds() -> None:
    seconds = answers((1,), (1,), (1,))
    assert seconds.latency_ms(50) == pytest.approx(1.5)
    assert seconds.latency_ms(100) == pytest.approx(2.0)
