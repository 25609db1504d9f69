"""Hill climbing: a long run of queries that are almost, but not quite, the same.

Search by score feedback, finite differences of scores, and decision-based attacks must ask around one point again and
again. After Chen, Carlini & Wagner 2019 ("Stateful detection of black-box adversarial attacks"), a query's distance is
the mean distance to its k nearest among the queries before it; here cosines of sketches, k = 16 of the latest 64, and
queries that are the same to 2e-6 are left out: caches, probes and impatient users repeat themselves exactly, and learn
nothing by it.

    S = max(0, S + [mean of the k largest cosines >= 0.9] - 0.5)

The statistic is S, in queries, with a half-life of a day. Paraphrases of one question come by the handful, not by 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import answers
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.state import doubles, halves, singles
from vecguard.detect.statistics import cusum, decay, ring
from vecguard.detect.thresholds import threshold

NAME: Final = "near-duplicates"
WINDOW: Final = 64
NEAREST: Final = 16
NEAR: Final = 0.9
REFERENCE: Final = 0.5
SAME: Final = 2e-6
"""Coordinates of the same vector's sketch differ by less, as products round differently in batches of other sizes."""
COORDINATES: Final = 2

_TIME, _SUM, _QUERIES, _NEAR = range(4)


class NearDuplicates:
    """See the module. State: `window`, the latest sketches; `exact`, their first coordinates as float32, that tell the
    same from the almost same; `sums`: the time they are of, S, how many queries, and how many were near."""

    name = NAME
    most_bytes = WINDOW * (SKETCH_DIMS * 2 + COORDINATES * 4) + 32

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """No queries yet."""
        exact = np.zeros((WINDOW, COORDINATES), np.float32)
        return {"window": ring.empty(WINDOW), "exact": exact, "sums": np.zeros(4)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Compare queries with those before them, oldest first."""
        sums = doubles(state, "sums")
        sums[_SUM:] *= decay.since(sums, _TIME, batch)
        queries = answers(batch).queries
        for start in range(0, len(queries), WINDOW):
            part = queries[start : start + WINDOW]
            near = _near(state, part)
            sums[_SUM] = cusum.end(float(sums[_SUM]), near - REFERENCE)
            sums[_QUERIES] += near.size
            sums[_NEAR] += near.sum()
        reason = (
            f"{sums[_NEAR]:.0f} of {sums[_QUERIES]:.0f} queries were almost the same as {NEAREST} others just before: "
            "a search by small steps for a vector"
        )
        return Evidence(NAME, float(sums[_SUM]) / self._level_one, reason)


def _near(state: State, queries: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each of at most `WINDOW` queries was near those before, which they then join."""
    window, exact = halves(state, "window"), singles(state, "exact")
    mine = queries[:, :COORDINATES]
    cosines = ring.cosines(queries, window)
    coordinates = np.concatenate([exact, mine])
    np.copyto(cosines, np.float32(-1), where=alike(mine, coordinates))
    nearest = np.partition(cosines, -NEAREST, axis=1)[:, -NEAREST:]
    ring.push(window, queries)
    exact[:] = coordinates[-WINDOW:]
    return np.asarray(nearest.mean(axis=1) >= NEAR)


def alike(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of `others`, (m, COORDINATES), are the same vector's as each of `some`, (n, COORDINATES): (n, m)."""
    same = np.abs(some[:, :1] - others[:, 0]) < SAME
    for at in range(1, COORDINATES):
        same &= np.abs(some[:, at : at + 1] - others[:, at]) < SAME
    return np.asarray(same)


DETECTOR: Final = NearDuplicates()
