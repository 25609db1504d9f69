"""Data-key rotation of a Milvus collection: under concurrent clients, with the job killed at random points."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pymilvus import DataType

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.search_sides import POLICIES, ROWS, SPARSE_QUERIES, Side, X, make_auto, make_rich
from milvus.servers import MilvusServer
from vecguard.front.milvus.proto import m
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import open_core
from vecguard.seal.envelope import epoch_of
from vecguard.seal.record import decode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def rotate_command(behind: MilvusServer, proxy: MilvusProxy, name: str) -> list[str]:
    command = [sys.executable, "-m", "vecguard", "keys", "rotate", name, "--settle", "2.2"]
    return [*command, "--upstream", f"milvus://{behind.target}", "--key", f"file:{proxy.key_file}"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def epochs_at_rest(behind: MilvusServer, name: str, column: str) -> set[int]:
    with behind.client() as client:
        rows = client.query(name, filter="", output_fields=[column], limit=ROWS)
    return {epoch_of(entry) for row in rows for entry in decode(row[column]).entries.values()}


def properties_at_rest(behind: MilvusServer, name: str) -> dict[str, str]:
    with behind.client() as client:
        return dict(client.describe_collection(name)["properties"])


def test_every_kind_of_column_is_brought_over(lite: MilvusServer, tmp_path: Path) -> None:
    """Dense and sparse vectors, null values, arrays, JSON; and what the database numbers itself is refused by name."""
    with serving_milvus(tmp_path, lite, POLICIES["noised"]) as proxy, proxy.client() as client:
        side = Side(client, "turned", proxy)
        make_rich(side)
        make_auto(side)
        name = side.name("rich")
        everything = {"output_fields": ["*"], "limit": ROWS}
        before = {row["key"]: row for row in client.query(name, filter='key >= ""', **everything)}
        found = client.search(name, SPARSE_QUERIES[:1], anns_field="s", limit=8)[0]
        done = run(rotate_command(lite, proxy, name))
        assert done.returncode == 0, done.stderr
        assert all(epochs_at_rest(lite, name, f"_vg_{vector}") == {2} for vector in "vws")
        after = {row["key"]: row for row in client.query(name, filter='key >= ""', **everything)}
        assert set(after) == set(before)
        for key, row in before.items():
            assert np.allclose(after[key]["v"], row["v"], atol=1e-3)
            for column in ("s", "num", "part", "price", "tags", "doc"):
                assert after[key][column] == row[column]
        again = client.search(name, SPARSE_QUERIES[:1], anns_field="s", limit=8)[0]
        assert [hit.id for hit in again] == [hit.id for hit in found]
        manifest = properties_at_rest(lite, side.name("auto"))
        refused = run(rotate_command(lite, proxy, side.name("auto")))
        assert (refused.returncode, "primary keys" in refused.stderr) == (1, True)
        assert properties_at_rest(lite, side.name("auto")) == manifest


def test_nothing_is_lost_under_writes_searches_and_kills(lite: MilvusServer, tmp_path: Path) -> None:
    """Two workers serve; the job, a process of its own, holds the gate that their writes pass."""
    arguments = ("--workers", "2")
    with (
        serving_milvus(tmp_path, lite, POLICIES["noised"], arguments=arguments) as proxy,
        proxy.client() as client,
    ):
        name, draw = "spinning", random.Random(3)
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=X.shape[1])
        schema.add_field("note", DataType.VARCHAR, max_length=60)
        index = client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
        client.insert(name, [row(i, i, f"note {i}") for i in range(ROWS)])
        client.load_collection(name)
        expected = {i: (i, f"note {i}") for i in range(ROWS)}
        failures: list[str] = []
        stop = threading.Event()

        def write(part: int) -> None:
            choose, own = random.Random(part), [i for i in range(ROWS) if i % 3 == part]
            with proxy.client() as writer:
                while not stop.is_set():
                    number = choose.choice(own)
                    try:
                        if choose.random() < 0.7 or number not in expected:
                            at, note = choose.randrange(ROWS), f"note {choose.random()}"
                            writer.upsert(name, [row(number, at, note)])
                            expected[number] = at, note
                        else:
                            writer.delete(name, ids=[number])
                            del expected[number]
                    except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                        failures.append(repr(failure))
                    time.sleep(0.05)

        threads = [threading.Thread(target=write, args=(part,)) for part in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                job = subprocess.Popen(
                    rotate_command(lite, proxy, name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(draw.uniform(5.0, 9.0))
                job.send_signal(signal.SIGKILL)
                job.wait()
            done = run(rotate_command(lite, proxy, name))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert done.returncode == 0, done.stderr
        assert failures == []
        found = {r["id"]: r for r in client.query(name, filter="id >= 0", output_fields=["v", "note"], limit=ROWS)}
        assert {number: r["note"] for number, r in found.items()} == {n: note for n, (_, note) in expected.items()}
        for number, (at, _) in expected.items():
            assert np.allclose(found[number]["v"], X[at], atol=1e-3)
        still = [number for number in expected if number % 3 == 2]
        right = 0
        for query in X[:20]:
            hits = client.search(name, [query.tolist()], limit=5, filter=f"id in {still}")[0]
            unit = X[[expected[i][0] for i in still]]
            unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
            best = {still[i] for i in np.argsort(-(unit @ query))[:5]}
            right += len(best & {hit.id for hit in hits})
        assert right >= 0.99 * 100


def row(number: int, at: int, note: str) -> dict[str, Any]:
    return {"id": number, "v": X[at].tolist(), "note": note}


def test_epochs_of_the_manifest(lite: MilvusServer, tmp_path: Path) -> None:
    """The old wrapped key is gone at the end; a manifest that is put back opens nothing that was written since."""
    with serving_milvus(tmp_path, lite, POLICIES["noised"]) as proxy, proxy.client() as client:
        side = Side(client, "kept", proxy)
        make_rich(side)
        assert run(rotate_command(lite, proxy, side.name("rich"))).returncode == 0
        assert proxy.key_file is not None
        with grpc.insecure_channel(lite.target) as channel:
            method = channel.unary_unary("/milvus.proto.milvus.MilvusService/DescribeCollection")
            ask = m.DescribeCollectionRequest(collection_name=side.name("rich"))
            described = m.DescribeCollectionResponse.FromString(method(ask.SerializeToString()))
        core = next(pair.value for pair in described.properties if pair.key == "_vg")
        manifest, _ = open_core(core, FileKeyProvider(proxy.key_file))
        assert (sorted(manifest.epochs), manifest.current) == ([2], 2)
