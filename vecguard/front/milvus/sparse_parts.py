"""Searching a sparse vector whose records lie in several parts, as while keys are rotated: one search a part, merged.

Distances at rest are exact within a part, and to the rows of all others a protected query shares no index but by
accident; what such an accident brings is told by the row's record, and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from vecguard.errors import Unreadable
from vecguard.front.milvus import reveal
from vecguard.front.milvus.candidates import primary_keys
from vecguard.front.milvus.distances import PrimaryKey, ordered
from vecguard.front.milvus.execute import Executor, Found, Hit
from vecguard.front.milvus.expression import Rewritten
from vecguard.front.milvus.placeholder import SparseQueries, write_sparse
from vecguard.front.milvus.proto import m
from vecguard.front.milvus.rotating import rotating
from vecguard.front.milvus.search_parameters import MAX_TOPK, SearchParameters
from vecguard.front.milvus.selection import RowPlace
from vecguard.seal.envelope import epoch_of
from vecguard.shield import SparseShield

_METRIC: Final = "IP"
_MORE: Final = 2


class SparseParts:
    """One search under way."""

    def __init__(
        self, executor: Executor, field: str, queries: SparseQueries, parameters: SearchParameters, where: Rewritten
    ) -> None:
        """`where`: the expression as it is at rest.

        Raises:
            FailedPrecondition: an iterator, groups, or bounds, which need all parts in one ranking.
        """
        for asked, what in (
            (parameters.iteration, "an iterator"),
            (parameters.grouping, "grouping"),
        ):
            if asked is not None:
                raise rotating(f"{what} over sparse vector `{field}`")
        self._executor = executor
        self._field = field
        self._queries = queries
        self._parameters = parameters
        self._where = where
        self._pages: list[m.SearchResults] = []
        self._hits: list[dict[PrimaryKey, Hit]] = [{} for _ in queries.rows]

    async def run(self, guard: SparseShield, outputs: Sequence[str]) -> Found:
        """The answer; `outputs` are stored columns that its pages carry.

        Raises:
            Unreadable, StaleEntry: a row's record cannot be read.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        columns = list(dict.fromkeys((*outputs, *self._executor.layout.needs_record(self._field))))
        # Older parts first: a row that is moved to the newest one meanwhile is found in one of them.
        for part in sorted(guard.parts):
            await self._read(guard, part, columns)
        return Found(self._pages, [self._best(list(hits.values())) for hits in self._hits])

    async def _read(self, guard: SparseShield, part: int, columns: Sequence[str]) -> None:
        """Read the best rows of a part: as many as are wanted, or all that there are."""
        rows = tuple((guard.query(indices, part), values) for indices, values in self._queries.rows)
        limit = wanted = self._parameters.limit + self._parameters.offset
        while True:
            answer = await self._executor.page_of(
                self._parameters, self._where, _METRIC, write_sparse(rows), len(rows), columns, (0, limit)
            )
            few = self._take(answer, part, wanted, limit)
            if not few or limit >= MAX_TOPK:
                return
            limit = min(_MORE * limit, MAX_TOPK)

    def _take(self, answer: m.SearchResults, part: int, wanted: int, limit: int) -> bool:
        """Keep the rows of the part; whether a query has fewer than wanted, though there are more to read."""
        keys, scores, number = primary_keys(answer.results.ids), answer.results.scores, len(self._pages)
        self._pages.append(answer)
        counts = list(answer.results.topks) if keys else [0] * len(self._hits)
        if len(counts) != len(self._hits) or sum(counts) != len(keys) or len(scores) != len(keys):
            raise Unreadable
        own = self._of_part(answer, part, len(keys))
        start, few = 0, False
        for hits, count in zip(self._hits, counts, strict=True):
            found = [row for row in range(start, start + count) if own[row]]
            start += count
            for row in found:
                hits.setdefault(keys[row], Hit(RowPlace(number, row), keys[row], scores[row]))
            few = few or (len(found) < wanted and count >= limit)
        return few

    def _of_part(self, answer: m.SearchResults, part: int, rows: int) -> list[bool]:
        if not rows:
            return []
        executor, results = self._executor, answer.results
        found = reveal.found_rows(executor.shield, executor.layout, results.fields_data, rows, results.ids)
        entries = reveal.held_of(found, self._field, range(rows)).entries
        return [any(epoch_of(entry) == part for entry in of_row) for of_row in entries]

    def _best(self, hits: Sequence[Hit]) -> list[Hit]:
        parameters, band = self._parameters, self._parameters.band
        distances = np.array([hit.distance for hit in hits], np.float32)
        inside = np.flatnonzero(band.passes(distances, _METRIC)).tolist()
        kept = [hits[i] for i in inside]
        order = ordered([hit.key for hit in kept], distances[inside], descending=True)
        return [kept[i] for i in order.tolist()][parameters.offset : parameters.offset + parameters.limit]
