"""The set of words behind an embedding, each word judged by itself.

Multi-label prediction of Song & Raghunathan, "Information Leakage in Embedding Models" (CCS 2020), section 4.2: one
logistic regression a word, all trained together by Adam (Kingma & Ba 2015) on the binary cross-entropy. Plain numpy:
10,000 pairs and 3,000 words take seconds.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from vecguard.errors import ConfigError, InvalidArgument

Floats = npt.NDArray[np.float32]

SMALLEST_SET = 20
BATCH = 512
# Small sets get smaller batches, so that an epoch is at least about this many steps.
STEPS = 32
HELD_BACK = 0.1
DECAY = 1e-6
BETAS = (0.9, 0.999)
STABILITY = 1e-8
THRESHOLDS = tuple(float(at) for at in np.arange(0.05, 0.7, 0.025))


def words_of(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())


@dataclass(frozen=True)
class FitPlan:
    """How the bag of words is learned; early stop once the held-back loss has not fallen for `patience` epochs."""

    vocabulary: int = 8192
    occurrences: int = 3
    epochs: int = 40
    patience: int = 2
    rate: float = 3e-2
    seed: int = 7


@dataclass(frozen=True)
class BagOfWordsInverter:
    """`words` are columns of `weights` float32 (dims, words) and `bias` (words,), which give log-odds."""

    words: tuple[str, ...]
    weights: Floats
    bias: Floats
    threshold: float
    name: str = "bag-of-words"

    @classmethod
    def fit(
        cls,
        embeddings: Floats,
        texts: Sequence[str],
        plan: FitPlan = FitPlan(),
        report: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Learns from pairs.

        Args:
            embeddings: float32 (n, dims), unit rows.
            texts: n of them.
            plan: sizes and rates.
            report: called after every epoch with its number and the held-back loss in nats a text.

        Raises:
            InvalidArgument: fewer than 20 pairs, as many embeddings as texts are missing, or no word occurs often
                enough.
        """
        if len(texts) < SMALLEST_SET or len(embeddings) != len(texts):
            raise InvalidArgument(
                f"the bag of words needs {SMALLEST_SET} pairs, got {len(embeddings)} embeddings of {len(texts)} texts"
            )
        sets = [set(words_of(text)) for text in texts]
        words = _vocabulary(sets, plan)
        labels = Labels.of(sets, words)
        chance = np.random.default_rng(plan.seed)
        order = chance.permutation(len(texts))
        held, own = np.split(order, [max(1, int(len(texts) * HELD_BACK))])
        weights, bias = _descend(embeddings, labels, own, held, plan, chance, report)
        threshold = _threshold(embeddings[held] @ weights + bias, labels.dense(held), labels.sizes[held])
        return cls(words, weights, bias, threshold)

    def save(self, path: Path) -> None:
        """Writes an `.npz`: `words` (JSON, UTF-8), `weights` and `bias` (float16), `threshold` (float64)."""
        words = np.frombuffer(json.dumps(self.words).encode(), dtype=np.uint8)
        np.savez_compressed(
            path,
            allow_pickle=False,
            words=words,
            weights=self.weights.astype(np.float16),
            bias=self.bias.astype(np.float16),
            threshold=np.float64(self.threshold),
        )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            ConfigError: it is missing or not such a file.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                words = tuple(json.loads(stored["words"].tobytes()))
                weights, bias = stored["weights"].astype(np.float32), stored["bias"].astype(np.float32)
                threshold = float(stored["threshold"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as broken:
            raise ConfigError(f"bag of words {path} is missing or cannot be read") from broken
        if weights.ndim != 2 or weights.shape[1:] != bias.shape or len(bias) != len(words):
            raise ConfigError(f"bag of words {path}: its arrays do not fit each other")
        return cls(words, weights, bias, threshold)

    def probabilities(self, embeddings: Floats, /) -> Floats:
        """float32 (n, words): of each word being in the text."""
        return sigmoid(embeddings @ self.weights + self.bias)

    def predict(self, embeddings: Floats, /) -> list[frozenset[str]]:
        """The words that are likelier than the threshold, for each of (n, dims)."""
        return [frozenset(text.split()) for text in self.invert(embeddings)]

    def invert(self, embeddings: Floats, /) -> list[str]:
        """The predicted words of each of (n, dims), the likeliest first; the likeliest one at least."""
        found = []
        for row in self.probabilities(embeddings):
            count = max(1, int((row > self.threshold).sum()))
            likely = np.argpartition(row, -count)[-count:]
            found.append(" ".join(self.words[column] for column in likely[np.argsort(-row[likely], kind="stable")]))
        return found


@dataclass(frozen=True)
class Labels:
    """Words of each text, sparse: text i has columns[starts[i] : starts[i + 1]]; `sizes` counts all its words."""

    columns: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    width: int

    @classmethod
    def of(cls, sets: Sequence[set[str]], words: Sequence[str]) -> Self:
        """Of the texts' word sets, in columns as `words` are ordered."""
        place = {word: column for column, word in enumerate(words)}
        known = [[place[word] for word in one if word in place] for one in sets]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in known])])
        columns = np.array([column for row in known for column in row], dtype=np.int64)
        return cls(columns, starts.astype(np.int64), np.array([len(one) for one in sets]), len(words))

    def dense(self, rows: npt.NDArray[np.int64]) -> Floats:
        """float32 (len(rows), width), 1 where the text holds the word."""
        table = np.zeros((len(rows), self.width), dtype=np.float32)
        for place, row in enumerate(rows):
            table[place, self.columns[self.starts[row] : self.starts[row + 1]]] = 1.0
        return table


def loss_and_gradient(embeddings: Floats, held: Floats, weights: Floats, bias: Floats) -> tuple[float, Floats, Floats]:
    """Binary cross-entropy summed over words, mean over texts, in nats; and its gradients.

    `-sum(y log p + (1 - y) log(1 - p))` with `p = sigmoid(x W + b)`; the gradient by the logits is `p - y`.

    Args:
        embeddings: float32 (n, dims).
        held: float32 (n, words), 0 or 1.
        weights: float32 (dims, words).
        bias: float32 (words,).

    Returns:
        The loss, and its gradients by weights and by bias.
    """
    logits = embeddings @ weights + bias
    loss = float((np.logaddexp(0, logits) - held * logits).sum() / len(held))
    slope = (sigmoid(logits) - held) / np.float32(len(held))
    return loss, embeddings.T @ slope, slope.sum(axis=0)


def sigmoid(logits: Floats) -> Floats:
    """`1 / (1 + exp(-x))`, by tanh, which does not overflow."""
    half: Floats = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))
    return half


def _vocabulary(sets: Sequence[set[str]], plan: FitPlan) -> tuple[str, ...]:
    counts = Counter(word for one in sets for word in one)
    frequent = [(count, word) for word, count in counts.items() if count >= plan.occurrences]
    if not frequent:
        raise InvalidArgument(f"no word occurs in {plan.occurrences} of the {len(sets)} texts: give more of them")
    return tuple(word for _, word in sorted(frequent, key=lambda pair: (-pair[0], pair[1]))[: plan.vocabulary])


def _descend(
    embeddings: Floats,
    labels: Labels,
    own: npt.NDArray[np.int64],
    held: npt.NDArray[np.int64],
    plan: FitPlan,
    chance: np.random.Generator,
    report: Callable[[int, float], None] | None,
) -> tuple[Floats, Floats]:
    """Weights and bias of the epoch with the least loss on the rows `held`."""
    share = np.bincount(labels.columns, minlength=labels.width) / len(labels.sizes)
    state = [np.zeros((embeddings.shape[1], labels.width), dtype=np.float32), logit(share)]
    adam = Adam([np.zeros_like(part) for part in state], [np.zeros_like(part) for part in state])
    best, kept, worse = np.inf, (state[0].copy(), state[1].copy()), 0
    checked = held[:4096]
    batch = min(BATCH, max(16, len(own) // STEPS))
    for epoch in range(plan.epochs):
        rate = plan.rate * (1 - epoch / plan.epochs)
        for rows in np.array_split(chance.permutation(own), max(1, len(own) // batch)):
            _, *gradients = loss_and_gradient(embeddings[rows], labels.dense(rows), state[0], state[1])
            adam.step(state, gradients, rate)
        loss, *_ = loss_and_gradient(embeddings[checked], labels.dense(checked), state[0], state[1])
        if report is not None:
            report(epoch, loss)
        worse = 0 if loss < best else worse + 1
        if loss < best:
            best, kept = loss, (state[0].copy(), state[1].copy())
        if worse >= plan.patience:
            break
    return kept


def logit(share: npt.NDArray[np.float64]) -> Floats:
    """Log-odds of shares, float32."""
    safe = np.clip(share, 1e-6, 1 - 1e-3)
    return np.log(safe / (1 - safe)).astype(np.float32)


@dataclass
class Adam:
    """Adam with decoupled weight decay; `first` and `second` are the running moments, changed in place."""

    first: list[Floats]
    second: list[Floats]
    steps: int = 0

    def step(self, state: list[Floats], gradients: Sequence[Floats], rate: float) -> None:
        """Changes `state` in place."""
        self.steps += 1
        correct = np.float32(rate * (1 - BETAS[1] ** self.steps) ** 0.5 / (1 - BETAS[0] ** self.steps))
        for part, gradient, first, second in zip(state, gradients, self.first, self.second, strict=True):
            first[:] += np.float32(1 - BETAS[0]) * (gradient - first)
            second[:] += np.float32(1 - BETAS[1]) * (np.square(gradient) - second)
            part[:] *= np.float32(1 - rate * DECAY)
            part[:] -= correct * first / (np.sqrt(second) + np.float32(STABILITY))


def _threshold(logits: Floats, held: Floats, sizes: npt.NDArray[np.int64]) -> float:
    """The probability above which predicting gives the best mean F1 of word sets on the held-back texts."""
    chances = sigmoid(logits)
    best = (-1.0, 0.5)
    for at in THRESHOLDS:
        chosen = chances > at
        hits = (chosen & (held > 0)).sum(axis=1)
        best = max(best, (float((2 * hits / np.maximum(chosen.sum(axis=1) + sizes, 1)).mean()), at))
    return best[1]
