"""Qdrant's distances on exact vectors: what it compares inside, and what it reports.

Qdrant ranks by a *similarity* for which bigger is always better (dot product, or minus the squared distance) and
turns it into the reported *score* only at the end. Both are needed here: plain search and fusion use scores,
recommend, discover, context, feedback and MMR use similarities.

Source: github.com/qdrant/qdrant, lib/segment/src/spaces/{simple,metric}.rs and
lib/segment/src/vector_storage/multi_dense; every rule below was also checked against the engine itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument

Distance: TypeAlias = Literal["cosine", "dot", "euclid"]
FloatArray: TypeAlias = NDArray[np.float32]

# Qdrant leaves a vector as it is when its squared norm is below f32::EPSILON, or already 1 to within 1e-6.
NORM_SQUARED_FLOOR: Final = float(np.finfo(np.float32).eps)
NORM_SQUARED_SLACK: Final = 1e-6

# Between these a sum of squares loses nothing to float32's range.
_SMALLEST_SQUARE: Final = 1e-30
_LARGEST_SQUARE: Final = 1e38


def normalize(vectors: FloatArray) -> FloatArray:
    """What Qdrant stores for a cosine collection: unit rows; tiny (norm < 3.5e-4) and zero rows as they came.

    vectors: (d,) or (n, d) float32. Returns the same shape; the argument itself where nothing changes.
    """
    with np.errstate(over="ignore"):  # an infinite length gives the zero vector, as in Qdrant
        squared = np.vecdot(vectors, vectors)
    as_is = (squared < NORM_SQUARED_FLOOR) | (np.abs(squared - 1.0) <= NORM_SQUARED_SLACK)
    if as_is.all():
        return vectors
    lengths = np.sqrt(np.where(as_is, np.float32(1.0), squared))
    return np.asarray(vectors / lengths[..., np.newaxis], dtype=np.float32)


def similarities(query: FloatArray, vectors: FloatArray, distance: Distance) -> FloatArray:
    """Qdrant's inner similarity, bigger is better: cosine, dot product, or minus the squared Euclidean distance.

    query: (d,) or (m, d) float32; vectors: (n, d) float32. Returns (n,) or (m, n) float32.
    Raises InvalidArgument when the dimensions differ.
    """
    _check_dims(query, vectors)
    if distance == "euclid":
        return _minus_squared_distance(query, vectors)
    if distance == "cosine":
        query, vectors = normalize(query), normalize(vectors)
    return np.asarray(query @ vectors.T, dtype=np.float32)


def scores(query: FloatArray, vectors: FloatArray, distance: Distance) -> FloatArray:
    """The scores that Qdrant reports: cosine similarity, dot product, or Euclidean distance (smaller is better).

    query: (d,) or (m, d) float32; vectors: (n, d) float32. Returns (n,) or (m, n) float32.
    A zero vector has cosine 0 with everything. Raises InvalidArgument when the dimensions differ.
    """
    return reported(similarities(query, vectors, distance), distance)


def max_sim_similarities(query: FloatArray, documents: Sequence[FloatArray], distance: Distance) -> FloatArray:
    """MaxSim of ColBERT (Khattab & Zaharia 2020, arXiv:2004.12832): sum over query rows of the best document row.

    query: (m, d) float32; documents: one (rows, d) float32 array each, at least one row. Returns (n,) float32.
    As in Qdrant the sum is of similarities, so for "euclid" it is of minus squared distances.
    """
    if not documents:
        return np.zeros(0, dtype=np.float32)
    lengths = [len(document) for document in documents]
    if min(lengths) == 0:
        raise InvalidArgument("Validation error: multivector must not be empty")
    by_row = similarities(np.atleast_2d(query), np.concatenate(documents), distance)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    best = np.maximum.reduceat(by_row, starts, axis=1)
    return np.asarray(best.sum(axis=0), dtype=np.float32)


def max_sim(query: FloatArray, documents: Sequence[FloatArray], distance: Distance) -> FloatArray:
    """The MaxSim scores that Qdrant reports; for "euclid" the square root of the summed squared distances.

    query: (m, d) float32; documents: one (rows, d) float32 array each. Returns (n,) float32.
    """
    return reported(max_sim_similarities(query, documents, distance), distance)


def reported(similarity: FloatArray, distance: Distance) -> FloatArray:
    """Inner similarities as reported scores: sqrt(|s|) for "euclid", unchanged otherwise."""
    return np.sqrt(np.abs(similarity)) if distance == "euclid" else similarity


def norms(vectors: FloatArray) -> FloatArray:
    """Norms (n,) float32 of the rows of a (n, d) float32 array, also of those whose squares float32 cannot hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.vecdot(vectors, vectors)
        if ((squared > _SMALLEST_SQUARE) & (squared < _LARGEST_SQUARE)).all():
            return np.asarray(np.sqrt(squared), dtype=np.float32)
        exact = vectors.astype(np.float64)
        return np.asarray(np.sqrt(np.vecdot(exact, exact)), dtype=np.float32)


def largest_norm(vectors: FloatArray) -> float:
    """The largest Euclidean norm of the rows of a (n, d) float32 array; 0 for none."""
    return float(np.sqrt(np.vecdot(vectors, vectors).max(initial=0.0)))


def bigger_is_better(distance: Distance) -> bool:
    """Whether a higher reported score is a better one."""
    return distance != "euclid"


def better(a: float, b: float, distance: Distance) -> bool:
    """Whether reported score `a` is strictly better than `b`."""
    return a > b if bigger_is_better(distance) else a < b


def passes(score: FloatArray, threshold: float, distance: Distance) -> NDArray[np.bool_]:
    """Which reported scores a `score_threshold` lets through: strictly better ones, as Qdrant's search does."""
    limit = np.float32(threshold)
    return np.asarray(score > limit if bigger_is_better(distance) else score < limit, dtype=np.bool_)


def _minus_squared_distance(query: FloatArray, vectors: FloatArray) -> FloatArray:
    if query.ndim == 1:
        # The difference is taken first: expanding |q|^2 - 2qx + |x|^2 loses near neighbours to cancellation.
        difference = vectors - query
        return np.asarray(-np.vecdot(difference, difference), dtype=np.float32)
    return np.stack([_minus_squared_distance(row, vectors) for row in query])


def _check_dims(query: FloatArray, vectors: FloatArray) -> None:
    expected, got = vectors.shape[-1], query.shape[-1]
    if expected != got:
        raise InvalidArgument(f"Wrong input: Vector dimension error: expected dim: {expected}, got {got}")
