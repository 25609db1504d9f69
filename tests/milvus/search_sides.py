"""Two sides of the differential search tests: the same rows on the same server, in clear and behind the proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, Function, FunctionType, MilvusClient

from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer

ROWS, DIMS = 360, 16
METRICS = ("L2", "IP", "COSINE")
CATEGORIES = 11
_rng = np.random.default_rng(5)
X = (_rng.normal(size=(ROWS, DIMS)) * np.exp(0.2 * _rng.normal(size=(ROWS, 1)))).astype(np.float32)
Y = _rng.normal(size=(ROWS, DIMS // 2)).astype(np.float32)
QUERIES = _rng.normal(size=(4, DIMS)).astype(np.float32)
OTHER_QUERIES = _rng.normal(size=(4, DIMS // 2)).astype(np.float32)
SPARSE = [{int(i): float(_rng.uniform(0.1, 1)) for i in _rng.choice(40, 6, replace=False)} for _ in range(ROWS)]
SPARSE_QUERIES = [{int(i): float(_rng.uniform(0.1, 1)) for i in _rng.choice(40, 8, replace=False)} for _ in range(4)]
KEYS = [int(key) for key in _rng.permutation(10 * ROWS)[:ROWS]]

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "*"
    vectors:
      - match: "*"
        transforms: [{kind: rotation}%s]
        recover: derived
        rerank: %s
    payload:
      default: sealed
      fields: {num: plain, ok: plain, cat: searchable, colour: searchable, part: searchable, text: plain}
    limits: {max_limit: 16384}
"""
_NOISE = ", {kind: gaussian, ratio: 1.0}"
# Keys, and so the noise, are others in each run: what has to be equal must not be so in 99.9 % of the cases alone.
POLICIES = {
    "rotated": POLICY % ("", "{certainty: 3.0}"),
    "noised": POLICY % (_NOISE, "{certainty: 6.0}"),
    "capped": POLICY % (_NOISE, "{certainty: 6.0, first_page: 10, max_candidates: 20}"),
    "estimated": POLICY % (_NOISE, '"off"'),
}


@dataclass(frozen=True)
class Side:
    """A client of a server, and the prefix of its collections' names."""

    client: MilvusClient
    prefix: str
    server: MilvusServer

    def name(self, kind: str) -> str:
        """The collection of that kind."""
        return f"{self.prefix}_{kind}"


Sides = tuple[Side, Side]


def row(i: int) -> dict[str, Any]:
    """One row but for its vectors."""
    return {
        "id": KEYS[i],
        "num": i % 7,
        "ok": i % 3 == 0,
        "cat": f"c{i % CATEGORIES}",
        "colour": ("red", "green", "blue")[i % 3],
        "price": i / 3,
        "note": f"note {i}",
    }


def make_plain(side: Side, metric: str) -> None:
    """One vector, as every server has it."""
    client = side.client
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("num", DataType.INT64)
    schema.add_field("ok", DataType.BOOL)
    schema.add_field("cat", DataType.VARCHAR, max_length=40)
    schema.add_field("price", DataType.DOUBLE)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type=metric)
    name = side.name(metric.lower())
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.create_partition(name, "half")
    rows = [row(i) | {"v": X[i].tolist()} for i in range(ROWS)]
    client.insert(name, rows[: ROWS // 2])
    client.insert(name, rows[ROWS // 2 :], partition_name="half")
    client.load_collection(name)


def make_rich(side: Side) -> None:
    """Several vectors, a text primary key, null values."""
    client = side.client
    schema = client.create_schema(auto_id=False)
    schema.add_field("key", DataType.VARCHAR, max_length=40, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("w", DataType.FLOAT_VECTOR, dim=DIMS // 2)
    schema.add_field("s", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("num", DataType.INT64)
    schema.add_field("part", DataType.VARCHAR, max_length=40, nullable=True)
    schema.add_field("price", DataType.DOUBLE, nullable=True)
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=20)
    schema.add_field("doc", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    index.add_index("w", index_type="FLAT", metric_type="L2")
    index.add_index("s", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(side.name("rich"), schema=schema, index_params=index)
    rows = [
        {
            "key": f"k{KEYS[i]}",
            "v": X[i].tolist(),
            "w": Y[i].tolist(),
            "s": SPARSE[i],
            "num": i % 7,
            "part": None if i % 5 == 0 else f"p{i % 13}",
            "price": None if i % 4 == 0 else i / 3,
            "tags": [f"t{i % 4}", "x"],
            "doc": {"a": i, "b": [i % 3]},
        }
        for i in range(ROWS)
    ]
    client.insert(side.name("rich"), rows)
    client.load_collection(side.name("rich"))


def make_auto(side: Side) -> None:
    """Primary keys that the database makes."""
    client = side.client
    schema = client.create_schema(auto_id=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("note", DataType.VARCHAR, max_length=40)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection(side.name("auto"), schema=schema, index_params=index, consistency_level="Strong")
    client.insert(side.name("auto"), [{"v": X[i].tolist(), "note": f"note {i}"} for i in range(ROWS)])
    client.load_collection(side.name("auto"))


WORDS = ("apple", "banana", "cherry", "dog", "elephant", "forest", "garden", "house", "island", "jungle")


def make_words(side: Side) -> None:
    """Plain text that the database makes vectors of, beside vectors that it is given."""
    client = side.client
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("text", DataType.VARCHAR, max_length=200, enable_analyzer=True)
    schema.add_field("bm", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("note", DataType.VARCHAR, max_length=40)
    function = Function("f", FunctionType.BM25, input_field_names=["text"], output_field_names=["bm"])
    schema.add_function(function)
    index = client.prepare_index_params()
    index.add_index("bm", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    index.add_index("v", index_type="FLAT", metric_type="IP")
    client.create_collection(side.name("words"), schema=schema, index_params=index)
    texts = [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 2 + i % 6)) for i in range(ROWS)]
    rows = [{"id": KEYS[i], "text": texts[i], "v": X[i].tolist(), "note": f"note {i}"} for i in range(ROWS)]
    client.insert(side.name("words"), rows)
    client.load_collection(side.name("words"))


def make_half(side: Side) -> None:
    """Vectors of 16-bit numbers."""
    client = side.client
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("h", DataType.FLOAT16_VECTOR, dim=DIMS)
    index = client.prepare_index_params()
    index.add_index("h", index_type="FLAT", metric_type="L2")
    client.create_collection(side.name("half"), schema=schema, index_params=index, consistency_level="Strong")
    client.insert(side.name("half"), [{"id": KEYS[i], "h": X[i].astype(np.float16)} for i in range(ROWS)])
    client.load_collection(side.name("half"))


def alike(expected: Any) -> Any:
    """What equals the expected value of an answer but for rounding."""
    if isinstance(expected, float):
        return pytest.approx(expected, rel=1e-4, abs=1e-4)
    if isinstance(expected, list) and expected and isinstance(expected[0], float):
        return pytest.approx(expected, rel=1e-4, abs=1e-4)
    if isinstance(expected, dict):
        return {key: alike(value) for key, value in expected.items()}
    return expected


def entity(hit: Any) -> dict[str, Any]:
    """A hit's columns; vectors as lists, sparse ones with plain numbers."""
    columns = {}
    for key, value in hit["entity"].items():
        is_sequence = isinstance(value, np.ndarray) or type(value).__name__ == "RepeatedScalarContainer"
        columns[key] = list(value) if is_sequence else value
    return columns


def _without_ties(hits: Sequence[Any]) -> list[Any]:
    """Hits by distance and key, but for those that stand as far as the last."""
    nearer = [hit for hit in hits if hit["distance"] != hits[-1]["distance"]]
    return sorted(nearer, key=lambda hit: (hit["distance"], hit.id))


def compare(straight: Sequence[Any], through: Sequence[Any], *, keys: bool = True, ties: bool = False) -> None:
    """Both answers have the same rows, at the same distances, with the same columns, in the same order.

    keys: the rows have the same primary keys. ties: rows at equal distances may come in another order, and of those at
    the last distance others may come.
    """
    assert len(straight) == len(through)
    for expected, found in zip(straight, through, strict=True):
        assert [hit["distance"] for hit in found] == pytest.approx(
            [hit["distance"] for hit in expected], rel=1e-4, abs=1e-4
        )
        in_order = [_without_ties(hits) if ties else list(hits) for hits in (found, expected)]
        if keys:
            assert [hit.id for hit in in_order[0]] == [hit.id for hit in in_order[1]]
        for one, other in zip(*in_order, strict=True):
            assert entity(one) == alike(entity(other))


@contextlib.contextmanager
def both(server: MilvusServer, policy: str, folder: Any, make: Callable[[Side], None]) -> Iterator[Sides]:
    """The server in clear, and behind the proxy under a policy."""
    with (
        serving_milvus(folder, server, POLICIES[policy]) as proxy,
        server.client() as straight,
        proxy.client() as through,
    ):
        sides = Side(straight, f"clear_{policy}", server), Side(through, f"hidden_{policy}", proxy)
        for side in sides:
            make(side)
        yield sides
