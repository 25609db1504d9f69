"""Novelty: whoever takes a collection away keeps on receiving records that he did not have, answer after answer.

For each answer whose payload or vectors left, with n records, m of them not among the last 512 to 1,024 distinct ones
returned so:

    S = max(0, S + m - 0.75 n)            (Page 1954)

The statistic is S as a share of the collection's records, with a half-life of a day; of a collection of fewer than
1,000 records the new ones have to be many, too (`vecguard.detect.small`). Many different honest questions
are as new to a collection as a crawl is: they set the threshold, and novelty alone convicts only of much. Answers of
ids and scores alone take nothing away; an evaluation of retrieval gets more of them than any memory here holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vecguard.detect.answers import answers, lets_content_leave, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import cusum, decay, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "novelty"
SEEN_IDS: Final = 512
REFERENCE: Final = 0.75

_TIME, _SUM, _NEW, _RETURNED = range(4)


class Novelty:
    """See the module. State: `seen`, records returned; `sums`: the time they are of, S, how many records were new, and
    how many were returned."""

    name = NAME
    most_bytes = 2 * SEEN_IDS * seen.BITS_PER_ID // 8 + 32

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing returned yet."""
        return {"seen": seen.empty(SEEN_IDS), "sums": np.zeros(4)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count new records in answers, oldest first."""
        sums = doubles(state, "sums")
        sums[_SUM:] *= decay.since(sums, _TIME, batch)
        table = answers([one for one in batch if lets_content_leave(one)])
        if table.ids.size:
            new = table.sums(~seen.met_before(octets(state, "seen"), table.ids))
            sums[_SUM] = cusum.end(float(sums[_SUM]), new - REFERENCE * table.count)
            sums[_NEW] += new.sum()
            sums[_RETURNED] += table.ids.size
        size = records(batch)
        share = float(sums[_SUM]) / size
        reason = f"{sums[_NEW]:.0f} of the {sums[_RETURNED]:.0f} records whose content left were new to the caller"
        return Evidence(NAME, held(share / self._level_one, float(sums[_NEW]), size), reason)


DETECTOR: Final = Novelty()
