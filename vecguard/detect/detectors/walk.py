"""Returned-vector walk: asking with the vectors that answers brought, and taking the vectors of what that finds.

A walk over the graph of nearest neighbours needs no text and no embedder. An answer is a step of it where vectors left
with it, and its query was a vector that had left before: the cosine of its sketch with one of the latest 32 that left
is at least 0.97, or the score of its best record is, and that record's vector left before (last 512 to 1,024).

    S = max(0, S + [step] - 0.3)

The statistic is S, in steps, with a half-life of a day. Recommending by what was read, and looking for duplicates of
it, ask with returned vectors too, but let the found ones be. Of a collection of fewer than 1,000 records the vectors
that left have to be many, too (`vecguard.detect.small`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, halves, octets
from vecguard.detect.statistics import cusum, decay, ring, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "walk"
WINDOW: Final = 32
SEEN_IDS: Final = 512
SAME: Final = 0.97
REFERENCE: Final = 0.3

_TIME, _SUM, _QUERIES, _STEPS, _TAKEN = range(5)


class Walk:
    """See the module. State: `left`, sketches of the latest vectors that left; `seen`, whose vectors left; `sums`: the
    time they are of, S, how many queries, how many of them were steps, and how many vectors left."""

    name = NAME
    most_bytes = WINDOW * SKETCH_DIMS * 2 + 2 * SEEN_IDS * seen.BITS_PER_ID // 8 + 40

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """No vector left."""
        return {"left": ring.empty(WINDOW), "seen": seen.empty(SEEN_IDS), "sums": np.zeros(5)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Compare queries with the vectors that left before them."""
        sums = doubles(state, "sums")
        sums[_SUM:] *= decay.since(sums, _TIME, batch)
        parts = [np.zeros(0, np.bool_)]
        table = answers(batch)
        ends = np.searchsorted(table.call, np.arange(1, len(batch) + 1)).tolist()
        for one, start, end in zip(batch, [0, *ends], ends, strict=False):
            if start < end:
                parts.append(_steps(state, table, slice(start, end), took=len(one.vectors) > 0))
            if len(one.vectors):
                ring.push(halves(state, "left"), ring.unit(one.vectors[-WINDOW:]))
            if one.vector_ids.size:
                sums[_TAKEN] += (~seen.met_before(octets(state, "seen"), one.vector_ids)).sum()
        steps = np.concatenate(parts)
        if steps.size:
            sums[_SUM] = cusum.end(float(sums[_SUM]), steps - REFERENCE)
            sums[_QUERIES] += steps.size
            sums[_STEPS] += steps.sum()
        reason = (
            f"{sums[_STEPS]:.0f} of {sums[_QUERIES]:.0f} searches asked with a vector that an earlier answer had "
            "brought, and took the vectors of what they found"
        )
        level = float(sums[_SUM]) / self._level_one
        return Evidence(NAME, held(level, float(sums[_TAKEN]), records(batch)), reason)


def _steps(state: State, table: Answers, rows: slice, *, took: bool) -> NDArray[np.bool_]:
    """Which of these queries of a search are steps of a walk; `took`: whether vectors left with it."""
    queries, count = table.queries[rows], table.count[rows]
    if not took:
        return np.zeros(len(queries), np.bool_)
    steps = np.asarray((queries @ halves(state, "left").astype(np.float32).T).max(axis=1) >= SAME)
    best = table.first[rows][count > 0]
    led = seen.known(octets(state, "seen"), table.ids[best]) & (table.scores[best].astype(np.float64) >= SAME)
    steps[count > 0] |= led
    return steps


DETECTOR: Final = Walk()
