"""Searches that scores at rest answer are changed in place; all others are left alone, to go the general way."""

import numpy as np
import pytest
from qdrant_client import grpc as q
from shields import record_of, shield_of

from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.qdrant import at_rest
from vecguard.front.qdrant import vectors as wire

D = 8
X = np.arange(1, D + 1, dtype=np.float32)


@pytest.fixture(scope="module")
def shield():
    return shield_of(
        record_of("", dims=D, ratio=0),
        record_of("lost", dims=D, recover="none"),
        record_of("exact", dims=D),
        record_of("many", dims=D, kind="multi", ratio=0),
        record_of("words", kind="sparse"),
    )


def search(**fields):
    vector = q.VectorInput(dense=q.DenseVector(data=X.tolist()))
    return q.QueryPoints(**{"collection_name": "c", "query": q.Query(nearest=vector), **fields})


def where(key, word):
    match = q.FieldCondition(key=key, match=q.Match(keyword=word))
    return q.Filter(must=[q.Condition(field=match)])


def test_vector_filter_and_selectors_are_replaced_and_nothing_else(shield):
    ask = search(
        limit=7,
        offset=3,
        score_threshold=0.25,
        params=q.SearchParams(hnsw_ef=64, exact=True),
        filter=where("word", "Ada"),
        with_payload=q.WithPayloadSelector(enable=True),
        timeout=9,
        read_consistency=q.ReadConsistency(factor=1),
        shard_key_selector=q.ShardKeySelector(shard_keys=[q.ShardKey(keyword="k")]),
    )
    before = q.QueryPoints()
    before.CopyFrom(ask)
    assert at_rest.rewrite(ask, shield)
    sent = wire.read_dense(ask.query.nearest.dense)
    np.testing.assert_allclose(sent, shield.dense("").query(X[np.newaxis], 1)[0], rtol=1e-6)
    assert np.abs(sent - X).max() > 0.1
    assert ask.filter.must[0].field.key == "_p.word"
    assert "Ada" not in str(ask.filter)
    assert list(ask.with_payload.include.fields) == ["_p"]
    assert ask.with_vectors.enable is False
    for name in ("query", "filter", "with_payload", "with_vectors"):
        ask.ClearField(name)
        before.ClearField(name)
    assert ask == before


@pytest.mark.parametrize("payload", [None, q.WithPayloadSelector(), q.WithPayloadSelector(enable=False)])
def test_no_payload_is_asked_for_where_the_client_wants_none(shield, payload):
    ask = search(with_payload=payload)
    assert at_rest.rewrite(ask, shield)
    assert ask.with_payload.WhichOneof("selector_options") == "enable"
    assert ask.with_payload.enable is False


PREFETCH = q.PrefetchQuery(query=q.Query(sample=q.Sample.Random))
SPARSE = q.VectorInput(sparse=q.SparseVector(indices=[1], values=[1.0]))
OTHERS = {
    "re-ranked": search(using="exact"),
    "multivector": search(using="many"),
    "sparse name": search(using="words"),
    "unknown name": search(using="nobody"),
    "prefetch": search(prefetch=[PREFETCH]),
    "lookup": search(lookup_from=q.LookupLocation(collection_name="other")),
    "vectors wanted": search(with_vectors=q.WithVectorsSelector(enable=True)),
    "one vector wanted": search(with_vectors=q.WithVectorsSelector(include=q.VectorsSelector(names=[""]))),
    "idf of a corpus": search(params=q.SearchParams(idf=q.IdfParams(corpus=where("word", "Ada")))),
    "by id": search(query=q.Query(nearest=q.VectorInput(id=q.PointId(num=1)))),
    "sparse": search(query=q.Query(nearest=SPARSE)),
    "empty input": search(query=q.Query(nearest=q.VectorInput())),
    "another kind": search(query=q.Query(sample=q.Sample.Random)),
    "no query": q.QueryPoints(collection_name="c"),
    "a text": search(query=q.Query(nearest=q.VectorInput(document=q.Document(text="Ada")))),
}


@pytest.mark.parametrize("ask", OTHERS.values(), ids=OTHERS.keys())
def test_every_other_request_is_left_as_it_is(shield, ask):
    before = ask.SerializeToString(deterministic=True)
    assert not at_rest.rewrite(ask, shield)
    assert ask.SerializeToString(deterministic=True) == before


def test_every_field_of_the_request_is_accounted_for():
    """A field that a newer client library adds must be thought about before it is let through here."""
    assert (at_rest._LISTS, at_rest._PARTS) == (("prefetch",), ("lookup_from",))
    assert set(q.QueryPoints.DESCRIPTOR.fields_by_name) > at_rest._UNDERSTOOD


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (search(query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0])))), "expected dim: 8, got 1"),
        (search(query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[]))), limit=1), "expected dim: 8, got 0"),
        (search(query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[np.nan] * D)))), "NaN or infinite"),
        (search(query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[-np.inf] * D)))), "NaN or infinite"),
        (search(query=q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[3e38] * D)))), "squared length"),
        (search(limit=0), "value 0 invalid"),
        (search(filter=where("secret", "x")), "its mode is sealed"),
    ],
)
def test_what_cannot_be_answered_is_refused(shield, ask, text):
    with pytest.raises(InvalidArgument, match=text):
        at_rest.rewrite(ask, shield)


def test_more_results_than_the_policy_allows_are_refused(shield):
    most = shield.limits.max_limit
    for limit, offset in ((most + 1, 0), (most, 1), (1, most)):
        with pytest.raises(LimitExceeded):
            at_rest.rewrite(search(limit=limit, offset=offset), shield)
    assert at_rest.rewrite(search(limit=most - 1, offset=1), shield)


def test_noise_that_nobody_can_take_off_is_searched_at_rest_too(shield):
    assert at_rest.rewrite(search(using="lost"), shield)
