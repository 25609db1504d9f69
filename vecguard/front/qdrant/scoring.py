"""What a stage's query becomes: the protected query that is sent, and the exact score of a candidate once it is opened.

Formulas are those of `vecguard.ranking`; here they are only chosen by the query's variant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.examples import Examples
from vecguard.front.qdrant.reveal import Exact
from vecguard.front.qdrant.stages import vector_inputs
from vecguard.metric import Distance, FloatArray, max_sim_similarities, reported, similarities
from vecguard.ranking import discover, feedback, recommend
from vecguard.ranking.sparse import SparseVector

Score: TypeAlias = Callable[[Exact], FloatArray]

VECTOR_KINDS: Final = frozenset(
    {"nearest", "nearest_with_mmr", "recommend", "discover", "context", "relevance_feedback"}
)


@dataclass(frozen=True, slots=True)
class Scoring:
    """A query over one vector name.

    upstream: the protected query. target: the exact query vector of a nearest search, None for other kinds.
    score: exact reported scores, (n,) float32, of n opened candidates; None where nothing can be opened.
    distance: gives the order of the scores; kinds other than nearest always count bigger as better ("dot").
    """

    upstream: q.Query
    target: wire.AnyVector | None
    score: Score | None
    distance: Distance


def similarity(example: wire.AnyVector, candidates: Exact, distance: Distance) -> FloatArray:
    """Qdrant's inner similarity (bigger is better) of an example to each candidate, `(n,)` float32."""
    if isinstance(example, wire.Multi):
        documents = [c.rows for c in candidates.vectors if isinstance(c, wire.Multi)]
        return max_sim_similarities(example.rows, documents, distance)
    # Sparse scores are exact upstream and never come here.
    assert isinstance(example, wire.Dense)  # noqa: S101
    assert candidates.matrix is not None  # noqa: S101
    return similarities(example.data, candidates.matrix, distance)


def _each(examples: Sequence[wire.AnyVector], candidates: Exact, distance: Distance) -> FloatArray:
    if not examples:
        return np.zeros((0, len(candidates.vectors)), np.float32)
    return np.stack([similarity(example, candidates, distance) for example in examples])


def compile_scoring(query: q.Query, examples: Examples) -> Scoring:
    """The scoring of a query that compares vectors.

    Raises:
        InvalidArgument: malformed, or vectors that do not fit the searched one.
        NotFound: an example names a point that does not exist or lacks the vector.
    """
    if any(examples.needs_id(message) for message in vector_inputs(query)):
        return _by_id(query, examples)
    kind = query.WhichOneof("variant")
    distance = examples.guard.record.distance
    if kind == "nearest":
        return _nearest(examples.exact(query.nearest), examples, distance)
    if kind == "nearest_with_mmr":
        return _with_mmr(query, examples, distance)
    if kind == "recommend":
        return _recommend(query, examples, distance)
    score = _other_score(query, examples, distance)  # first: it says what of the query is missing
    return Scoring(_protected(query, examples), None, score, "dot")


def _by_id(query: q.Query, examples: Examples) -> Scoring:
    """A query with an example that nobody can recover: ids are left for the database to resolve at rest."""
    protected = q.Query()
    protected.CopyFrom(query)
    for message in vector_inputs(protected):
        if not examples.needs_id(message):
            message.CopyFrom(examples.protected(examples.exact(message)))
    return Scoring(protected, None, None, examples.guard.record.distance)


def _protected(query: q.Query, examples: Examples) -> q.Query:
    protected = q.Query()
    protected.CopyFrom(query)
    for message in vector_inputs(protected):
        message.CopyFrom(examples.protected(examples.exact(message)))
    return protected


def _nearest(target: wire.AnyVector, examples: Examples, distance: Distance) -> Scoring:
    query = q.Query(nearest=examples.protected(target))
    return Scoring(query, target, lambda found: reported(similarity(target, found, distance), distance), distance)


def _with_mmr(query: q.Query, examples: Examples, distance: Distance) -> Scoring:
    if not query.nearest_with_mmr.HasField("nearest"):
        raise InvalidArgument("NearestInputWithMmr nearest is missing")
    plain = _nearest(examples.exact(query.nearest_with_mmr.nearest), examples, distance)
    return Scoring(_protected(query, examples), plain.target, plain.score, distance)


def _recommend(query: q.Query, examples: Examples, distance: Distance) -> Scoring:
    positive = examples.known(query.recommend.positive)
    negative = examples.known(query.recommend.negative)
    strategy = query.recommend.strategy
    if strategy not in (q.RecommendStrategy.BestScore, q.RecommendStrategy.SumScores):
        return _nearest(_average(positive, negative), examples, distance)
    combine = recommend.best_score if strategy == q.RecommendStrategy.BestScore else recommend.sum_scores
    protected = q.Query()
    protected.recommend.strategy = strategy
    protected.recommend.positive.extend(examples.protected(vector) for vector in positive)
    protected.recommend.negative.extend(examples.protected(vector) for vector in negative)
    return Scoring(
        protected,
        None,
        lambda found: combine(_each(positive, found, distance), _each(negative, found, distance)),
        "dot",
    )


def _average(positive: Sequence[wire.AnyVector], negative: Sequence[wire.AnyVector]) -> wire.AnyVector:
    if not positive:
        raise InvalidArgument(recommend.NO_POSITIVES)
    first = positive[0]
    if isinstance(first, wire.Dense):
        dense = [[v.data for v in side if isinstance(v, wire.Dense)] for side in (positive, negative)]
        return wire.Dense(recommend.average_dense(*dense))
    if isinstance(first, wire.Multi):
        rows = [[v.rows for v in side if isinstance(v, wire.Multi)] for side in (positive, negative)]
        return wire.Multi(recommend.average_multi(*rows))
    sparse = [
        [SparseVector.of(v.indices, v.values) for v in side if isinstance(v, wire.Sparse)]
        for side in (positive, negative)
    ]
    average = recommend.average_sparse(*sparse)
    return wire.Sparse(average.indices, average.weights)


def _other_score(query: q.Query, examples: Examples, distance: Distance) -> Score:
    kind = query.WhichOneof("variant")
    if kind == "context":
        better, worse = _pairs(query.context, examples)
        return lambda found: discover.context(_each(better, found, distance), _each(worse, found, distance))
    if kind == "discover":
        if not query.discover.HasField("target"):
            raise InvalidArgument("DiscoverInput target is missing")
        target = examples.exact(query.discover.target)
        better, worse = _pairs(query.discover.context, examples)
        return lambda found: discover.discover(
            similarity(target, found, distance), _each(better, found, distance), _each(worse, found, distance)
        )
    if kind == "relevance_feedback":
        return _feedback(query.relevance_feedback, examples, distance)
    raise InvalidArgument(f"Wrong input: query variant {kind} is not known here")


def _pairs(context: q.ContextInput, examples: Examples) -> tuple[list[wire.AnyVector], list[wire.AnyVector]]:
    better = [examples.exact(pair.positive) for pair in context.pairs]
    worse = [examples.exact(pair.negative) for pair in context.pairs]
    return better, worse


def _feedback(source: q.RelevanceFeedbackInput, examples: Examples, distance: Distance) -> Score:
    if source.strategy.WhichOneof("variant") != "naive":
        raise InvalidArgument("FeedbackStrategy variant is missing")
    naive = source.strategy.naive
    target = examples.exact(source.target)
    shown = [examples.exact(item.example) for item in source.feedback]
    given = np.array([item.score for item in source.feedback], np.float32)
    return lambda found: feedback.naive_feedback(
        similarity(target, found, distance), _each(shown, found, distance), given, a=naive.a, b=naive.b, c=naive.c
    )
