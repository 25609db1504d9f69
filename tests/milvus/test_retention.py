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
        with pytest.raises(MilvusException, match="retention in Milvus needs a `field`"):
            make(client, "written_c")
        client.drop_collection(name)
