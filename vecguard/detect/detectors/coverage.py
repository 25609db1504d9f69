"""Coverage: of what share of the collection content left within a day, and of what share the vectors did.

Content is payload or vectors; ids and scores alone are not. Two HyperLogLogs for each (Flajolet et al. 2007; 1,024
registers, standard error 3.3%): of this period of 12 hours and of the one before, so that a window of 12 to 24 hours is
held. The statistic is the larger of the records' share and 4 times the vectors' share: an answer's records are what a
search is for, its vectors are the embeddings themselves. A caller that wrote half of the collection (256 registers,
6.5%) covers nothing: it reads its own. Of a collection of fewer than 1,000 records the records that left have to be
many, too (`vecguard.detect.small`).

Honest use that goes on long enough covers much too. This is the slow and certain one of the detectors, with a threshold
above what one application's key reaches in a day, unless the collection is small or its users are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import joined_ids, lets_content_leave, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import hyperloglog
from vecguard.detect.statistics.decay import DAY_S
from vecguard.detect.thresholds import threshold

NAME: Final = "coverage"
REGISTER_BITS: Final = 10
WRITER_BITS: Final = 8
OWNER_SHARE: Final = 0.5
PERIOD_S: Final = DAY_S / 2
VECTORS_WEIGH: Final = 4.0


class Coverage:
    """See the module. State: `records` and `vectors`, registers of this period and the one before, (2, 512) each;
    `written`, registers of what the caller wrote ever; `period`: the number of this period."""

    name = NAME
    most_bytes = 2 * (1 << REGISTER_BITS) + (1 << WRITER_BITS) // 2 + 8

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing has left."""
        two = np.stack([hyperloglog.empty(REGISTER_BITS)] * 2)
        written = hyperloglog.empty(WRITER_BITS)
        return {"records": two, "vectors": two.copy(), "written": written, "period": np.zeros(1)}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Add what left."""
        sets, vectors, period = octets(state, "records"), octets(state, "vectors"), doubles(state, "period")
        for one_period, part in _by_period(batch):
            turn(sets, vectors, steps=one_period - int(period[0]))
            period[0] = max(period[0], one_period)
            with_content = [one.ids for one in part if lets_content_leave(one)]
            hyperloglog.add(sets[0], joined_ids(with_content))
            hyperloglog.add(vectors[0], joined_ids([one.vector_ids for one in part]))
        hyperloglog.add(octets(state, "written"), joined_ids([one.written for one in batch]))
        size = records(batch)
        taken = [hyperloglog.estimate(hyperloglog.merged(pair[0], pair[1])) for pair in (sets, vectors)]
        shares = [count / size for count in taken]
        owner = hyperloglog.estimate(octets(state, "written")) >= OWNER_SHARE * size
        statistic = 0.0 if owner else max(shares[0], VECTORS_WEIGH * shares[1])
        reason = (
            f"content of {min(shares[0], 1):.1%} of the collection's records was returned within a day, "
            f"and the vectors of {min(shares[1], 1):.1%}"
        )
        return Evidence(NAME, held(statistic / self._level_one, max(taken), size), reason)


def turn(*pairs: NDArray[np.uint8], steps: int) -> None:
    """Move each pair of (this period, the one before) on by some periods; by none where `steps` <= 0."""
    for pair in pairs:
        if steps > 0:
            pair[1] = pair[0] if steps == 1 else 0
            pair[0] = 0


def _by_period(batch: Sequence[Observation]) -> list[tuple[int, list[Observation]]]:
    parts: dict[int, list[Observation]] = {}
    for one in batch:
        parts.setdefault(int(one.time // PERIOD_S), []).append(one)
    return sorted(parts.items())


DETECTOR: Final = Coverage()
