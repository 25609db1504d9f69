"""The answer of a search: keys and distances of the chosen rows, their columns opened, nothing of ours in it."""

import numpy as np
import pytest

from front.milvus.schemas import data_of, field_of, schema_of, shield_for, vectors_of
from vecguard.errors import Unreadable
from vecguard.front.milvus.execute import Found, Hit
from vecguard.front.milvus.outputs import stored_outputs
from vecguard.front.milvus.proto import c, m, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.search_results import ranked_results, reveal_results, searched
from vecguard.front.milvus.selection import RowPlace

SCHEMA = schema_of(field_of("word", "VarChar", {"max_length": 9}), field_of("shut", "Double"))
X = np.random.default_rng(3).normal(size=(4, 8)).astype(np.float32)
KEYS, WORDS, SHUT = [5, -1, 2**40, 7], ["a", "b", "a", "c"], [0.5, 1.5, -2.0, 8.0]
SHIELD, LAYOUT = shield_for(SCHEMA)


def pages():
    """The same rows as the answers of a database, in two pages."""
    columns = [
        vectors_of("v", X),
        data_of("id", "Int64", KEYS),
        data_of("word", "VarChar", WORDS),
        data_of("shut", "Double", SHUT),
    ]
    stored = protect_rows(SHIELD, LAYOUT, columns, len(X), whole=True)
    names = [data.field_name for data in stored]
    whole = s.SearchResultData(
        fields_data=stored, ids=s.IDs(int_id=s.LongArray(data=KEYS)), output_fields=names, primary_field_name="id"
    )
    answer = m.SearchResults(results=whole, collection_name="notes", session_ts=9, status=c.Status(reason="fine"))
    return [answer, answer]


def hits(*rows):
    return [Hit(RowPlace(i % 2, row), KEYS[row], float(row) / 3) for i, row in enumerate(rows)]


@pytest.mark.parametrize("outputs", [["word", "shut"], ["v"], ["*"], []])
def test_rows_in_their_order_and_columns_in_clear(outputs):
    found = Found(pages(), [hits(2, 0), hits(3), []])
    reply = searched(SHIELD, LAYOUT, found, stored_outputs(LAYOUT, outputs), None, 2)
    results = reply.results
    assert (results.num_queries, list(results.topks)) == (3, [2, 1, 0])
    assert list(results.ids.int_id.data) == [KEYS[2], KEYS[0], KEYS[3]]
    assert list(results.scores) == pytest.approx([0.67, 0.0, 1.0])
    assert (reply.collection_name, reply.session_ts, reply.status.reason) == ("notes", 9, "fine")
    assert results.primary_field_name == "id"
    columns = {data.field_name: data for data in results.fields_data}
    wanted = {"id", "v", "word", "shut"} if outputs == ["*"] else set(outputs)
    assert set(columns) == set(results.output_fields) == wanted
    if "word" in wanted:
        assert list(columns["word"].scalars.string_data.data) == ["a", "a", "c"]
        assert list(columns["shut"].scalars.double_data.data) == [-2.0, 0.5, 8.0]
    if "v" in wanted:
        opened = np.array(columns["v"].vectors.float_vector.data).reshape(-1, 8)
        assert opened == pytest.approx(X[[2, 0, 3]], abs=1e-5)


def test_groups_have_their_values_in_clear():
    found = Found(pages(), [hits(2, 1)])
    results = searched(SHIELD, LAYOUT, found, [], "word", -1).results
    assert list(results.group_by_field_value.scalars.string_data.data) == ["a", "b"]
    assert not results.fields_data


def test_rows_that_no_page_has():
    with pytest.raises(Unreadable):
        searched(SHIELD, LAYOUT, Found(pages(), [[Hit(RowPlace(0, 9), 1, 0.0)]]), ["word"], None, -1)


def test_nothing_found():
    empty = m.SearchResults(results=s.SearchResultData(topks=[0]))
    results = searched(SHIELD, LAYOUT, Found([empty], [[]]), ["word"], "word", -1).results
    assert (list(results.topks), len(results.ids.int_id.data), len(results.fields_data)) == ([0], 0, 0)


@pytest.mark.parametrize("named", [True, False])
def test_an_answer_of_the_database_opened(named):
    """Some servers name the column of group values, some do not."""
    results = pages()[0].results
    word = next(data for data in results.fields_data if data.field_name == "word")
    results.group_by_field_value.CopyFrom(word)
    if not named:
        results.group_by_field_value.field_name = ""
    reveal_results(SHIELD, LAYOUT, results, stored_outputs(LAYOUT, ["*"]), "word")
    assert list(results.group_by_field_value.scalars.string_data.data) == WORDS
    assert {data.field_name for data in results.fields_data} == {"id", "v", "word", "shut"}
    assert set(results.output_fields) == {"id", "v", "word", "shut"}


def test_text_keys():
    layout = shield_for(schema_of(field_of("key", "VarChar", {"max_length": 9}, is_primary_key=True)))[1]
    results = ranked_results(layout, [[("b", 1.0)], [("a", 2.0)]], -1)
    assert list(results.ids.str_id.data) == ["b", "a"]
