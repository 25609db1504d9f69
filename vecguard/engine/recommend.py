"""The query vector of the `average_vector` strategy.

avg(positives), and where there are negatives avg(positives) + (avg(positives) - avg(negatives)), as in qdrant's
`avg_vector_for_recommendation`. Multivectors are not averaged: their rows are joined, those of negatives with the
sign turned.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import qdrant_edge as edge

from vecguard.engine.vectors_convert import EdgeVector
from vecguard.errors import InvalidArgument


def average_vector(positives: Sequence[EdgeVector], negatives: Sequence[EdgeVector]) -> EdgeVector:
    """One vector from examples of one kind (all dense, all sparse or all multi).

    Args:
        positives: at least one example; dense ones float32[d].
        negatives: any number of the same kind.

    Raises:
        InvalidArgument: no positive example, or mixed kinds or dimensions.
    """
    if not positives:
        raise InvalidArgument("Wrong input: Positive vectors should not be empty with `average` strategy")
    kinds = {_kind(vector) for vector in (*positives, *negatives)}
    if len(kinds) > 1:
        raise InvalidArgument("Wrong input: Can't average vectors with different types")
    kind = kinds.pop()
    if kind == "sparse":
        return _average_sparse(positives, negatives)
    if kind == "multi":
        return _join_rows(positives, negatives)
    return _average_dense(positives, negatives)


def _kind(vector: EdgeVector) -> str:
    if isinstance(vector, edge.SparseVector):
        return "sparse"
    return "multi" if len(vector) and not isinstance(vector[0], float) else "dense"


def _average_dense(positives: Sequence[EdgeVector], negatives: Sequence[EdgeVector]) -> array[float]:
    if len({len(vector) for vector in (*positives, *negatives)}) > 1:
        raise InvalidArgument("Wrong input: Can't average vectors with different dimensions")
    average = np.mean(np.asarray(positives, dtype=np.float32), axis=0)
    if negatives:
        average = average + average - np.mean(np.asarray(negatives, dtype=np.float32), axis=0)
    return array("f", average.astype(np.float32).tobytes())


def _average_sparse(positives: Sequence[EdgeVector], negatives: Sequence[EdgeVector]) -> edge.SparseVector:
    average = _mean_weights(positives)
    if negatives:
        away = _mean_weights(negatives)
        average = {index: 2 * average.get(index, 0.0) - away.get(index, 0.0) for index in average.keys() | away.keys()}
    indices = sorted(average)
    return edge.SparseVector(indices, [average[index] for index in indices])


def _mean_weights(vectors: Sequence[EdgeVector]) -> dict[int, float]:
    total: dict[int, float] = {}
    for vector in vectors:
        for index, value in zip(vector.indices, vector.values, strict=True):
            total[index] = total.get(index, 0.0) + value
    return {index: value / len(vectors) for index, value in total.items()}


def _join_rows(positives: Sequence[EdgeVector], negatives: Sequence[EdgeVector]) -> list[array[float]]:
    rows = [array("f", row) for vector in positives for row in vector]
    rows.extend(array("f", (-value for value in row)) for vector in negatives for row in vector)
    return rows
