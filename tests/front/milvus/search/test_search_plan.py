"""What a search asks for: understood, or refused before anything is sent."""

import numpy as np
import pytest
from pymilvus.client.prepare import Prepare

from front.milvus.schemas import PAYLOAD, VECTOR, field_of, policy_with, schema_of, shield_for
from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.milvus.placeholder import DenseQueries, SparseQueries, read_queries
from vecguard.front.milvus.proto import c, m
from vecguard.front.milvus.search_parameters import read_search_parameters
from vecguard.front.milvus.search_plan import is_direct, plan_search, protected_group
from vecguard.policy.model import VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec

SCHEMA = schema_of(field_of("open", "Int64"), field_of("word", "VarChar", {"max_length": 9}), dynamic=True)
SEVERAL = schema_of(VECTOR, field_of("s", "SparseFloatVector"), field_of("h", "Float16Vector", {"dim": 4}))
QUERY = np.arange(8, dtype=np.float32)


def request(data=None, *, field="v", param=None, limit=5, **kwargs):
    """A search as the client writes it."""
    return Prepare.search_requests_with_expr(
        "notes", field, param or {}, limit, data=[QUERY.tolist()] if data is None else data, **kwargs
    )


def plan(asked, schema=SCHEMA, policy=None):
    shield, layout = shield_for(schema) if policy is None else shield_for(schema, policy)
    return plan_search(asked, read_search_parameters(asked.search_params), shield, layout), shield


def test_a_search_of_the_only_vector():
    understood, shield = plan(request(field="", expr="open > 3 and word == 'a'"))
    assert understood.column.name == "v"
    assert isinstance(understood.queries, DenseQueries)
    assert understood.queries.x.tolist() == [QUERY.tolist()]
    assert understood.count == 1
    assert "'a'" not in understood.expression.text
    assert '"a"' not in understood.expression.text
    assert not is_direct(understood, shield)


def test_who_computes_the_distances():
    without_noise = policy_with(PAYLOAD, VectorRule(transforms=(RotationSpec(),)))
    understood, shield = plan(request(), policy=without_noise)
    assert is_direct(understood, shield)
    moved = read_queries(protected_group(understood, shield))
    assert isinstance(moved, DenseQueries)
    assert not np.allclose(moved.x, QUERY)
    assert np.linalg.norm(moved.x) == pytest.approx(np.linalg.norm(QUERY), rel=1e-5)
    noised = policy_with(PAYLOAD, VectorRule(transforms=(RotationSpec(), GaussianSpec(ratio=0.5))))
    assert not is_direct(*plan(request(), policy=noised))


def test_words_of_sparse_queries_are_moved():
    understood, shield = plan(request([{3: 0.5, 9: 1.0}], field="s"), SEVERAL)
    assert is_direct(understood, shield)
    moved = read_queries(protected_group(understood, shield))
    assert isinstance(moved, SparseQueries)
    indices, values = moved.rows[0]
    assert set(indices.tolist()).isdisjoint({3, 9})
    assert sorted(values.tolist()) == [0.5, 1.0]
    assert indices.tolist() == sorted(indices.tolist())


def test_half_precision_queries():
    understood, _ = plan(request([np.ones(4, np.float16)], field="h"), SEVERAL)
    assert isinstance(understood.queries, DenseQueries)
    assert understood.queries.x.tolist() == [[1.0] * 4]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request([[1.0, 2.0]]), r"dimension mismatch, expected vector size\(byte\) 32, actual 8"),
        (request([{1: 0.5}]), "vector type must be the same"),
        (request(["words"]), "cannot be searched by text"),
        (request(field="open"), "fieldName"),
        (request(field="nothing"), "fieldName"),
        (request(field="_vg_v"), "fieldName"),
        (request(expr="open >"), "cannot parse expression"),
        (request(expr="word > 'a'"), "its mode is searchable"),
        (request(expr="_vg_v == 'a'"), "not exist"),
        (request(group_by_field="nothing"), "not found in schema"),
        (request(group_by_field="other"), "not found in schema"),
        (request(namespace="tenant"), "namespace is refused"),
    ],
)
def test_what_is_refused(asked, words):
    with pytest.raises(InvalidArgument, match=words):
        plan(asked)


def test_several_vectors_need_a_name():
    with pytest.raises(InvalidArgument, match="multiple anns_fields"):
        plan(request(field=""), SEVERAL)


def with_part(**parts):
    asked = request()
    asked.MergeFrom(m.SearchRequest(**parts))
    return asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (with_part(base=c.MsgBase(msgID=1)), "base is refused"),
        (with_part(sub_reqs=[m.SubSearchRequest()]), "sub_reqs is refused"),
        (with_part(nq=3), "nq"),
    ],
)
def test_parts_that_are_not_understood(asked, words):
    with pytest.raises(InvalidArgument, match=words):
        plan(asked)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("highlighter", {}),
        ("search_aggregation", {}),
        ("function_chains", [{"name": "f"}]),
    ],
)
def test_newer_parts(part, value):
    if part not in m.SearchRequest.DESCRIPTOR.fields_by_name:
        pytest.skip("this pymilvus has it not")
    with pytest.raises(InvalidArgument, match=f"{part} is refused"):
        plan(with_part(**{part: value}))


def test_a_filter_that_is_no_expression():
    asked = request(expr="open > 3")
    asked.dsl_type = c.DslType.Dsl
    with pytest.raises(InvalidArgument, match="dsl_type"):
        plan(asked)


def test_limits_of_the_policy():
    for asked in (
        request(limit=10_001),
        request(limit=9_999, offset=2),
        request(limit=6_000, group_by_field="open", group_size=2),
    ):
        with pytest.raises(LimitExceeded):
            plan(asked)
    plan(request(limit=9_998, offset=2))
    plan(request(limit=5_000, group_by_field="open", group_size=2))


def test_search_by_rows_needs_no_query():
    if "ids" not in m.SearchRequest.DESCRIPTOR.fields_by_name:
        pytest.skip("this pymilvus knows no search by rows")
    asked = Prepare.search_requests_with_expr("notes", "v", {}, 5, ids=[1, 2, 3])
    understood, _ = plan(asked)
    assert (understood.queries, understood.count) == (None, 3)
