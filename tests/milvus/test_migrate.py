"""`vecguard migrate` of Milvus collections, and between Qdrant and Milvus."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from qdrant_client import models
from serving import Server, serving_proxy

from milvus.pairs import POLICY, Pair
from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer
from milvus.test_verify import DIMS, looked
from vecguard.config import Settings, parse_upstream
from vecguard.errors import Refused
from vecguard.upkeep.forecast import Forecast, forecast
from vecguard.upkeep.journal import Journal
from vecguard.upkeep.migrate import Migration
from vecguard.upkeep.plan import Order, planned

COUNT = 250


def settings_of(upstream: str, key: Path | None, policy: Path) -> Settings:
    return Settings(upstream=(parse_upstream(upstream),), key=f"file:{key}", policy=policy)


def migrated(order: Order, source: Settings, target: Settings | None = None) -> Journal:
    async def run() -> Journal:
        async with planned(order, source, None, target) as plan:
            return await Migration(plan.source, plan.target, plan.policy, order.state, plan.journal).run()

    return asyncio.run(run())


def rows_of(*, newer: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    rows = []
    for i in range(COUNT):
        row: dict[str, Any] = {
            "pk": f'key {i:03d} "ü"',
            "v": rng.normal(size=DIMS).astype(np.float32).tolist(),
            "text": f"text {i}",
            "found": f"word {i % 5}",
            "year": i - 9,
            "share": 0.1 * i,
            "words": [f"w{k}" for k in range(i % 3)],
            "doc": {"deep": [i, 1.0, None, True]},
            "extra": f"more {i}",
        }
        if newer:
            row["maybe"] = None if i % 2 else i
            row["s"] = {i + 1: 0.5, 3 * i + 7: 2.0}
        rows.append(row)
    return rows


def make(client: MilvusClient, name: str, *, newer: bool) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True, description="ours")
    schema.add_field("pk", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("text", DataType.VARCHAR, max_length=64)
    schema.add_field("found", DataType.VARCHAR, max_length=64)
    schema.add_field("year", DataType.INT32)
    schema.add_field("share", DataType.DOUBLE)
    schema.add_field("words", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8, max_length=16)
    schema.add_field("doc", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    if newer:
        schema.add_field("maybe", DataType.INT64, nullable=True)
        schema.add_field("s", DataType.SPARSE_FLOAT_VECTOR)
        index.add_index("s", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(name, rows_of(newer=newer))
    client.load_collection(name)


def content(client: MilvusClient, name: str) -> dict[str, dict[str, Any]]:
    found = client.query(name, filter='pk >= ""', output_fields=["*"], limit=1000)
    return {row["pk"]: dict(row) for row in found}


def assert_same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    assert one.keys() == other.keys()
    for key, row in one.items():
        assert row.keys() == other[key].keys()
        for name, value in row.items():
            if name == "v":
                assert np.allclose(value, other[key][name], atol=1e-5)
            else:
                assert value == other[key][name], (key, name)


@pytest.mark.slow
def test_clear_to_protected_in_place_and_back(pair: Pair, tmp_path: Path) -> None:
    """The old collection is kept under another name; then out again, into a collection in clear."""
    file, name, newer = tmp_path / "policy.yaml", pair.guarded.name, not pair.is_real
    file.write_text(POLICY)
    straight, guarded = pair.straight.client, pair.guarded.client
    make(straight, name, newer=newer)
    before = content(straight, name)
    assert len(before) == COUNT
    settings = settings_of(
        f"milvus://{pair.straight.server.target}",
        pair.guarded.server.key_file,  # type: ignore[attr-defined]
        file,
    )
    journal = migrated(Order(name, None, tmp_path / "state"), settings)
    try:
        assert (journal.phase, journal.copied, journal.repaired) == ("done", COUNT, 0)
        assert_same(before, content(guarded, name))
        straight.load_collection(journal.aside)
        assert_same(before, content(straight, journal.aside))
        assert (looked(pair, name).records, looked(pair, name).bad) == (COUNT, {})
        stored = straight.query(name, filter='pk >= ""', output_fields=["text", "year"], limit=5)
        assert all(row["text"].startswith("vg:") and isinstance(row["year"], int) for row in stored)
        hits = guarded.search(name, data=[before[min(before)]["v"]], anns_field="v", limit=1)
        assert hits[0].ids[0] == min(before)
        clear = f"clear_{name}"
        order = Order(name, clear, tmp_path / "out", f"store {name} in clear")
        assert migrated(order, settings).phase == "done"
        assert_same(before, content(straight, clear))
        straight.drop_collection(clear)
    finally:
        straight.drop_collection(journal.aside)


@pytest.mark.slow
def test_between_qdrant_and_milvus(lite_pair: Pair, engine: Server, tmp_path: Path) -> None:
    """There and back: the same vectors and payload."""
    file, name, key = tmp_path / "policy.yaml", lite_pair.guarded.name, lite_pair.guarded.server.key_file  # type: ignore[attr-defined]
    file.write_text(POLICY)
    milvus = settings_of(f"milvus://{lite_pair.straight.server.target}", key, file)
    qdrant = settings_of(f"qdrant://{engine.target}", key, file)
    rng = np.random.default_rng(5)
    with serving_proxy(tmp_path / "proxy", POLICY, upstream=f"qdrant://{engine.target}", key_file=key) as proxy:
        client = proxy.client()
        client.create_collection(name, vectors_config=models.VectorParams(size=DIMS, distance=models.Distance.COSINE))
        payloads = [{"text": f"text {i}", "meta": {"kind": "a", "deep": [i, 0.5, None]}} for i in range(COUNT)]
        vectors = rng.normal(size=(COUNT, DIMS)).astype(np.float32)
        ids = [i if i % 2 else f"00000000-0000-4000-8000-{i:012d}" for i in range(COUNT)]
        client.upsert(
            name,
            [
                models.PointStruct(id=at, vector=vector.tolist(), payload=payload)
                for at, vector, payload in zip(ids, vectors, payloads, strict=True)
            ],
            wait=True,
        )

        async def look() -> Forecast:
            async with planned(Order(name, name, tmp_path / "no"), qdrant, None, milvus) as plan:
                return await forecast(plan.source, plan.target, plan.policy)

        assert asyncio.run(look()).recall["vector"].at_10 > 0.95
        there = migrated(Order(name, name, tmp_path / "there"), qdrant, milvus)
        assert (there.phase, there.copied, there.repaired) == ("done", COUNT, 0)
        assert looked(lite_pair, name).records == COUNT
        guarded = lite_pair.guarded.client
        rows = guarded.query(name, filter='id >= ""', output_fields=["*"], limit=1000)
        assert {row["id"]: row["text"] for row in rows} == {str(at): f"text {i}" for i, at in enumerate(ids)}
        back = migrated(Order(name, f"{name}_back", tmp_path / "back"), milvus, qdrant)
        assert (back.phase, back.repaired) == ("done", 0)
        found, _ = client.scroll(f"{name}_back", limit=1000, with_vectors=True)
        assert {str(point.payload["text"]) for point in found if point.payload} == {p["text"] for p in payloads}
        first = next(point for point in found if point.payload and point.payload["text"] == "text 1")
        assert first.payload == {"id": "1", **payloads[1]}
        assert isinstance(first.vector, dict)
        assert np.allclose(first.vector["vector"], vectors[1] / np.linalg.norm(vectors[1]), atol=1e-4)
        for collection in (name, f"{name}_back"):
            client.delete_collection(collection)
        client.close()


@pytest.mark.slow
def test_what_cannot_be_carried_over(lite_pair: Pair, tmp_path: Path) -> None:
    file, name = tmp_path / "policy.yaml", lite_pair.guarded.name
    file.write_text(POLICY)
    client = lite_pair.straight.client
    client.create_collection(name, dimension=DIMS, auto_id=True, id_type="int", primary_field_name="pk")
    settings = settings_of(
        f"milvus://{lite_pair.straight.server.target}",
        lite_pair.guarded.server.key_file,  # type: ignore[attr-defined]
        file,
    )
    with pytest.raises(Refused, match="keys that the database makes"):
        migrated(Order(name, None, tmp_path / "state"), settings)


HIDING = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "clear_*"
    protect: none
  - match: "*"
    payload: {default: sealed, fields: {found: searchable, year: range}, hash_names: true}
    ids: encrypted
"""


@pytest.mark.slow
def test_to_encrypted_keys_and_hidden_names_and_back_to_clear(server: MilvusServer, tmp_path: Path) -> None:
    """Every row is there both ways, and between them the database holds neither keys nor names of the client's."""
    name, newer = "hiding_all", server.data.parent.name.startswith("lite")
    with (
        server.client() as straight,
        serving_milvus(tmp_path / "proxy", server, HIDING) as proxy,
        proxy.client() as guarded,
    ):
        make(straight, name, newer=newer)
        before = content(straight, name)
        assert proxy.policy is not None
        settings = settings_of(f"milvus://{server.target}", proxy.key_file, proxy.policy)
        journal = migrated(Order(name, None, tmp_path / "state"), settings)
        assert (journal.phase, journal.copied, journal.repaired) == ("done", COUNT, 0)
        assert_same(before, content(guarded, name))
        late = guarded.query(name, filter="year > 200 and found == 'word 3'", output_fields=["pk"], limit=1000)
        assert {row["pk"] for row in late} == {
            key for key, row in before.items() if row["year"] > 200 and row["found"] == "word 3"
        }
        stored = straight.query(name, filter='pk >= ""', output_fields=["*"], limit=1000)
        assert len(stored) == COUNT
        assert not {row["pk"] for row in stored} & before.keys()
        # The names of columns stay; keys of JSON and dynamic fields are names, too.
        shown = str([dict(row) for row in stored])
        words = ("text 7", "word 3", "more 7", "'extra'", '"extra"', "'deep'", '"deep"')  # bare ones occur by chance
        assert [word for word in words if word in shown] == []
        order = Order(name, f"clear_{name}", tmp_path / "out", f"store {name} in clear")
        assert migrated(order, settings).phase == "done"
        assert_same(before, content(straight, order.to or ""))
        for made in (order.to, journal.aside, name):
            straight.drop_collection(made)
