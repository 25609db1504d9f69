"""What holds for every framework and transport: the same answers as from the bare engine, nothing readable at rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proxy.byte_search import every_byte, found, found_near, with_cbor_floats
from serving import Proxy, Server

from frameworks.answers import differences
from frameworks.conftest import SERVERS, Answers
from frameworks.environment import run
from frameworks.expected import Exact
from frameworks.scenarios.clinic import ENTRIES

pytestmark = pytest.mark.slow

QDRANT = (
    "langchain_qdrant_scenario",
    "llama_index_qdrant_scenario",
    "haystack_qdrant_scenario",
    "mem0_qdrant_scenario",
)
MILVUS = ("langchain_milvus_scenario", "llama_index_milvus_scenario")
WAYS = ("grpc", "rest")
RUNS = [
    *((scenario, way) for scenario in QDRANT for way in (*WAYS, "rest-workers")),
    *((scenario, "grpc") for scenario in MILVUS),
]
NUMBERS = 16
"""Consecutive float32 of an embedding that must not be found."""


@pytest.mark.parametrize(("scenario", "way"), RUNS)
def test_answers_are_those_of_the_bare_engine(answers: Answers, scenario: str, way: str) -> None:
    assert differences(answers(scenario, "bare"), answers(scenario, way)) == []


@pytest.mark.parametrize("scenario", MILVUS)
def test_answers_are_those_of_the_real_milvus_too(answers: Answers, scenario: str) -> None:
    report = answers(scenario, "real")
    assert differences(answers(scenario, "real-bare"), report) == []
    # The two databases find the same, so what holds exactly of the one holds of the other.
    part = "reads" if "langchain" in scenario else "dense"
    assert differences(answers(scenario, "grpc")[part]["nearest"], report[part]["nearest"]) == []


def test_a_script_that_reaches_beyond_this_machine_fails(tmp_path: Path) -> None:
    script = tmp_path / "outward.py"
    script.write_text(
        "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('a.example', 1)\n"
    )
    with pytest.raises(pytest.fail.Exception, match=r"tried to reach \['a.example'\]"):
        run(script, [], tmp_path / "home")
    script.write_text(
        "import socket, contextlib\nwith contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', 1))\n"
    )
    assert run(script, [], tmp_path / "other") == ""


def _needles() -> list[bytes]:
    texts = [entry.text[:48].encode() for entry in ENTRIES]
    return texts + sorted(
        {entry.metadata["patient"].encode() for entry in ENTRIES if len(entry.metadata["patient"]) > 8}
    )


def test_nothing_of_texts_names_or_embeddings_is_readable_at_rest(
    answers: Answers, engine: Server, guarded: Proxy, exact: Exact
) -> None:
    for scenario in QDRANT:
        for way in ("bare", *WAYS):
            answers(scenario, way)
    needles, rows = _needles(), exact.entries[:, :NUMBERS]
    bare, kept = (with_cbor_floats(every_byte(server.data)) for server in (engine, guarded))
    # The search finds what is there: the bare engine keeps all of it.
    assert len(found(bare, needles)) == len(needles)
    assert len(found_near(bare, rows, "<f4", 1e-5)) == len(rows)
    assert {needles[i] for i in found(kept, needles)} == set()
    assert found_near(kept, rows, "<f4", 1e-5) == set()


@pytest.mark.parametrize(("straight", "through"), [("bare", "grpc"), ("real-bare", "real")])
def test_nothing_of_texts_names_or_embeddings_is_readable_in_milvus(
    request: pytest.FixtureRequest, answers: Answers, exact: Exact, straight: str, through: str
) -> None:
    for scenario in MILVUS:
        for way in (straight, through):
            answers(scenario, way)
    needles, rows = _needles(), exact.entries[:, :NUMBERS]
    servers = (request.getfixturevalue(SERVERS["milvus", way]) for way in (straight, through))
    bare, kept = (every_byte(server.data) for server in servers)
    # The real server may not have written all of it into files yet.
    assert len(found(bare, needles)) > len(needles) / 2
    assert len(found_near(bare, rows, "<f4", 1e-5)) > len(rows) / 2
    assert {needles[i] for i in found(kept, needles)} == set()
    assert found_near(kept, rows, "<f4", 1e-5) == set()


def test_differences_are_found() -> None:
    hits: list[dict[str, Any]] = [{"id": "a", "score": 0.5, "n": 1}, {"id": "b", "score": 0.25, "n": 2}]
    assert differences(hits, hits) == []
    assert differences(hits, hits[::-1]) != []
    assert differences(hits, [hits[0], hits[1] | {"score": 0.2504}]) != []
    assert differences(hits, [hits[0], hits[1] | {"score": 0.25004}]) == []
    assert differences(hits, [hits[0], hits[1] | {"n": 2.0}]) != []
    assert differences({"a": 1}, {"a": 1, "b": 1}) != []
    tied = [{"id": "a", "score": 0.5}, {"id": "b", "score": 0.5}, {"id": "c", "score": 0.25}]
    assert differences(tied, [tied[1], tied[0], tied[2]]) == []
    assert differences(tied, [tied[0], {"id": "d", "score": 0.5}, tied[2]]) != []
    assert differences(tied, [*tied[:2], {"id": "d", "score": 0.25}]) == []
    assert differences([np.float64(0.5).item()], [0.5]) == []
