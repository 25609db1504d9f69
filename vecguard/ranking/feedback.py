"""Relevance feedback: Qdrant's "naive" strategy.

Source: github.com/qdrant/qdrant, lib/segment/src/vector_storage/query/feedback_query.rs and the Query API's
NaiveFeedbackStrategy.
"""

from __future__ import annotations

import numpy as np

from vecguard.metric import FloatArray


def naive_feedback(
    target: FloatArray, examples: FloatArray, example_scores: FloatArray, *, a: float, b: float, c: float
) -> FloatArray:
    """a * sim(target) + sum over pairs with score_i > score_j of (score_i - score_j)^b * c * (sim_i - sim_j).

    target: (n,) float32 inner similarities of the candidates to the target; examples: (e, n), to each example;
    example_scores: (e,) float32 feedback scores. Returns (n,) float32.
    """
    confidence = example_scores[:, np.newaxis] - example_scores[np.newaxis, :]
    higher, lower = np.nonzero(confidence > 0)
    weight = confidence[higher, lower] ** np.float32(b) * np.float32(c)
    gained = weight @ (examples[higher] - examples[lower])
    return np.asarray(np.float32(a) * target + gained, dtype=np.float32)
