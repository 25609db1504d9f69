"""Rows that do not open: left out of every answer where the policy says so, and told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from proxy.processes import until
from pymilvus import DataType
from pymilvus.exceptions import MilvusException

from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer
from vecguard.errors import Unreadable

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "drop_*"
    integrity: drop
  - match: "fail_*"
"""
DIMS = 4


@pytest.mark.slow
def test_dropped_or_failed(lite: MilvusServer, tmp_path: Path) -> None:
    with (
        serving_milvus(tmp_path / "proxy", lite, POLICY) as proxy,
        proxy.client() as client,
        lite.client() as straight,
    ):
        for name in ("drop_rows", "fail_rows"):
            schema = client.create_schema(auto_id=False)
            schema.add_field("pk", DataType.VARCHAR, max_length=16, is_primary=True)
            schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
            schema.add_field("text", DataType.VARCHAR, max_length=32)
            index = client.prepare_index_params()
            index.add_index("v", index_type="FLAT", metric_type="COSINE")
            client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
            client.insert(name, [{"pk": f"k{i}", "v": [float(i), 1.0, 2.0, 3.0], "text": f"t{i}"} for i in range(5)])
            client.load_collection(name)
            rows: list[dict[str, Any]] = straight.query(name, filter='pk in ["k1", "k3"]', output_fields=["*"])
            one, three = (dict(row) for row in rows)
            one["text"], three["v"] = three["text"], [9.0, 9.0, 9.0, 9.0]
            straight.upsert(name, [one, three])
        found = client.query("drop_rows", filter='pk >= ""', output_fields=["text", "v"])
        assert sorted(row["pk"] for row in found) == ["k0", "k2", "k4"]
        hits = client.search("drop_rows", data=[[1.0, 1.0, 2.0, 3.0]], anns_field="v", limit=5, output_fields=["text"])
        assert sorted(hits[0].ids) == ["k0", "k2", "k4"]
        with pytest.raises(MilvusException, match=Unreadable.TEXT[:30]):
            client.query("fail_rows", filter='pk >= ""', output_fields=["text"])

        def events() -> list[dict[str, Any]]:
            return [json.loads(line) for line in proxy.logs.splitlines() if '"event":"integrity"' in line]

        until(lambda: any(one["collection"] == "fail_rows" for one in events()))  # it is told of last
        told = events()
        outcomes = {(one["collection"], one["outcome"]) for one in told}
        assert outcomes == {("drop_rows", "drop"), ("fail_rows", "fail")}
        assert {key for one in told for key in one["ids"]} == {"k1", "k3"}
        for name in ("drop_rows", "fail_rows"):
            client.drop_collection(name)
