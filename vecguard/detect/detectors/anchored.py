"""One record in the answers of many different queries: what is asked turns around it, for the sake of its scores.

Trilateration without a filter scatters queries about one that finds the record, far enough from each other to be no
near duplicates. For up to 16 records x (those that come first in answers, where there is room), over queries whose
scores left and that are not the same as one of the 64 before:

    C_x = C_x + 1 where x is in the answer, else C_x - 2, and forgotten at 0

So a record stays that is in more than two of three answers, run after run (the idea of Misra & Gries 1982 and of Page's
sum). The statistic is the largest C, in queries, with a half-life of a day. A conversation about one document gets to
ten or twenty; the vector of a record needs a hundred and more. Of a collection of fewer than 1,000 records, answers
that hold more than a tenth of it do not count: every record is in many of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.detectors.near_duplicates import COORDINATES, alike
from vecguard.detect.observation import Observation
from vecguard.detect.small import SMALL
from vecguard.detect.state import doubles, hashes, singles
from vecguard.detect.statistics import decay, ring
from vecguard.detect.thresholds import threshold

NAME: Final = "anchored"
SLOTS: Final = 16
WINDOW: Final = 64
ABSENT: Final = 2.0
MOST_OF_SMALL: Final = 0.1

_TIME: Final = 0


class Anchored:
    """See the module. State: `ids` and `counts` (SLOTS,), the records and their C; `asked`, first coordinates of the
    latest queries; `sums`: the time they are of."""

    name = NAME
    most_bytes = SLOTS * 16 + WINDOW * COORDINATES * 4 + 8

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was asked."""
        return {
            "ids": np.zeros(SLOTS, np.uint64),
            "counts": np.zeros(SLOTS),
            "asked": np.zeros((WINDOW, COORDINATES), np.float32),
            "sums": np.zeros(1),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Follow records through answers, oldest first."""
        ids, counts = hashes(state, "ids"), doubles(state, "counts")
        counts *= decay.since(doubles(state, "sums"), _TIME, batch)
        table = answers(batch)
        size = records(batch)
        says = table.scored & ((size >= SMALL) | (table.count <= MOST_OF_SMALL * size))
        asked = np.flatnonzero(_different(singles(state, "asked"), table) & says)
        if asked.size:
            ids[:], counts[:] = _followed(ids.tolist(), counts.tolist(), table, asked)
        most = float(counts.max())
        reason = (
            f"one record is in the answers of some {most:.0f} different queries in a row: its scores tell its vector"
        )
        return Evidence(NAME, most / self._level_one, reason)


def _followed(
    ids: list[int], counts: list[float], table: Answers, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], list[float]]:
    """The records and their C after the queries `rows`. In lists and sets: so few at a time are slower as arrays."""
    everything = table.ids.tolist()
    for first, count in zip(table.first[rows].tolist(), table.count[rows].tolist(), strict=True):
        found = everything[first : first + count]
        there, held, free = set(found), set[int](), list[int]()
        for slot, c in enumerate(counts):
            if c > 0 and ids[slot] in there:
                counts[slot] = c + 1
                held.add(ids[slot])
            elif c > ABSENT:
                counts[slot] = c - ABSENT
            else:
                counts[slot] = 0.0
                free.append(slot)
        if free:
            new = [one for one in found[:SLOTS] if one not in held]
            for slot, one in zip(free, new, strict=False):
                ids[slot], counts[slot] = one, 1.0
    return np.array(ids, np.uint64), counts


def _different(asked: NDArray[np.float32], table: Answers) -> NDArray[np.bool_]:
    """Whether each query differs from the `WINDOW` before it, which it then joins."""
    mine = table.queries[:, :COORDINATES]
    different = np.asarray(table.queries.any(axis=1))
    for start in range(0, len(mine), WINDOW):
        part = mine[start : start + WINDOW]
        everything = np.concatenate([asked, part])
        same = alike(part, everything) & ring.window_of(len(part), WINDOW)
        different[start : start + len(part)] &= ~same.any(axis=1)
        asked[:] = everything[-WINDOW:]
    return different


DETECTOR: Final = Anchored()
