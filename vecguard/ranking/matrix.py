"""The distance matrix of a sample of points: for each, its nearest others in the sample.

Source: github.com/qdrant/qdrant, lib/collection/src/collection/distance_matrix.rs (samples sorted by id, the point
itself left out, fewer than two samples give an empty matrix).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.metric import Distance, FloatArray, bigger_is_better
from vecguard.rerank import PointId, Positions, id_order, ordered


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A sparse matrix in coordinate form. ids: the samples in Qdrant's order of ids; rows, columns: positions in `ids`;
    scores: (entries,) float32 reported scores. The pair form is (ids[row], ids[column], score)."""

    ids: tuple[PointId, ...]
    rows: Positions
    columns: Positions
    scores: FloatArray


def nearest_in_sample(ids: Sequence[PointId], pairwise: FloatArray, limit: int, distance: Distance) -> Neighbours:
    """The `limit` nearest others of every sample.

    ids: n distinct point ids; pairwise: (n, n) float32 reported scores, [i, j] of sample i as the query against j
    (`metric.scores(x, x, distance)`), -inf where j is none that a search for i finds.

    Raises:
        InvalidArgument: the shapes differ.
    """
    count = len(ids)
    if pairwise.shape != (count, count):
        raise InvalidArgument(f"a matrix over {count} points cannot come from scores of shape {pairwise.shape}")
    if count < 2 or limit == 0:
        nothing = np.zeros(0, dtype=np.intp)
        return Neighbours((), nothing, nothing, np.zeros(0, dtype=np.float32))
    by_id = sorted(range(count), key=lambda i: id_order(ids[i]))
    names, score = [ids[i] for i in by_id], pairwise[np.ix_(by_id, by_id)]
    nearest = [_nearest_others(names, score[row], row, limit, distance) for row in range(count)]
    rows = np.repeat(np.arange(count), [len(columns) for columns in nearest])
    columns = np.concatenate(nearest)
    return Neighbours(tuple(names), rows, columns, score[rows, columns])


def _nearest_others(names: Sequence[PointId], score: FloatArray, row: int, limit: int, distance: Distance) -> Positions:
    order = ordered(names, score, descending=bigger_is_better(distance))
    return order[np.flatnonzero((order != row) & (score[order] != -np.inf))[:limit]]
