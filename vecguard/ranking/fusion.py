"""Fusing several rankings of points into one: reciprocal rank fusion (RRF) and distribution-based score fusion (DBSF).

Sources: Cormack, Clarke & Büttcher, SIGIR 2009 (RRF; Qdrant's default k is 2 and it counts ranks from 0);
Mazzeschi 2023 (DBSF: normalise by mean +- 3 standard deviations). Weights and rounding follow github.com/qdrant/qdrant,
lib/segment/src/common/{reciprocal_rank_fusion,score_fusion}.rs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.metric import FloatArray
from vecguard.rerank import PointId

DEFAULT_RRF_K: Final = 2


@dataclass(frozen=True, slots=True)
class Ranking:
    """Points with their scores, best first. ids: n point ids; scores: (n,) float32."""

    ids: tuple[PointId, ...]
    scores: FloatArray

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.scores):
            raise InvalidArgument(f"a ranking has {len(self.ids)} ids but {len(self.scores)} scores")

    def cut(self, limit: int, offset: int = 0, score_threshold: float | None = None) -> Ranking:
        """The page of a fused ranking. Unlike search, fusion keeps scores equal to the threshold (as Qdrant does)."""
        kept = len(self.ids)
        if score_threshold is not None:
            kept = int(np.count_nonzero(self.scores >= np.float32(score_threshold)))
        page = slice(offset, min(offset + limit, kept))
        return Ranking(self.ids[page], self.scores[page])


def reciprocal_rank_fusion(
    sources: Sequence[Sequence[PointId]], *, k: int = DEFAULT_RRF_K, weights: Sequence[float] | None = None
) -> Ranking:
    """Sum over the sources of 1 / ((rank + 1) / weight + k - 1), rank from 0; a source of weight 0 adds nothing.

    sources: ids best first. Qdrant leaves equal scores in no order; here they keep the order of first appearance.
    Raises InvalidArgument when k < 1 or the weights do not match the sources.
    """
    if k < 1:
        raise InvalidArgument(f"Validation error in body: [k: value {k} invalid, must be 1 or larger]")
    if weights is not None and len(weights) != len(sources):
        raise InvalidArgument(
            f"Wrong input: Validation failed: RRF weights length ({len(weights)}) "
            f"does not match number of prefetches ({len(sources)})"
        )
    shares = [_rank_scores(len(source), k, 1.0 if weights is None else weights[i]) for i, source in enumerate(sources)]
    return _summed(sources, shares)


def distribution_based_score_fusion(sources: Sequence[Ranking]) -> Ranking:
    """Sum of the scores, each source mapped so that mean - 3 sd becomes 0 and mean + 3 sd becomes 1.

    The deviation is the sample's (n - 1). A single point, or equal scores, count 0.5 each. As in Qdrant a higher
    score is taken as better in every source, so Euclidean sources are summed by distance.
    """
    return _summed([source.ids for source in sources], [_distribution_norm(source.scores) for source in sources])


def _rank_scores(count: int, k: int, weight: float) -> FloatArray:
    if weight <= 0:
        return np.zeros(count, dtype=np.float32)
    rank = np.arange(1, count + 1, dtype=np.float32)
    return np.float32(1.0) / (rank / np.float32(weight) + np.float32(k) - np.float32(1.0))


def _distribution_norm(score: FloatArray) -> FloatArray:
    if len(score) < 2:
        return np.full(len(score), 0.5, dtype=np.float32)
    # In float64, so that equal float32 scores give a deviation of exactly 0.
    mean, deviation = np.mean(score, dtype=np.float64), np.std(score, dtype=np.float64, ddof=1)
    low, high = np.float32(mean - 3.0 * deviation), np.float32(mean + 3.0 * deviation)
    if low == high:
        return np.full(len(score), 0.5, dtype=np.float32)
    return np.asarray((score - low) / (high - low), dtype=np.float32)


def _summed(sources: Sequence[Sequence[PointId]], shares: Sequence[FloatArray]) -> Ranking:
    """Adds up each point's shares in float32, source by source, and sorts by the sum, best first (stable)."""
    slots: dict[PointId, int] = {}
    for source in sources:
        for point_id in source:
            slots.setdefault(point_id, len(slots))
    total = np.zeros(len(slots), dtype=np.float32)
    for source, share in zip(sources, shares, strict=True):
        np.add.at(total, [slots[point_id] for point_id in source], share)
    order = np.argsort(-total, kind="stable")
    ids = list(slots)
    return Ranking(tuple(ids[i] for i in order.tolist()), total[order])
