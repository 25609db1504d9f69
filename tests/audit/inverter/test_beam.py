"""Beam search against trying every text, and sampling against the distribution it draws from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from vecguard.audit.inverter.beam import Draft, beam_search, sample
from vecguard.audit.inverter.decoder import Floats, Ints, Writing
from vecguard.audit.inverter.vocabulary import BEGIN, END

WORDS = 4  # tokens 3..6
VOCABULARY = 3 + WORDS
LONGEST = 4


@dataclass(frozen=True)
class History(Writing):
    """A writing that remembers its texts, for a model given as a table."""

    texts: tuple[tuple[int, ...], ...] = ()

    def select(self, rows: Ints) -> History:
        return history([self.texts[row] for row in rows])


def history(texts: list[tuple[int, ...]]) -> History:
    return History(
        (), (), np.zeros((len(texts), 1), np.float32), np.zeros((len(texts), 1), np.float32), 0, tuple(texts)
    )


class Table:
    """Next-token log-probabilities drawn once for each row's first token (its name) and the two tokens before."""

    def __init__(self, seed: int) -> None:
        self.logs = np.random.default_rng(seed).normal(scale=1.5, size=(VOCABULARY,) * 3 + (VOCABULARY,))
        self.logs -= np.log(np.exp(self.logs).sum(axis=-1, keepdims=True))

    def of(self, text: tuple[int, ...]) -> Floats:
        last = text[-1] if len(text) > 1 else BEGIN
        before = text[-2] if len(text) > 2 else BEGIN
        logs: Floats = self.logs[text[0], before, last].astype(np.float32)
        return logs

    def first(self, writing: Writing) -> tuple[Floats, Writing]:
        assert isinstance(writing, History)
        return np.stack([self.of(text) for text in writing.texts]), writing

    def next(self, writing: Writing, tokens: Ints) -> tuple[Floats, Writing]:
        assert isinstance(writing, History)
        return self.first(history([(*text, int(token)) for text, token in zip(writing.texts, tokens, strict=True)]))


def every_text(table: Table, name: int, penalty: float) -> list[Draft]:
    """All texts up to LONGEST tokens with their scores, best first."""
    found = []
    for length in range(LONGEST + 1):
        for body in product(range(3, VOCABULARY), repeat=length):
            total, text = 0.0, (name,)
            for token in body:
                total += float(table.of(text)[token])
                text = (*text, token)
            if length < LONGEST:
                total += float(table.of(text)[END])
            found.append(Draft(total / min(length + 1, LONGEST) ** penalty, body))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_wide_beams_find_the_best_texts(seed: int, penalty: float) -> None:
    """With as many beams as there are prefixes nothing is pruned, so the search is exhaustive."""
    table = Table(seed)
    wide = beam_search(table, history([(3,), (4,)]), WORDS**LONGEST, LONGEST, penalty)
    for name, found in zip((3, 4), wide, strict=True):
        expected = every_text(table, name, penalty)[: len(found)]
        assert [draft.tokens for draft in found[:20]] == [draft.tokens for draft in expected[:20]]
        np.testing.assert_allclose([d.score for d in found], [d.score for d in expected], rtol=1e-4)


def test_one_beam_is_greedy_and_more_beams_are_not_worse() -> None:
    for seed in range(8):
        table = Table(seed)
        scores = [beam_search(table, history([(3,)]), beams, LONGEST, 0.0)[0][0].score for beams in (1, 4, 64)]
        text: tuple[int, ...] = (3,)
        while len(text) <= LONGEST:
            logs = table.of(text).copy()
            logs[[0, BEGIN]] = -np.inf
            token = int(logs.argmax())
            if token == END:
                break
            text = (*text, token)
        assert beam_search(table, history([(3,)]), 1, LONGEST, 0.0)[0][0].score >= scores[0]
        assert scores[2] >= scores[1] - 1e-6
        assert scores[2] == pytest.approx(every_text(table, 3, 0.0)[0].score, rel=1e-4)
        assert text[0] == 3


def test_sampling_follows_the_distribution() -> None:
    table = Table(1)
    rows = 4000
    drawn = sample(table, history([(3,)] * rows), 1, np.random.default_rng(0), heat=1.0, nucleus=1.0)
    counts = np.zeros(VOCABULARY)
    for draft in drawn:
        counts[draft.tokens[0] if draft.tokens else END] += 1
    expected = np.exp(table.of((3,)).astype(np.float64))
    expected[[0, BEGIN]] = 0
    expected /= expected.sum()
    np.testing.assert_allclose(counts / rows, expected, atol=4 * 0.5 / rows**0.5)


def test_a_cold_narrow_sample_is_greedy() -> None:
    table = Table(2)
    (drawn,) = sample(table, history([(3,)]), LONGEST, np.random.default_rng(0), heat=1e-3, nucleus=0.5)
    text: tuple[int, ...] = (3,)
    for _ in range(LONGEST):
        logs = table.of(text).copy()
        logs[[0, BEGIN]] = -np.inf
        if int(logs.argmax()) == END:
            break
        text = (*text, int(logs.argmax()))
    assert drawn.tokens == text[1:]
