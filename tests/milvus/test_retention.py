"""Retention before Milvus: rows whose column says that they are too old are in no answer, and are swept."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer
from milvus.test_rotation import rotate_command, run
from vecguard.config import Settings, parse_upstream
from vecguard.upkeep.retention import sweep

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "told_*"
    retention: {after: 1h, field: created, clock: seconds}
    payload: {default: sealed, fields: {created: plain}}
  - match: "written_*"
    retention: 1h
"""
DIMS = 4
GONE = [1, 4]
LEFT = [2, 3, 5, 6]


def make(client: MilvusClient, name: str) -> None:
    schema = client.create_schema(auto_id=False)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("created", DataType.INT64)
    schema.add_field("text", DataType.VARCHAR, max_length=32)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lite", "real"])
def test_no_answer_has_them(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server: MilvusServer = request.getfixturevalue(kind)
    now, name = int(time.time()), f"told_{kind}"
    with serving_milvus(tmp_path / "proxy", server, POLICY) as proxy, proxy.client() as client:
        make(client, name)
        rows: list[dict[str, Any]] = [
            {"pk": i, "v": [float(i), 1.0, 2.0, 3.0], "created": now - (7200 if i in GONE else 0), "text": f"t{i}"}
            for i in range(1, 7)
        ]
        client.insert(name, rows)
        client.load_collection(name)
        assert sorted(row["pk"] for row in client.query(name, filter="pk > 0", output_fields=["text"])) == LEFT
        assert sorted(row["pk"] for row in client.get(name, ids=[1, 2])) == [2]
        assert client.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"] == len(LEFT)
        hits = client.search(name, data=[[1.0, 1.0, 2.0, 3.0]], anns_field="v", limit=6)
        assert sorted(hits[0].ids) == LEFT
        client.delete(name, filter="pk in [1, 2]")
        settings = Settings(
            upstream=(parse_upstream(f"milvus://{server.target}"),), key=f"file:{proxy.key_file}", policy=proxy.policy
        )

        def swept(*, dry_run: bool) -> dict[str, int]:
            found = asyncio.run(sweep(settings, None, lambda event, **fields: None, dry_run=dry_run))
            return {one.collection: one.expired for one in found if not one.failure}

        assert swept(dry_run=True)[name] == 2
        assert swept(dry_run=False)[name] == 2
        assert swept(dry_run=True)[name] == 0
        assert sorted(row["pk"] for row in client.query(name, filter="pk > 0", output_fields=["text"])) == [3, 5, 6]
        client.drop_collection(name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lite", "real"])
def test_rows_count_from_their_writing(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A column of the proxy's own tells of it; a rotation of keys makes no row younger."""
    server: MilvusServer = request.getfixturevalue(kind)
    name, start = f"written_{kind}", time.time()
    with serving_milvus(tmp_path / "proxy", server, POLICY) as proxy, proxy.client() as client:
        make(client, name)
        shown = client.describe_collection(name)
        assert [field["name"] for field in shown["fields"]] == ["pk", "v", "created", "text"]
        client.insert(name, [{"pk": i, "v": [float(i), 1.0, 2.0, 3.0], "created": 0, "text": "t"} for i in range(1, 7)])
        client.load_collection(name)
        assert sorted(row["pk"] for row in client.query(name, filter="pk > 0", output_fields=["*"])) == [*range(1, 7)]
        with server.client() as straight:
            stored = straight.query(name, filter="pk > 0", output_fields=["*"])
            assert all(start - 1 <= row["_vgt"] <= time.time() for row in stored)
            straight.delete(name, ids=GONE)
            straight.insert(name, [row | {"_vgt": int(start) - 7200} for row in stored if row["pk"] in GONE])
        assert sorted(row["pk"] for row in client.query(name, filter="pk > 0", output_fields=["text"])) == LEFT
        assert "_vgt" not in client.query(name, filter="pk == 2", output_fields=["*"])[0]
        done = run(rotate_command(server, proxy, name))
        assert done.returncode == 0, done.stderr
        hits = client.search(name, data=[[1.0, 1.0, 2.0, 3.0]], anns_field="v", limit=6)
        assert sorted(hits[0].ids) == LEFT
        settings = Settings(
            upstream=(parse_upstream(f"milvus://{server.target}"),), key=f"file:{proxy.key_file}", policy=proxy.policy
        )
        found = asyncio.run(sweep(settings, None, lambda event, **fields: None, dry_run=False))
        assert {one.collection: one.expired for one in found if not one.failure}[name] == len(GONE)
        with server.client() as straight:
            assert sorted(row["pk"] for row in straight.query(name, filter="pk > 0", output_fields=["pk"])) == LEFT
        client.drop_collection(name)


@pytest.mark.slow
def test_a_collection_that_was_made_without_is_refused_by_name(lite: MilvusServer, tmp_path: Path) -> None:
    name, clear = "written_later", POLICY.replace("    retention: 1h\n", "")
    with serving_milvus(tmp_path / "proxy", lite, clear) as proxy, proxy.client() as client:
        make(client, name)
        client.load_collection(name)
    key = tmp_path / "proxy" / "vecguard.key"
    with serving_milvus(tmp_path / "again", lite, POLICY, key_file=key) as proxy, proxy.client() as client:
        with pytest.raises(MilvusException, match="made without a retention"):
            client.query(name, filter="pk > 0", output_fields=["text"])
        client.drop_collection(name)


@pytest.mark.slow
def test_a_row_counts_from_its_last_whole_writing(lite: MilvusServer, tmp_path: Path) -> None:
    """What changes a part of a row makes it no younger, and brings nothing back that is too old."""
    name, start = "written_in_part", int(time.time())
    with serving_milvus(tmp_path / "proxy", lite, POLICY) as proxy, proxy.client() as client:
        make(client, name)
        client.insert(name, [{"pk": i, "v": [float(i), 1.0, 2.0, 3.0], "created": 0, "text": "t"} for i in range(1, 4)])
        client.load_collection(name)
        with lite.client() as straight:

            def times() -> dict[int, int]:
                stored = straight.query(name, filter="pk > 0", output_fields=["_vgt"])
                return {row["pk"]: row["_vgt"] - start for row in stored}

            stored = straight.query(name, filter="pk > 0", output_fields=["*"])
            ages = {1: -7200, 2: -600, 3: -600}
            straight.upsert(name, [row | {"_vgt": start + ages[row["pk"]]} for row in stored])
            client.upsert(name, [{"pk": 2, "text": "part"}], partial_update=True)
            with pytest.raises(MilvusException, match="row 1 is older than rows are kept"):
                client.upsert(name, [{"pk": pk, "text": "part"} for pk in (1, 2)], partial_update=True)
            assert times() == ages
            assert [row["text"] for row in client.query(name, filter="pk > 0", output_fields=["text"])] == ["part", "t"]
            client.upsert(name, [{"pk": 1, "v": [1.0] * DIMS, "created": 0, "text": "anew"}], partial_update=True)
            assert times()[1] >= 0
            assert client.get(name, ids=[1], output_fields=["text"])[0]["text"] == "anew"
            client.upsert(name, [{"pk": 3, "v": [1.0] * DIMS, "created": 0, "text": "whole"}])
            assert times()[3] >= 0
            new = {"pk": 9, "v": [2.0] * DIMS, "created": 0, "text": "new"}
            client.upsert(name, [new], partial_update=True)
            assert times()[9] >= 0
            assert client.get(name, ids=[9], output_fields=["text"])[0]["text"] == "new"
        client.drop_collection(name)
