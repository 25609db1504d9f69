"""Running a search on a noised vector: over-fetch, open, score exactly, until every query is settled.

All queries of a request page together: each further page is asked for those that are not settled yet. Where the policy
turns re-ranking off, or nobody can recover the vectors, distances at rest are turned into what they stand for on
average, which keeps their order, and nothing is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from vecguard.errors import Unreadable
from vecguard.front.milvus.candidates import Candidates, GroupKey, Page, open_candidates, primary_keys
from vecguard.front.milvus.distances import (
    Metric,
    PrimaryKey,
    Settling,
    check_band,
    estimated_distances,
    exact_distances,
)
from vecguard.front.milvus.expression import Rewritten, conjunction
from vecguard.front.milvus.grouping import Group, best_groups, group_keys, in_groups
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.placeholder import write_dense
from vecguard.front.milvus.planted import planted_among
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.search_parameters import MAX_TOPK, SearchParameters
from vecguard.front.milvus.selection import RowPlace
from vecguard.front.milvus.status import ask
from vecguard.hidden import PlantedId, PlantedMet
from vecguard.metric import FloatArray, largest_norm
from vecguard.pipeline import Session
from vecguard.shield import Shield
from vecguard.stages import stage, timed

Source: TypeAlias = m.SearchRequest | m.HybridSearchRequest

_SEARCH: Final = rpc("Search")
# What one step of an iterator misses no later step makes good, so it is looked for harder (3 in 100,000 a row at most).
_ITERATION_CERTAINTY: Final = 4.0
# Milvus refuses answers of more than 100 MiB; one is asked for that is well below, by what its rows take at least.
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_FLOAT_BYTES: Final = 4
_OTHER_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Search:
    """One search, understood: queries `(nq, d)` float32 in clear, the expression as it is at rest."""

    field: str
    metric: Metric
    queries: FloatArray
    parameters: SearchParameters
    expression: Rewritten


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of the answer: where it was read, its primary key, its distance."""

    place: RowPlace
    key: PrimaryKey
    distance: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: hits of each query, best first (group by group where grouped), and the answers read."""

    pages: Sequence[m.SearchResults]
    hits: Sequence[Sequence[Hit]]


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs searches on one collection.

    `source` gives its read options to every request made of it; `checked` is that of the catalog's entry; `planted`:
    whether its policy has records planted there.
    """

    session: Session
    shield: Shield
    layout: Layout
    source: Source
    checked: float
    planted: bool = False

    async def run(self, search: Search, outputs: Sequence[str]) -> Found:
        """The answer of a search; `outputs` are stored columns that its pages carry.

        Raises:
            InvalidArgument: a dimension or bounds that do not fit.
            Unreadable, StaleEntry: see `open_candidates`.
            PlantedMet: see `_Run.found`.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        check_band(search.parameters.band, search.metric)
        run = _Run(self, search, outputs)
        await run.read()
        return run.found()

    async def page(
        self, search: Search, queries: FloatArray, outputs: Sequence[str], offset: int, limit: int
    ) -> m.SearchResults:
        """The database's answer to protected queries `(n, d')`: candidates `offset` to `offset + limit` of each."""
        group, span = write_dense(queries), (offset, limit)
        return await self.page_of(
            search.parameters, search.expression, search.metric, group, len(queries), outputs, span
        )

    async def page_of(
        self,
        parameters: SearchParameters,
        expression: Rewritten,
        metric: str,
        group: bytes,
        count: int,
        outputs: Sequence[str],
        span: tuple[int, int],
    ) -> m.SearchResults:
        """The database's answer to the `count` protected queries of a placeholder group.

        `span` is the offset and the number of candidates of each.
        """
        source, (offset, limit) = self.source, span
        request = m.SearchRequest(
            db_name=source.db_name,
            collection_name=source.collection_name,
            partition_names=source.partition_names,
            dsl=expression.text,
            dsl_type="BoolExprV1",
            placeholder_group=group,
            nq=count,
            output_fields=outputs,
            search_params=parameters.candidates(limit, offset, metric),
            travel_timestamp=source.travel_timestamp,
            guarantee_timestamp=source.guarantee_timestamp,
            consistency_level=source.consistency_level,
            use_default_consistency=source.use_default_consistency,
            not_return_all_meta=source.not_return_all_meta,
            expr_template_values=expression.templates,
        )
        return await ask(self.session, _SEARCH, request, m.SearchResults, planted=True)  # those are looked for below


class _Run:
    """One search under way."""

    def __init__(self, executor: Executor, search: Search, outputs: Sequence[str]) -> None:
        guard = executor.shield.dense(search.field)
        self._executor = executor
        self._search = search
        self._guard = guard
        # Older parts first: a row that is moved to the newest one meanwhile is found in one of them.
        with stage("protect"):
            self._protected = {part: guard.query(search.queries, part) for part in sorted(guard.parts)}
        # Candidates are compared in the coordinates in which they are opened.
        self._framed = self._protected[guard.parts[0]] if guard.scores_rotated else search.queries
        self._pages: list[m.SearchResults] = []
        self._candidates = [self._empty(query) for query in search.queries]
        parameters = search.parameters
        self._wanted = parameters.offset + parameters.limit
        size = 1 if parameters.grouping is None else parameters.grouping.size
        self._enough = min(self._wanted * size, MAX_TOPK)
        self._outputs = list(dict.fromkeys((*outputs, *self._needed())))
        self._rows_at_once = max(_ANSWER_BYTES // (_FLOAT_BYTES * guard.stored_dims + _OTHER_BYTES), 1)

    def _needed(self) -> Sequence[str]:
        """Columns that are read for the search itself."""
        field, grouping = self._search.field, self._search.parameters.grouping
        grouped = () if grouping is None else (grouping.field,)
        if self._guard.rerank is None:
            return grouped
        return (*grouped, field, *self._executor.layout.needs_record(field))

    def _empty(self, query: FloatArray) -> Candidates:
        metric, guard = self._search.metric, self._guard
        settling = None
        if guard.rerank is not None:
            certainty, scale = guard.rerank.certainty, guard.fixed_scale
            if self._search.parameters.iteration is not None:
                certainty = max(certainty, _ITERATION_CERTAINTY)
            settling = Settling.of(
                metric,
                query,
                guard.noise_ratio,
                certainty,
                stored_scale=scale,
                dims=guard.stored_dims,
                spread=guard.noise_spread,
                noise_norm=guard.noise_norm,
            )
        return Candidates(metric, self._search.parameters.band, settling)

    async def read(self) -> None:
        """Fetch pages of every part until every query is settled, or its candidates or the cap are used up."""
        everything = range(len(self._candidates))
        unsettled, fetched = {part: list(everything) for part in self._protected}, dict.fromkeys(self._protected, 0)
        while any(unsettled.values()) and await self._round(unsettled, fetched):
            for part, queries in unsettled.items():
                unsettled[part] = [i for i in queries if not self._is_settled(self._candidates[i], part)]
        self._executor.session.uncertified += len({i for queries in unsettled.values() for i in queries})
        if self._search.parameters.grouping is not None and self._search.parameters.grouping.size > 1:
            for i in everything:
                await self._fill(i)

    async def _round(self, unsettled: Mapping[int, Sequence[int]], fetched: dict[int, int]) -> bool:
        """Read the next page of each part for the queries that are not settled there; whether any can be read."""
        reading = False
        for part, queries in unsettled.items():
            of_queries = [self._candidates[i] for i in queries]
            size = self._next(fetched[part], of_queries, part) - fetched[part] if queries else 0
            if size <= 0:
                continue
            pages, reading = list[Page](), True
            together = max(self._rows_at_once // size, 1)
            for first in range(0, len(queries), together):
                some = queries[first : first + together]
                pages += await self._fetch(self._search, some, part, fetched[part], size)
            fetched[part] += size
            for candidates, page in zip(of_queries, pages, strict=True):
                candidates.add(page, part, exhausted=len(page.keys) < size)
        return reading

    def _next(self, fetched: int, unsettled: Sequence[Candidates], part: int) -> int:
        """How many candidates to have after the next fetch. Those that are too good for a range do not count."""
        rule = self._guard.rerank
        first, most = (1, MAX_TOPK) if rule is None else (rule.first_page, rule.max_candidates)
        skipped = max(candidates.skipped for candidates in unsettled)
        wanted = self._enough + skipped
        target = max(candidates.foretold(self._bound(candidates), part) for candidates in unsettled)
        target = target if fetched else first
        return min(max(target, wanted), max(most + skipped, wanted), MAX_TOPK, fetched + self._rows_at_once)

    async def _fetch(self, search: Search, queries: Sequence[int], part: int, offset: int, limit: int) -> list[Page]:
        """Read candidates of the queries with these numbers: a page for each."""
        protected = self._protected[part][list(queries)]
        answer = await self._executor.page(search, protected, self._outputs, offset, limit)
        results, number = answer.results, len(self._pages)
        self._pages.append(answer)
        keys, counts = primary_keys(results.ids), list(results.topks)
        if not keys:
            counts = [0] * len(queries)
        if len(counts) != len(queries) or sum(counts) != len(keys) or len(results.scores) != len(keys):
            raise Unreadable
        executor, vectors = self._executor, None
        if self._guard.rerank is not None:
            executor.session.candidates += len(keys)
            vectors = open_candidates(executor.shield, executor.layout, results, search.field)
        grouping, groups = search.parameters.grouping, list[GroupKey]()
        if grouping is not None and keys:
            groups = group_keys(executor.shield, executor.layout, results.fields_data, grouping.field, len(keys))
        at_rest, pages, start = np.array(results.scores, np.float32), list[Page](), 0
        for i, count in zip(queries, counts, strict=True):
            rows = slice(start, start + count)
            start += count
            distances = self._distances(i, at_rest[rows], None if vectors is None else vectors[rows])
            places = [RowPlace(number, row) for row in range(rows.start, rows.stop)]
            norm = 0.0 if vectors is None else largest_norm(vectors[rows])
            order = distances if vectors is None else at_rest[rows]
            pages.append(Page(list(keys[rows]), places, groups[rows], distances, order, norm))
        return pages

    @timed("rerank")
    def _distances(self, i: int, at_rest: FloatArray, vectors: FloatArray | None) -> FloatArray:
        if vectors is None:
            return estimated_distances(self._search.metric, self._search.queries[i], at_rest, self._guard.fixed_scale)
        return exact_distances(self._search.metric, self._framed[i], vectors)

    def _is_settled(self, candidates: Candidates, part: int) -> bool:
        guard = self._guard
        if candidates.exhausted or (guard.rerank is not None and not guard.certified):
            return True  # in the second case nothing can say whether one page was enough, so it has to be
        return candidates.beyond(self._bound(candidates), part)

    def _bound(self, candidates: Candidates) -> float | None:
        """The distance that a row that was not read must beat to change the answer; None before there is one."""
        if self._search.parameters.grouping is None:
            return candidates.bound(self._wanted)
        groups = self._groups(candidates)
        # A row can only make another group one of the best if it beats the best row of the last one.
        return _distance_of(candidates, groups[-1].members[0]) if len(groups) == self._wanted else None

    def _groups(self, candidates: Candidates) -> list[Group]:
        grouping = self._search.parameters.grouping
        size = 1 if grouping is None else grouping.size
        return best_groups(candidates.ranked(), candidates.groups, size, self._wanted)

    async def _fill(self, i: int) -> None:
        """Read on within the groups of a query's answer, until each holds its best rows."""
        candidates, grouping = self._candidates[i], self._search.parameters.grouping
        assert grouping is not None  # noqa: S101 - the caller looked

        def short(of: Candidates) -> list[Group]:
            chosen = self._groups(candidates)[self._search.parameters.offset :]
            return [
                group
                for group in chosen
                if len(group.members) < grouping.size
                or not all(of.beyond(_distance_of(candidates, group.members[-1]), part) for part in self._protected)
            ]

        if candidates.exhausted or not (lacking := short(candidates)):
            return
        narrower = self._narrowed(grouping.field, [group.key for group in lacking])
        inner, fetched = self._empty(self._search.queries[i]), 0
        while lacking:
            size = self._next_of_all(fetched, inner) - fetched
            if size <= 0:
                self._executor.session.uncertified += 1
                break
            exhausted = False
            for part in self._protected:
                (page,) = await self._fetch(narrower, [i], part, fetched, size)
                inner.add(page, part)
                candidates.add(page, part, whole=False)
                exhausted = exhausted or len(page.keys) < size
            fetched += size
            lacking = [] if exhausted else short(inner)

    def _next_of_all(self, fetched: int, candidates: Candidates) -> int:
        """`_next` of one query, the largest of all parts."""
        return max(self._next(fetched, [candidates], part) for part in self._protected)

    def _narrowed(self, field: str, groups: Sequence[GroupKey]) -> Search:
        expression = self._search.expression
        of_groups = in_groups(self._executor.shield, self._executor.layout, field, groups)
        text = conjunction(expression.text, of_groups)
        return replace(self._search, expression=Rewritten(text, expression.templates))

    def found(self) -> Found:
        """The answer.

        Raises:
            PlantedMet: planted rows would be part of it, so that the search has to be run without them.
        """
        met = [key for candidates in self._candidates for key in self._met(candidates)]
        if met:
            session, source = self._executor.session, self._executor.source
            raise PlantedMet(place_of(source.db_name, source.collection_name, session.metadata).key, met)
        return Found(self._pages, [self._answer(candidates) for candidates in self._candidates])

    def _met(self, candidates: Candidates) -> list[PlantedId]:
        """Planted rows among the best: those of the answer, and those that its offset would count."""
        shield = self._executor.shield
        if not planted_among(candidates.keys, shield):
            return []
        best = candidates.ranked()[: self._wanted]
        if self._search.parameters.grouping is not None:
            best = [position for group in self._groups(candidates) for position in group.members]
        return planted_among([candidates.keys[position] for position in best], shield)

    def _answer(self, candidates: Candidates) -> list[Hit]:
        parameters = self._search.parameters
        if parameters.grouping is None:
            ranked = candidates.ranked()
            chosen = ranked[parameters.offset : self._wanted]
            if parameters.iteration is not None and parameters.iteration.version == 2:
                chosen += _equals(candidates, ranked, self._wanted)
        else:
            groups = self._groups(candidates)[parameters.offset :]
            chosen = [position for group in groups for position in group.members]
        distances = candidates.distances
        return [Hit(candidates.places[i], candidates.keys[i], float(distances[i])) for i in chosen]


def _distance_of(candidates: Candidates, position: int) -> float:
    return float(candidates.distances[position])


def _equals(candidates: Candidates, ranked: Sequence[int], end: int) -> list[int]:
    """What follows the last of a batch at the same distance: the next batch begins beyond that."""
    distances, last = candidates.distances, end
    while 0 < last < len(ranked) and distances[ranked[last]] == distances[ranked[end - 1]]:
        last += 1
    return list(ranked[end:last])
