"""Membership probes: asking, text by text, whether something is in the collection.

Whoever holds candidate texts and the embedder sees a score of almost 1 exactly where the text is stored. A query is a
hit where its best score is a cosine of at least 0.9995, and that record was not returned before (among the last 512 to
1,024), nor written by the caller (semantic caches and writers ask for what they wrote), and no vectors left to make the
query from (walks have their own detector). The statistic is the number of hits, with a half-life of a day; in a
collection of fewer than 1,000 records, where a first test asks for each of them, it has to be that of many records, too
(`vecguard.detect.small`). Where users
type the very texts that are stored (a collection of questions), they look like this, and the level has to be read so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import decay, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "membership"
KNOWN_IDS: Final = 512
EXACT: Final = 0.9995
_STEP: Final = KNOWN_IDS // 8
"""Ids that are taken together: memory is then hardly longer than `KNOWN_IDS`, however large a batch is."""

_TIME, _HITS, _QUERIES = range(3)


class Membership:
    """See the module. State: `known`, records returned, read or written; `sums`: the time they are of, how many hits,
    and how many queries."""

    name = NAME
    most_bytes = 2 * KNOWN_IDS * seen.BITS_PER_ID // 8 + 24

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing is known."""
        return {"known": seen.empty(KNOWN_IDS), "sums": np.zeros(3)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count hits, in order."""
        sums = doubles(state, "sums")
        sums[_HITS:] *= decay.since(sums, _TIME, batch)
        table = answers(batch)
        scores = table.best(table.scores, absent=np.nan)
        new = table.best(_new(octets(state, "known"), table, batch), absent=0.0) > 0
        sums[_HITS] += (new & (scores >= EXACT) & (scores <= 1.001)).sum()
        sums[_QUERIES] += len(table.queries)
        reason = (
            f"{sums[_HITS]:.0f} of {sums[_QUERIES]:.0f} queries met a stored record almost exactly that the caller had "
            "neither seen nor written: texts are being tested for being in the collection"
        )
        hits = float(sums[_HITS])
        return Evidence(NAME, held(hits / self._level_one, hits, records(batch)), reason)


def _new(known: NDArray[np.uint8], table: Answers, batch: Sequence[Observation]) -> NDArray[np.bool_]:
    """Whether each record of `table` was not known; they join, as does what else a batch read or wrote, in order."""
    parts, places = [table.ids], [2 * table.call[table.query]]
    searches = set(table.call.tolist())
    for call, one in enumerate(batch):
        if one.ids.size and call not in searches:
            parts.append(one.ids)
            places.append(np.full(one.ids.size, 2 * call))
        if one.written.size:
            parts.append(one.written)
            places.append(np.full(one.written.size, 2 * call + 1))
    if len(parts) == 1:
        return _not_met(known, table.ids)
    order, ids = np.argsort(np.concatenate(places), kind="stable"), np.concatenate(parts)
    new = np.empty(order.size, np.bool_)
    new[order] = _not_met(known, ids[order])
    return new[: table.ids.size]


def _not_met(known: NDArray[np.uint8], ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `ids` were not met before; they join, in order."""
    new = np.empty(ids.size, np.bool_)
    for start in range(0, ids.size, _STEP):
        new[start : start + _STEP] = ~seen.met_before(known, ids[start : start + _STEP])
    return new


DETECTOR: Final = Membership()
