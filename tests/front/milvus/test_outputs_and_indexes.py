"""Output fields, aggregations and indexes: what is asked of the database, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from front.milvus.schemas import field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument
from vecguard.front.milvus.outputs import (
    client_outputs,
    dynamic_keys,
    require_aggregates,
    require_plain,
    stored_outputs,
)
from vecguard.front.milvus.proto import c, m
from vecguard.front.milvus.serve_indexes import _prepare, _show

FIELDS = (
    field_of("open", "Int64"),
    field_of("word", "Int64"),
    field_of("other", "Int64"),
    field_of("meta", "JSON"),
    field_of("words", "SparseFloatVector"),
    field_of("v", "FloatVector", {"dim": 4}),
)
SHIELD, LAYOUT = shield_for(schema_of(*FIELDS, dynamic=True))
_, AUTOMATIC = shield_for(schema_of(*FIELDS, dynamic=True, auto_id=True))


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (["open"], ["open"]),
        (["v"], ["v", "_vg_v"]),
        ([" v "], ["v", "_vg_v"]),
        ([" * "], ["*", "_vg_words", "_vg_v"]),
        (["v", "words"], ["v", "words", "_vg_v", "_vg_words"]),
        (["*"], ["*", "_vg_words", "_vg_v"]),
        (["other", "loose"], ["other", "loose"]),
        (["id", "id"], ["id"]),
    ],
)
def test_what_is_asked_for(asked: list[str], sent: list[str]) -> None:
    assert stored_outputs(LAYOUT, asked) == sent
    assert client_outputs(sent) == list(dict.fromkeys(name.strip() for name in asked))


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (["open"], ["open"]),
        (["other"], ["other", "_vg"]),
        (["loose"], ["loose", "_vg"]),
        (["v"], ["v", "_vg_v", "_vg"]),
    ],
)
def test_rows_with_tokens_are_asked_for_them(asked: list[str], sent: list[str]) -> None:
    assert stored_outputs(AUTOMATIC, asked) == sent


@pytest.mark.parametrize("name", ["_vg", "_vg_v", " _vg_v", '$meta["_vg"]', "$meta['_vg_v']"])
def test_hidden_columns_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(InvalidArgument, match="not exist"):
        stored_outputs(LAYOUT, [name])


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (["open"], None),
        (["open", "loose"], {"loose"}),
        (["a", "b"], {"a", "b"}),
        (["*", "a"], None),
        (["$meta"], None),
        (["$meta['a']"], None),
        ([], None),
    ],
)
def test_dynamic_fields_that_are_asked_for(asked: list[str], keys: set[str] | None) -> None:
    assert dynamic_keys(LAYOUT, asked) == keys


def test_aggregations_need_values() -> None:
    names = ["count(*)", "count(other)", "sum( open )", "MAX(id)", "open"]
    assert require_aggregates(names, LAYOUT, SHIELD.fields) == names[:-1]
    for name in ("sum(other)", "min(word)", "avg(loose)", "max(meta)", "min(v)"):
        with pytest.raises(InvalidArgument, match="cannot be answered on field"):
            require_aggregates([name], LAYOUT, SHIELD.fields)
    with pytest.raises(InvalidArgument, match="not exist"):
        require_aggregates(["count(_vg_v)"], LAYOUT, SHIELD.fields)


def test_grouping_needs_equality_and_order_needs_values() -> None:
    require_plain("word", LAYOUT, SHIELD.fields, "group by", equality=True)
    require_plain("open", LAYOUT, SHIELD.fields, "order by")
    for field, equality in (("other", True), ("word", False), ("meta", True)):
        with pytest.raises(InvalidArgument, match="cannot be answered"):
            require_plain(field, LAYOUT, SHIELD.fields, "order by", equality=equality)


def index_of(field: str, **params: str) -> m.CreateIndexRequest:
    pairs = [c.KeyValuePair(key=key, value=value) for key, value in params.items()]
    return m.CreateIndexRequest(field_name=field, extra_params=pairs)


def prepared(request: m.CreateIndexRequest) -> Sequence[c.KeyValuePair]:
    _prepare(request, LAYOUT, SHIELD)
    return list(request.extra_params)


def test_indexes_that_fit() -> None:
    for field, kind, stored in (
        ("v", "HNSW", "HNSW"),
        ("words", "SPARSE_INVERTED_INDEX", "SPARSE_INVERTED_INDEX"),
        ("open", "STL_SORT", "STL_SORT"),
        ("word", "STL_SORT", "Trie"),
        ("word", "INVERTED", "INVERTED"),
        ("id", "STL_SORT", "STL_SORT"),
    ):
        assert [pair.value for pair in prepared(index_of(field, index_type=kind))] == [stored]


@pytest.mark.parametrize(
    ("field", "params"),
    [
        ("other", {"index_type": "INVERTED"}),
        ("word", {"index_type": "NGRAM"}),
        ("_vg_v", {"index_type": "INVERTED"}),
        ("meta", {"index_type": "INVERTED", "json_path": 'meta["deep"]', "json_cast_type": "double"}),
        ("meta", {"index_type": "INVERTED", "json_path": 'meta["kind"]', "json_cast_type": "double"}),
        ("meta", {"index_type": "INVERTED", "json_path": 'other["kind"]', "json_cast_type": "varchar"}),
        ("meta", {"index_type": "INVERTED", "json_path": 'meta["kind"', "json_cast_type": "varchar"}),
        ("meta", {"index_type": "INVERTED", "json_path": '_vg["kind"]', "json_cast_type": "varchar"}),
        ("loose", {"index_type": "INVERTED", "json_path": "loose", "json_cast_type": "double"}),
        ("$meta", {"index_type": "INVERTED", "json_path": '$meta["_vg"]', "json_cast_type": "varchar"}),
    ],
)
def test_indexes_that_could_answer_nothing(field: str, params: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        prepared(index_of(field, **params))


def test_indexes_on_paths_by_the_mode_of_the_path() -> None:
    prepared(index_of("meta", index_type="INVERTED", json_path='meta["kind"]', json_cast_type="VARCHAR"))
    prepared(index_of("meta", index_type="INVERTED", json_path="meta['size']", json_cast_type="double"))
    prepared(index_of("loud", index_type="INVERTED", json_path="loud", json_cast_type="double"))
    prepared(index_of("$meta", index_type="INVERTED", json_path='$meta["loud"]', json_cast_type="double"))


def test_an_index_is_shown_as_it_was_asked_for() -> None:
    """At rest the tokens of numbers have an index of texts."""
    described = [m.IndexDescription(field_name=name) for name in ("word", "open")]
    for description in described:
        description.params.add(key="index_type", value="Trie")
    _show(described, LAYOUT)
    assert [description.params[0].value for description in described] == ["STL_SORT", "Trie"]
