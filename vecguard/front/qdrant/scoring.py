"""What a stage's query becomes: the protected query that is sent, and the exact score of a candidate once it is opened.

Formulas are those of `vecguard.ranking`; here they are only chosen by the query's variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.candidates import Candidates
from vecguard.front.qdrant.examples import Example, Examples
from vecguard.front.qdrant.stages import vector_inputs
from vecguard.metric import Distance, FloatArray, reported
from vecguard.ranking import discover, feedback, recommend
from vecguard.ranking.sparse import SparseVector
from vecguard.stages import timed

Score: TypeAlias = Callable[[Candidates], FloatArray]

VECTOR_KINDS: Final = frozenset(
    {"nearest", "nearest_with_mmr", "recommend", "discover", "context", "relevance_feedback"}
)


@dataclass(frozen=True, slots=True)
class Scoring:
    """A query over one vector name.

    upstream: the protected query of each part (see `DenseShield`).
    target: the exact query vector of a nearest search, None for other kinds.
    score: exact reported scores, (n,) float32, of n opened candidates; None where nothing can be opened.
    distance: gives the order of the scores; kinds other than nearest always count bigger as better ("dot").
    """

    upstream: Mapping[int, q.Query]
    target: wire.AnyVector | None
    score: Score | None
    distance: Distance


def _each(examples: Sequence[Example], found: Candidates, distance: Distance) -> FloatArray:
    if not examples:
        return np.zeros((0, len(found)), np.float32)
    return np.stack([found.similarity(example.framed, distance) for example in examples])


@timed("protect")
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
        return _nearest(examples.example(query.nearest), examples)
    if kind == "nearest_with_mmr":
        return _with_mmr(query, examples)
    if kind == "recommend":
        return _recommend(query, examples, distance)
    score = _other_score(query, examples, distance)  # first: it says what of the query is missing
    return Scoring(_by_part(examples, lambda part: _protected(query, examples, part)), None, score, "dot")


def _by_part(examples: Examples, query: Callable[[int], q.Query]) -> dict[int, q.Query]:
    return {part: query(part) for part in examples.guard.parts}


def _by_id(query: q.Query, examples: Examples) -> Scoring:
    """A query with an example that nobody can recover: ids are left for the database to resolve at rest."""
    whole, part = q.Query(), examples.guard.parts[0]  # what nobody can recover has one part, as keys cannot be rotated
    whole.CopyFrom(query)
    for message in vector_inputs(whole):
        if not examples.needs_id(message):
            message.CopyFrom(examples.example(message).protected(part))
    return Scoring({part: whole}, None, None, examples.guard.record.distance)


def _protected(query: q.Query, examples: Examples, part: int) -> q.Query:
    protected = q.Query()
    protected.CopyFrom(query)
    for message in vector_inputs(protected):
        message.CopyFrom(examples.example(message).protected(part))
    return protected


def _nearest(target: Example, examples: Examples) -> Scoring:
    distance = examples.guard.record.distance
    return Scoring(
        _by_part(examples, lambda part: q.Query(nearest=target.protected(part))),
        target.exact,
        lambda found: reported(found.similarity(target.framed, distance), distance),
        distance,
    )


def _with_mmr(query: q.Query, examples: Examples) -> Scoring:
    if not query.nearest_with_mmr.HasField("nearest"):
        raise InvalidArgument("NearestInputWithMmr nearest is missing")
    plain = _nearest(examples.example(query.nearest_with_mmr.nearest), examples)
    return replace(plain, upstream=_by_part(examples, lambda part: _protected(query, examples, part)))


def _recommend(query: q.Query, examples: Examples, distance: Distance) -> Scoring:
    positive = examples.known(query.recommend.positive)
    negative = examples.known(query.recommend.negative)
    strategy = query.recommend.strategy
    if strategy not in (q.RecommendStrategy.BestScore, q.RecommendStrategy.SumScores):
        average = _average([e.exact for e in positive], [e.exact for e in negative])
        return _nearest(Example(average, examples.guard), examples)
    combine = recommend.best_score if strategy == q.RecommendStrategy.BestScore else recommend.sum_scores

    def protected(part: int) -> q.Query:
        query = q.Query()
        query.recommend.strategy = strategy
        query.recommend.positive.extend(example.protected(part) for example in positive)
        query.recommend.negative.extend(example.protected(part) for example in negative)
        return query

    return Scoring(
        _by_part(examples, protected),
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
        target = examples.example(query.discover.target)
        better, worse = _pairs(query.discover.context, examples)
        return lambda found: discover.discover(
            found.similarity(target.framed, distance), _each(better, found, distance), _each(worse, found, distance)
        )
    if kind == "relevance_feedback":
        return _feedback(query.relevance_feedback, examples, distance)
    raise InvalidArgument(f"Wrong input: query variant {kind} is not known here")


def _pairs(context: q.ContextInput, examples: Examples) -> tuple[list[Example], list[Example]]:
    better = [examples.example(pair.positive) for pair in context.pairs]
    worse = [examples.example(pair.negative) for pair in context.pairs]
    return better, worse


def _feedback(source: q.RelevanceFeedbackInput, examples: Examples, distance: Distance) -> Score:
    if source.strategy.WhichOneof("variant") != "naive":
        raise InvalidArgument("FeedbackStrategy variant is missing")
    naive = source.strategy.naive
    target = examples.example(source.target)
    shown = [examples.example(item.example) for item in source.feedback]
    given = np.array([item.score for item in source.feedback], np.float32)
    return lambda found: feedback.naive_feedback(
        found.similarity(target.framed, distance), _each(shown, found, distance), given, a=naive.a, b=naive.b, c=naive.c
    )
