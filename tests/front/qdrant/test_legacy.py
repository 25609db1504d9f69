"""Old requests are said in the Query API without losing a field."""

import pytest
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import legacy

SHARED = {
    "collection_name": "c",
    "filter": q.Filter(must=[q.Condition(is_null=q.IsNullCondition(key="a"))]),
    "params": q.SearchParams(exact=True),
    "with_payload": q.WithPayloadSelector(enable=True),
    "with_vectors": q.WithVectorsSelector(enable=True),
    "read_consistency": q.ReadConsistency(factor=2),
    "shard_key_selector": q.ShardKeySelector(shard_keys=[q.ShardKey(keyword="eu")]),
    "timeout": 9,
    "limit": 5,
}
LOOKUP = q.LookupLocation(collection_name="other", vector_name="v")
GROUPING = {"group_by": "author", "group_size": 2, "with_lookup": q.WithLookup(collection="authors")}


def point(number):
    return q.PointId(num=number)


def by_id(number):
    return q.VectorInput(id=point(number))


def dense(*data):
    return q.VectorInput(dense=q.DenseVector(data=data))


def single(**example):
    return q.TargetVector(single=q.VectorExample(**example))


def test_search_is_nearest():
    old = q.SearchPoints(**SHARED, vector=[1, 2], vector_name="title", offset=3, score_threshold=0.0)
    new = legacy.as_query(old)
    assert new == q.QueryPoints(
        **SHARED, query=q.Query(nearest=dense(1, 2)), using="title", offset=3, score_threshold=0.0
    )


def test_search_of_a_sparse_vector_is_nearest():
    old = q.SearchPoints(collection_name="c", vector=[0.5], sparse_indices=q.SparseIndices(data=[7]), limit=1)
    sparse = q.VectorInput(sparse=q.SparseVector(indices=[7], values=[0.5]))
    assert legacy.as_query(old) == q.QueryPoints(collection_name="c", query=q.Query(nearest=sparse), limit=1)


def test_what_is_not_said_is_not_said_then():
    new = legacy.as_query(q.SearchPoints(collection_name="c", vector=[1], limit=1))
    assert {field.name for field, _ in new.ListFields()} == {"collection_name", "query", "limit"}


@pytest.mark.parametrize("strategy", [None, *q.RecommendStrategy.values()])
def test_recommend_keeps_examples_and_strategy(strategy):
    old = q.RecommendPoints(
        **SHARED,
        positive=[point(1)],
        negative=[point(2)],
        positive_vectors=[q.Vector(data=[1, 2])],
        negative_vectors=[q.Vector(dense=q.DenseVector(data=[3, 4]))],
        using="title",
        offset=0,
        score_threshold=0.5,
        lookup_from=LOOKUP,
        **({} if strategy is None else {"strategy": strategy}),
    )
    recommend = q.RecommendInput(positive=[by_id(1), dense(1, 2)], negative=[by_id(2), dense(3, 4)], strategy=strategy)
    assert legacy.as_query(old) == q.QueryPoints(
        **SHARED,
        query=q.Query(recommend=recommend),
        using="title",
        offset=0,
        score_threshold=0.5,
        lookup_from=LOOKUP,
    )


@pytest.mark.parametrize("strategy", [None, *q.RecommendStrategy.values()])
def test_recommend_without_examples_is_refused(strategy):
    said = {} if strategy is None else {"strategy": strategy}
    average = strategy in (None, q.RecommendStrategy.AverageVector)
    for ask, convert in ((q.RecommendPoints, legacy.as_query), (q.RecommendPointGroups, legacy.as_groups)):
        with pytest.raises(InvalidArgument, match="At least one positive"):
            convert(ask(limit=1, **said))
        only_negative = ask(limit=1, negative=[point(1)], **said)
        if average:
            with pytest.raises(InvalidArgument, match="At least one positive vector ID required"):
                convert(only_negative)
        else:
            assert convert(only_negative).query.recommend.negative == [by_id(1)]


def test_discover_with_a_target_is_discover():
    pair = q.ContextExamplePair(
        positive=q.VectorExample(id=point(2)), negative=q.VectorExample(vector=q.Vector(data=[3]))
    )
    old = q.DiscoverPoints(**SHARED, target=single(id=point(1)), context=[pair], using="title", lookup_from=LOOKUP)
    context = q.ContextInput(pairs=[q.ContextInputPair(positive=by_id(2), negative=dense(3))])
    assert legacy.as_query(old) == q.QueryPoints(
        **SHARED,
        query=q.Query(discover=q.DiscoverInput(target=by_id(1), context=context)),
        using="title",
        lookup_from=LOOKUP,
    )
    alone = legacy.as_query(q.DiscoverPoints(target=single(vector=q.Vector(data=[1])), limit=1))
    assert alone.query == q.Query(discover=q.DiscoverInput(target=dense(1), context=q.ContextInput()))


def test_discover_without_a_target_is_context():
    pair = q.ContextExamplePair(positive=q.VectorExample(id=point(2)), negative=q.VectorExample(id=point(3)))
    new = legacy.as_query(q.DiscoverPoints(context=[pair], limit=1))
    pairs = [q.ContextInputPair(positive=by_id(2), negative=by_id(3))]
    assert new.query == q.Query(context=q.ContextInput(pairs=pairs))


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (q.DiscoverPoints(limit=1), "target and/or context_pairs must be specified"),
        (q.DiscoverPoints(limit=1, target=q.TargetVector()), "vector example is empty"),
        (q.DiscoverPoints(limit=1, context=[q.ContextExamplePair()]), "vector example is empty"),
        (q.SearchPoints(vector=[1]), "limit: value 0 invalid"),
        (q.RecommendPoints(positive=[q.PointId(num=1)]), "limit: value 0 invalid"),
        (q.DiscoverPoints(target=single(id=q.PointId(num=1))), "limit: value 0 invalid"),
        (q.SearchPoints(limit=1, vector=[1], sparse_indices=q.SparseIndices(data=[1, 2])), "the same length"),
        (
            q.RecommendPoints(limit=1, positive_vectors=[q.Vector(document=q.Document(text="t"))]),
            "inference input",
        ),
    ],
)
def test_malformed_requests_are_refused(old, said):
    with pytest.raises(InvalidArgument, match=said):
        legacy.as_query(old)


def test_search_groups_are_query_groups():
    old = q.SearchPointGroups(**SHARED, **GROUPING, vector=[1, 2], vector_name="title", score_threshold=0.5)
    assert legacy.as_groups(old) == q.QueryPointGroups(
        **SHARED, **GROUPING, query=q.Query(nearest=dense(1, 2)), using="title", score_threshold=0.5
    )


def test_recommend_groups_are_query_groups():
    old = q.RecommendPointGroups(**SHARED, **GROUPING, positive=[point(1)], using="title", lookup_from=LOOKUP)
    recommend = q.RecommendInput(positive=[by_id(1)])
    assert legacy.as_groups(old) == q.QueryPointGroups(
        **SHARED, **GROUPING, query=q.Query(recommend=recommend), using="title", lookup_from=LOOKUP
    )


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        (q.SearchPoints, q.QueryPoints, {"vector", "vector_name", "sparse_indices"}),
        (
            q.RecommendPoints,
            q.QueryPoints,
            {"positive", "negative", "positive_vectors", "negative_vectors", "strategy"},
        ),
        (q.DiscoverPoints, q.QueryPoints, {"target", "context"}),
        (q.SearchPointGroups, q.QueryPointGroups, {"vector", "vector_name", "sparse_indices"}),
        (
            q.RecommendPointGroups,
            q.QueryPointGroups,
            {"positive", "negative", "positive_vectors", "negative_vectors", "strategy"},
        ),
    ],
)
def test_every_field_of_an_old_request_has_a_place_in_the_new(old, new, own):
    """What a newer client library adds to an old request must be looked at before it is used."""
    assert {field.name for field in old.DESCRIPTOR.fields} - own <= {field.name for field in new.DESCRIPTOR.fields}
    known = {*legacy._SHARED, "collection_name", "timeout", "score_threshold", "limit", "offset", "using"}
    assert {field.name for field in old.DESCRIPTOR.fields} - own <= known | {"group_by", "group_size", "with_lookup"}
