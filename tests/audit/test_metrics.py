"""The measures against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vecguard.audit import metrics
from vecguard.errors import InvalidArgument

CAT = "The cat sat on the mat."


@pytest.mark.parametrize(
    ("recovered", "true", "f1"),
    [(CAT, CAT, 1.0), ("", CAT, 0.0), ("the THE dog", CAT, 2 * 2 / 9), ("mat the on sat cat the", CAT, 1.0)],
)
def test_token_f1_counts_words_as_a_bag(recovered: str, true: str, f1: float) -> None:
    assert metrics.token_f1(recovered, true) == pytest.approx(f1)


def test_rouge_l_is_f1_of_the_longest_common_subsequence() -> None:
    # "the ... sat on ... mat": 4 of 5 and 4 of 6 tokens.
    assert metrics.rouge_l("the dog sat on mat", CAT) == pytest.approx(2 * 4 / 11)
    assert metrics.rouge_l("mat the on sat", CAT) == pytest.approx(2 * 2 / 10)


def test_exact_match_looks_past_case_and_punctuation_only() -> None:
    assert metrics.exact_match("the cat, sat on the mat", CAT) == 1.0
    assert metrics.exact_match("the cat sat on a mat", CAT) == 0.0


def test_bleu_by_hand() -> None:
    # Candidate of 7 tokens, reference of 6: precisions 6/7, 5/6, 4/5, 3/4; no brevity penalty.
    value = metrics.bleu(["the cat sat on the mat again"], [CAT])
    assert value == pytest.approx((6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)
    assert metrics.bleu(["the cat sat down on the mat"], [CAT]) == 0.0  # no run of four words is right


def test_bleu_clips_repeated_words_and_punishes_short_texts() -> None:
    assert metrics.bleu(["the the the the the the the"], [CAT]) == 0.0
    short = metrics.bleu(["the cat sat on"], [CAT])
    assert short == pytest.approx(math.exp(1 - 6 / 4))


def test_bleu_sums_over_the_corpus_before_it_divides() -> None:
    both = metrics.bleu([CAT, "entirely other words here"], [CAT, "none of those stand there"])
    assert 0 < both < 1
    assert metrics.bleu_interval([CAT] * 5, [CAT] * 5).low == pytest.approx(1.0)


def test_lists_of_other_lengths_are_refused() -> None:
    for call in (lambda: metrics.bleu([CAT], []), lambda: metrics.each(metrics.token_f1, [CAT], [])):
        with pytest.raises(InvalidArgument):
            call()
    with pytest.raises(InvalidArgument):
        metrics.bootstrap(np.zeros(0))


def test_the_bootstrap_interval_is_that_of_the_mean() -> None:
    scores = np.random.default_rng(0).normal(0.5, 0.1, 400)
    interval = metrics.bootstrap(scores)
    assert interval.value == pytest.approx(scores.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    assert metrics.bootstrap(scores) == interval


def test_auc_is_the_chance_to_rank_right() -> None:
    assert metrics.auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert metrics.auc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert metrics.auc(np.array([1.0, 3.0]), np.array([2.0])) == 0.5


def test_ranking_measures() -> None:
    assert metrics.recall_at([[1, 2, 3]], [[3, 9]]).tolist() == [0.5]
    gain = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert metrics.ndcg_at([[7, 5, 8]], [frozenset({7, 8})]).tolist() == pytest.approx([gain])
    assert metrics.ndcg_at([[7]], [frozenset()]).tolist() == [0.0]


def test_re_identification_needs_the_own_row_nearest() -> None:
    candidates = np.eye(3, dtype=np.float32)
    guesses = np.array([[9, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    assert metrics.identified(guesses, candidates).tolist() == [1.0, 0.0, 1.0]
