"""Writing whole texts with a decoder: beam search and sampling, over many embeddings at once.

Scores are `log p(text) / length^penalty`, END counted (Wu et al., "Google's Neural Machine Translation System" 2016,
in the plain power form).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vecguard.audit.inverter.decoder import Writing
from vecguard.audit.inverter.vocabulary import BEGIN, END, PAD

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LENGTH_PENALTY = 0.8
NEVER = (PAD, BEGIN)


class Writer(Protocol):
    """What the searches need of a decoder."""

    def first(self, writing: Writing, /) -> tuple[Floats, Writing]: ...

    def next(self, writing: Writing, tokens: Ints, /) -> tuple[Floats, Writing]: ...


@dataclass(frozen=True, order=True)
class Draft:
    """A written text: its tokens without END, and its score (see the module)."""

    score: float
    tokens: tuple[int, ...] = field(compare=False)


def beam_search(
    writer: Writer, writing: Writing, beams: int, longest: int, penalty: float = LENGTH_PENALTY
) -> list[list[Draft]]:
    """The best finished texts of every row, at most `beams` each, best first.

    Args:
        writer: the decoder.
        writing: n rows of which nothing is written.
        beams: unfinished texts kept a row at every length. A row ends once it has as many finished ones and no
            unfinished one scores better at its present length.
        longest: tokens after which a text counts as finished without END.
        penalty: exponent of the length in the score; 0 compares plain log-probabilities.
    """
    finished: list[list[Draft]] = [[] for _ in writing.bias]
    going = np.arange(len(finished))
    logs, writing = writer.first(writing)
    sums = np.zeros((len(going), 1), dtype=np.float32)
    texts = np.empty((len(going), 1, 0), dtype=np.int64)
    for length in range(1, longest + 1):
        divisor = np.float32(length**penalty)
        totals = sums[:, :, None] + _allowed(logs).reshape(*sums.shape, -1)
        _finish(finished, going, texts, totals[:, :, END] / divisor, beams)
        totals[:, :, END] = -np.inf
        parents, tokens, sums = _best(totals, beams)
        texts = np.concatenate([np.take_along_axis(texts, parents[:, :, None], axis=1), tokens[:, :, None]], axis=2)
        if length == longest:
            _finish(finished, going, texts, sums / divisor, beams)
            break
        on = np.flatnonzero(~_settled(finished, going, sums.max(axis=1) / divisor, beams))
        if not len(on):
            break
        flat = (on[:, None] * totals.shape[1] + parents[on]).reshape(-1)
        logs, writing = writer.next(writing.select(flat), tokens[on].reshape(-1))
        going, sums, texts = going[on], sums[on], texts[on]
    return finished


def _allowed(logs: Floats) -> Floats:
    logs = logs.copy()
    logs[:, NEVER] = -np.inf
    return logs


def _best(totals: Floats, beams: int) -> tuple[Ints, Ints, Floats]:
    """Parents, tokens and sums, each (rows, beams), of the best continuations among (rows, beams, vocabulary)."""
    rows, _, vocabulary = totals.shape
    flat = totals.reshape(rows, -1)
    kept = min(beams, flat.shape[1])
    chosen = np.argpartition(flat, -kept, axis=1)[:, -kept:]
    sums = np.take_along_axis(flat, chosen, axis=1)
    order = np.argsort(-sums, axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1)
    return chosen // vocabulary, chosen % vocabulary, np.take_along_axis(sums, order, axis=1)


def _finish(finished: list[list[Draft]], going: Ints, texts: Ints, scores: Floats, beams: int) -> None:
    for place, row in enumerate(going):
        found = finished[row]
        worst = found[-1].score if len(found) == beams else -np.inf
        better = np.flatnonzero(scores[place] > worst)
        found += [Draft(float(scores[place, beam]), tuple(texts[place, beam].tolist())) for beam in better]
        found.sort(reverse=True)
        del found[beams:]


def _settled(finished: list[list[Draft]], going: Ints, best: Floats, beams: int) -> npt.NDArray[np.bool_]:
    """Which rows have all their texts, none of them worse than the best unfinished text is at its present length."""
    full = [
        len(finished[row]) == beams and finished[row][-1].score >= now for row, now in zip(going, best, strict=True)
    ]
    return np.array(full, dtype=bool)


def sample(
    writer: Writer, writing: Writing, longest: int, chance: np.random.Generator, heat: float = 1.0, nucleus: float = 0.9
) -> list[Draft]:
    """One text drawn for every row of `writing`, of which nothing is written.

    Args:
        writer: the decoder.
        writing: the rows; select a row several times for several texts.
        longest: tokens after which a text is cut.
        chance: of the draws.
        heat: temperature of the softmax.
        nucleus: only the likeliest tokens that together have this probability are drawn (Holtzman et al. 2020).
    """
    rows = len(writing.bias)
    texts = np.full((rows, longest), END, dtype=np.int64)
    sums = np.zeros(rows, dtype=np.float32)
    going = np.arange(rows)
    logs, writing = writer.first(writing)
    for place in range(longest):
        tokens = _draw(_allowed(logs), chance, heat, nucleus)
        sums[going] += logs[np.arange(len(going)), tokens]
        texts[going, place] = tokens
        on = np.flatnonzero(tokens != END)
        if not len(on) or place + 1 == longest:
            break
        going = going[on]
        logs, writing = writer.next(writing.select(on), tokens[on])
    cut = [tuple(row[: _length(row)].tolist()) for row in texts]
    return [
        Draft(float(total / max(len(text) + 1, 1) ** LENGTH_PENALTY), text)
        for total, text in zip(sums, cut, strict=True)
    ]


def _length(row: Ints) -> int:
    ends = np.flatnonzero(row == END)
    return int(ends[0]) if len(ends) else len(row)


def _draw(logs: Floats, chance: np.random.Generator, heat: float, nucleus: float) -> Ints:
    """One token a row from the nucleus of the tempered distribution."""
    kept = min(64, logs.shape[1])  # a nucleus of .9 is rarely wider, and sorting 8,192 columns is the cost
    likely = np.argpartition(logs, -kept, axis=1)[:, -kept:]
    top = np.take_along_axis(logs, likely, axis=1)
    order = np.argsort(-top, axis=1)
    likely, top = np.take_along_axis(likely, order, axis=1), np.take_along_axis(top, order, axis=1)
    weights = np.exp((top - top[:, :1]) / np.float32(heat))
    weights /= weights.sum(axis=1, keepdims=True)
    before = np.cumsum(weights, axis=1) - weights
    weights[before >= nucleus] = 0
    total = np.cumsum(weights, axis=1)
    place = (total < chance.random((len(logs), 1), dtype=np.float32) * total[:, -1:]).sum(axis=1)
    tokens: Ints = likely[np.arange(len(logs)), np.minimum(place, kept - 1)]
    return tokens
