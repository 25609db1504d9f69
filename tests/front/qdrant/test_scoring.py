"""What a query becomes at rest is rotated and nothing else; exact scores are those of the metric and the strategies."""

import numpy as np
import pytest
from qdrant_client import grpc as q
from shields import record_of, shield_of

from vecguard.errors import InvalidArgument, NotFound
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.candidates import Candidates
from vecguard.front.qdrant.examples import Examples
from vecguard.front.qdrant.scoring import VECTOR_KINDS, compile_scoring
from vecguard.front.qdrant.stages import Stage, vector_inputs
from vecguard.metric import max_sim, scores, similarities
from vecguard.ranking import discover, feedback, recommend
from vecguard.seal.ids import num_id

RNG = np.random.default_rng(11)
X = RNG.normal(size=(6, 16)).astype(np.float32)
FOUND = RNG.normal(size=(9, 16)).astype(np.float32)
STRATEGY = q.RecommendStrategy


def dense(row):
    return q.VectorInput(dense=q.DenseVector(data=row))


def multi(rows):
    return q.VectorInput(multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=row) for row in rows]))


def sparse(**pairs):
    indices = [int(index[1:]) for index in pairs]
    return q.VectorInput(sparse=q.SparseVector(indices=indices, values=list(pairs.values())))


def by_id(number):
    return q.VectorInput(id=q.PointId(num=number))


def opened(shield, found=FOUND):
    """Candidates with these exact vectors, protected and opened for scoring: rotated still, unlike the exact ones."""
    guard = shield.dense("v")
    if isinstance(found, list):
        sealed = [guard.protect_rows(num_id(i), rows) for i, rows in enumerate(found)]
        return Candidates([guard.open_rows_for_scoring(num_id(i), y, [e]) for i, (y, e) in enumerate(sealed)])
    ids = [num_id(i) for i in range(len(found))]
    stored, entries = guard.protect(ids, found)
    return Candidates(guard.open_for_scoring(ids, stored, [[entry] for entry in entries]))


SHIELDS = {distance: shield_of(record_of("v", 16, distance)) for distance in ("cosine", "dot", "euclid")}
MULTI = shield_of(record_of("v", 16, kind="multi"))
SPARSE = shield_of(record_of("v", kind="sparse"))
LOST = shield_of(record_of("v", 16, recover="none"))


def compiled(query, shield, points=()):
    """The scoring of a query, where `points` are the opened vectors of points 0, 1, ..."""
    stage = Stage(query, (), "v", None, None, None, 10, 0, None)
    opened = {("c", "v"): dict(enumerate(points))}
    return compile_scoring(query, Examples(stage, shield, "c", opened))


def rotated(shield, row):
    return shield.dense("v").query(row[np.newaxis], 1)[0]


def sent(scoring):
    """The dense vectors of the protected query."""
    return [np.array(message.dense.data, np.float32) for message in vector_inputs(scoring.upstream[1])]


PAIRS = q.ContextInput(pairs=[q.ContextInputPair(positive=dense(X[1]), negative=dense(X[2]))])
FEEDBACK = q.RelevanceFeedbackInput(
    target=dense(X[0]),
    feedback=[q.FeedbackItem(example=dense(X[1]), score=0.9), q.FeedbackItem(example=dense(X[2]), score=0.1)],
    strategy=q.FeedbackStrategy(naive=q.NaiveFeedbackStrategy(a=1.0, b=0.5, c=0.25)),
)


def recommended(strategy=None, positive=(0, 1), negative=(2,)):
    return q.Query(
        recommend=q.RecommendInput(
            positive=[dense(X[i]) for i in positive], negative=[dense(X[i]) for i in negative], strategy=strategy
        )
    )


@pytest.mark.parametrize("distance", SHIELDS)
def test_nearest(distance):
    scoring = compiled(q.Query(nearest=dense(X[0])), SHIELDS[distance])
    np.testing.assert_array_equal(scoring.target.data, X[0])
    np.testing.assert_allclose(sent(scoring), [rotated(SHIELDS[distance], X[0])])
    np.testing.assert_allclose(scoring.score(opened(SHIELDS[distance])), scores(X[0], FOUND, distance), rtol=1e-5)
    assert scoring.distance == distance


@pytest.mark.parametrize("distance", SHIELDS)
def test_nearest_with_mmr_is_scored_as_nearest(distance):
    mmr = q.NearestInputWithMmr(nearest=dense(X[0]), mmr=q.Mmr(diversity=0.3))
    scoring = compiled(q.Query(nearest_with_mmr=mmr), SHIELDS[distance])
    np.testing.assert_array_equal(scoring.target.data, X[0])
    np.testing.assert_allclose(sent(scoring), [rotated(SHIELDS[distance], X[0])])
    assert scoring.upstream[1].nearest_with_mmr.mmr == mmr.mmr
    np.testing.assert_allclose(scoring.score(opened(SHIELDS[distance])), scores(X[0], FOUND, distance), rtol=1e-5)


@pytest.mark.parametrize("distance", SHIELDS)
@pytest.mark.parametrize("strategy", [None, STRATEGY.AverageVector])
def test_recommend_by_average_is_nearest_to_the_average(distance, strategy):
    scoring = compiled(recommended(strategy), SHIELDS[distance])
    average = X[0] + X[1] - X[2]
    np.testing.assert_allclose(scoring.target.data, average, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sent(scoring), [rotated(SHIELDS[distance], average)], atol=1e-5)
    assert scoring.upstream[1].WhichOneof("variant") == "nearest"
    np.testing.assert_allclose(
        scoring.score(opened(SHIELDS[distance])), scores(average, FOUND, distance), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("distance", SHIELDS)
@pytest.mark.parametrize(
    ("strategy", "formula"), [(STRATEGY.BestScore, recommend.best_score), (STRATEGY.SumScores, recommend.sum_scores)]
)
def test_recommend_by_scores(distance, strategy, formula):
    shield = SHIELDS[distance]
    scoring = compiled(recommended(strategy), shield)
    assert scoring.target is None
    assert scoring.distance == "dot"
    assert scoring.upstream[1].recommend.strategy == strategy
    np.testing.assert_allclose(sent(scoring), [rotated(SHIELDS[distance], X[i]) for i in range(3)])
    likes, dislikes = similarities(X[:2], FOUND, distance), similarities(X[2:3], FOUND, distance)
    np.testing.assert_allclose(scoring.score(opened(shield)), formula(likes, dislikes), rtol=1e-4, atol=1e-6)


def test_recommend_by_scores_needs_examples_of_one_side_only():
    shield = SHIELDS["cosine"]
    for strategy in (STRATEGY.BestScore, STRATEGY.SumScores):
        for positive, negative in (((0,), ()), ((), (0,))):
            scoring = compiled(recommended(strategy, positive, negative), shield)
            assert scoring.score(opened(shield)).shape == (9,)
    with pytest.raises(InvalidArgument, match="Positive vectors should not be empty"):
        compiled(recommended(None, (), (0,)), shield)


@pytest.mark.parametrize("distance", SHIELDS)
def test_discover_and_context(distance):
    shield = SHIELDS[distance]
    target = similarities(X[0], FOUND, distance)
    better, worse = similarities(X[1:2], FOUND, distance), similarities(X[2:3], FOUND, distance)
    scoring = compiled(q.Query(discover=q.DiscoverInput(target=dense(X[0]), context=PAIRS)), shield)
    np.testing.assert_allclose(sent(scoring), [rotated(shield, X[i]) for i in range(3)])
    np.testing.assert_allclose(scoring.score(opened(shield)), discover.discover(target, better, worse), rtol=1e-4)
    scoring = compiled(q.Query(context=PAIRS), shield)
    np.testing.assert_allclose(sent(scoring), [rotated(shield, X[i]) for i in (1, 2)])
    expected = discover.context(better, worse)
    np.testing.assert_allclose(scoring.score(opened(shield)), expected, rtol=1e-4, atol=1e-6)
    alone = compiled(q.Query(discover=q.DiscoverInput(target=dense(X[0]))), shield)
    nobody = np.zeros((0, 9), np.float32)
    np.testing.assert_allclose(alone.score(opened(shield)), discover.discover(target, nobody, nobody), rtol=1e-4)


@pytest.mark.parametrize("distance", SHIELDS)
def test_relevance_feedback(distance):
    scoring = compiled(q.Query(relevance_feedback=FEEDBACK), SHIELDS[distance])
    np.testing.assert_allclose(sent(scoring), [rotated(SHIELDS[distance], X[i]) for i in range(3)])
    assert [item.score for item in scoring.upstream[1].relevance_feedback.feedback] == pytest.approx([0.9, 0.1])
    assert scoring.upstream[1].relevance_feedback.strategy == FEEDBACK.strategy
    expected = feedback.naive_feedback(
        similarities(X[0], FOUND, distance),
        similarities(X[1:3], FOUND, distance),
        np.float32([0.9, 0.1]),
        a=1.0,
        b=0.5,
        c=0.25,
    )
    np.testing.assert_allclose(scoring.score(opened(SHIELDS[distance])), expected, rtol=1e-4, atol=1e-5)


def test_the_clients_query_is_left_as_it_was():
    for query in (recommended(), q.Query(context=PAIRS), q.Query(relevance_feedback=FEEDBACK)):
        before = query.SerializeToString()
        compiled(query, SHIELDS["cosine"])
        assert query.SerializeToString() == before


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (q.Query(nearest=q.VectorInput()), "variant is missing"),
        (q.Query(nearest=dense(X[0, :5])), "expected dim: 16, got 5"),
        (q.Query(nearest=multi(X[:2])), "Conversion between multi and regular"),
        (q.Query(nearest=sparse(i1=1.0)), "Conversion between sparse and regular"),
        (q.Query(nearest=dense([np.nan] * 16)), "NaN or infinite"),
        (q.Query(nearest=q.VectorInput(document=q.Document(text="t"))), "inference input"),
        (q.Query(nearest_with_mmr=q.NearestInputWithMmr()), "nearest is missing"),
        (q.Query(discover=q.DiscoverInput(context=PAIRS)), "target is missing"),
        (q.Query(context=q.ContextInput(pairs=[q.ContextInputPair(positive=dense(X[0]))])), "variant is missing"),
        (
            q.Query(relevance_feedback=q.RelevanceFeedbackInput(target=dense(X[0]))),
            "FeedbackStrategy variant is missing",
        ),
    ],
)
def test_malformed_queries_are_refused(query, said):
    with pytest.raises(InvalidArgument, match=said):
        compiled(query, SHIELDS["cosine"])


# -- examples by id ----------------------------------------------------------------------------------------------------


def test_examples_by_id_are_their_opened_vectors():
    shield = SHIELDS["cosine"]
    scoring = compiled(q.Query(nearest=by_id(1)), shield, [wire.Dense(row) for row in X])
    np.testing.assert_array_equal(scoring.target.data, X[1])
    np.testing.assert_allclose(sent(scoring), [rotated(shield, X[1])])
    pairs = [q.ContextInputPair(positive=by_id(1), negative=dense(X[2]))]
    scoring = compiled(q.Query(context=q.ContextInput(pairs=pairs)), shield, [wire.Dense(row) for row in X])
    assert all(message.WhichOneof("variant") == "dense" for message in vector_inputs(scoring.upstream[1]))


def test_a_missing_example_is_an_error_but_in_recommend():
    shield, points = SHIELDS["cosine"], [wire.Dense(X[0]), None]
    for number in (1, 7):
        for query in (
            q.Query(nearest=by_id(number)),
            q.Query(discover=q.DiscoverInput(target=by_id(number), context=PAIRS)),
            q.Query(context=q.ContextInput(pairs=[q.ContextInputPair(positive=by_id(0), negative=by_id(number))])),
        ):
            with pytest.raises(NotFound):
                compiled(query, shield, points)
        for strategy in STRATEGY.values():
            query = q.Query(recommend=q.RecommendInput(positive=[by_id(number), by_id(0)], strategy=strategy))
            assert len(sent(compiled(query, shield, points))) == 1


def test_ids_of_vectors_that_nobody_recovers_are_sent_as_ids():
    stage = Stage(q.Query(nearest=by_id(1)), (), "v", None, None, None, 10, 0, None)
    examples = Examples(stage, LOST, "c", {("c", "v"): {}})
    scoring = compile_scoring(stage.query, examples)
    assert (scoring.upstream[1], scoring.target, scoring.score) == (stage.query, None, None)
    query = q.Query(recommend=q.RecommendInput(positive=[by_id(1), dense(X[0])], strategy=STRATEGY.BestScore))
    scoring = compile_scoring(query, examples)
    kept, protected = scoring.upstream[1].recommend.positive
    assert kept == by_id(1)
    np.testing.assert_allclose(protected.dense.data, rotated(LOST, X[0]))
    assert scoring.score is None


# -- other kinds of vectors --------------------------------------------------------------------------------------------


def test_multivectors():
    documents = [RNG.normal(size=(rows, 16)).astype(np.float32) for rows in (1, 3, 2)]
    candidates = opened(MULTI, documents)
    scoring = compiled(q.Query(nearest=multi(X[:2])), MULTI)
    np.testing.assert_allclose(scoring.score(candidates), max_sim(X[:2], documents, "cosine"), rtol=1e-5)
    stored = wire.read_input(scoring.upstream[1].nearest).rows
    np.testing.assert_allclose(stored, MULTI.dense("v").query(X[:2], 1))
    one_row = compiled(q.Query(nearest=dense(X[0])), MULTI)
    np.testing.assert_allclose(one_row.score(candidates), max_sim(X[:1], documents, "cosine"), rtol=1e-5)
    positive = q.RecommendInput(positive=[multi(X[:2])], negative=[dense(X[2])])
    average = compiled(q.Query(recommend=positive), MULTI)
    np.testing.assert_array_equal(average.target.rows, [X[0], X[1], -X[2]])


def test_sparse_vectors_go_with_permuted_indices():
    guard = SPARSE.vector("v")
    scoring = compiled(q.Query(nearest=sparse(i7=0.5, i1=2.0)), SPARSE)
    upstream = scoring.upstream[1].nearest.sparse
    assert list(upstream.indices) == guard.query(np.uint32([7, 1]), 1).tolist()
    assert list(upstream.values) == [0.5, 2.0]
    with pytest.raises(InvalidArgument, match="Conversion between sparse and regular"):
        compiled(q.Query(nearest=dense(X[0])), SPARSE)
    positive = q.RecommendInput(positive=[sparse(i1=1.0, i2=1.0)], negative=[sparse(i2=1.0)])
    average = compiled(q.Query(recommend=positive), SPARSE)
    assert dict(zip(average.target.indices.tolist(), average.target.values.tolist(), strict=True)) == {1: 2.0, 2: 1.0}


def test_every_kind_of_query_that_compares_vectors_is_known():
    vectors = {f.name for f in q.Query.DESCRIPTOR.oneofs_by_name["variant"].fields if holds_vectors(f.message_type)}
    assert vectors == VECTOR_KINDS


def holds_vectors(message):
    if message is None:
        return False
    return message.name == "VectorInput" or any(
        holds_vectors(f.message_type) for f in message.fields if message.name not in ("Formula", "Expression")
    )
