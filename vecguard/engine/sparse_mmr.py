"""Maximal marginal relevance over sparse vectors, which Qdrant Edge has for dense vectors only.

Carbonell and Goldstein (1998), as in qdrant's `lib/collection/src/collection/mmr.rs`: the most relevant candidate
first, then each time the one with the greatest lambda * relevance - (1 - lambda) * (greatest similarity to those
already chosen). Points keep their relevance as their score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge


@dataclass(frozen=True, slots=True)
class SparseMmr:
    """A query for diverse points.

    Attributes:
        vector: what to be near to.
        relevance_weight: lambda, in [0, 1].
        candidates: how many nearest points to choose from.
        using: the sparse vector's name.
    """

    vector: edge.SparseVector
    relevance_weight: float
    candidates: int
    using: str


def diverse(points: Sequence[edge.ScoredPoint], mmr: SparseMmr, count: int) -> list[edge.ScoredPoint]:
    """Choose up to `count` of the candidates, in the order of choice.

    Args:
        points: candidates with the vector `mmr.using`, most relevant first.
    """
    if not points:
        return []
    similarity = _similarities([_weights(point, mmr.using) for point in points])
    relevance = np.array([point.score for point in points], dtype=np.float64)
    closest = np.full(len(points), -np.inf)
    left, chosen, gain = list(range(len(points))), list[int](), relevance
    while len(chosen) < min(count, len(points)):
        # Of equal ones Qdrant takes the last in its list, in which the last then fills the gap.
        slot = len(left) - 1 - int(np.argmax(gain[left][::-1]))
        best = left[slot]
        left[slot] = left[-1]
        left.pop()
        chosen.append(best)
        closest = np.maximum(closest, similarity[best])
        gain = mmr.relevance_weight * relevance - (1.0 - mmr.relevance_weight) * closest
    return [points[index] for index in chosen]


def _weights(point: Any, using: str) -> dict[int, float]:
    vector = point.vector[using]
    return dict(zip(vector.indices, vector.values, strict=True))


def _similarities(weights: list[dict[int, float]]) -> npt.NDArray[np.float64]:
    """float64[n, n] of dot products."""
    columns = {index: column for column, index in enumerate(sorted(set().union(*weights)))}
    rows = np.zeros((len(weights), len(columns)))
    for row, vector in enumerate(weights):
        for index, value in vector.items():
            rows[row, columns[index]] = value
    product: npt.NDArray[np.float64] = rows @ rows.T
    return product
