"""What detection is told of Milvus' calls, message by message: what the tests on a real server do not bring about."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from front.milvus.schemas import KEY, schema_of, shield_for
from vecguard.detect.reading import Dense, Sparse
from vecguard.detect.watch import EVERYTHING
from vecguard.front.milvus.observing import observe
from vecguard.front.milvus.placeholder import write_dense, write_sparse
from vecguard.front.milvus.proto import c, m, s
from vecguard.front.milvus.table import ROUTES
from vecguard.front.milvus.weight import shown
from vecguard.model import EXACT, Shape

SHIELD, _ = shield_for(schema_of(KEY))
GUARDED = {"notes": SimpleNamespace(shield=SHIELD)}
CLEAR = {"open": SimpleNamespace(shield=None)}


def one(ask, answer, entries=GUARDED, shape=EXACT):
    (reading,) = observe(ask, answer, entries, shape)
    assert shown(answer) >= len({*reading.ids, *reading.vector_ids})
    return reading


def pairs(**given):
    return [c.KeyValuePair(key=key, value=str(value)) for key, value in given.items()]


def search(group=None, text="", **given):
    group = write_dense(np.ones((2, 4), np.float32)) if group is None else group
    return m.SearchRequest(placeholder_group=group, dsl=text, search_params=pairs(anns_field="v", **given), nq=2)


def found(*ids, topks=(2, 1), columns=(), scores=None):
    held = s.IDs(str_id=s.StringArray(data=ids)) if isinstance(ids[0], str) else s.IDs(int_id=s.LongArray(data=ids))
    scores = [0.5] * len(ids) if scores is None else scores
    data = s.SearchResultData(ids=held, topks=topks, scores=scores, fields_data=columns)
    return m.SearchResults(results=data)


def longs(name, *values):
    return s.FieldData(field_name=name, scalars=s.ScalarField(long_data=s.LongArray(data=values)))


def vectors(name, dim, **kind):
    return s.FieldData(field_name=name, vectors=s.VectorField(dim=dim, **kind))


FLOATS = vectors("v", 2, float_vector=s.FloatArray(data=[1, 2, 3, 4, 5, 6]))


def test_hits_belong_to_their_query():
    seen = one(search(topk=7, offset=3), found(7, 8, 9))
    assert (seen.collection, seen.operation, seen.ids, seen.query_of) == ("notes", "search", [7, 8, 9], [0, 0, 1])
    assert (seen.limit, seen.offset, seen.left) == (7, 3, {"scores"})
    assert (len(seen.queries[0].rows), seen.queries[0].name) == (2, "v")


def test_text_keys_and_hidden_distances():
    seen = one(search(topk=7), found("a", "b", "c"), shape=Shape(scores="hidden"))
    assert (seen.ids, seen.left) == (["a", "b", "c"], set())
    assert all(math.isnan(score) for score in seen.scores)


def test_sparse_queries():
    group = write_sparse([(np.array([3, 9], np.uint32), np.array([1, 2], np.float32))])
    (query,) = one(search(group), found(7, topks=[1])).queries
    assert isinstance(query, Sparse)
    assert (query.indices.tolist(), query.values.tolist()) == ([3, 9], [1.0, 2.0])


def test_texts_that_the_database_embeds_are_queries_without_a_vector():
    value = c.PlaceholderValue(tag="$0", type=c.PlaceholderType.VarChar, values=[b"who", b"what"])
    seen = one(search(c.PlaceholderGroup(placeholders=[value]).SerializeToString()), found(7, 8, 9))
    assert (seen.queries, seen.query_of) == ([], [-1, -1, -1])


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (FLOATS, [[1, 2], [3, 4], [5, 6]]),
        (vectors("v", 2, float16_vector=np.arange(6, dtype="<f2").tobytes()), [[0, 1], [2, 3], [4, 5]]),
        (
            vectors("v", 2, bfloat16_vector=(np.arange(6, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()),
            [[0, 1], [2, 3], [4, 5]],
        ),
        (vectors("v", 8, binary_vector=b"\xf0\x0f\xff"), [[1] * 4 + [-1] * 4, [-1] * 4 + [1] * 4, [1] * 8]),
    ],
)
def test_vectors_of_every_kind_are_read(column, rows):
    seen = one(search(), found(7, 8, 9, columns=[column, longs("a", 1, 2, 3)]), CLEAR)
    assert [some.rows[0].tolist() for some in seen.vectors] == rows
    assert (seen.vector_ids, seen.left) == ([7, 8, 9], {"scores", "vectors", "payload"})
    assert all(isinstance(some, Dense) and some.rows.dtype == np.float32 for some in seen.vectors)


def test_null_vectors_belong_to_no_row():
    column = vectors("v", 2, float_vector=s.FloatArray(data=[1, 2, 5, 6]))
    column.valid_data.extend([True, False, True])
    assert one(search(), found(7, 8, 9, columns=[column])).vector_ids == [7, 9]


def test_queries_by_key_and_by_condition():
    answer = m.QueryResults(fields_data=[longs("id", 1, 2), longs("a", 5, 6)])
    by_key = one(m.QueryRequest(expr="id in [1, 2, 3]"), answer)
    assert (by_key.operation, by_key.ids, by_key.limit, by_key.filter_ids) == ("retrieve", [1, 2], 3, 3)
    assert by_key.left == {"payload"}
    scroll = one(m.QueryRequest(expr="id > 3", query_params=pairs(limit=50, offset=100)), answer)
    assert (scroll.operation, scroll.limit, scroll.offset) == ("scroll", 50, 100)
    assert scroll.filters != by_key.filters
    same = one(m.QueryRequest(expr="id > 77"), answer)
    assert same.filters == scroll.filters  # values make no difference
    count = one(m.QueryRequest(output_fields=["count(*)"]), m.QueryResults(fields_data=[longs("count(*)", 9)]))
    assert (count.operation, count.ids, count.left) == ("count", [], set())


def test_a_key_of_a_collection_in_clear_is_told_by_the_answer():
    answer = m.QueryResults(fields_data=[longs("k", 1, 2)], primary_field_name="k")
    seen = one(m.QueryRequest(expr="k in [1, 2]"), answer, CLEAR)
    assert (seen.operation, seen.ids) == ("retrieve", [1, 2])


def test_what_cannot_be_parsed_in_clear_is_seen_all_the_same():
    answer = m.QueryResults(fields_data=[longs("k", 1)], primary_field_name="k")
    seen = one(m.QueryRequest(expr="new_syntax(k) ~> 3"), answer, CLEAR)
    assert (seen.operation, seen.ids, seen.filters) == ("scroll", [1], [])
    hits = one(search(b"no placeholder"), found(7, topks=[1]), CLEAR)
    assert (hits.ids, hits.queries, hits.query_of) == ([7], [], [-1])


@pytest.mark.parametrize("kind", [m.InsertRequest, m.UpsertRequest])
def test_writes_tell_the_keys_that_the_database_says(kind):
    answer = m.MutationResult(IDs=s.IDs(int_id=s.LongArray(data=[11, 12, 13])))
    seen = one(kind(num_rows=3, fields_data=[FLOATS, longs("a", 1, 2, 3)]), answer)
    assert (seen.operation, seen.written, seen.limit) == ("write", [11, 12, 13], 3)
    assert [some.rows[0].tolist() for some in seen.written_vectors] == [[1, 2], [3, 4], [5, 6]]


def test_deletes():
    by_key = one(m.DeleteRequest(expr="id in [1, 2]"), m.MutationResult())
    assert (by_key.operation, by_key.written, by_key.filter_ids) == ("delete", [1, 2], 2)
    assert one(m.DeleteRequest(expr="id > 2"), m.MutationResult()).written == []


ROWS = {"Search", "HybridSearch", "Query", "Insert", "Upsert", "Delete"}


@pytest.mark.parametrize("route", list(ROUTES.values()), ids=lambda route: route.rpc.rpartition("/")[2])
def test_every_rpc_on_rows_is_observed_and_no_other(route):
    seen = observe(route.ask(), route.reply(), GUARDED, EXACT)
    assert bool(seen) is (route.rpc.rpartition("/")[2] in ROWS)
    assert observe(route.ask(), route.reply(), {}, EXACT) == []


def test_what_an_answer_shows_at_most_is_known_without_reading_it():
    assert shown(found(7, 8, 9)) == 3
    assert shown(m.QueryResults(fields_data=[longs("id", 1, 2), longs("a", 5, 6)])) == 2
    assert shown(m.QueryResults()) == shown(m.MutationResult()) == 0
    without_a_dimension = vectors("v", 0, float_vector=s.FloatArray(data=[1.0]))
    assert shown(m.QueryResults(fields_data=[without_a_dimension])) == EVERYTHING
