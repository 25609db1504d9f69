"""A batch of observations as a table of queries and what each was answered: what most detectors read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import SKETCH_DIMS, Leaving, Observation
from vecguard.detect.statistics import ring

T = TypeVar("T", bound=np.generic)

# What a share of the collection is of where nobody knows how many records it has.
ASSUMED_RECORDS: Final = 10_000
PHRASING: Final = 0.5
"""The cosine from which on queries of one call are one question, said in several ways."""

CONTENT: Final[frozenset[Leaving]] = frozenset({"payload", "vectors"})
"""What of a record is its content; ids and scores alone are none."""
_NO_QUERIES: Final = np.zeros((0, SKETCH_DIMS), np.float32)
_NO_IDS: Final = np.zeros(0, np.uint64)
_NO_SCORES: Final = np.zeros(0, np.float32)
_NO_ROWS: Final = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The queries of searches, oldest first, and the records that each found.

    `queries` (q, SKETCH_DIMS) float32 unit sketches; `call` (q,) int64, which observation of the batch each is of.
    `ids` (n,) uint64, `scores` (n,) float32 (NaN: none left) and `query` (n,) int64, the row of `queries` that found
    each, ascending, best first within a query as the answer has them. `first` (q,) int64 is where each query's records
    begin in them, `count` (q,) int64 how many there are, `scored` (q,) whether a score of one left.
    """

    queries: NDArray[np.float32]
    call: NDArray[np.int64]
    ids: NDArray[np.uint64]
    scores: NDArray[np.float32]
    query: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    scored: NDArray[np.bool_]

    def sums(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The sum over each query's records of `values`, shape (n,): shape (q,)."""
        summed = np.bincount(self.query, weights=values.astype(np.float64), minlength=len(self.queries))
        return np.asarray(summed, dtype=np.float64)

    def best(self, values: NDArray[np.generic], absent: float) -> NDArray[np.float64]:
        """`values`, shape (n,), of each query's first record: shape (q,); `absent` where a query found nothing."""
        has = self.count > 0
        if has.all():
            return values[self.first].astype(np.float64)
        found = np.full(len(self.queries), absent)
        found[has] = values[self.first[has]]
        return found


def answers(batch: Sequence[Observation]) -> Answers:
    """The searches of a batch. Records that no query found (found by id, say) are left out."""
    return _answers(tuple(batch))


@lru_cache(maxsize=8)  # all detectors ask for the same batch, one after the other
def _answers(batch: tuple[Observation, ...]) -> Answers:
    searches = [(i, one) for i, one in enumerate(batch) if one.operation == "search" and len(one.queries)]
    rows = [len(one.queries) for _, one in searches]
    queries = _joined([one.queries for _, one in searches], _NO_QUERIES)
    ids = _joined([one.ids for _, one in searches], _NO_IDS)
    scores = _joined([one.scores for _, one in searches], _NO_SCORES)
    query = _joined([one.query_of for _, one in searches], _NO_ROWS).astype(np.int64)
    if len(searches) > 1:
        before = list(accumulate(rows[:-1], initial=0))
        query[query >= 0] += np.repeat(before, [len(one.query_of) for _, one in searches])[query >= 0]
    if query.size and not (query[0] >= 0 and (query[1:] >= query[:-1]).all()):
        order = np.argsort(query, kind="stable")
        order = order[query[order] >= 0]
        query, ids, scores = query[order], ids[order], scores[order]
    count = np.bincount(query, minlength=len(queries))
    return Answers(
        queries=ring.unit(queries),
        call=np.repeat(np.array([i for i, _ in searches], np.int64), rows),
        ids=ids,
        scores=scores,
        query=query,
        first=np.cumsum(count) - count,
        count=count,
        scored=np.bincount(query[np.isfinite(scores)], minlength=len(queries)) > 0,
    )


@lru_cache(maxsize=2)
def phrasings(table: Answers) -> NDArray[np.int64]:
    """Of each query, the row of the first of its call that it says again in other words; its own row where of none.
    Not to be written to."""
    question = np.arange(len(table.queries))
    if not (table.call[1:] == table.call[:-1]).any():
        return question
    ends = np.append(np.flatnonzero(np.diff(table.call)) + 1, len(question))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        if end - start > 1:
            part = table.queries[start:end]
            alike = np.tril(part @ part.T >= PHRASING, -1)
            # Each joins the first that it is like, and with it whatever that one joined.
            for row in np.flatnonzero(alike.any(axis=1)):
                question[start + row] = question[start + alike[row].argmax()]
    return question


def lets_content_leave(one: Observation) -> bool:
    """Whether payload or vectors left; ids and scores alone are no content."""
    return not one.left.isdisjoint(CONTENT)


def records(batch: Sequence[Observation]) -> int:
    """How many records the collection has: the latest that a batch knows, else `ASSUMED_RECORDS`."""
    for one in reversed(batch):
        if one.records > 0:
            return one.records
    return ASSUMED_RECORDS


def joined_ids(parts: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Hashes of several observations as one array."""
    return _joined([part for part in parts if part.size], _NO_IDS)


def _joined(parts: Sequence[NDArray[T]], nothing: NDArray[T]) -> NDArray[T]:
    if len(parts) < 2:
        return parts[0] if parts else nothing
    return np.concatenate(parts)
