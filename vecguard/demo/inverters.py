"""Embedding inverters of an attacker who has the public embedder and notes of his own, but no key.

Three classical attacks in plain numpy; each is trained on the attacker's own (text, embedding) pairs only:
the nearest own text; the set of words (multi-label prediction, Song & Raghunathan, "Information Leakage in Embedding
Models", CCS 2020, section 4); and one attribute such as the diagnosis (section 5 there).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument

Floats = npt.NDArray[np.float32]

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
THRESHOLDS = tuple(np.arange(0.1, 0.6, 0.025).tolist())
# A word seen less often than this in the attacker's notes cannot be learnt.
MIN_OCCURRENCES = 5
MIN_NOTES = 20


def tokenise(text: str) -> list[str]:
    """Lower-case runs of letters and digits: the unit in which recovered text is compared with the true one."""
    return re.findall(r"[^\W_]+", text.lower())


@dataclass(frozen=True)
class Ridge:
    """Linear regression with an L2 penalty from embeddings (n, d) to targets (n, t)."""

    weights: Floats
    target_mean: Floats

    @classmethod
    def fit(cls, embeddings: Floats, targets: Floats, penalty: float) -> Self:
        """Closed form `(X'X + penalty I)^-1 X'Y` on centred X and Y (Hoerl & Kennard 1970).

        Args:
            embeddings: float32 (n, d).
            targets: float32 (n, t).
            penalty: above 0.
        """
        centred = embeddings - embeddings.mean(axis=0)
        target_mean = targets.mean(axis=0)
        gram = centred.T @ centred + penalty * np.eye(embeddings.shape[1], dtype=np.float32)
        weights = np.linalg.solve(gram, centred.T @ (targets - target_mean))
        return cls(weights.astype(np.float32), target_mean.astype(np.float32))

    def scores(self, embeddings: Floats) -> Floats:
        """Predicted targets, float32 (n, t).

        The stolen vectors are centred on their own mean: under a secret rotation the attacker cannot know where
        the mean of his own embeddings went, but he can see the mean of what he stole.
        """
        scores: Floats = (embeddings - embeddings.mean(axis=0)) @ self.weights + self.target_mean
        return scores


@dataclass(frozen=True)
class NearestNote:
    """Answers a stolen vector with the attacker's own text whose embedding is closest by cosine."""

    embeddings: Floats

    def invert(self, stolen: Floats) -> npt.NDArray[np.intp]:
        """Row of the closest own embedding for each of `stolen` (n, d): int, shape (n,)."""
        closest: npt.NDArray[np.intp] = np.argmax(stolen @ self.embeddings.T, axis=1)
        return closest


@dataclass(frozen=True)
class WordInverter:
    """Predicts which words a note holds; penalty and threshold are chosen on notes held back by the attacker."""

    words: tuple[str, ...]
    ridge: Ridge
    penalty: float
    threshold: float

    @classmethod
    def fit(cls, texts: Sequence[str], embeddings: Floats) -> Self:
        """Learns from the attacker's own notes: `embeddings` is float32 (len(texts), d).

        Raises:
            InvalidArgument: fewer than 20 notes, or no word occurs in five of them.
        """
        sets = [set(tokenise(text)) for text in texts]
        words, present = word_matrix(sets)
        if len(texts) < MIN_NOTES or not words:
            raise InvalidArgument(f"the attack needs {MIN_NOTES} notes with some words in common, got {len(texts)}")
        split = len(texts) * 4 // 5
        sizes = np.array([len(one) for one in sets[split:]])
        best = (-1.0, PENALTIES[0], THRESHOLDS[0])
        for penalty in PENALTIES:
            scores = Ridge.fit(embeddings[:split], present[:split], penalty).scores(embeddings[split:])
            for threshold in THRESHOLDS:
                f1 = float(set_f1(scores > threshold, present[split:] > 0, sizes).mean())
                best = max(best, (f1, penalty, threshold))
        return cls(words, Ridge.fit(embeddings, present, best[1]), best[1], best[2])

    def invert(self, stolen: Floats) -> list[frozenset[str]]:
        """The words predicted for each of `stolen` (n, d)."""
        chosen = self.ridge.scores(stolen) > self.threshold
        return [frozenset(self.words[column] for column in np.flatnonzero(row)) for row in chosen]


@dataclass(frozen=True)
class AttributeInverter:
    """Guesses one attribute (a diagnosis, a surname) among the values that the attacker's own notes have."""

    values: tuple[str, ...]
    ridge: Ridge

    @classmethod
    def fit(cls, attributes: Sequence[str], embeddings: Floats, penalty: float) -> Self:
        """Learns from the attacker's own notes: `attributes[i]` belongs to row i of `embeddings` (n, d)."""
        values = tuple(sorted(set(attributes)))
        column = {value: index for index, value in enumerate(values)}
        one_hot = np.zeros((len(attributes), len(values)), dtype=np.float32)
        one_hot[np.arange(len(attributes)), [column[value] for value in attributes]] = 1.0
        return cls(values, Ridge.fit(embeddings, one_hot, penalty))

    def invert(self, stolen: Floats) -> list[str]:
        """The likeliest value for each of `stolen` (n, d)."""
        return [self.values[column] for column in np.argmax(self.ridge.scores(stolen), axis=1)]


def word_matrix(sets: Sequence[set[str]]) -> tuple[tuple[str, ...], Floats]:
    """The words that can be learnt, and float32 (len(sets), words) with 1 where a note holds the word."""
    counts = Counter(word for one in sets for word in one)
    words = tuple(sorted(word for word, count in counts.items() if count >= MIN_OCCURRENCES))
    column = {word: index for index, word in enumerate(words)}
    present = np.zeros((len(sets), len(words)), dtype=np.float32)
    for row, one in enumerate(sets):
        present[row, [column[word] for word in one if word in column]] = 1.0
    return words, present


def set_f1(
    predicted: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int_]
) -> npt.NDArray[np.float64]:
    """F1 of each predicted word set, shape (n,).

    Args:
        predicted: bool (n, words).
        present: bool (n, words), what the notes truly hold of these words.
        sizes: int (n,), all distinct words of each note, also those outside the vocabulary: they count as missed.
    """
    hits = (predicted & present).sum(axis=1)
    f1: npt.NDArray[np.float64] = 2.0 * hits / np.maximum(predicted.sum(axis=1) + sizes, 1)
    return f1
