"""Scenarios of the frameworks, each run once a session against the bare engine and through VecGuard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Proxy, Server

from frameworks.environment import SCENARIOS, reported, run
from frameworks.expected import Exact

POLICY = (Path(__file__).parent / "policy.yaml").read_text(encoding="utf-8")

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
def answers(engine: Server, guarded: Proxy, memo: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Gives the report of a scenario (its file's name) from "bare", "grpc" or "rest"; it is run once."""
    reports: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(scenario: str, way: str) -> dict[str, Any]:
        if (scenario, way) not in reports:
            server = engine if way == "bare" else guarded
            arguments = ["--grpc", str(server.port), "--memo", str(memo)]
            if way == "rest":
                arguments += ["--rest", str(guarded.rest_port)]
            home = tmp_path_factory.mktemp(f"{scenario}-{way}")
            reports[scenario, way] = reported(run(SCENARIOS / f"{scenario}.py", arguments, home))
        return reports[scenario, way]

    return ask
