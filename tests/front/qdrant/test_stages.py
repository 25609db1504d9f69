"""A request becomes a tree of stages with stored filters, Qdrant's defaults, and its own examples left out."""

import pytest
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import stages

UUID = "936da01f-9abd-4d9d-80c7-02af85c822a8"
ROOTS = (q.QueryPoints, q.QueryPointGroups)


def dense(*data):
    return q.VectorInput(dense=q.DenseVector(data=data))


def point(number):
    return q.VectorInput(id=q.PointId(num=number))


def matching(key="word"):
    return q.Filter(must=[q.Condition(field=q.FieldCondition(key=key, match=q.Match(keyword="k")))])


def stored(fields, key="word"):
    token = fields.protect((key,), "k", None)
    condition = q.FieldCondition(key=f"_p.{key}", match=q.Match(keyword=token))
    return q.Filter(must=[q.Condition(field=condition)])


def without(*numbers):
    ids = [q.PointId(num=number) for number in numbers]
    return q.Filter(must_not=[q.Condition(has_id=q.HasIdCondition(has_id=ids))])


def parts(message):
    """The filters that a conjunction is made of."""
    if message is None:
        return []
    if message.must and all(condition.HasField("filter") for condition in message.must):
        return [part for condition in message.must for part in parts(condition.filter)]
    return [message]


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_all_spellings_of_an_id_have_one_key():
    assert stages.key_of(q.PointId(num=2**64 - 1)) == 2**64 - 1
    for spelling in (UUID, UUID.upper(), UUID.replace("-", ""), f"urn:uuid:{UUID}", f"{{{UUID}}}"):
        assert stages.key_of(q.PointId(uuid=spelling)) == UUID
    for key in (0, 7, UUID):
        assert stages.key_of(stages.id_message(key)) == key


def test_what_is_no_id_is_refused():
    with pytest.raises(InvalidArgument, match="No ID options provided"):
        stages.key_of(q.PointId())
    with pytest.raises(InvalidArgument, match="Unable to parse UUID: x"):
        stages.key_of(q.PointId(uuid="x"))


# -- defaults and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ROOTS)
def test_the_smallest_request_has_the_defaults_of_qdrant(fields, ask):
    stage = stages.build(ask(collection_name="c"), fields)
    assert stage == stages.Stage(None, (), "", None, None, None, 10, 0, None)
    assert stage.kind is None
    assert list(stage.walk()) == [stage]


def test_everything_that_is_said_is_taken(fields):
    lookup = q.LookupLocation(collection_name="other", vector_name="v")
    ask = q.QueryPoints(
        query=q.Query(nearest=dense(1, 2)), using="title", limit=3, offset=4, score_threshold=0.0, lookup_from=lookup
    )
    stage = stages.build(ask, fields)
    assert (stage.kind, stage.using, stage.limit, stage.offset, stage.threshold) == ("nearest", "title", 3, 4, 0.0)
    assert stage.lookup == lookup
    assert stage.query == ask.query


@pytest.mark.parametrize("ask", ROOTS)
def test_a_limit_of_zero_is_refused_at_every_level(fields, ask):
    with pytest.raises(InvalidArgument, match="limit: value 0 invalid"):
        stages.build(ask(limit=0), fields)
    with pytest.raises(InvalidArgument, match="limit: value 0 invalid"):
        stages.build(ask(prefetch=[q.PrefetchQuery(limit=0)]), fields)


def nested(depth):
    source = q.PrefetchQuery(limit=1)
    for _ in range(depth - 1):
        source = q.PrefetchQuery(prefetch=[source])
    return q.QueryPoints(prefetch=[source])


def test_prefetches_may_be_nested_but_not_without_end(fields):
    assert len(list(stages.build(nested(16), fields).walk())) == 17
    with pytest.raises(InvalidArgument, match="nested more than 16 levels deep"):
        stages.build(nested(17), fields)


# -- filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ROOTS)
def test_the_filter_of_the_root_holds_for_every_stage(fields, ask):
    message = ask(
        filter=matching(),
        prefetch=[
            q.PrefetchQuery(filter=matching("deep"), prefetch=[q.PrefetchQuery(), q.PrefetchQuery(filter=matching())]),
            q.PrefetchQuery(),
        ],
    )
    before = message.SerializeToString(deterministic=True)
    root = stages.build(message, fields)
    first, second = root.prefetch
    assert root.filter == stored(fields)
    assert parts(first.filter) == [stored(fields), stored(fields, "deep")]
    assert parts(first.prefetch[0].filter) == [stored(fields)]
    assert parts(first.prefetch[1].filter) == [stored(fields), stored(fields)]
    assert parts(second.filter) == [stored(fields)]
    assert message.SerializeToString(deterministic=True) == before


def test_a_filter_that_cannot_be_answered_is_refused_at_every_level(fields):
    for message in (
        q.QueryPoints(filter=matching("secret")),
        q.QueryPoints(prefetch=[q.PrefetchQuery(prefetch=[q.PrefetchQuery(filter=matching("secret"))])]),
        q.QueryPoints(params=q.SearchParams(idf=q.IdfParams(corpus=matching("secret")))),
        q.QueryPoints(prefetch=[q.PrefetchQuery(params=q.SearchParams(idf=q.IdfParams(corpus=matching("secret"))))]),
    ):
        with pytest.raises(InvalidArgument, match="its mode is sealed"):
            stages.build(message, fields)


def test_search_params_are_kept_and_their_filter_is_rewritten(fields):
    params = q.SearchParams(hnsw_ef=7, exact=True, idf=q.IdfParams(corpus=matching()))
    stage = stages.build(q.QueryPoints(params=params), fields)
    assert (stage.params.hnsw_ef, stage.params.exact, stage.params.idf.corpus) == (7, True, stored(fields))
    assert params.idf.corpus == matching()
    assert stages.build(q.QueryPoints(params=q.SearchParams(exact=False)), fields).params == q.SearchParams(exact=False)


def test_search_params_have_no_filter_but_the_known_one():
    holders = {f.name for f in q.SearchParams.DESCRIPTOR.fields if f.message_type}
    assert holders == {"quantization", "acorn", "idf"}


# -- examples ----------------------------------------------------------------------------------------------------------

PAIR = q.ContextInputPair(positive=point(1), negative=point(2))
QUERIES = {
    "nearest": (q.Query(nearest=point(1)), [1]),
    "nearest_with_mmr": (q.Query(nearest_with_mmr=q.NearestInputWithMmr(nearest=point(1))), [1]),
    "recommend": (q.Query(recommend=q.RecommendInput(positive=[point(1), dense(1)], negative=[point(2)])), [1, 2]),
    "discover": (
        q.Query(discover=q.DiscoverInput(target=point(3), context=q.ContextInput(pairs=[PAIR]))),
        [3, 1, 2],
    ),
    "context": (q.Query(context=q.ContextInput(pairs=[PAIR, PAIR])), [1, 2, 1, 2]),
    "relevance_feedback": (
        q.Query(
            relevance_feedback=q.RelevanceFeedbackInput(
                target=point(1), feedback=[q.FeedbackItem(example=point(2), score=1), q.FeedbackItem(example=dense(1))]
            )
        ),
        [1, 2],
    ),
    "order_by": (q.Query(order_by=q.OrderBy(key="a")), []),
    "fusion": (q.Query(fusion=q.Fusion.RRF), []),
    "rrf": (q.Query(rrf=q.Rrf()), []),
    "sample": (q.Query(sample=q.Sample.Random), []),
    "formula": (q.Query(formula=q.Formula()), []),
    "text": (q.Query(text=q.TextQuery()) if hasattr(q, "TextQuery") else q.Query(text="t"), []),
}


def test_every_query_of_the_api_is_known_here():
    """A newer client library that brings another place for vectors must be looked at before it is used."""
    assert {f.name for f in q.Query.DESCRIPTOR.oneofs_by_name["variant"].fields} == set(QUERIES)


@pytest.mark.parametrize("kind", QUERIES)
def test_every_vector_of_a_query_is_found(kind):
    query, numbers = QUERIES[kind]
    assert query.WhichOneof("variant") == kind
    inputs = stages.vector_inputs(query)
    assert [message.id.num for message in inputs if message.WhichOneof("variant") == "id"] == numbers
    # No vector input lies anywhere else in the message.
    assert len(inputs) == count_inputs(query)


def count_inputs(message):
    found = 0
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in value if field.is_repeated else [value]:
            found += 1 if isinstance(item, q.VectorInput) else count_inputs(item)
    return found


@pytest.mark.parametrize("ask", ROOTS)
def test_examples_are_left_out_of_the_results(fields, ask):
    message = ask(collection_name="c", query=QUERIES["recommend"][0], prefetch=[q.PrefetchQuery()], filter=matching())
    root = stages.build(message, fields)
    assert parts(root.filter) == [stored(fields), without(1, 2)]
    assert parts(root.prefetch[0].filter) == [stored(fields), without(1, 2)]


def test_examples_of_prefetches_are_left_out_everywhere(fields):
    root = stages.build(
        q.QueryPoints(
            collection_name="c",
            query=q.Query(nearest=dense(1)),
            prefetch=[q.PrefetchQuery(query=q.Query(nearest=point(5)))],
        ),
        fields,
    )
    assert root.filter == without(5)
    assert root.prefetch[0].filter == without(5)


def test_examples_of_another_collection_are_none_of_the_searched(fields):
    other, same = (q.LookupLocation(collection_name=name) for name in ("other", "c"))
    query = q.Query(nearest=point(5))
    assert stages.build(q.QueryPoints(collection_name="c", query=query, lookup_from=other), fields).filter is None
    assert stages.build(q.QueryPoints(collection_name="c", query=query, lookup_from=same), fields).filter == without(5)
