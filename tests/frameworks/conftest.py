"""Scenarios of the frameworks, each run once a session against the bare engine and through VecGuard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer, lite_server, real_server
from serving import Proxy, serving_proxy

from frameworks.environment import SCENARIOS, reported, run
from frameworks.expected import Exact

POLICY = (Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8")
MILVUS_POLICY = (Path(__file__).parent / "milvus_policy.yaml").read_text(encoding="utf-8")
# llama-index's Milvus store wants a pymilvus older than langchain's.
ENVIRONMENTS = {"llama_index_milvus_scenario": "pymilvus2"}

Answers = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def memo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of embeddings that were computed once."""
    return tmp_path_factory.mktemp("embeddings")


@pytest.fixture(scope="session")
def exact(memo: Path) -> Exact:
    """Exact answers over what the scenarios store."""
    return Exact(memo)


@pytest.fixture(scope="session")
def guarded(proxy: Callable[[str | None], Proxy]) -> Proxy:
    """VecGuard with the scenarios' policy."""
    return proxy(POLICY)


@pytest.fixture(scope="session")
def guarded_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """VecGuard with three workers: one after the other serves what another one made or deleted."""
    folder = tmp_path_factory.mktemp("workers")
    with serving_proxy(folder, POLICY, rest=True, arguments=["--workers", "3"]) as server:
        yield server


@pytest.fixture(scope="session")
def bare_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """Milvus Lite alone."""
    with lite_server(tmp_path_factory.mktemp("bare-milvus")) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    """VecGuard with the scenarios' policy, before a Milvus Lite of its own."""
    with (
        lite_server(tmp_path_factory.mktemp("milvus")) as behind,
        serving_milvus(tmp_path_factory.mktemp("milvus-proxy"), behind, MILVUS_POLICY) as server,
    ):
        yield replace(server, data=behind.data)


@pytest.fixture(scope="session")
def bare_real_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """The real Milvus 2.3.5 alone."""
    with real_server(tmp_path_factory.mktemp("bare-real-milvus")) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_real_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    """VecGuard before a real Milvus 2.3.5 of its own."""
    with (
        real_server(tmp_path_factory.mktemp("real-milvus")) as behind,
        serving_milvus(tmp_path_factory.mktemp("real-milvus-proxy"), behind, MILVUS_POLICY) as server,
    ):
        yield replace(server, data=behind.data)


SERVERS = {
    ("qdrant", "bare"): "engine",
    ("qdrant", "grpc"): "guarded",
    ("qdrant", "rest"): "guarded",
    ("qdrant", "rest-workers"): "guarded_by_workers",
    ("milvus", "bare"): "bare_milvus",
    ("milvus", "grpc"): "guarded_milvus",
    ("milvus", "real-bare"): "bare_real_milvus",
    ("milvus", "real"): "guarded_real_milvus",
}
"""The fixture behind each way to each database."""


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, memo: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Gives the report of a scenario (its file's name) from one of the ways in SERVERS; it is run once."""
    reports: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(scenario: str, way: str) -> dict[str, Any]:
        if (scenario, way) not in reports:
            database = "milvus" if "milvus" in scenario else "qdrant"
            server = request.getfixturevalue(SERVERS[database, way])
            arguments = ["--grpc", str(server.port), "--memo", str(memo)]
            if way.startswith("rest"):
                arguments += ["--rest", str(server.rest_port)]
            if way.startswith("real"):
                arguments += ["--without-sparse"]
            home, environment = tmp_path_factory.mktemp(f"{scenario}-{way}"), ENVIRONMENTS.get(scenario, "frameworks")
            reports[scenario, way] = reported(run(SCENARIOS / f"{scenario}.py", arguments, home, environment))
        return reports[scenario, way]

    return ask
