"""Range fields in Milvus: comparisons select the same rows straight and through the proxy, at every type's edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.pairs import Pair, Side, paired
from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer

pytestmark = pytest.mark.slow

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "*"
    vectors:
      - transforms: [{kind: rotation}]
    payload:
      default: sealed
      fields: {i8: range, i64: range, f: range, d: range, maybe: range, j.n: range, j.deep.n: range, loose: range}
"""
EDGES: dict[str, list[Any]] = {
    "i8": [-128, -1, 0, 1, 5, 127],
    "i64": [-(2**63), -(2**53) - 1, -1, 0, 7, 2**53 + 1, 2**63 - 1],
    "f": [-3.5, -0.0, 0.0, 0.5, 2.0**-100, 2.0**100],
    "d": [-1.7e308, -0.1, -0.0, 0.0, 5e-324, 0.1, 1 / 3, 1.7e308],
    "n": [-(2**53), -1, -0.5, 0, 0.0, 1, 2.5, 2**40, "5", True, None, [1, 2], {"n": 3}],
}
ROWS = 60


def some_row(i: int, *, nullable: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": i, "v": [1.0, float(i)]}
    for name in ("i8", "i64", "f", "d"):
        row[name] = EDGES[name][i % len(EDGES[name])]
    row["j"] = {"n": EDGES["n"][i % len(EDGES["n"])], "deep": {"n": EDGES["n"][(i * 5) % len(EDGES["n"])]}, "word": "w"}
    if i % 4:
        row["loose"] = EDGES["n"][(i * 7) % 8]
    if i % 9 == 0:
        del row["j"]["n"]
    if nullable:
        row = without_booleans(row)
        row["maybe"] = None if i % 3 == 0 else i
    return row


def without_booleans(row: dict[str, Any]) -> dict[str, Any]:
    """Milvus Lite compares true with numbers, as Python does."""
    for holder in (row, row["j"], row["j"]["deep"]):
        for key in [key for key, value in holder.items() if value is True]:
            del holder[key]
    return row


def make(side: Side, *, nullable: bool) -> None:
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
    types = {"i8": DataType.INT8, "i64": DataType.INT64, "f": DataType.FLOAT, "d": DataType.DOUBLE}
    for name, data_type in types.items():
        schema.add_field(name, data_type)
    if nullable:
        schema.add_field("maybe", DataType.INT64, nullable=True)
    schema.add_field("j", DataType.JSON)
    params = side.client.prepare_index_params()
    params.add_index("v", index_type="FLAT", metric_type="L2")
    side.client.create_collection(side.name, schema=schema, index_params=params, consistency_level="Strong")
    side.client.insert(side.name, [some_row(i, nullable=nullable) for i in range(ROWS)])


@pytest.fixture(scope="module", params=["lite", "real"])
def ranged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The rows on both sides, before each of the two servers."""
    server: MilvusServer = request.getfixturevalue(request.param)
    with (
        serving_milvus(tmp_path_factory.mktemp("range-proxy"), server, POLICY) as proxy,
        paired(server, proxy, is_real=request.param == "real") as both,
    ):
        for side in (both.straight, both.guarded):
            make(side, nullable=not both.is_real)
        yield both


def selected(side: Side, text: str) -> list[int]:
    found = side.client.query(side.name, filter=text, output_fields=["id"], limit=1_000, consistency_level="Strong")
    return sorted(row["id"] for row in found)


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["i8", "i64", "f", "d", 'j["n"]', 'j["deep"]["n"]', "loose"]))
    values = EDGES.get(name, [value for value in EDGES["n"] if isinstance(value, int | float) and value is not True])
    # -2^63 cannot be read by Milvus 2.3.
    bound = st.sampled_from([value for value in values if value != -(2**63)]).map(repr)
    # Neither server looks for a JSON value in every list; Lite tells zeros apart in one.
    listed = ["{0} in [{2}, {3}]"] if name in ("i8", "i64") else []
    shape = draw(st.sampled_from(["{0} {1} {2}", "{2} {1} {0}", "{0} == {2}", *listed]))
    one = shape.format(name, draw(st.sampled_from(["<", "<=", ">", ">="])), draw(bound), draw(bound))
    return f"not ({one})" if draw(st.booleans()) and name in EDGES else one


@st.composite
def expressions(draw: st.DrawFn) -> str:
    return draw(st.sampled_from([" and ", " or "])).join(draw(st.lists(comparisons(), min_size=1, max_size=2)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions())
def test_expressions_select_the_same_rows(ranged: Pair, text: str) -> None:
    ranged.same(lambda side: selected(side, text))


@pytest.mark.parametrize(
    "text",
    [
        "i64 > 9007199254740992",
        "i64 <= -9007199254740993",
        "i64 != 7",
        "i8 not in [0, 5]",
        'j["n"] > 0',
        'not (j["n"] > 0)',
        "loose >= -1",
        '$meta["loose"] < 2.5',
        "i64 > 9223372036854775807",
        "f > 1 and id < 40",
    ],
)
def test_comparisons(ranged: Pair, text: str) -> None:
    if text.startswith("not") and not ranged.is_real:
        pytest.skip("Milvus Lite does not select rows without the key then; Milvus does")
    ranged.same(lambda side: selected(side, text))


# Milvus Lite takes nulls for values that are in no list, so `not in` is not asked of them.
NULLS = [
    *("maybe > 5", "not (maybe > 5)", "maybe is null", "maybe == 7", "maybe != 7", "maybe in [7, 8]"),
    *("not (maybe > 5 and id < 40)", "not (maybe <= 5 or i8 > 0)", "not (not (maybe >= 9))"),
]


@pytest.mark.parametrize("text", NULLS)
def test_nulls_are_in_no_range(ranged: Pair, text: str) -> None:
    if ranged.is_real:
        pytest.skip("Milvus 2.3.5 has no nulls")
    ranged.same(lambda side: selected(side, text))


def test_rows_come_back_and_deletes_and_searches_obey_ranges(ranged: Pair) -> None:
    def found(side: Side) -> Any:
        return side.client.query(
            side.name, filter="i64 >= 0 and d < 1", output_fields=["*"], consistency_level="Strong"
        )

    ranged.same(found, rows=True)

    def nearest(side: Side) -> Any:
        (hits,) = side.client.search(side.name, [[1.0, 20.0]], filter="loose > 20 or i8 < 0", limit=5)
        return sorted(hit["id"] for hit in hits)

    ranged.same(nearest)
    ranged.same(lambda side: side.client.describe_collection(side.name)["fields"])
    ranged.same(lambda side: side.client.delete(side.name, filter="i8 == 127 and f > -1") and None)
    ranged.same(lambda side: selected(side, "id >= 0"))
    restored = [some_row(i, nullable=not ranged.is_real) for i in range(ROWS)]
    ranged.same(lambda side: side.client.upsert(side.name, restored)["upsert_count"])
    ranged.same(lambda side: selected(side, "i8 > 100"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("i64 + 1 > 5", "its mode is range"),
        ("i8 > i64", "its mode is range"),
        ('j["n"] > "a"', "its mode is range"),
        ('j["n"] > 9007199254740993', "in JSON, ranges are of doubles"),
        ('j["n"][0] > 1', "its mode is range"),
        ('json_contains(j["n"], 1)', "its mode is range"),
        ("_vgl_i64 is not null", "not exist"),
        ('$meta["_vgl_loose"] is not null', "not exist"),
    ],
)
def test_what_labels_cannot_answer_is_refused(ranged: Pair, text: str, words: str) -> None:
    with pytest.raises(MilvusException, match="(?s)" + words.replace("$", r"\$")):
        selected(ranged.guarded, text)


def test_two_bounds_in_one_comparison(ranged: Pair) -> None:
    """Milvus Lite has no such comparisons itself."""
    for both, apart in (("0 < d <= 0.3", "d > 0 and d <= 0.3"), ("5 >= i8 > -1", "i8 <= 5 and i8 > -1")):
        assert selected(ranged.guarded, both) == selected(ranged.straight, apart) != []
