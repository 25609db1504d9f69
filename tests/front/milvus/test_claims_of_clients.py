"""What a client says of a field does not decide what is protected: the policy does.

Each of these claims once made (or could have made) the proxy keep a column in clear.
"""

from __future__ import annotations

import numpy as np
import pytest

from front.milvus.schemas import (
    POLICY,
    VECTOR,
    data_of,
    field_of,
    schema_of,
    shield_for,
    sparse_of,
    vectors_of,
)
from vecguard.errors import InvalidArgument
from vecguard.front.milvus.proto import c, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.schema import added_field, declare

X = np.random.default_rng(3).normal(size=(2, 8)).astype(np.float32)
KEYS = data_of("id", "Int64", [1, 2])


def full_text() -> s.CollectionSchema:
    schema = schema_of(field_of("open", "VarChar", {"max_length": 99}), VECTOR, field_of("words", "SparseFloatVector"))
    schema.functions.add(name="f", type=1, input_field_names=["open"], output_field_names=["words"])
    return schema


def test_a_vector_that_no_function_makes_is_protected_whatever_it_says_of_itself() -> None:
    schema = schema_of(field_of("v", "FloatVector", {"dim": 8}, is_function_output=True))
    shield, layout = shield_for(schema)
    assert [record.name for record in declare(schema, POLICY).vectors] == ["v"]
    stored = protect_rows(shield, layout, [KEYS, vectors_of("v", X)], 2, whole=True)
    sent = b"".join(data.SerializeToString() for data in stored)
    assert X[0].tobytes() not in sent
    assert X[:, :1].tobytes() not in sent


def test_the_output_of_a_function_is_sparse_and_made_by_the_database_alone() -> None:
    shield, layout = shield_for(full_text())
    given = [KEYS, data_of("open", "VarChar", ["a", "b"]), vectors_of("v", X)]
    assert protect_rows(shield, layout, given, 2, whole=True)
    with pytest.raises(InvalidArgument, match="output of a function"):
        protect_rows(shield, layout, [*given, sparse_of("words", [{1: 1.0}, {2: 1.0}])], 2, whole=True)
    dense = full_text()
    dense.functions[0].output_field_names[:] = ["v"]
    with pytest.raises(InvalidArgument, match="must be a SPARSE_FLOAT_VECTOR"):
        declare(dense, POLICY)


@pytest.mark.parametrize(("inputs", "outputs"), [([], ["words"]), (["open", "open"], ["words"]), (["open"], [])])
def test_a_function_reads_one_field_and_fills_one(inputs: list[str], outputs: list[str]) -> None:
    schema = full_text()
    schema.functions[0].input_field_names[:] = inputs
    schema.functions[0].output_field_names[:] = outputs
    with pytest.raises(InvalidArgument, match="one input and one output"):
        declare(schema, POLICY)


def test_one_field_is_the_primary_key_and_it_is_a_number_or_a_text() -> None:
    second = field_of("other", "VarChar", {"max_length": 9}, is_primary_key=True)
    with pytest.raises(InvalidArgument, match="more than one primary key: id, other"):
        declare(schema_of(field_of("id", "Int64", is_primary_key=True), second), POLICY)
    for kind, params in (("FloatVector", {"dim": 8}), ("JSON", {}), ("Double", {})):
        with pytest.raises(InvalidArgument, match="should be Int64 or VarChar"):
            declare(schema_of(field_of("key", kind, params, is_primary_key=True)), POLICY)
    assert declare(schema_of(second), POLICY).layout.primary.name == "other"


def test_a_name_stands_for_one_field() -> None:
    """The later one was taken for both, so a sealed field could be sent as the primary key that followed it."""
    with pytest.raises(InvalidArgument, match="duplicated field name other"):
        declare(schema_of(field_of("other", "VarChar", {"max_length": 9}), field_of("other", "Int64")), POLICY)


def test_a_field_is_not_the_dynamic_one_by_its_own_word() -> None:
    with pytest.raises(InvalidArgument, match="dynamic field: other"):
        declare(schema_of(field_of("other", "JSON", is_dynamic=True)), POLICY)


def test_fields_of_external_data_are_refused_whatever_their_type() -> None:
    for name, kind in (("id", "Int64"), ("v", "FloatVector"), ("open", "Int64"), ("w", "SparseFloatVector")):
        params = {"dim": 8} if kind == "FloatVector" else {}
        field = field_of(name, kind, params, is_primary_key=name == "id", external_field="x")
        with pytest.raises(InvalidArgument, match="external data"):
            declare(schema_of(field), POLICY)


@pytest.mark.parametrize("claim", ["is_primary_key", "autoID", "is_dynamic"])
def test_an_added_field_is_an_ordinary_one(claim: str) -> None:
    _, layout = shield_for(schema_of())
    field = field_of("other", "VarChar", {"max_length": 9}, nullable=True)
    assert added_field(field, layout, POLICY).type_params[0] != c.KeyValuePair(key="max_length", value="9")
    setattr(field, claim, True)
    with pytest.raises(InvalidArgument, match="pk or dynamic"):
        added_field(field, layout, POLICY)


def test_an_added_vector_that_says_it_is_made_by_a_function_is_refused() -> None:
    _, layout = shield_for(full_text())
    field = field_of("late", "FloatVector", {"dim": 8}, nullable=True, is_function_output=True)
    with pytest.raises(InvalidArgument, match="not support to add vector field"):
        added_field(field, layout, POLICY)
