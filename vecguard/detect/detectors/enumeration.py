"""Enumeration: records taken by position or by id instead of by meaning.

Counted are distinct records (among the last 1,024 to 2,048) that left by scroll or retrieve, and by searches that page
deep (`offset` >= 100) or are long (`limit` >= 500). A record that the caller writes afterwards is taken back out, once:
re-indexing reads page by page, and writes what it read. For a caller that wrote half of the collection (HyperLogLog of
256 registers, standard error 6.5%) nothing is outstanding. The statistic is what is outstanding, as a share of the
collection's records, with a half-life of a week: honest uses list little, so that a slow drip adds up. Of a collection
of fewer than 1,000 records that has to be many records, too (`vecguard.detect.small`). A dump by a writer who writes
all of it back is not told from re-indexing, nor is re-indexing into another collection told from a dump; who may do
that is for the policy to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import joined_ids, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import decay, hyperloglog, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "enumeration"
LISTED_IDS: Final = 1024
WRITTEN_IDS: Final = 1024
SPARSE: Final = 0.08
"""Of set bits: at this share some 200 ids are held, and a wrong memory, which would take a credit away, is rare."""
WRITER_BITS: Final = 8
OWNER_SHARE: Final = 0.5
DEEP: Final = 100
LONG: Final = 500
HALF_LIFE_S: Final = 7 * decay.DAY_S

_TIME, _OUTSTANDING, _LISTED, _WRITTEN = range(4)


class Enumeration:
    """See the module. State: `listed` and `written`, which records; `all_written`, registers; `sums`: the time they are
    of, how many are outstanding, were listed, and were written back."""

    name = NAME
    most_bytes = 2 * (LISTED_IDS + WRITTEN_IDS) * seen.BITS_PER_ID // 8 + (1 << WRITER_BITS) // 2 + 32

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was listed."""
        return {
            "listed": seen.empty(LISTED_IDS),
            "written": seen.empty(WRITTEN_IDS),
            "all_written": hyperloglog.empty(WRITER_BITS),
            "sums": np.zeros(4),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count what was listed and written back, in order."""
        sums = doubles(state, "sums")
        sums[_OUTSTANDING:] *= decay.since(sums, _TIME, batch, HALF_LIFE_S)
        listed, written = octets(state, "listed"), octets(state, "written")
        for one in batch:
            if one.written.size:
                back = _written_back(listed, written, one.written)
                sums[_WRITTEN] += back
                sums[_OUTSTANDING] = max(0.0, sums[_OUTSTANDING] - back)
            elif lists(one):
                new = int((~seen.met_before(listed, one.ids)).sum())
                sums[_LISTED] += new
                sums[_OUTSTANDING] += new
        registers, size = octets(state, "all_written"), records(batch)
        hyperloglog.add(registers, joined_ids([one.written for one in batch]))
        owner = hyperloglog.estimate(registers) >= OWNER_SHARE * size
        outstanding = 0.0 if owner else float(sums[_OUTSTANDING])
        share = outstanding / size
        reason = (
            f"{sums[_LISTED]:.0f} records were taken by scroll, by id or by very long or deep answers, "
            f"{sums[_WRITTEN]:.0f} of them written back: {min(share, 1):.1%} of the collection is outstanding"
        )
        return Evidence(NAME, held(share / self._level_one, outstanding, size), reason)


def lists(one: Observation) -> bool:
    """Whether a call takes records by position or by id."""
    if one.operation in ("scroll", "retrieve"):
        return True
    return one.operation == "search" and (one.offset >= DEEP or one.limit >= LONG)


def _written_back(listed: NDArray[np.uint8], written: NDArray[np.uint8], ids: NDArray[np.uint64]) -> int:
    """How many of the records being written were listed before, and not written since."""
    again = seen.met_before(written, ids, fill=SPARSE)
    return int((seen.known(listed, ids) & ~again).sum())


DETECTOR: Final = Enumeration()
