"""Maximal marginal relevance: pick what is close to the query and unlike what was picked before.

Source: Carbonell & Goldstein, SIGIR 1998; order and ties as in github.com/qdrant/qdrant,
lib/shard/src/query/mmr/mod.rs.
"""

from __future__ import annotations

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.metric import FloatArray
from vecguard.rerank import Positions


def maximal_marginal_relevance(relevance: FloatArray, pairwise: FloatArray, diversity: float, limit: int) -> Positions:
    """Positions of at most `limit` (offset included) candidates, in the order picked.

    relevance: (n,) float32 inner similarities to the query; pairwise: (n, n), [i, j] the similarity of candidate i as
    the query to candidate j. Each pick maximises (1 - diversity) * relevance - diversity * max similarity to the
    picked. The points keep the scores of the search that found them, as in Qdrant.
    Candidates come in search order. Of equal ones Qdrant takes the last in its list, where the last element fills the
    gap of a picked one; that is kept. Raises InvalidArgument when diversity is outside [0, 1].
    """
    if not 0.0 <= diversity <= 1.0:
        raise InvalidArgument(f"Wrong input: MMR diversity must be between 0.0 and 1.0, got {diversity}")
    count = len(relevance)
    if count < 2 or limit == 0:
        return np.arange(min(count, limit))
    keep = np.float32(1.0) - np.float32(diversity)
    remaining, picked = list(range(count)), list[int]()
    closest = np.full(count, -np.inf, dtype=np.float32)
    merit = relevance
    while remaining and len(picked) < limit:
        slot = _last_maximum(merit[remaining])
        chosen = remaining[slot]
        remaining[slot] = remaining[-1]
        remaining.pop()
        picked.append(chosen)
        closest = np.maximum(closest, pairwise[:, chosen])
        merit = keep * relevance - (np.float32(1.0) - keep) * closest
    return np.asarray(picked, dtype=np.intp)


def _last_maximum(values: FloatArray) -> int:
    return len(values) - 1 - int(np.argmax(values[::-1]))
