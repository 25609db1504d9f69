"""Random sequences of writes, straight and through the proxy: the same rows after every step."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from milvus.pairs import Pair, Side

pytestmark = pytest.mark.slow

STEPS = 40
COLORS = ["red", "green", "blue", "größe"]


def make(side: Side) -> None:
    schema = MilvusClient.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("found", DataType.VARCHAR, max_length=30)
    schema.add_field("closed", DataType.INT64)
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4, max_length=20)
    schema.add_field("meta", DataType.JSON)
    params = side.client.prepare_index_params()
    params.add_index("v", index_type="AUTOINDEX", metric_type="L2")
    side.client.create_collection(side.name, schema=schema, index_params=params, consistency_level="Strong")


def some_row(rng: random.Random, key: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": key,
        "v": [round(rng.uniform(-1, 1), 3) for _ in range(4)],
        "found": rng.choice(COLORS),
        "closed": rng.randrange(-5, 5),
        "tags": rng.sample(COLORS, rng.randrange(4)),
        "meta": {"kind": rng.choice(COLORS), "size": rng.randrange(3), "deep": [{"x": rng.random() < 0.5}]},
    }
    if rng.random() < 0.7:
        row["color"] = rng.choice(COLORS)
    return row


def some_expression(rng: random.Random) -> str:
    color = rng.choice(COLORS)
    return rng.choice(
        [
            f"id in {[rng.randrange(20) for _ in range(3)]}",
            f"id < {rng.randrange(20)}",
            f"found == '{color}'",
            f"found != '{color}' and id > {rng.randrange(15)}",
            f"found in ['{color}', 'none'] or meta['kind'] == '{color}'",
            f"array_contains(tags, '{color}')",
            f"meta['size'] > {rng.randrange(3)}",
            f"not (color == '{color}') and id > 5",
        ]
    )


def step(rng: random.Random) -> tuple[str, Any]:
    """One operation on `side.client`: its method, and what it is given beside the collection's name."""
    kind = rng.choice(["insert", "upsert", "upsert", "delete_ids", "delete", "query", "query", "count"])
    if kind == "insert":
        start = rng.randrange(20, 1000)
        return kind, [some_row(rng, start * 10 + i) for i in range(rng.randrange(1, 4))]
    if kind == "upsert":
        return kind, [some_row(rng, key) for key in rng.sample(range(20), rng.randrange(1, 4))]
    if kind == "delete_ids":
        return kind, rng.sample(range(20), 2)
    return kind, some_expression(rng)


def run(side: Side, kind: str, argument: Any) -> Any:
    client, name = side.client, side.name
    if kind == "insert":
        return client.insert(name, argument)["insert_count"]
    if kind == "upsert":
        return client.upsert(name, argument)["upsert_count"]
    if kind == "delete_ids":
        return client.delete(name, ids=argument)
    if kind == "delete":
        return client.delete(name, filter=f"({argument}) and id >= 15")
    if kind == "count":
        return client.query(name, filter=argument, output_fields=["count(*)"], consistency_level="Strong")
    found = client.query(name, filter=argument, output_fields=["*"], consistency_level="Strong")
    return sorted(([row["id"], row["found"], row["closed"], row["tags"], row["meta"]] for row in found), key=str)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_rows_after_every_step(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)
    for side in (pair.straight, pair.guarded):
        make(side)
    first = [some_row(rng, key) for key in range(20)]
    pair.same(lambda side: side.client.insert(side.name, first)["insert_count"])
    for _ in range(STEPS):
        kind, argument = step(rng)
        pair.same(lambda side, kind=kind, argument=argument: run(side, kind, argument))
    pair.same(
        lambda side: side.client.query(side.name, filter="id >= 0", output_fields=["*"], consistency_level="Strong"),
        rows=True,
    )
