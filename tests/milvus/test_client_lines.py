"""Both lines of pymilvus, unmodified: the same scenario straight to a server and through the proxy, answer by answer.

langchain-milvus wants pymilvus 3, llama-index-vector-stores-milvus one below 3. The older line lives in an environment
of its own (`make .venv-pymilvus2`), so the scenario is a script.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from frameworks.environment import python_of

from milvus.pairs import assert_alike, fresh_name
from milvus.proxies import MilvusProxy
from milvus.servers import MilvusServer

pytestmark = pytest.mark.slow

SCENARIO = Path(__file__).with_name("client_scenario.py")
STEPS = {"client": 30, "orm": 16, "async": 3, "hybrid": 5}
# Codes of an expression that cannot be parsed: Milvus Lite's, the older server's, and newer servers' and the proxy's.
UNPARSED = {6, 65_535, 1100}
ERRORS = {"bad filter", "missing", "released"}


def report(python: Path, server: MilvusServer, name: str, kind: str) -> dict[str, Any]:
    """What the scenario came to."""
    command = [str(python), str(SCENARIO), server.uri, name, kind]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("line", ["2", "3"])
@pytest.mark.parametrize("kind", ["lite", "real"])
def test_every_answer_is_that_of_the_server(request: pytest.FixtureRequest, kind: str, line: str) -> None:
    server: MilvusServer = request.getfixturevalue(kind)
    proxy: MilvusProxy = request.getfixturevalue(f"{kind}_proxy")
    python = python_of("pymilvus2") if line == "2" else Path(sys.executable)
    name = fresh_name("exact_")
    straight, guarded = report(python, server, f"{name}_s", kind), report(python, proxy, f"{name}_g", kind)
    assert straight.pop("version") == guarded.pop("version")
    assert python_version(python).startswith(f"{line}.")
    assert straight.keys() == guarded.keys() == STEPS.keys() - ({"hybrid"} if kind == "real" else set())
    for part, steps in straight.items():
        assert len(steps) >= STEPS[part]
        for (step, first), (same, second) in zip(steps, guarded[part], strict=True):
            assert step == same
            if step == "bad filter":
                assert {first["error"], second["error"]} <= UNPARSED
                continue
            assert step in ERRORS or not (isinstance(first, dict) and "error" in first), (step, first)
            assert_alike(first, second, f"{part}: {step}")


def python_version(python: Path) -> str:
    """Of the pymilvus in an environment."""
    program = "from importlib.metadata import version; print(version('pymilvus'))"
    return subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=True).stdout
