"""Recommendation from positive and negative examples: Qdrant's three strategies.

Source: github.com/qdrant/qdrant, lib/segment/src/vector_storage/query/reco_query.rs. The example vectors are taken as
they come: Qdrant normalises neither the examples nor their average before the cosine itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.metric import FloatArray
from vecguard.ranking.sigmoid import scaled_fast_sigmoid
from vecguard.ranking.sparse import SparseVector, combined, mean

NO_POSITIVES = "Wrong input: Positive vectors should not be empty with `average` strategy"


def average_dense(positive: Sequence[FloatArray], negative: Sequence[FloatArray] = ()) -> FloatArray:
    """avg(positive), or 2 avg(positive) - avg(negative) where there are negatives. Rows and result: (d,) float32.

    Raises InvalidArgument without a positive, or when the dimensions differ.
    """
    if not positive:
        raise InvalidArgument(NO_POSITIVES)
    _check_same_dims([*positive, *negative])
    average = _mean(positive)
    return average + average - _mean(negative) if negative else average


def average_multi(positive: Sequence[FloatArray], negative: Sequence[FloatArray] = ()) -> FloatArray:
    """All rows of the positives, then the negated rows of the negatives. Each (rows, d) float32; result (sum, d).

    Raises InvalidArgument without a positive, or when the dimensions differ.
    """
    if not positive:
        raise InvalidArgument(NO_POSITIVES)
    _check_same_dims([*positive, *negative])
    return np.concatenate([*positive, *(-document for document in negative)])


def average_sparse(positive: Sequence[SparseVector], negative: Sequence[SparseVector] = ()) -> SparseVector:
    """The dense formula over the union of the indices, an absent index counting 0.

    Raises InvalidArgument without a positive.
    """
    if not positive:
        raise InvalidArgument(NO_POSITIVES)
    average = mean(positive)
    return combined([average, mean(negative)], [2.0, -1.0]) if negative else average


def best_score(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """sigmoid(best positive) where that beats the best negative, else -sigmoid(best negative).

    positive: (p, n), negative: (m, n) float32 inner similarities (`metric.similarities`) of the examples to each of
    the n candidates; either may have no rows. Returns (n,) float32, bigger is better for every distance.
    """
    liked, disliked = _best(positive), _best(negative)
    return np.where(liked > disliked, scaled_fast_sigmoid(liked), -scaled_fast_sigmoid(disliked))


def sum_scores(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """Sum of the similarities to the positives minus the sum to the negatives. Shapes as for `best_score`."""
    return np.asarray(positive.sum(axis=0) - negative.sum(axis=0), dtype=np.float32)


def _mean(vectors: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.stack(vectors).mean(axis=0), dtype=np.float32)


def _best(similarity: FloatArray) -> FloatArray:
    return np.asarray(similarity.max(axis=0, initial=-np.inf), dtype=np.float32)


def _check_same_dims(vectors: Sequence[FloatArray]) -> None:
    expected = vectors[0].shape[-1]
    for vector in vectors:
        if vector.shape[-1] != expected:
            raise InvalidArgument(
                f"Wrong input: Vector dimension error: expected dim: {expected}, got {vector.shape[-1]}"
            )
