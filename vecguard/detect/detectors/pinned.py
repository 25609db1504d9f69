"""Trilateration: scores of one record for d independent queries are d linear equations for its vector.

A record is pinned where a query could not but score it: the filter names it, a filter leaves few records beside it, or
the list is long: 1,000 records, or a tenth of the collection, but 100 at least ("the collection" is then one record
here, as all are scored at once). For each of the most often pinned records (Space-Saving, Metwally et al. 2005, with
`SLOTS` slots) the count n and the second moment of its queries' sketches in `DIMS` dimensions are kept, and of them the
effective rank r (Roy & Vetterli 2007). Statistic, in independent queries, the largest of all records':

    n (r - 1) / (DIMS - 1)

The same question again adds nothing (r = 1), honest questions about one document little, random directions most.
Whoever pins more records in turn than there are slots is seen in the sum over all, which counts for 1 / SLOTS. The
half-life is a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.state import doubles, hashes, singles
from vecguard.detect.statistics import decay
from vecguard.detect.statistics.spectrum import effective_rank
from vecguard.detect.thresholds import threshold

NAME: Final = "pinned"
SLOTS: Final = 8
DIMS: Final = 16
FEW: Final = 4
"""A filtered answer of at most so many records is told by its filter as much as by its query."""
MANY: Final = 1000
MANY_SHARE: Final = 0.1
LEAST_MANY: Final = 100
"""Of a small collection an ordinary answer is a tenth: only one that is long by itself pins it."""

_PAIRS: Final = np.tril_indices(DIMS)
_TIME: Final = 0
_COLLECTION: Final = np.uint64(0)


class Pinned:
    """See the module. State: `ids` (SLOTS,) of pinned records, 0 for the whole collection; `counts` (SLOTS + 1,), a
    row a slot and one for all; `moments` (SLOTS + 1, pairs), lower triangles; `sums`: the time they are of."""

    name = NAME
    most_bytes = SLOTS * 8 + (SLOTS + 1) * (8 + len(_PAIRS[0]) * 4) + 8

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing was pinned."""
        return {
            "ids": np.zeros(SLOTS, np.uint64),
            "counts": np.zeros(SLOTS + 1),
            "moments": np.zeros((SLOTS + 1, len(_PAIRS[0])), np.float32),
            "sums": np.zeros(1),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Take the queries that scored pinned records."""
        kept = decay.since(doubles(state, "sums"), _TIME, batch)
        counts, moments = doubles(state, "counts"), singles(state, "moments")
        counts *= kept
        moments *= np.float32(kept)
        for record, sketches in _pinned(answers(batch), batch):
            moment = (sketches.T @ sketches)[_PAIRS]
            slot = _slot(hashes(state, "ids"), counts, moments, record)
            for row in (slot, SLOTS):
                counts[row] += len(sketches)
                moments[row] += moment
        return self._evidence(counts, moments)

    def _evidence(self, counts: NDArray[np.float64], moments: NDArray[np.float32]) -> Evidence:
        if not counts.any():
            return Evidence(NAME, 0.0, _reason(0.0, 0.0, "one pinned record"))
        used = np.flatnonzero(counts)
        full = np.zeros((used.size, DIMS, DIMS))
        full[:, _PAIRS[0], _PAIRS[1]] = full[:, _PAIRS[1], _PAIRS[0]] = moments[used]
        ranks = np.zeros(SLOTS + 1)
        ranks[used] = effective_rank(full)
        each = counts * np.maximum(ranks - 1, 0) / (DIMS - 1)
        each[SLOTS] /= SLOTS
        worst = int(np.argmax(each))
        what = "records that it pinned" if worst == SLOTS else "one pinned record"
        return Evidence(NAME, float(each[worst]) / self._level_one, _reason(counts[worst], ranks[worst], what))


def _reason(count: float, rank: float, what: str) -> str:
    return f"{count:.0f} queries scored {what}, in {rank:.1f} of {DIMS} directions: enough such scores give the vector"


def _pinned(table: Answers, batch: Sequence[Observation]) -> list[tuple[np.uint64, NDArray[np.float32]]]:
    """Pinned records and the sketches, in `DIMS` dimensions, of the queries that scored them."""
    many = min(MANY, max(LEAST_MANY, MANY_SHARE * records(batch)))
    named = np.array([0 < one.filter_ids <= FEW for one in batch], np.bool_)
    filtered = np.array([one.filter_shape != 0 or one.filter_ids > 0 for one in batch], np.bool_)
    scored = table.scored
    few = scored & (named[table.call] | (filtered[table.call] & (table.count <= FEW)))
    long = np.flatnonzero(scored & (table.count >= many))
    if not few.any() and not long.size:
        return []
    found = [(_COLLECTION, table.queries[long, :DIMS])] if long.size else []
    chosen = few[table.query]
    ids, rows = table.ids[chosen], table.query[chosen]
    order = np.argsort(ids, kind="stable")
    ids, rows = ids[order], rows[order]
    edges = np.flatnonzero(ids[1:] != ids[:-1]) + 1
    for some_ids, some_rows in zip(np.split(ids, edges), np.split(rows, edges), strict=True):
        if some_ids.size:
            found.append((some_ids[0], table.queries[some_rows, :DIMS]))
    return found


def _slot(ids: NDArray[np.uint64], counts: NDArray[np.float64], moments: NDArray[np.float32], record: np.uint64) -> int:
    """The slot of a record; where it has none, the one of the smallest count, emptied for it."""
    held = np.flatnonzero((ids == record) & (counts[:SLOTS] > 0))
    if held.size:
        return int(held[0])
    slot = int(np.argmin(counts[:SLOTS]))
    ids[slot], counts[slot], moments[slot] = record, 0.0, 0.0
    return slot


DETECTOR: Final = Pinned()
