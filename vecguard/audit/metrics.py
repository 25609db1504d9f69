"""How much of a text came back: the measures of the inversion literature, each to its definition, in plain numpy.

Tokens are lower-case runs of letters and digits throughout (`tokenise`); punctuation never counts as recovered text.
All scores lie between 0 and 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument

BLEU_ORDER: Final = 4
_WORD: Final = re.compile(r"[^\W_]+")

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with a percentile bootstrap interval (Efron 1979): `low` and `high` hold 95 % of the resampled means."""

    value: float
    low: float
    high: float
    count: int


def tokenise(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return _WORD.findall(text.lower())


def token_f1(recovered: str, true: str) -> float:
    """F1 of two texts as bags of tokens (the measure of SQuAD, Rajpurkar et al. 2016, without article stripping)."""
    left, right = Counter(tokenise(recovered)), Counter(tokenise(true))
    return 2.0 * (left & right).total() / max(left.total() + right.total(), 1)


def rouge_l(recovered: str, true: str) -> float:
    """F1 of the longest common subsequence of tokens (ROUGE-L with beta = 1, Lin 2004)."""
    left, right = tokenise(recovered), tokenise(true)
    return 2.0 * _common_subsequence(left, right) / max(len(left) + len(right), 1)


def exact_match(recovered: str, true: str) -> float:
    """1 where both texts have the same tokens in the same order, else 0."""
    return float(tokenise(recovered) == tokenise(true))


def bleu(recovered: Sequence[str], true: Sequence[str]) -> float:
    """Corpus BLEU-4 with one reference a text (Papineni et al. 2002), unsmoothed.

    Clipped n-gram matches of all texts are summed before the precisions are taken; the score is the brevity penalty
    times the geometric mean of the precisions of n = 1..4, and 0 where one of them has no match.

    Raises:
        InvalidArgument: the two lists differ in length, or are empty.
    """
    counts = _bleu_counts(recovered, true)
    return float(_bleu_of(counts.sum(axis=0, keepdims=True))[0])


def bleu_interval(recovered: Sequence[str], true: Sequence[str], seed: int = 0, rounds: int = 1000) -> Interval:
    """`bleu` with its 95 % percentile bootstrap interval over resampled texts.

    Raises:
        InvalidArgument: see `bleu`.
    """
    counts = _bleu_counts(recovered, true)
    low, high = np.quantile(_bleu_of(_weights(len(counts), seed, rounds) @ counts), (0.025, 0.975))
    return Interval(float(_bleu_of(counts.sum(axis=0, keepdims=True))[0]), float(low), float(high), len(counts))


def each(measure: Callable[[str, str], float], recovered: Sequence[str], true: Sequence[str]) -> Scores:
    """One score a text: (n,) float64.

    Raises:
        InvalidArgument: the two lists differ in length.
    """
    if len(recovered) != len(true):
        raise InvalidArgument(f"{len(recovered)} recovered texts cannot be scored against {len(true)} true ones")
    return np.array([measure(a, b) for a, b in zip(recovered, true, strict=True)], np.float64)


def bootstrap(scores: NDArray[np.floating], seed: int = 0, rounds: int = 1000) -> Interval:
    """The mean of (n,) scores with its 95 % percentile interval over `rounds` resamplings of the records.

    Raises:
        InvalidArgument: there is nothing to average.
    """
    if scores.size == 0:
        raise InvalidArgument("there are no scores to average")
    values = np.asarray(scores, np.float64)
    means = _weights(len(values), seed, rounds) @ values / len(values)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high), len(values))


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Computed from mid-ranks (Mann & Whitney 1947).
    """
    everything = np.concatenate([positive, negative])
    _, position, counts = np.unique(everything, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
    above = rank[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2.0
    return float(above / (len(positive) * len(negative)))


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> Scores:
    """Cosine of each pair of rows: (n, d) and (n, d) to (n,) float64; 0 for a zero row."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.asarray(np.vecdot(left, right) / np.maximum(lengths, 1e-12), np.float64)


def identified(guesses: NDArray[np.float32], candidates: NDArray[np.float32]) -> Scores:
    """Re-identification R@1: 1 where row i of `guesses` (n, d) is nearest by cosine to row i of `candidates` (n, d)."""
    unit = candidates / np.maximum(np.linalg.norm(candidates, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.argmax(guesses @ unit.T, axis=1) == np.arange(len(guesses)), np.float64)


def recall_at(found: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> Scores:
    """Share of each query's `wanted` ids among those found: (n,) float64."""
    return np.array([len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(found, wanted, strict=True)], np.float64)


def ndcg_at(found: Sequence[Sequence[int]], relevant: Sequence[frozenset[int]], k: int = 10) -> Scores:
    """nDCG@k with binary relevance (Järvelin & Kekäläinen 2002): (n,) float64; 0 for a query without relevant ids."""
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    ideal = [discounts[: len(ids)].sum() for ids in relevant]
    gains = [
        sum(float(discounts[rank]) for rank, item in enumerate(list(ids)[:k]) if item in wanted)
        for ids, wanted in zip(found, relevant, strict=True)
    ]
    return np.array([gain / best if best else 0.0 for gain, best in zip(gains, ideal, strict=True)], np.float64)


def _weights(count: int, seed: int, rounds: int) -> NDArray[np.int64]:
    """How often each record is drawn in each round: one product with these does for all rounds."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=rounds)


def _bleu_counts(recovered: Sequence[str], true: Sequence[str]) -> NDArray[np.float64]:
    """Per text: matched n-grams of each order, proposed ones, length, and the reference's length: (n, 10)."""
    if len(recovered) != len(true) or not recovered:
        raise InvalidArgument(f"{len(recovered)} recovered texts cannot be scored against {len(true)} true ones")
    counts = np.zeros((len(recovered), 2 * BLEU_ORDER + 2))
    for row, (candidate, reference) in enumerate(zip(map(tokenise, recovered), map(tokenise, true), strict=True)):
        for order in range(BLEU_ORDER):
            grams = _ngrams(candidate, order + 1)
            counts[row, order] = (grams & _ngrams(reference, order + 1)).total()
            counts[row, BLEU_ORDER + order] = grams.total()
        counts[row, -2:] = len(candidate), len(reference)
    return counts


def _bleu_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """BLEU of each row of summed counts (n, 10)."""
    matched, proposed = sums[:, :BLEU_ORDER], sums[:, BLEU_ORDER : 2 * BLEU_ORDER]
    nothing = (matched == 0).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.log(matched / proposed).mean(axis=1)
        penalty = np.minimum(0.0, 1.0 - sums[:, -1] / sums[:, -2])
    return np.where(nothing, 0.0, np.exp(np.where(nothing, 0.0, precision + penalty)))


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, by the row-wise dynamic programme."""
    row = [0] * (len(right) + 1)
    for token in left:
        diagonal = 0
        for j, other in enumerate(right, 1):
            diagonal, row[j] = row[j], diagonal + 1 if token == other else max(row[j], row[j - 1])
    return row[-1]
