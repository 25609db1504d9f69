"""Rows through the proxy and straight: written, replaced, deleted, read, counted and iterated over alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, Function, FunctionType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.differential.test_differential_schema import wide_schema
from milvus.pairs import Pair, Side, paired, plain
from milvus.proxies import MilvusProxy
from milvus.servers import MilvusServer

pytestmark = pytest.mark.slow

EDGES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int8": [-128, 127, 0],
    "int16": [-32768, 32767],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1, 0],
    "float": [0.1, -3.4e38, 1e-38, 0.0],
    "double": [0.1, -1.7e308, 5e-324, 1 / 3],
}
TEXTS = ["", "plain words", "größe 東京 🙂", 'quotes " and \\ and \n', "x" * 90]
JSONS: list[Any] = [
    {},
    {"kind": "a", "size": 1},
    {"kind": "b", "size": 2.5, "deep": {"list": [1, "two", None, True, {"x": []}]}},
    {"größe": "ja", "big": 2**53, "small": 1e-300, "": "empty key"},
]


def wide_row(i: int, *, lite: bool) -> dict[str, Any]:
    """A row of `wide_schema`, with values from the edges of every type."""
    rng = np.random.default_rng(i)
    row: dict[str, Any] = {"pk": f"key {i}", "v": rng.normal(size=8).astype(np.float32).tolist()}
    for mode in ("plain", "found", "closed"):
        row[mode] = TEXTS[i % len(TEXTS)]
        for kind, values in EDGES.items():
            row[f"{mode}_{kind}"] = values[i % len(values)]
    row["tags"] = [f"t{n}" for n in range(i % 4)]
    row["numbers"] = list(range(i % 3))
    row["meta"] = JSONS[i % len(JSONS)]
    row["color"] = ["red", "green", "blue"][i % 3]
    row["loose"] = [1, "text", None, {"a": [i]}][i % 4]
    if lite:
        row["maybe"] = None if i % 2 else i
        row["words"] = {7: 0.5, 2**20 + i: 1.25}
        if i % 2:
            row["filled"] = "own"
    return row


def make_wide(pair: Pair, count: int = 12) -> list[dict[str, Any]]:
    """The wide collection on both sides, loaded, with `count` rows."""

    def make(side: Side) -> Any:
        schema = wide_schema(lite=not pair.is_real)
        params = side.client.prepare_index_params()
        kind = "FLAT" if pair.is_real else "BRUTE_FORCE"
        params.add_index("v", index_type=kind, metric_type="L2")
        if not pair.is_real:
            params.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    rows = [wide_row(i, lite=not pair.is_real) for i in range(count)]
    pair.same(make)
    pair.same(lambda side: side.client.insert(side.name, rows))
    return rows


@pytest.fixture(scope="module", params=["lite", "real"])
def wide(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The wide collection with its rows, which tests of this module only read."""
    server = request.getfixturevalue(request.param)
    proxy = request.getfixturevalue(f"{request.param}_proxy")
    with paired(server, proxy, is_real=request.param == "real") as both:
        make_wide(both)
        yield both


def everything(side: Side, expression: str = "pk != ''", outputs: tuple[str, ...] = ("*",), **options: Any) -> Any:
    """All rows, read after every write is seen."""
    return side.client.query(
        side.name, filter=expression, output_fields=list(outputs), consistency_level="Strong", **options
    )


def test_every_type_comes_back(pair: Pair) -> None:
    make_wide(pair)
    pair.same(everything, rows=True)
    pair.same(lambda side: side.client.flush(side.name))
    pair.same(everything, rows=True)


@pytest.mark.parametrize(
    "outputs",
    [
        ("pk",),
        ("v",),
        ("pk", "v", "closed"),
        ("found", "closed_int8", "plain_double"),
        ("tags", "numbers"),
        ("meta",),
        ("$meta",),
        ("color",),
        ("color", "loose", "v"),
        ("missing_dynamic",),
        ("*", "color"),
        ("pk", "pk"),
    ],
)
def test_output_fields(wide: Pair, outputs: tuple[str, ...]) -> None:
    wide.same(lambda side: everything(side, outputs=outputs), rows=True)


def test_no_output_fields(wide: Pair) -> None:
    """The real server answers keys alone, Milvus Lite everything."""
    wide.same(lambda side: side.client.query(side.name, filter="pk != ''", consistency_level="Strong"), rows=True)


@pytest.mark.parametrize(
    "expression",
    [
        "plain == 'plain words'",
        "found == 'plain words'",
        "found != 'plain words'",
        "found in ['', 'x']",
        "found not in ['', 'x']",
        "plain_int8 > 0",
        "plain_int64 == 9223372036854775807",
        "plain_double < 0.5 and plain_bool == true",
        "array_contains(tags, 't1')",
        "array_contains_any(tags, ['t1', 't9'])",
        "array_contains_all(tags, ['t0', 't1'])",
        "array_length(tags) == 2",
        "meta['kind'] == 'a'",
        "meta['kind'] in ['a', 'b']",
        "meta['size'] > 1",
        "color == 'red'",
        "color in ['red', 'blue'] and plain like 'pl%'",
        "not (color == 'red')",
        "pk in ['key 1', 'key 2', 'key 99']",
        "pk > 'key 3'",
        "plain ==",
        "found_int64 == 0 or found_int8 in [127, 5]",
        "found_bool == true and found_double == 0.1",
        "found_float == 0.0",
        "1 < plain_int8 < 200",
    ],
)
def test_expressions(wide: Pair, expression: str) -> None:
    outputs = ("pk", "found", "closed", "meta", "color")
    wide.same(lambda side: everything(side, expression, outputs), rows=True)


def test_limits_offsets_and_counts(wide: Pair) -> None:
    for options in ({"limit": 3}, {"limit": 3, "offset": 2}, {"limit": 100}, {"limit": 5, "offset": 50}):
        wide.same(lambda side, options=options: len(everything(side, **options)))
    wide.same(lambda side: everything(side, outputs=("count(*)",)))
    wide.same(lambda side: everything(side, "found == ''", outputs=("count(*)",)))
    wide.same(lambda side: everything(side, "", outputs=("count(*)",)))
    if wide.is_real:
        wide.same(lambda side: everything(side, limit=20_000))


def test_get_by_key(wide: Pair) -> None:
    for keys in (["key 1"], ["key 1", "key 5", "none"], [], "key 2"):
        wide.same(
            lambda side, keys=keys: side.client.get(
                side.name, ids=keys, output_fields=["*"], consistency_level="Strong"
            ),
            rows=True,
        )


def test_query_iterator(wide: Pair) -> None:
    def rows(side: Side) -> list[Any]:
        iterator = side.client.query_iterator(
            side.name, filter="color == 'red'", output_fields=["v", "closed"], batch_size=2, consistency_level="Strong"
        )
        found: list[Any] = []
        while page := iterator.next():
            found.extend(plain(page))
        iterator.close()
        return found

    wide.same(rows, rows=True)


def test_upsert(pair: Pair) -> None:
    rows = make_wide(pair)
    changed = [wide_row(i + 100, lite=not pair.is_real) | {"pk": rows[i]["pk"]} for i in (1, 3)]
    pair.same(lambda side: side.client.upsert(side.name, [*changed, wide_row(55, lite=not pair.is_real)]))
    pair.same(everything, rows=True)


def test_an_upsert_of_some_columns(lite_pair: Pair) -> None:
    """Every upsert of Milvus Lite leaves alone what it is not given."""
    rows = make_wide(lite_pair)
    for changed in (
        {"closed": "new", "color": "pink", "found_int8": 3},
        {"v": [0.5] * 8},
        {"words": {3: 0.25}},
        {"meta": {"kind": "z"}, "tags": ["q"], "maybe": None},
        {"loose": "other"},
    ):
        row = {"pk": rows[2]["pk"]} | changed
        lite_pair.same(lambda side, row=row: side.client.upsert(side.name, [row], partial_update=True))
        lite_pair.same(everything, rows=True)


@pytest.mark.parametrize(
    "how",
    [
        {"ids": ["key 1", "key 4"]},
        {"ids": ["none"]},
        {"filter": "pk in ['key 1']"},
        {"filter": "found == 'plain words'"},
        {"filter": "color == 'red' and plain_int8 == 0"},
        {"filter": "plain_int64 > 5"},
        {"filter": "broken =="},
    ],
)
def test_delete(pair: Pair, how: dict[str, Any]) -> None:
    make_wide(pair)
    pair.same(lambda side: side.client.delete(side.name, **how))
    pair.same(everything, rows=True)


@pytest.mark.parametrize(
    "change",
    [
        {"v": [1.0] * 7},
        {"v": [float("nan")] * 8},
        {"closed": "x" * 101},
        {"closed_int8": 128},
        {"found_int16": 40_000},
        {"numbers": [1, 2, 3, 4]},
        {"closed": None},
        {"closed": 5},
        {"pk": None},
        # 2.3.5 takes these, newer servers do not.
        {"closed_float": float("inf")},
        {"tags": ["x" * 21]},
        # The servers do not agree on these; a field's value must not come from elsewhere.
        {"$meta": {"closed": "x"}},
    ],
)
def test_wrong_values(wide: Pair, change: dict[str, Any]) -> None:
    """What the real server refuses in clear is refused here too; Milvus Lite takes some of it."""
    row = wide_row(1, lite=not wide.is_real) | {"pk": "another"} | change
    lenient = {"closed_float", "tags", "$meta"}
    if wide.is_real and not lenient & set(change):
        wide.same(lambda side: "ids" in side.client.insert(side.name, [row]))
    with pytest.raises(Exception, match=r"."):
        wide.guarded.client.insert(wide.guarded.name, [row])
    assert len(everything(wide.guarded, "pk != 'key 0'")) == 11


def test_columns_missing_and_unknown(pair: Pair) -> None:
    make_wide(pair, 1)
    for name in ("closed", "v", "plain", "meta", "pk"):
        row = wide_row(1, lite=not pair.is_real)
        del row[name]
        pair.same(lambda side, row=row: side.client.insert(side.name, [row]))
    pair.same(lambda side: side.client.insert(side.name, []))
    pair.same(everything, rows=True)


def test_automatic_keys(pair: Pair) -> None:
    def make(side: Side) -> Any:
        schema = MilvusClient.create_schema(auto_id=True, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
        schema.add_field("closed", DataType.VARCHAR, max_length=20)
        schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=5, max_length=20)
        params = side.client.prepare_index_params()
        params.add_index("v", index_type="AUTOINDEX", metric_type="COSINE")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    def rows(side: Side, outputs: tuple[str, ...]) -> Any:
        found = side.client.query(side.name, filter="id > 0", output_fields=list(outputs), consistency_level="Strong")
        kept = [{key: value for key, value in row.items() if key != "id"} for row in found]
        return sorted(kept, key=lambda row: str([round(abs(x), 2) for x in row["v"]] if "v" in row else row))

    pair.same(make)
    data = [
        {"v": [float(i), 1.0, 2.0, 3.0], "closed": f"text {i}", "tags": ["a", "b"], "color": "red", "n": i}
        for i in range(5)
    ]
    pair.same(lambda side: side.client.insert(side.name, data)["insert_count"])
    for outputs in (("*",), ("closed",), ("v",), ("n",), ("id",), ("tags", "color")):
        pair.same(lambda side, outputs=outputs: rows(side, outputs))
    if not pair.is_real:
        for side in (pair.straight, pair.guarded):
            key = side.client.query(side.name, filter="n == 2" if side is pair.straight else "id > 0")[0]["id"]
            changed = {"id": key, "v": [9.0, 9.0, 9.0, 9.0], "closed": "changed", "tags": [], "n": 77}
            side.client.upsert(side.name, [changed])
            (row,) = side.client.query(side.name, filter=f"id == {key}", output_fields=["*"])
            assert row["closed"] == "changed"
            assert (row["n"], row["color"]) == (77, "red")


def test_partition_key(pair: Pair) -> None:
    def make(side: Side) -> Any:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
        schema.add_field("tenant", DataType.INT64, is_partition_key=True)
        params = side.client.prepare_index_params()
        params.add_index("v", index_type="AUTOINDEX", metric_type="COSINE")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    pair.same(make)
    rows = [{"id": i, "v": [float(i), 1.0, 2.0, 3.0], "tenant": i % 3} for i in range(9)]
    pair.same(lambda side: side.client.insert(side.name, rows))
    for expression in ("tenant == 1", "tenant in [0, 2]", "tenant == 7"):
        pair.same(
            lambda side, expression=expression: side.client.query(
                side.name, filter=expression, output_fields=["*"], consistency_level="Strong"
            ),
            rows=True,
        )
    pair.same(lambda side: side.client.describe_collection(side.name)["fields"])


@pytest.mark.parametrize("level", ["Strong", "Bounded", "Session", "Eventually"])
def test_consistency_levels(pair: Pair, level: str) -> None:
    pair.same(lambda side: side.client.create_collection(side.name, dimension=4, consistency_level=level))
    pair.same(lambda side: side.client.describe_collection(side.name)["consistency_level"])
    row = {"id": 1, "vector": [1.0, 0.0, 0.0, 0.0], "closed": "x"}
    pair.same(lambda side: side.client.insert(side.name, [row]))
    pair.same(lambda side: everything(side, "id == 1"))
    for side in (pair.straight, pair.guarded):
        side.client.query(side.name, filter="id == 1", consistency_level=level)


@pytest.mark.parametrize("kind", ["FLOAT16_VECTOR", "BFLOAT16_VECTOR"])
def test_half_precision(pair: Pair, kind: str) -> None:
    """Milvus Lite has no such vectors: through the proxy it has."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType[kind], dim=16)
    x = np.random.default_rng(3).normal(size=(5, 16)).astype(np.float32)
    # A bfloat16 is the upper half of a float32.
    half = x.astype(np.float16) if kind == "FLOAT16_VECTOR" else (x.view(np.uint32) >> 16).astype(np.uint16)
    side = pair.guarded
    params = side.client.prepare_index_params()
    params.add_index("v", index_type="FLAT" if pair.is_real else "BRUTE_FORCE", metric_type="L2")
    side.client.create_collection(side.name, schema=schema, index_params=params)
    assert side.client.describe_collection(side.name)["fields"][1]["type"] == DataType[kind]
    side.client.insert(side.name, [{"id": i, "v": row.tobytes()} for i, row in enumerate(half)])
    found = {row["id"]: row["v"] for row in everything(side, "id >= 0")}
    for i, row in enumerate(half):
        (content,) = found[i]
        assert content == row.tobytes()


def test_sealed_copies(lite: MilvusServer, lite_proxy: MilvusProxy) -> None:
    """With `recover: sealed` vectors come back bit by bit."""
    x = np.random.default_rng(5).normal(size=(20, 32)).astype(np.float32)
    with paired(lite, lite_proxy, is_real=False, prefix="kept_") as both:
        side = both.guarded
        side.client.create_collection(side.name, dimension=32)
        side.client.insert(side.name, [{"id": i, "vector": row.tolist()} for i, row in enumerate(x)])
        found = {row["id"]: row["vector"] for row in everything(side, "id >= 0")}
        assert all(np.array(found[i], np.float32).tobytes() == row.tobytes() for i, row in enumerate(x))


def test_clear_collections(pair: Pair, request: pytest.FixtureRequest) -> None:
    """Where the policy says `protect: none`, messages pass as they are."""
    proxy = request.getfixturevalue("real_proxy" if pair.is_real else "lite_proxy")
    with paired(pair.straight.server, proxy, is_real=pair.is_real, prefix="clear_") as both:
        make_wide(both)
        both.same(everything, rows=True)
        both.same(lambda side: everything(side, "closed == 'plain words'"), rows=True)
        both.same(lambda side: side.client.describe_collection(side.name)["fields"])
        assert len(both.straight.client.query(both.guarded.name, filter="closed == 'plain words'")) > 0


def test_full_text_functions_over_plain_text(lite_pair: Pair) -> None:
    """Their output says no more than the text, so both are as they would be without the proxy."""

    def make(side: Side) -> Any:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
        schema.add_field("plain", DataType.VARCHAR, max_length=100, enable_analyzer=True)
        schema.add_field("closed", DataType.VARCHAR, max_length=100)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["plain"], ["words"]))
        params = side.client.prepare_index_params()
        params.add_index("v", index_type="BRUTE_FORCE", metric_type="L2")
        params.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    lite_pair.same(make)
    rows = [
        {"id": i, "v": [float(i), 1.0, 2.0, 3.0], "plain": text, "closed": "c"}
        for i, text in enumerate(("red apples", "green apples", "blue sky"))
    ]
    lite_pair.same(lambda side: side.client.insert(side.name, rows))
    lite_pair.same(lambda side: side.client.describe_collection(side.name)["functions"])
    outputs = ["id", "v", "plain", "closed"]
    lite_pair.same(lambda side: side.client.query(side.name, filter="id >= 0", output_fields=outputs), rows=True)
    lite_pair.same(lambda side: side.client.upsert(side.name, [rows[0] | {"plain": "red sky"}]))
    lite_pair.same(lambda side: side.client.query(side.name, filter="id >= 0", output_fields=outputs), rows=True)


def test_full_text_functions_over_encrypted_text_are_refused(lite_pair: Pair) -> None:
    side = lite_pair.guarded
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("closed", DataType.VARCHAR, max_length=100, enable_analyzer=True)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, ["closed"], ["words"]))
    with pytest.raises(MilvusException, match=r"closed.*mode is sealed"):
        side.client.create_collection(side.name, schema=schema)


def test_nullable_vectors(lite_pair: Pair) -> None:
    def make(side: Side) -> Any:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=4, nullable=True)
        schema.add_field("closed", DataType.INT64, nullable=True)
        params = side.client.prepare_index_params()
        params.add_index("v", index_type="BRUTE_FORCE", metric_type="L2")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    lite_pair.same(make)
    rows = [{"id": i, "v": None if i % 2 else [1.0, 2.0, 3.0, float(i)], "closed": None} for i in range(4)]
    lite_pair.same(lambda side: side.client.insert(side.name, rows))
    lite_pair.same(lambda side: everything(side, "closed is null", ("id", "closed")), rows=True)
    # Milvus Lite answers and searches nulls as if they were zeros; through the proxy they are nulls.
    side = lite_pair.guarded
    found = sorted(everything(side, "id >= 0"), key=lambda row: row["id"])
    assert [row["v"] is None for row in found] == [False, True, False, True]
    np.testing.assert_allclose(found[2]["v"], [1.0, 2.0, 3.0, 2.0], atol=1e-5)
    for options, expected in (({}, [2, 0]), ({"filter": "id > 0"}, [2])):
        (hits,) = side.client.search(side.name, [[1.0, 2.0, 3.0, 4.0]], limit=4, anns_field="v", **options)
        assert [hit["id"] for hit in hits] == expected


def test_nulls_and_defaults_of_every_type(lite_pair: Pair) -> None:
    def make(side: Side) -> Any:
        schema = MilvusClient.create_schema(enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
        for mode in ("plain", "found", "closed"):
            schema.add_field(mode, DataType.VARCHAR, max_length=20, nullable=True)
            for kind in ("BOOL", "INT8", "INT64", "FLOAT", "DOUBLE"):
                schema.add_field(f"{mode}_{kind.lower()}", DataType[kind], nullable=True)
        schema.add_field(
            "tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=3, max_length=9, nullable=True
        )
        schema.add_field("numbers", DataType.ARRAY, element_type=DataType.INT64, max_capacity=3, nullable=True)
        schema.add_field("meta", DataType.JSON, nullable=True)
        schema.add_field("color", DataType.VARCHAR, max_length=9, default_value="grey")
        schema.add_field("sealed_number", DataType.INT64, default_value=7, nullable=True)
        params = side.client.prepare_index_params()
        params.add_index("v", index_type="BRUTE_FORCE", metric_type="L2")
        return side.client.create_collection(side.name, schema=schema, index_params=params)

    values = {
        **dict.fromkeys(("plain", "found", "closed"), "text"),
        **{f"{mode}_{kind}": value for mode in ("plain", "found", "closed") for kind, value in NULLED.items()},
        "tags": ["a"],
        "numbers": [1, 2],
        "meta": {"kind": "a", "size": 1},
        "color": "red",
        "sealed_number": 1,
    }
    nothing = dict.fromkeys(values)
    rows = [
        values,
        nothing,
        {},
        {key: value for i, (key, value) in enumerate(values.items()) if i % 2},
        {key: value if i % 2 else None for i, (key, value) in enumerate(values.items())},
    ]
    lite_pair.same(make)
    given = [{"id": i, "v": [float(i), 1.0, 2.0, 3.0]} | row for i, row in enumerate(rows)]
    for row in given:
        lite_pair.same(lambda side, row=row: side.client.insert(side.name, [row]))
    full = [dict.fromkeys(values) | row | {"id": row["id"] + 10} for row in given]
    lite_pair.same(lambda side: side.client.insert(side.name, full))
    lite_pair.same(lambda side: everything(side, "id >= 0"), rows=True)
    for expression in (
        *("closed is null", "found is not null", "plain_int8 is null", "tags is null", "color == 'grey'"),
        *("found == 'text'", "found != 'text'", "found_int64 in [5, 6]", "found_bool == true"),
    ):
        lite_pair.same(lambda side, e=expression: everything(side, e, ("id", "closed", "color")), rows=True)


NULLED = {"bool": True, "int8": 3, "int64": 5, "float": 0.5, "double": 0.25}
