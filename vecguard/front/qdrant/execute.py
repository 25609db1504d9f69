"""Running a tree of query stages: leaves on the database, exact re-scoring, fusion and re-ranking here.

A leaf on a noised vector is over-fetched until the certificate settles (nearest, recommend by average, MMR's
candidates) or by a fixed page (other strategies), opened, and scored exactly. Stages above leaves are computed on
exact scores: fusion here, any other query by restricting it to what the prefetches found.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, Refused
from vecguard.front.qdrant import filters
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.candidates import open_candidates, open_sparse
from vecguard.front.qdrant.examples import Examples, Opened
from vecguard.front.qdrant.formulas import evaluate_formula
from vecguard.front.qdrant.frequencies import Corpus, Known, corpus_of, with_idf
from vecguard.front.qdrant.planted import Decoys
from vecguard.front.qdrant.reading import Batch, Goal, of_part
from vecguard.front.qdrant.scope import stored_path, stored_selector, vectors_selector, wants_payload
from vecguard.front.qdrant.scoring import VECTOR_KINDS, Scoring, compile_scoring
from vecguard.front.qdrant.serve_reads import rewrite_order
from vecguard.front.qdrant.stages import Stage, copy_read_options, id_message, key_of
from vecguard.front.qdrant.together import together
from vecguard.metric import Distance, FloatArray, bigger_is_better
from vecguard.pipeline import Session
from vecguard.ranking.fusion import (
    DEFAULT_RRF_K,
    Ranking,
    distribution_based_score_fusion,
    reciprocal_rank_fusion,
)
from vecguard.ranking.mmr import maximal_marginal_relevance
from vecguard.ranking.sparse import pairwise
from vecguard.rerank import Certificate, PointId
from vecguard.shield import DenseShield, Shield, SparseShield, VectorShield
from vecguard.stages import timed

Points: TypeAlias = list[q.ScoredPoint]

_QUERY: Final = "/qdrant.Points/Query"
_GET: Final = "/qdrant.Points/Get"
# Strategies without a certificate read this many times the points asked for.
_UNCERTIFIED_FACTOR: Final = 10
_DEFAULT_DIVERSITY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Want:
    """What the answer shall carry for each point: payload as selected, and the vectors of these names."""

    payload: q.WithPayloadSelector
    vectors: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether ids and scores are all that is wanted."""
        return not self.vectors and not wants_payload(self.payload)


NOTHING: Final = Want(q.WithPayloadSelector())


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs the stages of one request on one collection. `source` gives read options to every request made of it.

    idf: factors of the IDF modifier that were counted for this request.
    """

    session: Session
    shield: Shield
    collection: str
    source: q.QueryPoints | q.QueryPointGroups
    opened: Opened
    idf: Known = field(default_factory=dict)

    async def run(self, stage: Stage, want: Want) -> Points:
        """The answer of a stage: stored points with final scores, best first, offset and limit applied."""
        if stage.prefetch:
            return await self._merge(stage, want)
        return await self._leaf(stage, want)

    async def _leaf(self, stage: Stage, want: Want) -> Points:
        kind = stage.kind
        if stage.query is None:
            return await self._send(stage, None, want)
        if kind in VECTOR_KINDS:
            return await self._vector_leaf(stage, want)
        query = q.Query()
        query.CopyFrom(stage.query)
        if kind == "order_by":
            rewrite_order(query.order_by, self.shield)
        elif kind == "text":
            self.shield.fields.require(stage.using, (), ("plain",), "a full-text query")
            stage = replace(stage, using=stored_path(stage.using))
        elif kind in ("fusion", "rrf", "formula"):
            what = "Formula" if kind == "formula" else "Fusion"
            raise InvalidArgument(f"Wrong input: Validation failed: cannot apply {what} without prefetches")
        elif kind is None:
            raise InvalidArgument("Query variant is missing")
        elif kind != "sample":
            raise InvalidArgument(f"Wrong input: query variant {kind} is not known here")
        return await self._send(stage, query, want)

    async def _vector_leaf(self, stage: Stage, want: Want) -> Points:
        assert stage.query is not None  # noqa: S101 - the caller looked at its variant
        examples = Examples(stage, self.shield, self.collection, self.opened)
        scoring = compile_scoring(stage.query, examples)
        guard = examples.guard
        if isinstance(guard, SparseShield) and guard.divided:
            if stage.kind == "nearest_with_mmr":
                return await self._diversified(stage, scoring, guard, want)
            return await self._sparse(stage, scoring, want)
        if not isinstance(guard, DenseShield) or guard.rerank is None or scoring.score is None:
            return await self._send(stage, scoring.upstream[guard.parts[0]], want)
        if stage.kind == "nearest_with_mmr":
            return await self._diversified(stage, scoring, guard, want)
        return await self._nearest(stage, scoring, guard, want)

    async def _nearest(self, stage: Stage, scoring: Scoring, guard: DenseShield, want: Want) -> Points:
        if scoring.target is not None and guard.certified:
            return await self._certified(stage, scoring, guard, want)
        return await self._rescored(stage, scoring, guard, want)

    async def _send(self, stage: Stage, query: q.Query | None, want: Want) -> Points:
        """A stage whose scores at rest are the ones to answer with."""
        ask = self._ask(stage, query, want, record=bool(want.vectors))
        # The database's offset counts planted points that nobody sees: where there may be some, it is counted here.
        skipped = stage.offset if self._has_planted else 0
        ask.limit, ask.offset = stage.limit + skipped, stage.offset - skipped
        if stage.threshold is not None:
            ask.score_threshold = stage.threshold
        return list((await self.session.call(_QUERY, ask, q.QueryResponse)).result)[skipped:]

    @property
    def _has_planted(self) -> bool:
        entry = self.session.entries.get(self.collection)
        return entry is not None and entry.policy.detection.canaries > 0

    def _ask(self, stage: Stage, query: q.Query | None, want: Want, *, record: bool) -> q.QueryPoints:
        ask = q.QueryPoints(collection_name=self.collection)
        copy_read_options(self.source, ask)
        if query is not None:
            ask.query.CopyFrom(query)
        if stage.using:
            ask.using = stage.using
        if stage.filter is not None:
            ask.filter.CopyFrom(stage.filter)
        if stage.params is not None:
            ask.params.CopyFrom(stage.params)
        ask.with_payload.CopyFrom(stored_selector(want.payload, record=record))
        ask.with_vectors.CopyFrom(vectors_selector(list(want.vectors), list(self.shield.vectors)))
        return ask

    async def _certified(self, stage: Stage, scoring: Scoring, guard: DenseShield, want: Want) -> Points:
        """Nearest, exactly: fetch pages until no unread point can plausibly belong to the answer."""
        rule = guard.rerank
        assert rule is not None  # noqa: S101 - the caller chose this path by it
        assert scoring.target is not None  # noqa: S101 - likewise
        wanted = stage.offset + stage.limit
        certificate = Certificate.of(
            _query_rows(scoring.target),
            guard.distance,
            guard.noise_ratio,
            rule.certainty,
            stored_scale=guard.fixed_scale,
            dims=guard.stored_dims,
            spread=guard.noise_spread,
            noise_norm=guard.noise_norm,
        )
        first, most = max(rule.first_page, wanted), max(rule.max_candidates, wanted)
        batch = Batch(scoring.score, guard.distance)
        await self._read(stage, want, batch, scoring, Goal(wanted, stage.threshold, first, most, certificate))
        return batch.answer(stage)

    async def _rescored(self, stage: Stage, scoring: Scoring, guard: DenseShield, want: Want) -> Points:
        """Other strategies: candidates from the index at rest, exact scores; completeness is not certified, but where
        scores at rest are exact."""
        rule = guard.rerank
        assert rule is not None  # noqa: S101 - the caller chose this path by it
        wanted = stage.offset + stage.limit
        size = max(wanted, min(max(rule.first_page, _UNCERTIFIED_FACTOR * wanted), rule.max_candidates))
        most = max(rule.max_candidates, wanted)
        batch = Batch(scoring.score, scoring.distance)
        goal = Goal(wanted, stage.threshold, size, most, once=not guard.exact_at_rest)
        await self._read(stage, want, batch, scoring, goal)
        return batch.answer(stage)

    async def _sparse(self, stage: Stage, scoring: Scoring, want: Want) -> Points:
        """A query over a sparse vector whose keys are being rotated: each part's scores at rest are exact."""
        corpus = Corpus(self.session, self.collection, stage.using, self.source, corpus_of(stage))
        stage, scoring = await with_idf(stage, scoring, corpus, self.idf)
        wanted = stage.offset + stage.limit
        batch = Batch(None, scoring.distance)
        await self._read(stage, want, batch, scoring, Goal(wanted, stage.threshold, wanted, sys.maxsize))
        return batch.answer(stage)

    async def _read(self, stage: Stage, want: Want, batch: Batch, scoring: Scoring, goal: Goal) -> None:
        """Read the probes of a query, in rounds, until the goal is reached."""
        probes, uncertain = goal.probes(scoring.upstream), False
        opens = scoring.score is not None and isinstance(self.shield.vector(stage.using), DenseShield)
        decoys = Decoys(self.shield, self.collection, stage.using, scoring)
        while unread := [probe for probe in probes if not probe.done]:
            for probe in unread:
                size = probe.target - probe.fetched
                page = await self._page(stage, probe.query, want, probe.fetched, size, planted=opens)
                if opens:
                    batch.add(*decoys.without(page))
                else:
                    batch.take(of_part(self.shield, page, stage.using, probe.part))
                probe.protected += [point.score for point in page]
                probe.exhausted = len(page) < size
                probe.fetched = probe.target
            for probe in unread:
                uncertain = batch.judge(probe, goal) or uncertain
        self.session.candidates += sum(len(probe.protected) if goal.once else probe.fetched for probe in probes)
        self.session.uncertified += uncertain
        decoys.tell(self.session, batch, goal, probes)

    async def _diversified(self, stage: Stage, scoring: Scoring, guard: VectorShield, want: Want) -> Points:
        """MMR over exactly found candidates (Carbonell & Goldstein 1998, as Qdrant does it)."""
        assert stage.query is not None  # noqa: S101 - the caller looked at its variant
        mmr = stage.query.nearest_with_mmr.mmr
        diversity = mmr.diversity if mmr.HasField("diversity") else _DEFAULT_DIVERSITY
        candidates = mmr.candidates_limit if mmr.HasField("candidates_limit") else stage.limit
        wanted = stage.offset + stage.limit
        nearest = {part: q.Query(nearest=of.nearest_with_mmr.nearest) for part, of in scoring.upstream.items()}
        plain = replace(scoring, upstream=nearest)
        pool = replace(stage, limit=max(candidates, 1), offset=0)
        everything = replace(want, vectors=tuple(dict.fromkeys((*want.vectors, stage.using))))
        if isinstance(guard, SparseShield):
            found = await self._sparse(pool, plain, everything)
            alike, _ = pairwise(open_sparse(self.shield, found, stage.using))
        else:
            found = await self._nearest(pool, plain, guard, everything)
            alike = open_candidates(self.shield, found, stage.using).pairwise(guard.distance)
        relevance = _inner(np.array([point.score for point in found], np.float32), scoring.distance)
        picks = maximal_marginal_relevance(relevance, alike, diversity, wanted)
        return [found[i] for i in picks[stage.offset :]]

    async def _page(
        self, stage: Stage, query: q.Query, want: Want, offset: int, limit: int, *, planted: bool
    ) -> Points:
        names = tuple(dict.fromkeys((*want.vectors, stage.using)))
        ask = self._ask(stage, query, replace(want, vectors=names), record=True)
        ask.offset, ask.limit = offset, limit
        return list((await self.session.call(_QUERY, ask, q.QueryResponse, planted=planted)).result)

    async def _merge(self, stage: Stage, want: Want) -> Points:
        if stage.query is None:
            raise InvalidArgument(
                "Bad request: A query is needed to merge the prefetches. "
                "Can't have prefetches without defining a query."
            )
        sources = await together(*(self.run(prefetch, NOTHING) for prefetch in stage.prefetch))
        kind = stage.kind
        if kind in ("fusion", "rrf"):
            ranking = _fused(stage.query, [_ranking(points) for points in sources])
            page = ranking.cut(stage.limit, stage.offset, stage.threshold)
            return _with_order_values(await self.hydrated(page, sources, want), sources)
        keys = list(dict.fromkeys(key_of(point.id) for points in sources for point in points))
        if not keys:
            return []
        if kind == "formula":
            return await self._formula(stage, keys, sources, want)
        union = filters.merged(stage.filter, filters.only_ids([id_message(key) for key in keys]))
        # Every point that the prefetches found is read, so that exact scores decide.
        whole = replace(self, shield=self.shield.reading(stage.using, len(keys)))
        return await whole._leaf(replace(stage, prefetch=(), filter=union), want)

    async def _formula(self, stage: Stage, keys: list[PointId], sources: Sequence[Points], want: Want) -> Points:
        assert stage.query is not None  # noqa: S101 - the caller looked at its variant
        rankings = [_ranking(points) for points in sources]
        ranking = await evaluate_formula(stage, keys, rankings, self.session, self.shield, self.collection, self.source)
        return await self.hydrated(ranking, sources, want)

    async def hydrated(self, ranking: Ranking, sources: Sequence[Points], want: Want) -> Points:
        """Ranked points with what the client wants of them; one that vanished meanwhile is left out."""
        versions = {key_of(point.id): point.version for points in sources for point in points}
        answer = [
            q.ScoredPoint(id=id_message(key), score=float(score), version=versions[key])
            for key, score in zip(ranking.ids, ranking.scores, strict=True)
        ]
        if want.nothing or not answer:
            return answer
        ask = q.GetPoints(collection_name=self.collection, ids=[point.id for point in answer])
        copy_read_options(self.source, ask)
        ask.with_payload.CopyFrom(stored_selector(want.payload, record=bool(want.vectors)))
        ask.with_vectors.CopyFrom(vectors_selector(list(want.vectors), list(self.shield.vectors)))
        stored = {key_of(p.id): p for p in (await self.session.call(_GET, ask, q.GetResponse)).result}
        for point in answer:
            record = stored.get(key_of(point.id))
            if record is not None:
                point.vectors.CopyFrom(record.vectors)
                point.payload.MergeFrom(record.payload)
        return [point for point in answer if key_of(point.id) in stored]


def _query_rows(target: wire.AnyVector) -> FloatArray:
    return target.rows if isinstance(target, wire.Multi) else target.data[np.newaxis]  # type: ignore[union-attr]


def _inner(score: FloatArray, distance: Distance) -> FloatArray:
    """Reported scores as inner similarities (`metric.reported` turned back)."""
    return score if bigger_is_better(distance) else -np.square(score)


def _with_order_values(points: Points, sources: Sequence[Points]) -> Points:
    """Fused points keep the order value of the first source that holds them, as in Qdrant."""
    first: dict[PointId, q.ScoredPoint] = {}
    for source in sources:
        for point in source:
            first.setdefault(key_of(point.id), point)
    for point in points:
        source_point = first[key_of(point.id)]
        if source_point.HasField("order_value"):
            point.order_value.CopyFrom(source_point.order_value)
    return points


def _ranking(points: Sequence[q.ScoredPoint]) -> Ranking:
    return Ranking(tuple(key_of(p.id) for p in points), np.array([p.score for p in points], np.float32))


@timed("rerank")
def _fused(query: q.Query, sources: Sequence[Ranking]) -> Ranking:
    if query.WhichOneof("variant") == "rrf":
        k = query.rrf.k if query.rrf.HasField("k") else DEFAULT_RRF_K
        weights = list(query.rrf.weights) or None
        return reciprocal_rank_fusion([source.ids for source in sources], k=k, weights=weights)
    if query.fusion == q.Fusion.DBSF:
        return distribution_based_score_fusion(sources)
    if query.fusion == q.Fusion.RRF:
        return reciprocal_rank_fusion([source.ids for source in sources])
    raise Refused(f"fusion {query.fusion} is not known to VecGuard")
