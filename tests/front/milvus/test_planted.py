"""Planted rows within Milvus' messages: found wherever a key stands, and nowhere else."""

from __future__ import annotations

import pytest

from front.milvus.schemas import KEY, schema_of, shield_for
from vecguard.front.milvus.expression import keys_named
from vecguard.front.milvus.layout import layout_of
from vecguard.front.milvus.planted import as_keys, keys_of, planted_in
from vecguard.front.milvus.proto import m, s
from vecguard.seal.planted import signed

SHIELD, _ = shield_for(schema_of(KEY))
FIRST = SHIELD.planted.ids("number")[0]
PK = signed(FIRST)


def longs(name: str, *values: int) -> s.FieldData:
    return s.FieldData(field_name=name, scalars=s.ScalarField(long_data=s.LongArray(data=values)))


def ids(*values: int) -> s.IDs:
    return s.IDs(int_id=s.LongArray(data=values))


@pytest.mark.parametrize(
    "message",
    [
        m.SearchResults(results=s.SearchResultData(ids=ids(7, PK))),
        m.QueryResults(fields_data=[longs("a", 1, 2), longs("id", 7, PK)]),
        m.InsertRequest(fields_data=[longs("id", 7, PK)], num_rows=2),
        m.UpsertRequest(fields_data=[longs("id", PK)], num_rows=1),
        m.QueryRequest(expr=f"id in [7, {PK}]"),
        m.QueryRequest(expr=f"a > 3 and not (id == {PK})"),
        m.QueryRequest(expr="id in {x}", expr_template_values={"x": s.TemplateValue(int64_val=PK)}),
        m.DeleteRequest(expr=f"{PK} == id or a == 1"),
        m.SearchRequest(dsl=f"id != {PK}"),
        m.HybridSearchRequest(requests=[m.SearchRequest(), m.SearchRequest(dsl=f"id > {PK}")]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_they_are_found_wherever_a_key_stands(message: object) -> None:
    if isinstance(message, m.QueryRequest) and message.expr_template_values:
        array = s.TemplateValue(array_val=s.TemplateArrayValue(long_data=s.LongArray(data=[7, PK])))
        message.expr_template_values["x"].CopyFrom(array)
    assert planted_in(message, SHIELD) == [FIRST]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        m.SearchResults(results=s.SearchResultData(ids=ids(7, 8))),
        m.QueryResults(fields_data=[longs("a", PK), longs("id", 7)]),
        m.QueryRequest(expr=f"a == {PK}"),
        m.QueryRequest(expr="this is no expression ~"),
        m.QueryRequest(),
        m.MutationResult(IDs=ids(PK)),  # whose list is cut by who serves the deletion
        m.DescribeCollectionRequest(collection_name="notes"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_nothing_else_is_taken_for_one(message: object) -> None:
    assert planted_in(message, SHIELD) == []  # type: ignore[arg-type]


def test_which_keys_there_can_be() -> None:
    primary = layout_of(SHIELD).primary
    assert keys_of(SHIELD.planted, primary, 3) == [signed(one) for one in SHIELD.planted.ids("number", 3)]
    assert as_keys(SHIELD.planted.every(), primary) == keys_of(SHIELD.planted, primary)
    assert sorted(keys_named("id in [1, 2] or 5 < id", "id")) == [1, 2, 5]
    assert keys_named("", "id") == []
