"""The bag-of-words inverter: its loss and gradient against their formulas, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.audit.inverter.bag_of_words import BagOfWordsInverter, FitPlan, loss_and_gradient, words_of
from vecguard.errors import InvalidArgument


def test_the_loss_is_binary_cross_entropy() -> None:
    chance = np.random.default_rng(0)
    x, w, b = chance.normal(size=(5, 4)), chance.normal(size=(4, 3)), chance.normal(size=3)
    held = (chance.random((5, 3)) < 0.4).astype(float)
    p = 1 / (1 + np.exp(-(x @ w + b)))
    expected = -(held * np.log(p) + (1 - held) * np.log(1 - p)).sum() / 5
    loss, _, _ = loss_and_gradient(*(part.astype(np.float32) for part in (x, held, w, b)))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_the_losss_slope() -> None:
    chance = np.random.default_rng(1)
    x, w, b = (chance.normal(size=size).astype(np.float64) for size in ((6, 4), (4, 3), (3,)))
    held = (chance.random((6, 3)) < 0.4).astype(np.float64)
    _, by_weights, by_bias = loss_and_gradient(x, held, w, b)  # type: ignore[arg-type]
    step = 1e-5
    for part, gradient in ((w, by_weights), (b, by_bias)):
        for place in np.ndindex(part.shape):
            before = part[place]
            part[place] = before + step
            above = loss_and_gradient(x, held, w, b)[0]  # type: ignore[arg-type]
            part[place] = before - step
            below = loss_and_gradient(x, held, w, b)[0]  # type: ignore[arg-type]
            part[place] = before
            assert gradient[place] == pytest.approx((above - below) / (2 * step), abs=1e-4)


def topic_pairs(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Texts of three of twelve words; an embedding is the sum of its words' directions, some noise, unit length."""
    chance = np.random.default_rng(seed)
    words = [
        "river",
        "stone",
        "bridge",
        "lamp",
        "garden",
        "winter",
        "copper",
        "violin",
        "harbour",
        "meadow",
        "thunder",
        "candle",
    ]
    directions = np.random.default_rng(5).normal(size=(12, 16))
    chosen = [chance.choice(12, 3, replace=False) for _ in range(count)]
    rows = np.stack([directions[three].sum(axis=0) for three in chosen]) + chance.normal(scale=0.3, size=(count, 16))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32), [" ".join(words[place] for place in three) for three in chosen]


def mean_f1(inverter: BagOfWordsInverter, embeddings: np.ndarray, true: list[str]) -> float:
    found = [set(text.split()) for text in inverter.invert(embeddings)]
    sets = [set(text.split()) for text in true]
    return float(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in zip(found, sets, strict=True)]))


def test_it_learns_words_and_not_from_noise() -> None:
    embeddings, texts = topic_pairs(800, 0)
    unseen, true = topic_pairs(100, 1)
    inverter = BagOfWordsInverter.fit(embeddings, texts)
    assert mean_f1(inverter, unseen, true) > 0.85
    assert inverter.predict(unseen) == [frozenset(text.split()) for text in inverter.invert(unseen)]
    shuffled = BagOfWordsInverter.fit(np.random.default_rng(2).permutation(embeddings), texts)
    assert mean_f1(shuffled, unseen, true) < 0.5


def test_the_same_seed_gives_the_same_inverter() -> None:
    embeddings, texts = topic_pairs(200, 0)
    one, other = (BagOfWordsInverter.fit(embeddings, texts, FitPlan(epochs=3)) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)


def test_too_little_to_learn_from_is_refused() -> None:
    embeddings, texts = topic_pairs(40, 0)
    with pytest.raises(InvalidArgument, match="needs 20 pairs"):
        BagOfWordsInverter.fit(embeddings[:10], texts[:10])
    with pytest.raises(InvalidArgument, match="39 embeddings of 40 texts"):
        BagOfWordsInverter.fit(embeddings[:39], texts)
    with pytest.raises(InvalidArgument, match="no word occurs"):
        BagOfWordsInverter.fit(embeddings, [f"w{number}" for number in range(40)])


def test_words() -> None:
    assert words_of("Dr. O'Neil's flat-fee: 12.5 %_x") == ["dr", "o", "neil", "s", "flat", "fee", "12", "5", "x"]
