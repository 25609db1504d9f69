"""Discovery and context search: Qdrant's scores over pairs of a positive and a negative example.

Source: github.com/qdrant/qdrant, lib/segment/src/vector_storage/query/{discover,context}_query.rs.
All arguments are inner similarities (`metric.similarities`), bigger is better.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from vecguard.metric import FloatArray
from vecguard.ranking.sigmoid import fast_sigmoid, scaled_fast_sigmoid

MARGIN: Final = np.finfo(np.float32).eps


def discover(target: FloatArray, positive: FloatArray, negative: FloatArray) -> FloatArray:
    """For each pair +1 on its positive's side, -1 on the negative's, 0 between; plus the target's sigmoid in (0, 1).

    target: (n,); positive, negative: (pairs, n) float32. Returns (n,) float32.
    """
    side = np.sign(positive - negative).sum(axis=0, dtype=np.float32)
    return np.asarray(side + scaled_fast_sigmoid(target), dtype=np.float32)


def context(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """The summed loss of the pairs, from -1 each up to 0: sigmoid(min(positive - negative - EPSILON, 0)).

    positive, negative: (pairs, n) float32. Returns (n,) float32.
    """
    difference = np.minimum(positive - negative - MARGIN, np.float32(0.0))
    return np.asarray(fast_sigmoid(difference).sum(axis=0), dtype=np.float32)
