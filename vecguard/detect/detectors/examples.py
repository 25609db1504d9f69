"""Asking by example: records that were taken by naming others, "more like this one", from neighbour to neighbour.

A recommendation by ids shows no query; a walk by ids needs neither text nor vectors. Counted are distinct records
(among the last 1,280 to 2,560 returned) whose content left in answers of searches that sent no vector. People come to
such answers from questions of their own, and go back to them: a search that sends a vector and brings content not seen
before makes up for `EXCUSED` records, about what anyone follows from one place.

    S = max(0, S + [by example] new - EXCUSED [by a vector, new >= 1])

The statistic is S as a share of the collection's records, with a half-life of a day. Of a collection of fewer than
1,000 records it has to be many records, too (`vecguard.detect.small`). Who asks a new question after every 40 records
looks like a person here; what the questions look like is for the other detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vecguard.detect.answers import joined_ids, lets_content_leave, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import decay, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "examples"
SEEN_IDS: Final = 1280
EXCUSED: Final = 40

_TIME, _RUN, _TAKEN, _CALLS = range(4)


class Examples:
    """See the module. State: `seen`, records returned; `sums`: the time they are of, S, how many records were taken
    by example, by how many calls."""

    name = NAME
    most_bytes = 2 * SEEN_IDS * seen.BITS_PER_ID // 8 + 32

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was taken by example."""
        return {"seen": seen.empty(SEEN_IDS), "sums": np.zeros(4)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count records of searches that sent no vector, and questions between them."""
        sums = doubles(state, "sums")
        sums[_RUN:] *= decay.since(sums, _TIME, batch)
        answered = [one for one in batch if one.operation == "search" and lets_content_leave(one)]
        for one, new in zip(answered, _new(state, answered), strict=True):
            if not len(one.queries):
                sums[[_RUN, _TAKEN, _CALLS]] += new, new, 1
            elif new:
                sums[_RUN] = max(0.0, sums[_RUN] - EXCUSED)
        size = records(batch)
        share = float(sums[_RUN]) / size
        reason = (
            f"{sums[_CALLS]:.0f} searches by example brought {sums[_TAKEN]:.0f} different records, of which "
            f"{sums[_RUN]:.0f} ({min(share, 1):.1%} of the collection) are more than its questions explain"
        )
        return Evidence(NAME, held(share / self._level_one, float(sums[_RUN]), size), reason)


def _new(state: State, answered: Sequence[Observation]) -> list[int]:
    """How many records each answer brought that were not met before; they join, in order."""
    call = np.repeat(np.arange(len(answered)), [one.ids.size for one in answered])
    met = seen.met_before(octets(state, "seen"), joined_ids([one.ids for one in answered]))
    counts: list[int] = np.bincount(call[~met], minlength=len(answered)).tolist()
    return counts


DETECTOR: Final = Examples()
