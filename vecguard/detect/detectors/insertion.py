"""Known plaintext: records that a caller wrote, whose vectors it then reads back.

Pairs of a vector and what is stored for it are what breaks a keyed rotation (some 64 pairs at noise of ratio 1, see
docs/threat-model.md). A writer knows what it wrote; reading it back in numbers serves whoever collects pairs. Counted
are distinct records (among the last 256 to 512 of each kind) that were written first and whose vectors left
afterwards. Where vectors left before the record was written, it is a re-indexing, and is not counted; nor is anything
counted for a caller that wrote half of the collection (HyperLogLog of 256 registers, standard error 6.5%), from whom
little is to be kept. The statistic is that number, with a half-life of a week.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vecguard.detect.answers import records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import decay, hyperloglog, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "insertion"
IDS: Final = 256
WRITER_BITS: Final = 8
OWNER_SHARE: Final = 0.5
HALF_LIFE_S: Final = 7 * decay.DAY_S

_TIME, _BACK, _WRITTEN = range(3)


class Insertion:
    """See the module. State: `read`, `written` and `back`: records whose vectors left first, that were written first,
    and that were read back; `all_written`, registers; `sums`: the time they are of, how many were read back,
    and how many written."""

    name = NAME
    most_bytes = 3 * 2 * IDS * seen.BITS_PER_ID // 8 + (1 << WRITER_BITS) // 2 + 24

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was written."""
        return {
            "read": seen.empty(IDS),
            "written": seen.empty(IDS),
            "back": seen.empty(IDS),
            "all_written": hyperloglog.empty(WRITER_BITS),
            "sums": np.zeros(3),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Follow records from their writing to their reading, in order."""
        sums = doubles(state, "sums")
        sums[_BACK:] *= decay.since(sums, _TIME, batch, HALF_LIFE_S)
        read, written, back = (octets(state, name) for name in ("read", "written", "back"))
        registers, size = octets(state, "all_written"), records(batch)
        for one in batch:
            hyperloglog.add(registers, one.written)
            if one.vector_ids.size:
                mine = seen.known(written, one.vector_ids)
                if mine.any() and hyperloglog.estimate(registers) >= OWNER_SHARE * size:
                    mine[:] = False
                sums[_BACK] += (~seen.met_before(back, one.vector_ids[mine])).sum()
                seen.met_before(read, one.vector_ids[~mine])
            if one.written.size:
                unread = one.written[~seen.known(read, one.written)]
                seen.met_before(written, unread)
                sums[_WRITTEN] += unread.size
        reason = (
            f"of {sums[_WRITTEN]:.0f} records that the caller wrote, the vectors of {sums[_BACK]:.0f} were read back: "
            "pairs of known and stored vectors"
        )
        return Evidence(NAME, float(sums[_BACK]) / self._level_one, reason)


DETECTOR: Final = Insertion()
