"""Vendors' packages whose start-up is put off: what runs without it, and what comes when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models
from serving import bare_engine, serving_proxy

CLIENTS = ("qdrant_client.qdrant_client", "qdrant_client.async_qdrant_client", "pandas", "pymilvus.milvus_client")
"""Modules that the packages' own start-up imports."""


def told(code: str) -> str:
    """What a new interpreter prints."""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout.strip()


@pytest.mark.slow
def test_generated_modules_come_without_the_clients() -> None:
    imports = "from qdrant_client import grpc\nfrom pymilvus.grpc_gen import milvus_pb2\nimport sys\n"
    found = f"print([name for name in {CLIENTS!r} if name in sys.modules])"
    deferred = "from vecguard.deferred import CLIENT_PACKAGES, defer\ndefer(*CLIENT_PACKAGES)\n"
    assert told(deferred + imports + found) == "[]"
    assert told(imports + found) == str(list(CLIENTS))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("from qdrant_client import QdrantClient; print(QdrantClient.__name__)", "QdrantClient"),
        ("import qdrant_client; print(qdrant_client.AsyncQdrantClient.__name__)", "AsyncQdrantClient"),
        ("from qdrant_client import grpc as a; import qdrant_client as p; print(p.grpc is a)", "True"),
        ("from qdrant_client.http import SyncApis; print(SyncApis.__name__)", "SyncApis"),
        ("from qdrant_client.http import models as m; print(m.Filter(must=[]).must)", "[]"),
        ("import pymilvus; print(pymilvus.__version__.count('.') > 0)", "True"),
        ("from pymilvus import *; print(MilvusClient.__name__)", "MilvusClient"),
        ("import qdrant_client; print(hasattr(qdrant_client, 'nothing'))", "False"),
    ],
)
def test_all_else_is_there_when_it_is_asked_for(asked: str, answer: str) -> None:
    assert told(f"from vecguard.deferred import CLIENT_PACKAGES, defer\ndefer(*CLIENT_PACKAGES)\n{asked}") == answer


def test_what_is_imported_or_missing_is_left_alone() -> None:
    code = (
        "import sys, qdrant_client\nbefore = qdrant_client\nfrom vecguard.deferred import defer\n"
        "defer('qdrant_client', 'no_such_package')\n"
        "print(sys.modules['qdrant_client'] is before, 'no_such_package' in sys.modules)"
    )
    assert told(code) == "True False"


def imported(logs: str) -> set[str]:
    """The modules that the processes of a log imported, which ran under PYTHONPROFILEIMPORTTIME."""
    return {line.rpartition("|")[2].strip() for line in logs.splitlines() if "import time:" in line}


def used(client: QdrantClient) -> None:
    """Make a collection, write to it and search it."""
    client.create_collection("c", {"v": models.VectorParams(size=4, distance=models.Distance.COSINE)})
    client.upsert("c", [models.PointStruct(id=1, vector={"v": [1, 2, 3, 4]}, payload={"a": "b"})])
    assert client.query_points("c", query=[1, 2, 3, 4], using="v").points[0].id == 1
    client.delete_collection("c")
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--workers", "2"]], ids=["one", "workers"])
def test_no_process_of_a_server_starts_the_clients(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with serving_proxy(tmp_path, rest=True, arguments=arguments) as proxy:
        used(proxy.client())
        used(proxy.rest_client())
    assert {"qdrant_client.grpc", "vecguard.front.rest.table"} <= imported(proxy.logs)
    assert not imported(proxy.logs) & set(CLIENTS)


@pytest.mark.slow
def test_the_engine_does_not_start_the_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with bare_engine(tmp_path) as engine:
        used(engine.client())
    assert {"qdrant_client.grpc", "vecguard.engine.store"} <= imported(engine.logs)
    assert not {name for name in imported(engine.logs) if name.startswith(("qdrant_client.http", "pydantic"))}
