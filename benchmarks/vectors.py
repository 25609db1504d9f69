"""Seeded synthetic embeddings, shaped like a sentence model's: anisotropic and clustered, not white noise.

A row is `normalise(mean + a * topic + b * own)`: a common mean, because real embeddings share a direction; topics and
rows' own parts drawn with a falling spectrum, because real embeddings do not fill their dimensions evenly. A query is a
row's direction mixed with a new draw. The constants below were set by eye so that 5,000 rows at 384 dimensions come
near to MiniLM on 5,000 SQuAD and Wikipedia paragraphs and 500 questions; `shape` measures both:

    |           | cosine of two rows | participation ratio | query's cosine with its 1st, 10th, 50th, 200th, 1,000th |
    | MiniLM    | .035 +- .091       | 120 of 384          | .59  .39  .27  .17  .07                                 |
    | synthetic | .038 +- .098       | 107 of 384          | .60  .40  .26  .16  .09                                 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS_PER_TOPIC = 45
MEAN = 0.19
TOPIC_SHARE = 0.60
QUERY_SHARE = 0.60
SPECTRUM_OFFSET = 20
SPECTRUM_POWER = 1.1


@dataclass(frozen=True)
class Sample:
    """Unit rows (n, d) to store and unit queries (m, d) to ask, float32."""

    rows: NDArray[np.float32]
    queries: NDArray[np.float32]


def synthetic(rows: int, queries: int, dims: int, seed: int) -> Sample:
    """A sample of the shape that this module describes; the same arguments give the same sample with one numpy release.

    Nothing stored depends on it, so a library's generator is good enough here.
    """
    random = np.random.default_rng(seed)
    spread = _spectrum(dims)
    mean = np.zeros(dims)
    mean[0] = MEAN
    topics = random.standard_normal((max(1, rows // ROWS_PER_TOPIC), dims)) * spread

    def draw(count: int) -> NDArray[np.float64]:
        topic = topics[random.integers(len(topics), size=count)]
        own = random.standard_normal((count, dims)) * spread
        return np.asarray(mean + np.sqrt(TOPIC_SHARE) * topic + np.sqrt(1 - TOPIC_SHARE) * own)

    stored = _unit(draw(rows))
    asked = stored[random.integers(rows, size=queries)]
    mixed = QUERY_SHARE * asked + np.sqrt(1 - QUERY_SHARE**2) * _unit(random.standard_normal((queries, dims)) * spread)
    return Sample(stored.astype(np.float32), _unit(mixed).astype(np.float32))


def exact_top(rows: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Row numbers (m, k) of the k rows with the largest inner product, best first, by exhaustive search."""
    scores = queries @ rows.T
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def shape(sample: Sample) -> dict[str, float]:
    """Figures to compare samples by: mean cosine of two rows and its deviation, the participation ratio of the
    covariance's spectrum, and a query's mean cosine with its 1st, 10th, 50th, 200th and 1,000th row."""
    cosines = (sample.rows @ sample.rows.T)[np.triu_indices(len(sample.rows), 1)]
    spectrum = np.linalg.eigvalsh(np.cov(sample.rows, rowvar=False))
    nearest = -np.sort(-(sample.queries @ sample.rows.T), axis=1).mean(axis=0)
    ranks = {f"rank {k}": float(nearest[k - 1]) for k in (1, 10, 50, 200, 1_000) if k <= len(nearest)}
    return {
        "pair mean": float(cosines.mean()),
        "pair deviation": float(cosines.std()),
        "participation": float(spectrum.sum() ** 2 / (spectrum**2).sum()),
        **ranks,
    }


def _spectrum(dims: int) -> NDArray[np.float64]:
    """Standard deviations by dimension, unit total variance."""
    variance = (np.arange(dims) + SPECTRUM_OFFSET * dims / 384) ** -SPECTRUM_POWER
    return np.asarray(np.sqrt(variance / variance.sum()))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
