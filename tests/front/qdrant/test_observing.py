"""What detection is told of each of Qdrant's RPCs, read from the client's own request and answer."""

import math

import numpy as np
import pytest
from qdrant_client import grpc as q

from vecguard.detect.reading import count_of
from vecguard.detect.watch import EVERYTHING
from vecguard.front.qdrant.observing import observe
from vecguard.front.qdrant.table import ROUTES
from vecguard.front.qdrant.weight import shown
from vecguard.model import EXACT, Shape

U = "0f0e0d0c-0b0a-4908-8706-050403020100"
DENSE = q.VectorInput(dense=q.DenseVector(data=[1.0, 2.0]))
SPARSE = q.VectorInput(sparse=q.SparseVector(indices=[3, 9], values=[0.5, 0.25]))
MULTI = q.VectorInput(multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=v) for v in ([1.0, 0.0], [3.0, 2.0])]))
FILTER = q.Filter(
    must=[
        q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1), q.PointId(uuid=U)])),
        q.Condition(field=q.FieldCondition(key="city", match=q.Match(keyword="Bern"))),
    ]
)
SHAPE = "must(has_id(has_id)),must(field(key=city,match(keyword)))"


def num(value):
    return q.PointId(num=value)


def output(*data):
    return q.VectorsOutput(vector=q.VectorOutput(dense=q.DenseVector(data=data)))


def hit(point_id, score=0.5, **parts):
    return q.ScoredPoint(id=point_id, score=score, **parts)


def kept(point_id, **parts):
    return q.RetrievedPoint(id=point_id, **parts)


HITS = [
    hit(num(7), 0.75, vectors=output(1.0, 0.0)),
    hit(q.PointId(uuid=U), 0.25, payload={"a": q.Value(integer_value=1)}),
]


def one(ask, answer, shape=EXACT):
    (reading,) = observe(ask, answer, {}, shape)
    assert shown(answer) >= len({*reading.ids, *reading.vector_ids})
    return reading


def rows(vectors):
    return [some.rows.tolist() for some in vectors]


# -- queries -----------------------------------------------------------------------------------------------------------


def test_a_query_by_vector():
    ask = q.QueryPoints(collection_name="c", query=q.Query(nearest=DENSE), using="v", limit=5, offset=40, filter=FILTER)
    ask.params.exact = True
    found = one(ask, q.QueryResponse(result=HITS))
    assert (found.collection, found.operation) == ("c", "search")
    assert (found.ids, found.scores, found.query_of) == ([7, U], [0.75, 0.25], [0, 0])
    assert (rows(found.queries), found.queries[0].name) == ([[[1.0, 2.0]]], "v")
    assert (rows(found.vectors), found.vector_ids) == ([[[1.0, 0.0]]], [7])
    assert found.left == {"scores", "vectors", "payload"}
    assert (found.limit, found.offset, found.exact) == (5, 40, True)
    assert (found.filters, found.filter_ids) == ([SHAPE], 2)


def test_hidden_scores_did_not_leave():
    found = one(
        q.QueryPoints(collection_name="c", query=q.Query(nearest=DENSE)),
        q.QueryResponse(result=HITS[1:]),
        Shape(scores="hidden"),
    )
    assert found.left == {"payload"}
    assert math.isnan(found.scores[0])
    assert found.limit == 10  # Qdrant's default


@pytest.mark.parametrize(
    ("query", "vectors"),
    [
        (q.Query(nearest=q.VectorInput(id=num(3))), 0),
        (q.Query(nearest=SPARSE), 1),
        (q.Query(nearest=MULTI), 1),
        (q.Query(nearest_with_mmr=q.NearestInputWithMmr(nearest=DENSE)), 1),
        (q.Query(recommend=q.RecommendInput(positive=[DENSE, q.VectorInput(id=num(3))], negative=[DENSE])), 2),
        (
            q.Query(
                discover=q.DiscoverInput(
                    target=DENSE, context=q.ContextInput(pairs=[q.ContextInputPair(positive=DENSE, negative=DENSE)])
                )
            ),
            3,
        ),
        (
            q.Query(
                context=q.ContextInput(pairs=[q.ContextInputPair(positive=DENSE, negative=q.VectorInput(id=num(1)))])
            ),
            1,
        ),
        (q.Query(order_by=q.OrderBy(key="a")), 0),
        (q.Query(sample=q.Sample.Random), 0),
    ],
)
def test_every_kind_of_query_shows_its_vectors(query, vectors):
    found = one(q.QueryPoints(collection_name="c", query=query), q.QueryResponse(result=HITS))
    assert count_of(found.queries) == vectors
    assert found.operation == ("scroll" if query.WhichOneof("variant") in ("order_by", "sample") else "search")
    assert found.query_of == ([0, 0] if vectors else [-1, -1])
    assert found.ids == [7, U]


def test_a_multivector_counts_as_its_mean():
    found = one(q.QueryPoints(collection_name="c", query=q.Query(nearest=MULTI)), q.QueryResponse())
    assert rows(found.queries) == [[[2.0, 1.0]]]


def test_prefetches_are_seen_at_any_depth():
    inner = q.PrefetchQuery(query=q.Query(nearest=SPARSE), using="s", limit=500, filter=FILTER)
    outer = q.PrefetchQuery(query=q.Query(nearest=DENSE), prefetch=[inner], params=q.SearchParams(exact=True))
    found = one(
        q.QueryPoints(collection_name="c", prefetch=[outer], query=q.Query(fusion=q.Fusion.RRF)), q.QueryResponse()
    )
    assert [some.name for some in found.queries] == ["", "s"]
    assert (found.limit, found.exact, found.filter_ids) == (500, True, 2)


def test_a_batch_is_one_observation_whose_hits_know_their_query():
    asks = [
        q.QueryPoints(collection_name="c", query=q.Query(nearest=DENSE)),
        q.QueryPoints(collection_name="c", query=q.Query(nearest=q.VectorInput(id=num(1)))),
        q.QueryPoints(collection_name="c", query=q.Query(nearest=SPARSE), limit=99),
    ]
    answer = q.QueryBatchResponse(
        result=[q.BatchResult(result=HITS[:1]), q.BatchResult(result=HITS), q.BatchResult(result=HITS)]
    )
    found = one(q.QueryBatchPoints(collection_name="c", query_points=asks), answer)
    assert (found.ids, found.query_of) == ([7, 7, U, 7, U], [0, -1, -1, 1, 1])
    assert (count_of(found.queries), found.limit) == (2, 99)
    assert observe(q.QueryBatchPoints(collection_name="c"), q.QueryBatchResponse(), {}, EXACT) == []


OLD_SEARCH = q.SearchPoints(collection_name="c", vector=[1.0, 2.0], limit=3, vector_name="v", offset=2)
OLD_RECOMMEND = q.RecommendPoints(collection_name="c", positive=[num(1)], limit=4)
OLD_DISCOVER = q.DiscoverPoints(
    collection_name="c", target=q.TargetVector(single=q.VectorExample(vector=q.Vector(data=[1.0, 2.0]))), limit=2
)


@pytest.mark.parametrize(
    ("ask", "answer", "vectors", "limit"),
    [
        (OLD_SEARCH, q.SearchResponse(result=HITS), 1, 3),
        (OLD_RECOMMEND, q.RecommendResponse(result=HITS), 0, 4),
        (OLD_DISCOVER, q.DiscoverResponse(result=HITS), 1, 2),
        (
            q.SearchBatchPoints(collection_name="c", search_points=[OLD_SEARCH]),
            q.SearchBatchResponse(result=[q.BatchResult(result=HITS)]),
            1,
            3,
        ),
        (
            q.RecommendBatchPoints(collection_name="c", recommend_points=[OLD_RECOMMEND]),
            q.RecommendBatchResponse(result=[q.BatchResult(result=HITS)]),
            0,
            4,
        ),
        (
            q.DiscoverBatchPoints(collection_name="c", discover_points=[OLD_DISCOVER]),
            q.DiscoverBatchResponse(result=[q.BatchResult(result=HITS)]),
            1,
            2,
        ),
    ],
)
def test_rpcs_of_older_clients(ask, answer, vectors, limit):
    found = one(ask, answer)
    assert (found.collection, found.operation, found.ids) == ("c", "search", [7, U])
    assert (count_of(found.queries), found.limit) == (vectors, limit)


@pytest.mark.parametrize(
    "ask",
    [
        q.QueryPointGroups(collection_name="c", query=q.Query(nearest=DENSE), group_by="a", limit=6),
        q.SearchPointGroups(collection_name="c", vector=[1.0, 2.0], group_by="a", limit=6, group_size=1),
        q.RecommendPointGroups(collection_name="c", positive_vectors=[q.Vector(data=[1.0])], group_by="a", limit=6),
    ],
)
def test_groups_and_their_lookups_in_another_collection(ask):
    ask.with_lookup.collection = "other"
    group = q.PointGroup(hits=HITS, lookup=kept(num(9), payload={"b": q.Value(bool_value=True)}))
    result = q.GroupsResult(groups=[group, q.PointGroup(hits=HITS[:1])])
    answer = q.QueryGroupsResponse(result=result)
    found, looked_up = observe(ask, answer, {}, EXACT)
    assert shown(answer) >= len(found.ids) + len(looked_up.ids)
    assert (found.ids, found.query_of, found.limit) == ([7, U, 7], [0, 0, 0], 6)
    assert (looked_up.collection, looked_up.operation, looked_up.ids) == ("other", "retrieve", [9])
    assert looked_up.left == {"payload"}


# -- reads without a query ---------------------------------------------------------------------------------------------


def test_retrieve_tells_what_was_asked_and_what_was_found():
    ask = q.GetPoints(collection_name="c", ids=[num(1), num(2), num(3)])
    found = one(ask, q.GetResponse(result=[kept(num(2), vectors=output(1.0))]))
    assert (found.operation, found.ids, found.limit, found.query_of) == ("retrieve", [2], 3, [-1])
    assert math.isnan(found.scores[0])
    assert found.left == {"vectors"}


def test_scroll():
    found = one(q.ScrollPoints(collection_name="c", filter=FILTER), q.ScrollResponse(result=[kept(num(2))]))
    assert (found.operation, found.ids, found.limit, found.left) == ("scroll", [2], 10, set())
    assert found.filters == [SHAPE]


def test_a_query_for_nothing_is_a_scroll():
    found = one(q.QueryPoints(collection_name="c", limit=1_000), q.QueryResponse(result=HITS[:1]))
    assert (found.operation, found.limit) == ("scroll", 1_000)


def test_named_vectors_are_told_by_name():
    named = q.NamedVectorsOutput(vectors={"a": q.VectorOutput(data=[1.0]), "b": q.VectorOutput(data=[2.0, 3.0])})
    found = one(
        q.GetPoints(collection_name="c"), q.GetResponse(result=[kept(num(2), vectors=q.VectorsOutput(vectors=named))])
    )
    assert {some.name: some.rows.tolist() for some in found.vectors} == {"a": [[1.0]], "b": [[2.0, 3.0]]}
    assert found.vector_ids == [2, 2]


def test_counts_and_facets():
    found = one(q.CountPoints(collection_name="c", filter=FILTER), q.CountResponse())
    assert (found.operation, found.filter_ids, found.left) == ("count", 2, set())
    facet = q.FacetResponse(hits=[q.FacetHit(value=q.FacetValue(string_value="x"), count=1)])
    assert one(q.FacetCounts(collection_name="c", limit=50), facet).left == {"payload"}


def test_matrices_tell_each_pair():
    ask = q.SearchMatrixPoints(collection_name="c", sample=4)
    pairs = q.SearchMatrixPairs(pairs=[q.SearchMatrixPair(a=num(1), b=num(2), score=0.5)])
    found = one(ask, q.SearchMatrixPairsResponse(result=pairs))
    assert (found.ids, found.scores, found.query_of, found.limit, found.left) == ([1], [0.5], [-1], 4, {"scores"})
    offsets = q.SearchMatrixOffsets(offsets_row=[0, 1], offsets_col=[1, 0], scores=[0.5, 0.25], ids=[num(8), num(9)])
    assert one(ask, q.SearchMatrixOffsetsResponse(result=offsets)).ids == [8, 9]
    assert one(ask, q.SearchMatrixPairsResponse(result=pairs), Shape(scores="hidden")).left == set()


# -- writes ------------------------------------------------------------------------------------------------------------


def test_upsert_tells_ids_in_the_form_of_answers_and_vectors():
    points = [
        q.PointStruct(id=q.PointId(uuid=U.upper()), vectors=q.Vectors(vector=q.Vector(data=[1.0, 2.0]))),
        q.PointStruct(
            id=num(4),
            vectors=q.Vectors(vectors=q.NamedVectors(vectors={"v": q.Vector(dense=q.DenseVector(data=[3.0]))})),
        ),
        q.PointStruct(id=num(5)),
    ]
    found = one(q.UpsertPoints(collection_name="c", points=points), q.PointsOperationResponse())
    assert (found.operation, found.written, found.limit) == ("write", [U, 4, 5], 3)
    assert rows(found.written_vectors) == [[[1.0, 2.0]], [[3.0]]]


SELECTED = q.PointsSelector(points=q.PointsIdsList(ids=[num(1), num(2)]))
BY_FILTER = q.PointsSelector(filter=FILTER)


@pytest.mark.parametrize(
    ("ask", "operation", "written"),
    [
        (q.DeletePoints(collection_name="c", points=SELECTED), "delete", [1, 2]),
        (q.DeletePoints(collection_name="c", points=BY_FILTER), "delete", []),
        (q.ClearPayloadPoints(collection_name="c", points=SELECTED), "write", [1, 2]),
        (q.SetPayloadPoints(collection_name="c", points_selector=SELECTED), "write", [1, 2]),
        (q.DeletePayloadPoints(collection_name="c", points_selector=SELECTED), "write", [1, 2]),
        (q.DeletePointVectors(collection_name="c", points_selector=SELECTED), "write", [1, 2]),
        (q.UpdatePointVectors(collection_name="c", points=[q.PointVectors(id=num(3))]), "write", [3]),
    ],
)
def test_other_writes_tell_the_points_that_they_name(ask, operation, written):
    found = one(ask, q.PointsOperationResponse())
    assert (found.operation, found.written) == (operation, written)
    assert bool(found.filters) is (written == [])


def test_written_vectors_keep_their_order_and_those_alike_that_follow_each_other_are_one_matrix():
    def dense(*data):
        return q.Vector(dense=q.DenseVector(data=data))

    sparse = q.Vector(sparse=q.SparseVector(indices=[7], values=[6.0]))
    given = [dense(1.0, 2.0), q.Vector(data=[3.0, 4.0]), dense(5.0), sparse, dense(), dense(8.0)]
    points = [q.PointStruct(id=num(i), vectors=q.Vectors(vector=one)) for i, one in enumerate(given)]
    found = one(q.UpsertPoints(collection_name="c", points=points), q.PointsOperationResponse())
    assert count_of(found.written_vectors) == len(found.written) == 6
    two, third, words, none, last = found.written_vectors
    assert [part.rows.tolist() for part in (two, third, none, last)] == [
        [[1.0, 2.0], [3.0, 4.0]],
        [[5.0]],
        [[]],
        [[8.0]],
    ]
    assert words.values.tolist() == [6.0]


def test_a_batch_of_writes():
    upsert = q.PointsUpdateOperation.PointStructList(
        points=[q.PointStruct(id=num(1), vectors=q.Vectors(vector=q.Vector(data=[1.0])))]
    )
    vectors = q.PointsUpdateOperation.UpdateVectors(
        points=[q.PointVectors(id=num(2), vectors=q.Vectors(vector=q.Vector(data=[2.0])))]
    )
    delete = q.PointsUpdateOperation.DeletePoints(points=SELECTED)
    old = q.PointsUpdateOperation(delete_deprecated=SELECTED)
    operations = [q.PointsUpdateOperation(upsert=upsert), q.PointsUpdateOperation(update_vectors=vectors)]
    found = one(q.UpdateBatchPoints(collection_name="c", operations=[*operations, old]), q.UpdateBatchResponse())
    assert (found.operation, found.written, rows(found.written_vectors)) == ("write", [1, 2, 1, 2], [[[1.0]], [[2.0]]])
    deletes = q.UpdateBatchPoints(collection_name="c", operations=[old, q.PointsUpdateOperation(delete_points=delete)])
    assert one(deletes, q.UpdateBatchResponse()).operation == "delete"


# -- all of them -------------------------------------------------------------------------------------------------------

NO_RECORDS = {"CreateFieldIndex", "DeleteFieldIndex", "CreateVectorName", "DeleteVectorName"}
BATCHES = {"search_points": OLD_SEARCH, "recommend_points": OLD_RECOMMEND, "discover_points": OLD_DISCOVER}


def whole(ask):
    """A request of its type that could have been served."""
    ask.collection_name = "c"
    if "limit" in ask.DESCRIPTOR.fields_by_name:
        ask.limit = 1
    if isinstance(ask, q.SearchPoints | q.SearchPointGroups):
        ask.vector.append(1.0)
    if isinstance(ask, q.RecommendPoints | q.RecommendPointGroups):
        ask.positive.append(num(1))
    if isinstance(ask, q.DiscoverPoints):
        ask.target.single.id.num = 1
    return ask


@pytest.mark.parametrize("route", [route for route in ROUTES.values() if "/qdrant.Points/" in route.rpc])
def test_every_rpc_on_points_is_observed_but_those_on_no_record(route):
    ask = whole(route.ask())
    answer = route.reply()
    if "Batch" in route.rpc and route.action == "read":
        for name, of in (*BATCHES.items(), ("query_points", q.QueryPoints(collection_name="c"))):
            if name in ask.DESCRIPTOR.fields_by_name:
                getattr(ask, name).append(of)
                answer.result.add()
    assert bool(observe(ask, answer, {}, EXACT)) is (route.rpc.rpartition("/")[2] not in NO_RECORDS)


def test_dense_vectors_are_float32():
    found = one(q.QueryPoints(collection_name="c", query=q.Query(nearest=DENSE)), q.QueryResponse(result=HITS))
    assert {some.rows.dtype for some in (*found.queries, *found.vectors)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("count", [0, 3])
def test_what_an_answer_shows_at_most_is_known_without_reading_it(count):
    points = [hit(num(i)) for i in range(count)]
    batch = [q.BatchResult(result=points), q.BatchResult(result=points)]
    group = q.PointGroup(hits=points, lookup=kept(num(9)))
    assert shown(q.QueryResponse(result=points)) == count
    assert shown(q.ScrollResponse(result=[kept(num(i)) for i in range(count)])) == count
    assert shown(q.QueryBatchResponse(result=batch)) == 2 * count
    assert shown(q.QueryGroupsResponse(result=q.GroupsResult(groups=[group, group]))) == 2 * count + 2
    assert shown(q.PointsOperationResponse()) == 0
    assert shown(q.SearchMatrixPairsResponse()) == EVERYTHING  # it is read
