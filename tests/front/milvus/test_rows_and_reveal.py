"""Rows there and back again without a server: every type, nulls, defaults; damage and swapped rows are noticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from front.milvus.schemas import (
    VECTOR,
    arrays_of,
    data_of,
    dynamic_of,
    field_of,
    policy_with,
    schema_of,
    shield_for,
    sparse_of,
    vectors_of,
)
from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus.ids import new_tokens
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.proto import DATA_TYPES, s
from vecguard.front.milvus.reveal import client_columns, found_rows, open_dense, tokens_of
from vecguard.front.milvus.rows import protect_rows
from vecguard.policy.model import PayloadRule, VectorRule
from vecguard.seal.record import encode
from vecguard.shield import Shield

X = np.random.default_rng(7).normal(size=(3, 8)).astype(np.float32)
IDS = data_of("id", "Int64", [1, -2, 2**40])


def stored_by_name(
    shield: Shield, layout: Layout, *given: s.FieldData, rows: int = 3, whole: bool = True, **options: Any
) -> dict[str, s.FieldData]:
    stored = protect_rows(shield, layout, given, rows, whole=whole, **options)
    return {("$meta" if data.is_dynamic else data.field_name): data for data in stored}


def there_and_back(
    shield: Shield, layout: Layout, *given: s.FieldData, rows: int = 3, **options: Any
) -> dict[str, s.FieldData]:
    stored = list(stored_by_name(shield, layout, *given, rows=rows, **options).values())
    clear = client_columns(found_rows(shield, layout, stored, rows), stored)
    return {("$meta" if data.is_dynamic else data.field_name): data for data in clear}


EDGES = {
    "Bool": [True, False, True],
    "Int8": [-128, 127, 0],
    "Int16": [-(2**15), 2**15 - 1, 0],
    "Int32": [-(2**31), 2**31 - 1, 0],
    "Int64": [-(2**63), 2**63 - 1, 0],
    "Float": [0.1, -3.4e38, 1e-45],
    "Double": [0.1, -1.7e308, 5e-324],
    "VarChar": ["", "größe 東京 🙂", "x" * 40],
}


@pytest.mark.parametrize("kind", EDGES)
@pytest.mark.parametrize("name", ["open", "word", "other"])
def test_every_scalar_type(kind: str, name: str) -> None:
    field = field_of(name, kind, {"max_length": 50} if kind == "VarChar" else {})
    data = data_of(name, kind, EDGES[kind])
    shield, layout = shield_for(schema_of(field))
    stored = stored_by_name(shield, layout, IDS, vectors_of("v", X), data)
    assert there_and_back(shield, layout, IDS, vectors_of("v", X), data)[name] == data
    if name != "open":
        assert stored[name].type == DATA_TYPES["VarChar"]
        assert all(text.startswith("vg:") for text in stored[name].scalars.string_data.data)
    if name == "word" and len(set(EDGES[kind])) < 3:
        assert len(set(stored[name].scalars.string_data.data)) == len(set(EDGES[kind]))


@pytest.mark.parametrize("element", EDGES)
def test_arrays(element: str) -> None:
    params = {"max_capacity": 3} | ({"max_length": 50} if element == "VarChar" else {})
    shield, layout = shield_for(schema_of(field_of("other", "Array", params, element=element)))
    data = arrays_of("other", element, [EDGES[element], [], EDGES[element][:1]])
    assert there_and_back(shield, layout, IDS, vectors_of("v", X), data)["other"] == data


def test_json_and_dynamic_fields_leaf_by_leaf() -> None:
    shield, layout = shield_for(schema_of(field_of("meta", "JSON"), dynamic=True))
    values = [b'{"kind":"a","size":1,"deep":[1,2.0,null,true,{"x":[]}]}', b"{}", b'{"kind":"b"}']
    given = (IDS, vectors_of("v", X), data_of("meta", "JSON", values), dynamic_of([b'{"loud":1,"quiet":"x"}'] * 3))
    stored = stored_by_name(shield, layout, *given)
    first = stored["meta"].scalars.json_data.data[0]
    assert b'"size":1' in first
    assert b'"kind":"vg:' in first
    assert b"null,true" not in first
    assert b'"loud":1' in stored["$meta"].scalars.json_data.data[0]
    assert b"quiet" in stored["$meta"].scalars.json_data.data[0]
    clear = there_and_back(shield, layout, *given)
    assert list(clear["meta"].scalars.json_data.data) == values
    assert list(clear["$meta"].scalars.json_data.data) == [b'{"loud":1,"quiet":"x"}'] * 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[1]", "should be a JSON object"),
        (b"{", "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"_vg":1}', "cannot set json key"),
        (b'{"$meta":1}', "cannot set json key"),
        (b'{"v":[1]}', "has the name of a field"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
        (b'{"a":18446744073709551616}', "64 bits"),
    ],
)
def test_wrong_dynamic_fields(content: bytes, text: str) -> None:
    shield, layout = shield_for(schema_of(dynamic=True))
    with pytest.raises(InvalidArgument, match=text):
        stored_by_name(shield, layout, IDS, vectors_of("v", X), dynamic_of([b"{}", content, b"{}"]))


def test_vectors_are_noised_and_come_back() -> None:
    shield, layout = shield_for(schema_of())
    stored = stored_by_name(shield, layout, IDS, vectors_of("v", X))
    at_rest, _ = wire.dense(stored["v"], DATA_TYPES["FloatVector"], 8, 3)
    assert np.linalg.norm(at_rest - X, axis=1).min() > 0.3
    found = found_rows(shield, layout, list(stored.values()), 3)
    exact, rows = open_dense(found, "v")
    np.testing.assert_allclose(exact, X, atol=1e-5)
    assert list(rows) == [0, 1, 2]


def test_sparse_vectors_move_their_indices() -> None:
    shield, layout = shield_for(schema_of(field_of("words", "SparseFloatVector")))
    data = sparse_of("words", [{1: 0.5, 2**31: 2.0}, {0: 1.0}, {}])
    stored = stored_by_name(shield, layout, IDS, data)["words"]
    assert stored.vectors.sparse_float_vector.contents[1] != data.vectors.sparse_float_vector.contents[1]
    clear = there_and_back(shield, layout, IDS, data)["words"]
    assert clear.vectors.sparse_float_vector.contents == data.vectors.sparse_float_vector.contents


@pytest.mark.parametrize("full", [False, True])
def test_nulls_in_both_forms(full: bool) -> None:
    """Clients send nulls compact; databases answer full."""
    vector = field_of("v", "FloatVector", {"dim": 8}, nullable=True)
    number = field_of("other", "Int64", nullable=True)
    shield, layout = shield_for(schema_of(number, vector))
    valid = [True, False, True]
    given = (
        IDS,
        data_of("other", "Int64", [5, 0, 7] if full else [5, 7], valid),
        vectors_of("v", X if full else X[[0, 2]], valid),
    )
    clear = there_and_back(shield, layout, *given)
    assert list(clear["other"].valid_data) == valid
    assert list(clear["other"].scalars.long_data.data) == [5, 7]
    found, rows = wire.dense(clear["v"], DATA_TYPES["FloatVector"], 8, 3)
    np.testing.assert_allclose(found, X[[0, 2]], atol=1e-5)
    assert list(rows) == [0, 2]


def test_a_full_answer_is_opened_full() -> None:
    shield, layout = shield_for(schema_of(field_of("other", "Int64", nullable=True)))
    stored = stored_by_name(
        shield, layout, IDS, vectors_of("v", X), data_of("other", "Int64", [5, 7], [True, False, True])
    )
    text = stored["other"].scalars.string_data
    text.data[:] = [text.data[0], "", text.data[1]]
    clear = client_columns(found_rows(shield, layout, list(stored.values()), 3), [stored["other"]])
    assert list(clear[0].scalars.long_data.data) == [5, 0, 7]
    assert list(clear[0].valid_data) == [True, False, True]


def test_defaults_are_filled_in() -> None:
    default = s.ValueField(string_data="unknown")
    field = field_of("other", "VarChar", {"max_length": 20}, default_value=default, nullable=True)
    shield, layout = shield_for(schema_of(field))
    given = (IDS, vectors_of("v", X))
    clear = there_and_back(shield, layout, *given)
    assert list(clear["other"].scalars.string_data.data) == ["unknown"] * 3
    partly = data_of("other", "VarChar", ["own"], [False, True, False])
    assert list(there_and_back(shield, layout, *given, partly)["other"].scalars.string_data.data) == [
        "unknown",
        "own",
        "unknown",
    ]
    assert "other" not in stored_by_name(shield, layout, *given, whole=False)


def test_automatic_keys_bind_rows_to_tokens() -> None:
    shield, layout = shield_for(schema_of(field_of("other", "Int64"), auto_id=True))
    tokens = new_tokens(3)
    given = (data_of("other", "Int64", [1, 2, 3]), vectors_of("v", X))
    stored = stored_by_name(shield, layout, *given, tokens=tokens)
    assert tokens_of(shield, stored["_vg"], 3) == tokens
    clear = there_and_back(shield, layout, *given, tokens=tokens)
    assert list(clear["other"].scalars.long_data.data) == [1, 2, 3]
    assert set(clear) == {"other", "v"}


def test_what_is_written_again_gets_the_same_noise() -> None:
    """As another row, too, where the database makes the keys; by key otherwise."""
    for auto_id, keys in ((True, []), (False, [IDS])):
        shield, layout = shield_for(schema_of(auto_id=auto_id))
        tokens = new_tokens(6) if auto_id else []
        first = stored_by_name(shield, layout, *keys, vectors_of("v", X), tokens=tokens[:3])
        again = stored_by_name(shield, layout, *keys, vectors_of("v", X), tokens=tokens[3:])
        assert first["v"] == again["v"]
        assert (first["_vg_v"] == again["_vg_v"]) == (not auto_id)
    shield, layout = shield_for(schema_of())
    here = stored_by_name(shield, layout, IDS, vectors_of("v", X))
    there = stored_by_name(shield, layout, data_of("id", "Int64", [7, 8, 9]), vectors_of("v", X))
    assert here["v"] != there["v"]


@pytest.mark.parametrize("column", ["other", "_vg_v", "v"])
def test_swapped_rows_are_noticed(column: str) -> None:
    shield, layout = shield_for(schema_of(field_of("other", "Int64")))
    stored = stored_by_name(shield, layout, IDS, vectors_of("v", X), data_of("other", "Int64", [1, 2, 3]))
    data = stored[column]
    if column == "v":
        floats = list(data.vectors.float_vector.data)
        data.vectors.float_vector.data[:] = floats[8:16] + floats[:8] + floats[16:]
    else:
        texts = list(data.scalars.string_data.data)
        data.scalars.string_data.data[:] = [texts[1], texts[0], texts[2]]
    everything = list(stored.values())
    with pytest.raises(Unreadable):
        client_columns(found_rows(shield, layout, everything, 3), everything)


def test_a_foreign_record_is_stale_and_a_clear_value_unreadable() -> None:
    shield, layout = shield_for(schema_of(field_of("other", "Int64")))
    stored = stored_by_name(shield, layout, IDS, vectors_of("v", X), data_of("other", "Int64", [1, 2, 3]))
    stored["_vg_v"].scalars.string_data.data[0] = encode("0" * 16, {})
    everything = list(stored.values())
    with pytest.raises(StaleEntry):
        client_columns(found_rows(shield, layout, everything, 3), everything)
    del stored["_vg_v"].scalars.string_data.data[:]
    with pytest.raises(Unreadable):
        client_columns(found_rows(shield, layout, everything, 3), [stored["v"]])
    stored["other"].scalars.string_data.data[1] = "clear"
    with pytest.raises(Unreadable):
        client_columns(found_rows(shield, layout, everything, 3), [stored["other"]])


def test_an_authentic_value_of_another_type_is_unreadable() -> None:
    shield, layout = shield_for(schema_of(field_of("word", "Int64")))
    stored = stored_by_name(shield, layout, IDS, vectors_of("v", X), data_of("word", "Int64", [1, 2, 3]))
    stored["word"].scalars.string_data.data[0] = shield.fields.protect(("word",), "text", None)
    everything = list(stored.values())
    with pytest.raises(Unreadable):
        client_columns(found_rows(shield, layout, everything, 3), [stored["word"]])


def test_columns_that_are_not_the_collections_are_unreadable() -> None:
    shield, layout = shield_for(schema_of())
    stored = [*stored_by_name(shield, layout, IDS, vectors_of("v", X)).values(), data_of("else", "Int64", [1, 2, 3])]
    with pytest.raises(Unreadable):
        client_columns(found_rows(shield, layout, stored, 3), stored)


def test_vectors_that_nobody_recovers() -> None:
    policy = policy_with(PayloadRule(default="plain"), VectorRule(recover="none", rerank="off"))
    shield, layout = shield_for(schema_of(VECTOR), policy)
    stored = list(stored_by_name(shield, layout, IDS, vectors_of("v", X)).values())
    with pytest.raises(InvalidArgument, match="cannot be returned"):
        client_columns(found_rows(shield, layout, stored, 3), stored)
    assert client_columns(found_rows(shield, layout, stored, 3), stored[:1]) == stored[:1]


WRONG: list[tuple[s.FieldData, str]] = [
    (data_of("other8", "Int8", [1, 128, 0]), r"1th element \(128\) out of range"),
    (data_of("other16", "Int16", [1, 0, -(2**15) - 1]), r"2th element \(-32769\) out of range: \[-32768, 32767\]"),
    (arrays_of("list8", "Int8", [[1], [-129], []]), r"1th element \(-129\) out of range: \[-128, 127\]"),
    (data_of("text", "VarChar", ["x", "y" * 11, ""]), "row number: 1, length: 11, max length: 10"),
    (data_of("text", "VarChar", ["x", "ü" * 6, ""]), "length: 12"),
    (data_of("real", "Float", [0.0, float("inf"), 0.0]), "not a number or infinity"),
    (arrays_of("list", "Int64", [[1, 2, 3], [], []]), r"the length \(3\) of 0th array exceeds max capacity \(2\)"),
    (data_of("text", "Int64", [1, 2, 3]), "doesn't match"),
    (data_of("text", "VarChar", ["x"]), "not equal to passed num_rows"),
    (data_of("text", "VarChar", ["x"], [True, False, False]), "not nullable"),
    (data_of("nowhere", "Int64", [1, 2, 3]), "not exist in collection schema"),
    (data_of("_vg_v", "VarChar", ["a", "b", "c"]), "not exist in collection schema"),
    (dynamic_of([b"{}"] * 3), "not exist in collection schema"),
    (vectors_of("v", X), "given twice"),
]


@pytest.mark.parametrize(("data", "text"), WRONG)
def test_wrong_columns_are_refused(data: s.FieldData, text: str) -> None:
    shield, layout = shield_for(
        schema_of(
            field_of("other8", "Int8"),
            field_of("other16", "Int16"),
            field_of("list8", "Array", {"max_capacity": 2}, element="Int8"),
            field_of("text", "VarChar", {"max_length": 10}),
            field_of("real", "Float"),
            field_of("list", "Array", {"max_capacity": 2}, element="Int64"),
        )
    )
    with pytest.raises(InvalidArgument, match=text):
        stored_by_name(shield, layout, IDS, vectors_of("v", X), data, whole=False)


@pytest.mark.parametrize(
    ("x", "text"),
    [(np.full((3, 8), np.nan, np.float32), "not a number"), (np.full((3, 8), 3e38, np.float32), "squared length")],
)
def test_wrong_vectors_are_refused(x: np.ndarray[Any, Any], text: str) -> None:
    shield, layout = shield_for(schema_of())
    with pytest.raises(InvalidArgument, match=text):
        stored_by_name(shield, layout, IDS, vectors_of("v", x))


def test_other_dimensions_are_refused() -> None:
    shield, layout = shield_for(schema_of())
    with pytest.raises(InvalidArgument, match=r"dim \(4\).*schema dim \(8\)"):
        stored_by_name(shield, layout, IDS, vectors_of("v", X.reshape(6, 4)))
    with pytest.raises(InvalidArgument, match="primary key"):
        stored_by_name(shield, layout, vectors_of("v", X))


def test_a_text_whose_sealed_form_does_not_fit_is_refused() -> None:
    shield, layout = shield_for(schema_of(field_of("other", "VarChar", {"max_length": 65_535})))
    fits = data_of("other", "VarChar", ["x" * 47_000] * 3)
    assert there_and_back(shield, layout, IDS, vectors_of("v", X), fits)["other"] == fits
    with pytest.raises(InvalidArgument, match="does not fit into 65535 bytes"):
        stored_by_name(shield, layout, IDS, vectors_of("v", X), data_of("other", "VarChar", ["x" * 65_000] * 3))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=40, deadline=None)
def test_any_json_value_comes_back(value: Any) -> None:
    import json

    shield, layout = SHIELD
    content = json.dumps(value).encode()
    given = (data_of("id", "Int64", [1]), vectors_of("v", X[:1]), data_of("meta", "JSON", [content]))
    (clear,) = there_and_back(shield, layout, *given, rows=1)["meta"].scalars.json_data.data
    assert json.loads(clear) == value
    assert repr(json.loads(clear)) == repr(value)


SHIELD = shield_for(schema_of(field_of("meta", "JSON")))
