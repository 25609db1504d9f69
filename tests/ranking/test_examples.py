"""Recommend, discover, context and feedback against the engine, for single vectors and for multivectors."""

import numpy as np
import pytest
import qdrant_edge as edge

from ranking.engine import DISTANCES, Reference, floats
from vecguard.metric import max_sim_similarities, similarities
from vecguard.ranking.discover import context, discover
from vecguard.ranking.feedback import naive_feedback
from vecguard.ranking.recommend import best_score, sum_scores

COUNT = 60
KINDS = [(distance, multi) for distance in DISTANCES for multi in (False, True)]


class World:
    """Candidates, examples, and the similarities between them."""

    def __init__(self, folder, distance, multi):
        rng = np.random.default_rng(0)
        shape = (3, 8) if multi else (8,)
        self.x = [rng.normal(size=shape).astype(np.float32) for _ in range(COUNT)]
        self.examples = [rng.normal(size=shape).astype(np.float32) for _ in range(5)]
        self.engine = Reference(folder, self.x, distance, multi=multi)
        compare = max_sim_similarities if multi else lambda q, x, distance: similarities(q, np.stack(x), distance)
        self.similarity = np.stack([compare(example, self.x, distance) for example in self.examples])

    def check(self, query, ours):
        np.testing.assert_allclose(ours, self.engine.scores(query, COUNT), rtol=2e-5, atol=2e-5)

    def given(self, *which):
        return [floats(self.examples[i]) for i in which]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'multi' if kind[1] else 'single'}")
def world(request, tmp_path):
    return World(tmp_path, *request.param)


@pytest.mark.parametrize(("positive", "negative"), [([0, 1], [2, 3, 4]), ([0], []), ([], [2, 3])])
def test_recommendation(world, positive, negative):
    query = edge.RecommendQuery(world.given(*positive), world.given(*negative))
    liked, disliked = world.similarity[positive], world.similarity[negative]
    world.check(edge.Query.RecommendBestScore(query), best_score(liked, disliked))
    world.check(edge.Query.RecommendSumScores(query), sum_scores(liked, disliked))


def test_discovery_and_context(world):
    pairs = [edge.ContextPair(*world.given(0, 1)), edge.ContextPair(*world.given(2, 3))]
    positive, negative = world.similarity[[0, 2]], world.similarity[[1, 3]]
    target = world.given(4)[0]
    world.check(
        edge.Query.Discover(edge.DiscoverQuery(target, pairs)), discover(world.similarity[4], positive, negative)
    )
    world.check(edge.Query.Context(edge.ContextQuery(pairs)), context(positive, negative))


def test_discovery_counts_equal_similarities_as_neither_side(world):
    pair = [edge.ContextPair(*world.given(1, 1))]
    same = world.similarity[[1]]
    ours = discover(world.similarity[4], same, same)
    world.check(edge.Query.Discover(edge.DiscoverQuery(world.given(4)[0], pair)), ours)
    assert np.all((ours > 0) & (ours < 1))


def test_discovery_without_pairs_is_the_target_alone(world):
    nothing = np.zeros((0, COUNT), np.float32)
    order = np.argsort(-discover(world.similarity[0], nothing, nothing), kind="stable")
    assert order.tolist() == np.argsort(-world.similarity[0], kind="stable").tolist()
    assert np.all(context(nothing, nothing) == 0)


@pytest.mark.parametrize("given", [[0.9, 0.5, 0.5, 0.1], [0.4, 0.4, 0.4, 0.4], [-1.0, 2.0, 0.0, 1.0]])
def test_feedback_uses_every_pair_of_unlike_scores(world, given):
    items = [edge.FeedbackItem(vector, score) for vector, score in zip(world.given(0, 1, 2, 3), given, strict=True)]
    query = edge.FeedbackNaiveQuery(world.given(4)[0], items, edge.NaiveFeedbackStrategy(0.7, 0.4, 0.3))
    ours = naive_feedback(world.similarity[4], world.similarity[:4], np.array(given, np.float32), a=0.7, b=0.4, c=0.3)
    world.check(edge.Query.FeedbackNaive(query), ours)


def test_feedback_without_examples_is_the_weighted_target(world):
    nothing = np.zeros((0, COUNT), np.float32)
    ours = naive_feedback(world.similarity[4], nothing, np.zeros(0, np.float32), a=0.7, b=0.4, c=0.3)
    np.testing.assert_allclose(ours, 0.7 * world.similarity[4], rtol=1e-6)
