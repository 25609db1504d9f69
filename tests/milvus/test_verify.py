"""`vecguard verify` of Milvus collections: on Milvus Lite and on the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType

from milvus.pairs import Pair
from vecguard.config import Settings, parse_upstream
from vecguard.upkeep.access import open_database
from vecguard.upkeep.verify import Verification, verify

DIMS = 8


def looked(pair: Pair, name: str, ledger: Path | None = None) -> Verification:
    proxy = pair.guarded.server
    settings = Settings(
        upstream=(parse_upstream(f"milvus://{pair.straight.server.target}"),), key=f"file:{proxy.key_file}"
    )

    async def look() -> Verification:
        async with open_database(settings) as database:
            return await verify(database, name, ledger)

    return asyncio.run(look())


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "pk": i - 3,
            "v": [float((i * 7 + k * k) % 11) for k in range(DIMS)],
            "text": f"text {i}",
            "found": f"word {i % 5}",
            "extra": f"more {i}",
        }
        for i in range(count)
    ]


@pytest.fixture
def name(pair: Pair) -> str:
    """A protected collection with 250 rows, of which the first has the key -3."""
    client, name = pair.guarded.client, pair.guarded.name
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("text", DataType.VARCHAR, max_length=64)
    schema.add_field("found", DataType.VARCHAR, max_length=64)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(name, rows_of(250))
    client.load_collection(name)
    return name


def stored(pair: Pair, name: str, *keys: int) -> list[dict[str, Any]]:
    """Rows as they lie at rest."""
    found = pair.straight.client.query(name, filter=f"pk in {list(keys)}", output_fields=["*"])
    by_key = {row["pk"]: dict(row) for row in found}
    return [by_key[key] for key in keys]


Damage = Callable[[dict[str, Any], dict[str, Any]], None]


def swapped(column: str) -> Damage:
    return lambda one, two: one.update({column: two[column]})


def flipped(column: str) -> Damage:
    def damage(one: dict[str, Any], two: dict[str, Any]) -> None:
        text = one[column]
        one[column] = text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:]

    return damage


def shifted(one: dict[str, Any], two: dict[str, Any]) -> None:
    one["v"] = [float(number) + 0.5 for number in one["v"]]


DAMAGE: dict[str, tuple[Damage, str]] = {
    "vector altered": (shifted, "vector `v`"),
    "vector swapped": (swapped("v"), "vector `v`"),
    "record altered": (flipped("_vg_v"), "vector `v`"),
    "record swapped": (swapped("_vg_v"), "vector `v`"),
    "record truncated": (lambda one, two: one.update(_vg_v=one["_vg_v"][:-8]), "vector `v`"),
    "record of another collection": (
        lambda one, two: one.update(_vg_v=one["_vg_v"].replace(one["_vg_v"].split(".")[1], "0123456789abcdef")),
        "vector `v`",
    ),
    "text altered": (flipped("text"), "field `text`"),
    "text swapped": (swapped("text"), "field `text`"),
    "text in clear": (lambda one, two: one.update(text="text 1"), "field `text`"),
    "token altered": (flipped("found"), "field `found`"),
    "dynamic field swapped": (swapped("extra"), "field `$meta`"),
}


def put(pair: Pair, name: str, row: dict[str, Any]) -> None:
    """Write a row at rest; by deletion and insertion, as old servers cannot upsert everywhere."""
    pair.straight.client.delete(name, ids=[row["pk"]])
    pair.straight.client.insert(name, [row])


@pytest.mark.slow
def test_damage_is_found_and_named(pair: Pair, name: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    found = looked(pair, name, ledger)
    assert (found.records, found.bad) == (250, {})
    for case, (damage, fault) in DAMAGE.items():
        one, two = stored(pair, name, -3, 8)
        before = dict(one)
        damage(one, two)
        put(pair, name, one)
        assert looked(pair, name).bad == {"-3": (fault,)}, case
        put(pair, name, before)
    again = looked(pair, name, ledger)
    assert again.bad == {}
    assert again.changes is not None
    assert again.changes.none
    one, two = stored(pair, name, -3, 8)
    one["found"] = two["found"]  # authentic, and bound to no row
    put(pair, name, one)
    third = looked(pair, name, ledger)
    assert third.bad == {}
    assert third.changes is not None
    assert third.changes.changed == ["-3"]


@pytest.mark.slow
def test_rows_whose_keys_the_database_makes(lite_pair: Pair) -> None:
    client, name = lite_pair.guarded.client, lite_pair.guarded.name
    schema = client.create_schema(auto_id=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("text", DataType.VARCHAR, max_length=64, nullable=True)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(name, [{"v": [float(i + k) for k in range(DIMS)], "text": None if i else "x"} for i in range(5)])
    client.load_collection(name)
    found = looked(lite_pair, name)
    assert (found.records, found.bad) == (5, {})
