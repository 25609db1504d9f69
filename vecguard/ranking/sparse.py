"""Sparse vectors as Qdrant holds them: strictly increasing indices with one weight each.

Source: github.com/qdrant/qdrant, lib/sparse/src/common/sparse_vector.rs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.metric import FloatArray


@dataclass(frozen=True, slots=True)
class SparseVector:
    """indices: (n,) uint32, strictly increasing; weights: (n,) float32."""

    indices: NDArray[np.uint32]
    weights: FloatArray

    @classmethod
    def of(cls, indices: Sequence[int] | NDArray[np.uint32], weights: Sequence[float] | FloatArray) -> SparseVector:
        """Sorts by index. Raises InvalidArgument for unequal lengths or a repeated index (with Qdrant's wording)."""
        index, weight = np.asarray(indices, dtype=np.uint32), np.asarray(weights, dtype=np.float32)
        if len(index) != len(weight):
            raise InvalidArgument("Validation error in body: values: must be the same length as indices")
        order = np.argsort(index, kind="stable")
        if np.any(index[order][1:] == index[order][:-1]):
            raise InvalidArgument("Validation error in body: indices: must be unique")
        return cls(index[order], weight[order])


def combined(vectors: Sequence[SparseVector], factors: Sequence[float]) -> SparseVector:
    """The linear combination sum(factor * vector) over the union of the indices (zero weights are kept)."""
    if not vectors:
        return SparseVector(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.float32))
    scaled = np.concatenate([v.weights * np.float32(f) for v, f in zip(vectors, factors, strict=True)])
    indices, slot = np.unique(np.concatenate([v.indices for v in vectors]), return_inverse=True)
    total = np.zeros(len(indices), dtype=np.float32)
    np.add.at(total, slot, scaled)
    return SparseVector(indices, total)


def mean(vectors: Sequence[SparseVector]) -> SparseVector:
    """The average over all vectors, an absent index counting 0."""
    total = combined(vectors, [1.0] * len(vectors))
    return SparseVector(total.indices, total.weights / np.float32(max(len(vectors), 1)))


def pairwise(vectors: Sequence[SparseVector]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Inner products of all pairs, `(n, n)` float32, and which pairs share an index: others no search finds."""
    count = len(vectors)
    products, shared = np.zeros((count, count), np.float32), np.zeros((count, count), bool)
    lengths = np.array([len(vector.indices) for vector in vectors], np.intp)
    holding = np.flatnonzero(lengths)
    if not holding.size:
        return products, shared
    indices, slots = np.unique(np.concatenate([vector.indices for vector in vectors]), return_inverse=True)
    weights = np.concatenate([vector.weights for vector in vectors])
    ends = np.cumsum(lengths)
    starts = (ends - lengths)[holding]
    query, there = np.zeros(len(indices), np.float32), np.zeros(len(indices), np.intp)
    for i in holding.tolist():
        own = slots[ends[i] - lengths[i] : ends[i]]
        query[own], there[own] = vectors[i].weights, 1
        products[i, holding] = np.add.reduceat(query[slots] * weights, starts)
        shared[i, holding] = np.add.reduceat(there[slots], starts) > 0
        query[own], there[own] = 0.0, 0
    return products, shared
