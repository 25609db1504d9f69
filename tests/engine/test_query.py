"""The Query API and the older read RPCs: agreement with the client's local mode, Qdrant's defaults and refusals.

Where the client's local mode differs from the server, the server is the standard; the differences met here:
- local mode excludes a referenced id within its own prefetch only, the server from the whole tree (root's filter);
- local mode refuses recommendations by ids that lack the vector, the server leaves such examples out;
- local mode has no relevance feedback over sparse vectors and multivectors;
- the server joins the clauses of a filter with those of the prefetches below it, so that their alternatives (`should`)
  become one list; local mode asks for both.
So random trees name no ids, and their prefetches have no alternatives; the rest has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from .conftest import refusal
from .random_points import COLLECTION, COUNT, NAMES, Draws, point_id

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
SCORE_TOLERANCE = 2e-4


class Pair:
    """The same points in the engine and in the client's local mode."""

    def __init__(self, client: QdrantClient, name: str, draws: Draws) -> None:
        self.name, self.served, self.local = name, client, QdrantClient(":memory:")
        points = draws.points()
        for each in (self.served, self.local):
            each.create_collection(name, **COLLECTION)
            each.upsert(name, points, wait=True)
        for field, schema in (("n", "integer"), ("score", "float"), ("group", "keyword"), ("tags", "keyword")):
            client.create_payload_index(name, field, models.PayloadSchemaType(schema), wait=True)

    def query(self, **query: Any) -> tuple[list[models.ScoredPoint], list[models.ScoredPoint]]:
        served, local = (each.query_points(self.name, **query).points for each in (self.served, self.local))
        return served, local


@pytest.fixture(scope="module")
def pair(client: QdrantClient) -> Iterator[Pair]:
    both = Pair(client, "query-pair", Draws(11))
    yield both
    client.delete_collection(both.name)


def _plain(vector: Any) -> Any:
    if isinstance(vector, dict):
        return {name: _plain(one) for name, one in sorted(vector.items())}
    if isinstance(vector, models.SparseVector):
        return sorted(zip(vector.indices, np.round(vector.values, 4), strict=True))
    return None if vector is None else np.round(vector, 3).tolist()


def assert_same(served: list[models.ScoredPoint], expected: list[models.ScoredPoint]) -> None:
    """Equal scores, and equal points but for ties (whose order, and choice at the end, are free)."""
    scores = [point.score for point in served]
    np.testing.assert_allclose(scores, [p.score for p in expected], atol=SCORE_TOLERANCE, rtol=SCORE_TOLERANCE)
    last = scores[-1] if scores else 0.0
    first = scores[0] if scores else 0.0

    def inside(points: list[models.ScoredPoint]) -> set[Any]:
        # An offset cuts a tie at the front as the limit does at the end.
        return {p.id for p in points if min(abs(p.score - last), abs(p.score - first)) > 2 * SCORE_TOLERANCE}

    assert inside(served) == inside(expected)
    by_id = {point.id: point for point in expected}
    for point in served:
        if (other := by_id.get(point.id)) is not None:
            assert (point.payload or {}) == (other.payload or {})
            assert (_plain(point.vector) or None) == (_plain(other.vector) or None)


class QueryDraws(Draws):
    """Random requests."""

    def input(self, name: str, ids: bool) -> Any:
        if ids and self.choice.random() < 0.35:
            return point_id(self.choice.randint(1, COUNT))
        return self.vector(name)

    def vector_query(self, name: str, kind: str, ids: bool) -> Any:
        pick = self.choice

        def example() -> Any:
            return self.input(name, ids)

        if kind == "recommend":
            examples = models.RecommendInput(
                positive=[example() for _ in range(pick.randint(1, 3))],
                negative=[example() for _ in range(pick.randint(0, 2))],
                strategy=pick.choice([*models.RecommendStrategy, None]),
            )
            return models.RecommendQuery(recommend=examples)
        if kind == "discover":
            pairs = [models.ContextPair(positive=example(), negative=example()) for _ in range(pick.randint(1, 2))]
            return models.DiscoverQuery(discover=models.DiscoverInput(target=example(), context=pairs))
        if kind == "mmr":
            diversity = models.Mmr(diversity=pick.choice([None, 0.2, 0.7]), candidates_limit=pick.choice([None, 20]))
            return models.NearestQuery(nearest=example(), mmr=diversity)
        return example()

    def conjunction(self) -> models.Filter | None:
        """A filter without alternatives, which the server would join with the root's."""
        condition = self.maybe_filter()
        return condition and models.Filter(must=condition.must, must_not=condition.must_not)

    def prefetch(self, depth: int = 0) -> models.Prefetch:
        pick, name = self.choice, self.choice.choice(NAMES)
        nested = (
            [self.prefetch(depth + 1) for _ in range(pick.randint(1, 2))] if depth < 2 and pick.random() < 0.3 else None
        )
        return models.Prefetch(
            query=self.vector_query(name, "nearest", ids=False),
            using=name or None,
            limit=pick.randint(3, 15),
            filter=None if nested else self.conjunction(),
            prefetch=nested,
        )

    def request(self, kind: str) -> dict[str, Any]:
        pick, name = self.choice, self.choice.choice(NAMES)
        request: dict[str, Any] = {
            "limit": pick.randint(1, 12),
            "query_filter": self.maybe_filter(),
            "with_payload": pick.choice(
                [True, False, ["group", "nest.x"], models.PayloadSelectorExclude(exclude=["nest", "group"])]
            ),
            "with_vectors": pick.choice([False, True, ["euclid", ""]]),
        }
        if pick.random() < 0.3:
            request["offset"] = pick.randint(0, 5)
        if pick.random() < 0.2:
            request["score_threshold"] = pick.uniform(-0.5, 1)
        request.update(query=self.vector_query(name, kind, ids=True), using=name or None)
        return request

    def tree(self, kind: str) -> dict[str, Any]:
        pick = self.choice
        request = self.request("nearest")
        request["prefetch"] = [self.prefetch() for _ in range(pick.randint(1, 3))]
        if kind == "rescore":
            name = pick.choice(NAMES)
            return request | {"query": self.vector(name), "using": name or None}
        del request["using"]
        return request | {"query": self._merge(kind, len(request["prefetch"]))}

    def _merge(self, kind: str, sources: int) -> Any:
        if kind == "rrf":
            return models.FusionQuery(fusion=models.Fusion.RRF)
        if kind == "dbsf":
            return models.FusionQuery(fusion=models.Fusion.DBSF)
        if kind == "weighted":
            weights = [float(self.choice.randint(1, 4)) for _ in range(sources)]
            return models.RrfQuery(rrf=models.Rrf(k=self.choice.choice([None, 5, 60]), weights=weights))
        in_group = models.FieldCondition(key="group", match=models.MatchValue(value="a"))
        boost = models.MultExpression(mult=[0.1, "n"])
        formula = models.SumExpression(sum=["$score", boost, in_group])
        return models.FormulaQuery(formula=formula, defaults={"n": 1.0})


@pytest.mark.parametrize("kind", ["nearest", "recommend", "discover", "mmr"])
def test_random_queries_agree_with_local_mode(pair: Pair, kind: str) -> None:
    draws, compared = QueryDraws(5), 0
    for _ in range(120):
        request = draws.request(kind)
        try:
            expected = pair.local.query_points(pair.name, **request).points
        except ValueError:
            continue  # an example lacks the vector
        assert_same(pair.served.query_points(pair.name, **request).points, expected)
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("kind", ["rescore", "rrf", "dbsf", "weighted", "formula"])
def test_random_trees_agree_with_local_mode(pair: Pair, kind: str) -> None:
    draws = QueryDraws(6)
    for _ in range(60):
        assert_same(*pair.query(**draws.tree(kind)))


@pytest.mark.parametrize("name", ["", "euclid"])
def test_relevance_feedback_agrees_with_local_mode(pair: Pair, name: str) -> None:
    draws = QueryDraws(7)
    for _ in range(20):
        items = [models.FeedbackItem(example=draws.vector(name), score=draws.choice.random()) for _ in range(3)]
        weights = models.NaiveFeedbackStrategyParams(a=0.7, b=1.1, c=0.4)
        feedback = models.RelevanceFeedbackInput(
            target=draws.vector(name), feedback=items, strategy=models.NaiveFeedbackStrategy(naive=weights)
        )
        query = models.RelevanceFeedbackQuery(relevance_feedback=feedback)
        assert_same(*pair.query(query=query, using=name or None, query_filter=draws.maybe_filter()))


def test_context_scores_agree_with_local_mode(pair: Pair) -> None:
    draws = QueryDraws(8)
    for _ in range(40):
        name = draws.choice.choice(NAMES)
        pairs = [models.ContextPair(positive=draws.vector(name), negative=draws.vector(name)) for _ in range(2)]
        served, expected = pair.query(query=models.ContextQuery(context=pairs), using=name or None, limit=100)
        assert_same(served, expected)


def test_ordering_agrees_with_local_mode(pair: Pair) -> None:
    for key in ("n", "score"):
        for direction in models.Direction:
            order = models.OrderByQuery(order_by=models.OrderBy(key=key, direction=direction))
            served, expected = pair.query(query=order, limit=100)
            assert [p.payload[key] for p in served] == [p.payload[key] for p in expected]
            assert {p.id for p in served} == {p.id for p in expected}
            assert [p.order_value for p in served] == [p.payload[key] for p in served]


def test_batch_answers_in_order(pair: Pair) -> None:
    draws = QueryDraws(9)
    vectors = [draws.vector("") for _ in range(75)]
    requests = [models.QueryRequest(query=vector, limit=3) for vector in vectors]
    answers = pair.served.query_batch_points(pair.name, requests)
    for vector, answer in zip(vectors, answers, strict=True):
        single = pair.served.query_points(pair.name, query=vector, limit=3, with_payload=False).points
        assert [(p.id, p.score) for p in answer.points] == [(p.id, p.score) for p in single]


# A small collection whose answers can be seen by eye: point i lies at (i, 0).


@pytest.fixture(scope="module")
def line(client: QdrantClient) -> Iterator[str]:
    name = "query-line"
    client.create_collection(
        name,
        vectors_config={
            "": models.VectorParams(size=2, distance=models.Distance.EUCLID),
            "spare": models.VectorParams(size=2, distance=models.Distance.EUCLID),
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    points = [
        models.PointStruct(
            id=i,
            vector={"": [float(i), 0.0], "sparse": models.SparseVector(indices=[i % 3], values=[float(i)])},
            payload={"n": i, "even": i % 2 == 0},
        )
        for i in range(1, 21)
    ]
    client.upsert(name, points, wait=True)
    client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER, wait=True)
    yield name
    client.delete_collection(name)


@pytest.fixture(scope="module")
def elsewhere(client: QdrantClient) -> Iterator[str]:
    """Another collection: point 1 lies at (18, 0) under the name `there`."""
    name = "query-elsewhere"
    client.create_collection(
        name, vectors_config={"there": models.VectorParams(size=2, distance=models.Distance.COSINE)}
    )
    client.upsert(name, [models.PointStruct(id=1, vector={"there": [18.0, 0.0]})], wait=True)
    yield name
    client.delete_collection(name)


def at(x: float) -> pb.VectorInput:
    return pb.VectorInput(dense=pb.DenseVector(data=[x, 0.0]))


def like(number: int) -> pb.VectorInput:
    return pb.VectorInput(id=pb.PointId(num=number))


def found(response: Any) -> list[int]:
    return [point.id.num for point in response.result]


def is_even(even: bool = True) -> pb.Filter:
    return pb.Filter(must=[pb.Condition(field=pb.FieldCondition(key="even", match=pb.Match(boolean=even)))])


def test_defaults_are_ten_points_and_nothing_but_scores(points: pb.PointsStub, line: str) -> None:
    request = pb.QueryPoints(collection_name=line, query=pb.Query(nearest=at(0)))
    response = points.Query(request)
    assert found(response) == list(range(1, 11))
    assert [point.score for point in response.result] == [float(i) for i in range(1, 11)]
    assert not any(point.payload or point.HasField("vectors") for point in response.result)
    assert response.time > 0


def test_no_query_lists_points_by_id(points: pb.PointsStub, line: str) -> None:
    assert found(points.Query(pb.QueryPoints(collection_name=line, limit=3, offset=2))) == [3, 4, 5]


def test_a_point_named_by_id_is_left_out(points: pb.PointsStub, line: str) -> None:
    request = pb.QueryPoints(collection_name=line, query=pb.Query(nearest=like(5)), limit=2)
    assert set(found(points.Query(request))) == {4, 6}


def test_an_id_named_below_is_left_out_everywhere(points: pb.PointsStub, line: str) -> None:
    request = pb.QueryPoints(
        collection_name=line,
        prefetch=[
            pb.PrefetchQuery(query=pb.Query(nearest=like(5)), filter=is_even(), limit=1),
            pb.PrefetchQuery(query=pb.Query(nearest=at(5)), limit=1),
        ],
        query=pb.Query(fusion=pb.Fusion.RRF),
    )
    assert 5 not in found(points.Query(request))


def test_the_roots_filter_holds_in_every_prefetch(points: pb.PointsStub, line: str) -> None:
    inner = pb.PrefetchQuery(query=pb.Query(nearest=at(9)), filter=is_even(False), limit=1)
    condition = pb.Condition(field=pb.FieldCondition(key="n", range=pb.Range(gt=9)))
    request = pb.QueryPoints(
        collection_name=line, prefetch=[inner], query=pb.Query(nearest=at(0)), filter=pb.Filter(must=[condition])
    )
    assert found(points.Query(request)) == [11]


def test_alternatives_of_the_root_and_a_prefetch_are_joined(points: pb.PointsStub, line: str) -> None:
    def either(number: int) -> pb.Filter:
        return pb.Filter(should=[pb.Condition(field=pb.FieldCondition(key="n", match=pb.Match(integer=number)))])

    inner = pb.PrefetchQuery(query=pb.Query(nearest=like(1)), filter=either(3))
    request = pb.QueryPoints(collection_name=line, prefetch=[inner], query=pb.Query(nearest=at(0)), filter=either(4))
    assert found(points.Query(request)) == [3, 4]


def test_lookup_from_another_collection_excludes_nothing(points: pb.PointsStub, line: str, elsewhere: str) -> None:
    request = pb.QueryPoints(
        collection_name=line,
        query=pb.Query(nearest=like(1)),
        lookup_from=pb.LookupLocation(collection_name=elsewhere, vector_name="there"),
        limit=2,
    )
    assert found(points.Query(request)) == [1, 2]  # the cosine collection stores (1, 0)


def test_lookup_in_prefetches(points: pb.PointsStub, line: str, elsewhere: str) -> None:
    lookup = pb.LookupLocation(collection_name=elsewhere, vector_name="there")
    prefetch = pb.PrefetchQuery(query=pb.Query(nearest=like(1)), lookup_from=lookup, limit=3)
    request = pb.QueryPoints(collection_name=line, prefetch=[prefetch], query=pb.Query(nearest=at(20)))
    assert found(points.Query(request)) == [3, 2, 1]


def test_lookup_failures(points: pb.PointsStub, line: str, elsewhere: str) -> None:
    def ask(collection: str, vector: str, number: int) -> pb.QueryResponse:
        lookup = pb.LookupLocation(collection_name=collection, vector_name=vector)
        return points.Query(
            pb.QueryPoints(collection_name=line, query=pb.Query(nearest=like(number)), lookup_from=lookup)
        )

    assert refusal(lambda: ask("nowhere", "", 1)) == (NOT_FOUND, "Not found: Collection nowhere not found")
    assert refusal(lambda: ask(elsewhere, "other", 1)) == (
        INVALID,
        "Wrong input: Not existing vector name error: other",
    )
    assert refusal(lambda: ask(elsewhere, "there", 2)) == (NOT_FOUND, "Not found: No point with id 2 found")


def test_missing_examples_are_refused_but_in_groups(points: pb.PointsStub, line: str) -> None:
    def recommend(*positive: int) -> pb.Query:
        return pb.Query(recommend=pb.RecommendInput(positive=[like(number) for number in positive]))

    for query in (recommend(5, 99), recommend(99), pb.Query(nearest=like(99))):
        request = pb.QueryPoints(collection_name=line, query=query, limit=2)
        assert refusal(lambda request=request: points.Query(request)) == (
            NOT_FOUND,
            "Not found: No point with id 99 found",
        )

    def grouped(query: pb.Query) -> pb.QueryGroupsResponse:
        request = pb.QueryPointGroups(collection_name=line, query=query, group_by="n", limit=2, group_size=1)
        return points.QueryGroups(request)

    assert grouped(recommend(5, 99)).result == grouped(recommend(5)).result
    status, details = refusal(lambda: grouped(recommend(99)))
    assert status is INVALID
    assert "Positive vectors should not be empty" in details


def test_average_goes_away_from_negatives(points: pb.PointsStub, line: str) -> None:
    examples = pb.RecommendInput(positive=[at(10)], negative=[at(5)])
    request = pb.QueryPoints(collection_name=line, query=pb.Query(recommend=examples), limit=1)
    assert found(points.Query(request)) == [15]


def test_sample_is_random_and_ignores_the_offset(points: pb.PointsStub, line: str) -> None:
    request = pb.QueryPoints(
        collection_name=line, query=pb.Query(sample=pb.Sample.Random), limit=20, offset=15, filter=is_even()
    )
    samples = {tuple(found(points.Query(request))) for _ in range(5)}
    assert all(sorted(sample) == list(range(2, 21, 2)) for sample in samples)
    assert len(samples) > 1


def test_vectors_are_returned_only_when_asked_even_after_mmr(points: pb.PointsStub, line: str) -> None:
    diverse = pb.Query(nearest_with_mmr=pb.NearestInputWithMmr(nearest=at(0), mmr=pb.Mmr(diversity=0.5)))
    request = pb.QueryPoints(collection_name=line, query=diverse, limit=3)
    assert not any(point.HasField("vectors") for point in points.Query(request).result)
    request.with_vectors.include.names.append("sparse")
    for point in points.Query(request).result:
        assert set(point.vectors.vectors.vectors) == {"sparse"}


def test_text_query_ranks_by_bm25(client: QdrantClient, points: pb.PointsStub, collection_name: Any) -> None:
    name = collection_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=1, distance=models.Distance.DOT))
    texts = ["fox fox fox", "fox and dog and cat and many other animals", "dog"]
    client.upsert(
        name, [models.PointStruct(id=i, vector=[1.0], payload={"t": t}) for i, t in enumerate(texts)], wait=True
    )
    params = pb.TextIndexParams(tokenizer=pb.TokenizerType.Word, lowercase=True, scoring=pb.TextScoringParams())
    points.CreateFieldIndex(
        pb.CreateFieldIndexCollection(
            collection_name=name, field_name="t", field_index_params={"text_index_params": params}, wait=True
        )
    )
    request = pb.QueryPoints(collection_name=name, query=pb.Query(text=pb.TextQuery(query="fox")), using="t")
    assert found(points.Query(request)) == [0, 1]


def test_formula_without_a_value_is_refused(points: pb.PointsStub, line: str) -> None:
    formula = pb.Formula(expression=pb.Expression(variable="nothing"))
    request = pb.QueryPoints(
        collection_name=line,
        prefetch=[pb.PrefetchQuery(query=pb.Query(nearest=at(0)))],
        query=pb.Query(formula=formula),
    )
    status, details = refusal(lambda: points.Query(request))
    assert (status, "formula" in details) == (INVALID, True)
    formula.defaults["nothing"].double_value = 2.5
    request.query.formula.CopyFrom(formula)
    assert {point.score for point in points.Query(request).result} == {2.5}


def test_every_expression_is_understood(points: pb.PointsStub, line: str) -> None:
    def constant(value: float) -> pb.Expression:
        return pb.Expression(constant=value)

    expected: list[tuple[pb.Expression, float]] = [
        (pb.Expression(neg=constant(2)), -2),
        (pb.Expression(abs=constant(-2)), 2),
        (pb.Expression(sqrt=constant(9)), 3),
        (pb.Expression(exp=constant(0)), 1),
        (pb.Expression(log10=constant(100)), 2),
        (pb.Expression(ln=constant(1)), 0),
        (pb.Expression(acosh=constant(1)), 0),
        (pb.Expression(mult=pb.MultExpression(mult=[constant(2), constant(3)])), 6),
        (pb.Expression(sum=pb.SumExpression(sum=[constant(2), constant(3)])), 5),
        (pb.Expression(max=pb.MaxExpression(max=[constant(2), constant(3)])), 3),
        (pb.Expression(min=pb.MinExpression(min=[constant(2), constant(3)])), 2),
        (pb.Expression(div=pb.DivExpression(left=constant(6), right=constant(3))), 2),
        (pb.Expression(div=pb.DivExpression(left=constant(6), right=constant(0), by_zero_default=7)), 7),
        (pb.Expression(pow=pb.PowExpression(base=constant(2), exponent=constant(3))), 8),
        (pb.Expression(lin_decay=pb.DecayParamsExpression(x=constant(1), target=constant(0), scale=2)), 0.75),
        (pb.Expression(exp_decay=pb.DecayParamsExpression(x=constant(2), target=constant(0), scale=2)), 0.5),
        (pb.Expression(gauss_decay=pb.DecayParamsExpression(x=constant(2), target=constant(0), scale=2)), 0.5),
        (pb.Expression(condition=is_even().must[0]), 1),
        (pb.Expression(variable="n"), 2),
        (pb.Expression(variable="$score"), 2),
    ]
    for expression, value in expected:
        request = pb.QueryPoints(
            collection_name=line,
            prefetch=[pb.PrefetchQuery(query=pb.Query(nearest=at(0)))],
            query=pb.Query(formula=pb.Formula(expression=expression)),
            filter=pb.Filter(must=[pb.Condition(has_id=pb.HasIdCondition(has_id=[pb.PointId(num=2)]))]),
        )
        [point] = points.Query(request).result
        assert point.score == pytest.approx(value), expression


NEAREST = pb.Query(nearest=at(0))
FUSION = pb.Query(fusion=pb.Fusion.RRF)
PREFETCH = pb.PrefetchQuery(query=NEAREST)
INFERENCE = pb.VectorInput(document=pb.Document(text="hello", model="m"))
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("limit", {"limit": 0}, "Validation error in body: [limit: value 0 invalid, must be 1 or larger]"),
    ("timeout", {"timeout": 0}, "Validation error in body: [timeout: value 0 invalid, must be 1 or larger]"),
    ("variant", {"query": pb.Query()}, "Query variant is missing"),
    ("input", {"query": pb.Query(nearest=pb.VectorInput())}, "VectorInput variant is missing"),
    ("inference", {"query": pb.Query(nearest=INFERENCE)}, "server-side inference is not available"),
    (
        "inference below",
        {"prefetch": [pb.PrefetchQuery(query=pb.Query(nearest=INFERENCE))], "query": FUSION},
        "server-side inference is not available",
    ),
    ("prefetch without query", {"prefetch": [PREFETCH]}, "Bad request: A query is needed to merge the prefetches."),
    ("fusion without prefetch", {"query": FUSION}, "cannot apply Fusion without prefetches"),
    (
        "fusion with using",
        {"prefetch": [PREFETCH], "query": FUSION, "using": "spare"},
        "Bad request: Fusion queries cannot be combined with the 'using' field.",
    ),
    ("threshold without query", {"score_threshold": 1.0}, "Bad request: A query is needed to use the score_threshold."),
    (
        "threshold with order",
        {"query": pb.Query(order_by=pb.OrderBy(key="n")), "score_threshold": 1.0},
        "Bad request: Can't use score_threshold with an order_by query.",
    ),
    (
        "order without index",
        {"query": pb.Query(order_by=pb.OrderBy(key="even"))},
        "Wrong input: No range index for `order_by` key: `even`.",
    ),
    (
        "dimension",
        {"query": pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[1.0])))},
        "Wrong input: Vector dimension error: expected dim: 2, got 1",
    ),
    ("name", {"query": NEAREST, "using": "other"}, "Wrong input: Not existing vector name error: other"),
    (
        "dense on sparse",
        {"query": NEAREST, "using": "sparse"},
        "Wrong input: Conversion between sparse and regular vectors failed",
    ),
    (
        "rrf k",
        {"prefetch": [PREFETCH], "query": pb.Query(rrf=pb.Rrf(k=0))},
        "Validation error in body: [k: value 0 invalid, must be 1 or larger]",
    ),
    (
        "rrf weights",
        {"prefetch": [PREFETCH], "query": pb.Query(rrf=pb.Rrf(weights=[1, 2]))},
        "weights",
    ),
    (
        "diversity",
        {"query": pb.Query(nearest_with_mmr=pb.NearestInputWithMmr(nearest=at(0), mmr=pb.Mmr(diversity=1.5)))},
        "must be from 0.0 to 1.0",
    ),
    ("discover", {"query": pb.Query(discover=pb.DiscoverInput(target=at(0)))}, "DiscoverInput context is missing"),
    (
        "context",
        {"query": pb.Query(context=pb.ContextInput(pairs=[pb.ContextInputPair(positive=at(0))]))},
        "ContextPair negative is missing",
    ),
    (
        "feedback",
        {"query": pb.Query(relevance_feedback=pb.RelevanceFeedbackInput(target=at(0)))},
        "FeedbackStrategy variant is missing",
    ),
    ("unknown fusion", {"prefetch": [PREFETCH], "query": pb.Query(fusion=9)}, "unknown value 9 of fusion"),
    ("unknown sample", {"query": pb.Query(sample=9)}, "unknown value 9 of sample"),
    (
        "unknown direction",
        {"query": pb.Query(order_by=pb.OrderBy(key="n", direction=9))},
        "unknown value 9 of direction",
    ),
    (
        "unknown strategy",
        {"query": pb.Query(recommend=pb.RecommendInput(positive=[at(1)], strategy=9))},
        "unknown value 9 of strategy",
    ),
    ("formula", {"prefetch": [PREFETCH], "query": pb.Query(formula=pb.Formula())}, "expression is missing"),
    (
        "oversampling",
        {"query": NEAREST, "params": pb.SearchParams(quantization=pb.QuantizationSearchParams(oversampling=0.5))},
        "value 0.5 invalid, must be 1.0 or larger",
    ),
]


@pytest.mark.parametrize(("fields", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals(points: pb.PointsStub, line: str, fields: dict[str, Any], text: str) -> None:
    status, details = refusal(lambda: points.Query(pb.QueryPoints(collection_name=line, **fields)))
    assert (status, text in details) == (INVALID, True), details


HUGE = 2**64 - 1


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": HUGE},
        {"offset": HUGE},
        {"limit": HUGE, "offset": HUGE},
        {"prefetch": [pb.PrefetchQuery(query=NEAREST, limit=HUGE)], "limit": HUGE},
        {"params": pb.SearchParams(hnsw_ef=HUGE)},
    ],
)
def test_huge_counts_are_served(points: pb.PointsStub, line: str, fields: dict[str, Any]) -> None:
    response = points.Query(pb.QueryPoints(collection_name=line, **{"query": NEAREST, **fields}))
    wanted = fields.get("limit", 10)
    assert len(response.result) == (0 if "offset" in fields else min(20, wanted))


def test_sparse_mmr_in_a_prefetch_is_not_served(points: pb.PointsStub, line: str) -> None:
    sparse = pb.VectorInput(sparse=pb.SparseVector(indices=[1], values=[1.0]))
    diverse = pb.Query(nearest_with_mmr=pb.NearestInputWithMmr(nearest=sparse, mmr=pb.Mmr()))
    request = pb.QueryPoints(
        collection_name=line, prefetch=[pb.PrefetchQuery(query=diverse, using="sparse")], query=FUSION
    )
    status, details = refusal(lambda: points.Query(request))
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert "MMR over a sparse vector" in details


def test_one_bad_query_fails_the_batch(points: pb.PointsStub, line: str) -> None:
    good = pb.QueryPoints(collection_name=line, query=NEAREST)
    bad = pb.QueryPoints(collection_name=line, query=NEAREST, using="other")
    batch = pb.QueryBatchPoints(collection_name=line, query_points=[good, bad])
    assert refusal(lambda: points.QueryBatch(batch))[0] is INVALID
    assert not points.QueryBatch(pb.QueryBatchPoints(collection_name=line)).result


# The older RPCs answer as the Query API does.


def test_search(points: pb.PointsStub, line: str) -> None:
    request = pb.SearchPoints(
        collection_name=line, vector=[0.0, 0.0], limit=3, offset=1, score_threshold=3.5, filter=is_even(False)
    )
    assert found(points.Search(request)) == [3]
    assert refusal(lambda: points.Search(pb.SearchPoints(collection_name=line, vector=[0.0, 0.0])))[0] is INVALID


def test_search_sparse(points: pb.PointsStub, line: str) -> None:
    request = pb.SearchPoints(
        collection_name=line,
        vector=[1.0],
        sparse_indices=pb.SparseIndices(data=[2]),
        vector_name="sparse",
        limit=2,
    )
    assert found(points.Search(request)) == [20, 17]
    request.ClearField("vector_name")
    assert refusal(lambda: points.Search(request)) == (INVALID, "Sparse vector must have a name")


def test_search_batch(points: pb.PointsStub, line: str) -> None:
    searches = [pb.SearchPoints(collection_name=line, vector=[float(x), 0.0], limit=1) for x in (3, 8)]
    answers = points.SearchBatch(pb.SearchBatchPoints(collection_name=line, search_points=searches)).result
    assert [found(answer) for answer in answers] == [[3], [8]]


def _ids(*numbers: int) -> list[pb.PointId]:
    return [pb.PointId(num=number) for number in numbers]


def test_recommend(points: pb.PointsStub, line: str) -> None:
    request = pb.RecommendPoints(collection_name=line, positive=_ids(5), limit=2)
    assert set(found(points.Recommend(request))) == {4, 6}
    away = pb.RecommendPoints(
        collection_name=line, positive=_ids(10), negative_vectors=[pb.Vector(data=[5.0, 0.0])], limit=1
    )
    assert found(points.Recommend(away)) == [15]


@pytest.mark.parametrize("strategy", [pb.RecommendStrategy.BestScore, pb.RecommendStrategy.SumScores])
def test_recommend_by_scores_agrees_with_query(points: pb.PointsStub, line: str, strategy: int) -> None:
    old = pb.RecommendPoints(collection_name=line, positive=_ids(5), negative=_ids(9), strategy=strategy, limit=5)
    new = pb.QueryPoints(
        collection_name=line,
        limit=5,
        query=pb.Query(recommend=pb.RecommendInput(positive=[like(5)], negative=[like(9)], strategy=strategy)),
    )
    told = [[(p.id.num, p.score) for p in answer.result] for answer in (points.Recommend(old), points.Query(new))]
    assert told[0] == told[1]


def test_recommend_refusals(points: pb.PointsStub, line: str) -> None:
    none = pb.RecommendPoints(collection_name=line, limit=1)
    assert refusal(lambda: points.Recommend(none)) == (
        INVALID,
        "Bad request: At least one positive vector ID required with this strategy",
    )
    missing = pb.RecommendPoints(collection_name=line, positive=_ids(99), limit=1)
    assert refusal(lambda: points.Recommend(missing)) == (NOT_FOUND, "Not found: No point with id 99 found")


def test_recommend_looks_elsewhere(points: pb.PointsStub, line: str, elsewhere: str) -> None:
    there = pb.LookupLocation(collection_name=elsewhere, vector_name="there")
    request = pb.RecommendPoints(collection_name=line, positive=_ids(1), lookup_from=there, limit=2)
    assert found(points.Recommend(request)) == [1, 2]  # the point of the other collection lies at (1, 0)
    request.lookup_from.ClearField("vector_name")
    request.using = "spare"
    assert refusal(lambda: points.Recommend(request)) == (
        INVALID,
        "Wrong input: Not existing vector name error: ",
    )


def test_recommend_batch(points: pb.PointsStub, line: str) -> None:
    requests = [pb.RecommendPoints(collection_name=line, positive=_ids(number), limit=2) for number in (5, 9)]
    answers = points.RecommendBatch(pb.RecommendBatchPoints(collection_name=line, recommend_points=requests)).result
    assert [set(found(answer)) for answer in answers] == [{4, 6}, {8, 10}]


def test_discover_agrees_with_query(points: pb.PointsStub, line: str) -> None:
    pair = pb.ContextExamplePair(
        positive=pb.VectorExample(id=pb.PointId(num=15)),
        negative=pb.VectorExample(vector=pb.Vector(data=[2.0, 0.0])),
    )
    context = [pb.ContextInputPair(positive=like(15), negative=at(2))]
    targeted = pb.DiscoverPoints(
        collection_name=line,
        target=pb.TargetVector(single=pb.VectorExample(id=pb.PointId(num=4))),
        context=[pair],
        limit=5,
    )
    discovery = pb.DiscoverInput(target=like(4), context=pb.ContextInput(pairs=context))
    same = pb.QueryPoints(collection_name=line, query=pb.Query(discover=discovery), limit=5)
    assert found(points.Discover(targeted)) == found(points.Query(same))
    assert not {4, 15} & set(found(points.Discover(targeted)))
    bare = pb.DiscoverPoints(collection_name=line, context=[pair], limit=5)
    batch = points.DiscoverBatch(pb.DiscoverBatchPoints(collection_name=line, discover_points=[targeted, bare]))
    assert found(batch.result[0]) == found(points.Query(same))
    assert [point.score for point in batch.result[1].result] == [0.0] * 5


def test_discover_refusals(points: pb.PointsStub, line: str) -> None:
    none = pb.DiscoverPoints(collection_name=line, limit=1)
    assert refusal(lambda: points.Discover(none)) == (
        INVALID,
        "Bad request: target and/or context_pairs must be specified",
    )
    single = pb.VectorExample(id=pb.PointId(num=99))
    missing = pb.DiscoverPoints(collection_name=line, target=pb.TargetVector(single=single), limit=1)
    assert refusal(lambda: points.Discover(missing)) == (NOT_FOUND, "Not found: No point with id 99 found")
