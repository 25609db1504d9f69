"""Bucket coverage: over how much of the embedding space a principal's queries are spread.

The first 12 signs of a query's sketch are its bucket, one of 4,096: locality-sensitive hashing by hyperplanes (Charikar
2002). Honest questions keep to the few regions that their subject has; sweeps (k-means centres, farthest points, random
directions) are made to go everywhere. The statistic is the share of buckets that were asked into within 12 to 24 hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import answers
from vecguard.detect.detector import Evidence, State
from vecguard.detect.detectors.coverage import PERIOD_S, turn
from vecguard.detect.observation import Observation
from vecguard.detect.state import doubles, octets
from vecguard.detect.thresholds import threshold

NAME: Final = "buckets"
SIGNS: Final = 12
BUCKETS: Final = 1 << SIGNS

_VALUES: Final = 1 << np.arange(SIGNS)


class Buckets:
    """See the module. State: `asked`, bitmaps of this period and the one before, (2, 512); `period`: its number."""

    name = NAME
    most_bytes = 2 * BUCKETS // 8 + 8

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was asked."""
        return {"asked": np.zeros((2, BUCKETS // 8), np.uint8), "period": np.zeros(1)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Mark the buckets of queries. A batch is taken as of its last call, which costs hours of nothing."""
        asked, period = octets(state, "asked"), doubles(state, "period")
        if batch:
            now = int(batch[-1].time // PERIOD_S)
            turn(asked, steps=now - int(period[0]))
            period[0] = max(period[0], now)
        mark(asked[0], answers(batch).queries)
        share = float(np.bitwise_count(asked[0] | asked[1]).sum()) / BUCKETS
        reason = f"queries fell into {share:.1%} of {BUCKETS:,} regions of the embedding space within a day"
        return Evidence(NAME, share / self._level_one, reason)


def mark(bitmap: NDArray[np.uint8], sketches: NDArray[np.float32]) -> None:
    """Set the bits of the buckets of n sketches in place; a zero sketch is nowhere."""
    sketches = sketches[sketches.any(axis=1)]
    signs = (sketches[:, :SIGNS] > 0).astype(np.int64)
    bucket = signs @ _VALUES
    np.bitwise_or.at(bitmap, bucket >> 3, (1 << (bucket & 7)).astype(np.uint8))


DETECTOR: Final = Buckets()
