"""Aimless queries: random vectors, noise around the data's mean and words of another domain belong to no record.

A question that means something has records that stand out from the rest. For the k best of many independent scores
with an exponential tail, the spacings' sum s_1 - s_k has expectation beta * H_{k-1} (Renyi 1953), whatever k. The scale
beta says how much the best stand out; it is small where a query is near nothing. Per query with at least three scores
that are cosines, of which the best ten count:

    b = (s_1 - s_k) / (1 - s_k) / H_{k-1},    S = max(0, S + [b < 0.045] - 0.5)

Phrasings of one question in one call (`answers.phrasings`) are one query, with their share of b < 0.045. The statistic
is S, in queries, with a half-life of a day. Queries whose scores did not leave, or are not cosines
(Euclidean distances, unnormalised products), say nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, phrasings
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.state import doubles
from vecguard.detect.statistics import cusum, decay
from vecguard.detect.thresholds import threshold

NAME: Final = "aimless"
LEAST_SCORES: Final = 3
DEPTH: Final = 10
_HARMONIC: Final = np.cumsum(1.0 / np.arange(1, DEPTH))
# Questions lie near 0.10, random directions near 0.014, noise with the data's covariance near 0.027.
FLAT: Final = 0.045
REFERENCE: Final = 0.5

_TIME, _SUM, _QUERIES, _FLAT = range(4)


class Aimless:
    """See the module. State, `sums`: the time they are of, S, how many queries had scores, and how many were flat."""

    name = NAME
    most_bytes = 32

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """No queries yet."""
        return {"sums": np.zeros(4)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count flat answers, oldest first."""
        sums = doubles(state, "sums")
        sums[_SUM:] *= decay.since(sums, _TIME, batch)
        flat = _flat(answers(batch))
        if flat.size:
            sums[_SUM] = cusum.end(float(sums[_SUM]), flat - REFERENCE)
            sums[_QUERIES] += flat.size
            sums[_FLAT] += flat.sum()
        reason = (
            f"{sums[_FLAT]:.0f} of {sums[_QUERIES]:.0f} searches were near no record in particular: "
            "their queries look random, or come from elsewhere"
        )
        return Evidence(NAME, float(sums[_SUM]) / self._level_one, reason)


def _flat(table: Answers) -> NDArray[np.float64]:
    """Of each question that has scores, the share of its phrasings that belong to no record, in their order."""
    scales = standing_out(table)
    says = np.isfinite(scales)
    question = phrasings(table)[says]
    asked = np.bincount(question, minlength=len(scales))
    flat = np.bincount(question, weights=scales[says] < FLAT, minlength=len(scales))
    return np.asarray(flat[asked > 0] / asked[asked > 0])


@lru_cache(maxsize=2)  # `crawl` asks for the same table
def standing_out(table: Answers) -> NDArray[np.float64]:
    """How much each query's best record stands out, shape (q,): b of the module, NaN where it cannot be said. Not to be
    written to."""
    best = table.best(table.scores, absent=np.nan)
    worst = np.full(len(table.queries), np.nan)
    depth = np.minimum(table.count, DEPTH)
    has = depth >= LEAST_SCORES
    worst[has] = table.scores[(table.first + depth - 1)[has]]
    cosines = (best <= 1.001) & (worst >= -1.001) & (worst <= best)
    spacings = _HARMONIC[np.maximum(depth - 2, 0)]
    away = np.maximum(1.0 - worst, 1e-6)
    return np.asarray(np.where(cosines, (best - worst) / away / spacings, np.nan))


DETECTOR: Final = Aimless()
