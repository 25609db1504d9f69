"""llama-index over Qdrant through VecGuard: what it finds is what exact arithmetic finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked, assert_whole
from frameworks.scenarios.clinic import ENTRIES, Entry

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("way", ["grpc", "rest"])]
DEPARTMENTS = sorted({entry.metadata["department"] for entry in ENTRIES})
TOP = 10
NUMBER = {entry.id: number for number, entry in enumerate(ENTRIES)}


def _where(test: Callable[[dict[str, Any]], bool]) -> Callable[[Entry], bool]:
    return lambda entry: test(entry.metadata)


FILTERS: dict[str, Callable[[Entry], bool]] = {
    "equal": _where(lambda m: m["department"] == DEPARTMENTS[0]),
    "not-equal": _where(lambda m: m["department"] != DEPARTMENTS[0]),
    "in": _where(lambda m: m["department"] in DEPARTMENTS[:2]),
    "not-in": _where(lambda m: m["department"] not in DEPARTMENTS[:3]),
    "integer": _where(lambda m: m["page"] == 3),
    "float": _where(lambda m: m["weight"] == 0.625),
    "greater": _where(lambda m: m["page"] > 8),
    "at-most": _where(lambda m: m["page"] <= 2),
    "empty": lambda _: True,
    "text": _where(lambda m: m["department"] == DEPARTMENTS[1]),
    "or": _where(lambda m: m["page"] == 1 or m["department"] == DEPARTMENTS[0]),
    "not": _where(lambda m: m["department"] != DEPARTMENTS[0]),
    "and": _where(lambda m: m["department"] == DEPARTMENTS[0] and m["page"] >= 3),
}


@pytest.fixture
def report(answers: Answers, way: str) -> dict[str, Any]:
    return answers("llama_index_qdrant_scenario", way)


def _remark(entry: Entry) -> dict[str, Any]:
    return {"remark": f"seen in {entry.metadata['department']}"}


def test_nearest_are_exact(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["dense"]["nearest"]):
        assert_ranked(found, exact.ranking(question)[:TOP])
        assert_whole(found, _remark)
    for found in (report["dense"]["sources"], report["again"]):
        assert_ranked(found, exact.ranking(0)[:3])


@pytest.mark.parametrize("name", FILTERS)
def test_node_filters(report: dict[str, Any], exact: Exact, name: str) -> None:
    expected = exact.ranking(0, FILTERS[name])
    assert expected
    assert_ranked(report["dense"]["filtered"][name], expected[:TOP])


def test_every_filter_is_tried(report: dict[str, Any]) -> None:
    assert report["dense"]["filtered"].keys() == FILTERS.keys()


def test_documents_nodes_and_the_clients_own_filter(report: dict[str, Any], exact: Exact) -> None:
    found = report["dense"]
    assert_ranked(found["documents"], exact.ranking(0, lambda entry: NUMBER[entry.id] % 10 in (1, 4))[:TOP])
    assert_ranked(found["nodes"], exact.ranking(0, lambda entry: entry in ENTRIES[:25])[:TOP])
    assert_ranked(found["own-filter"], exact.ranking(0, lambda entry: entry.metadata["urgent"])[:TOP])


def test_payload_indexes_are_made(report: dict[str, Any]) -> None:
    assert report["indexes"] == ["department", "doc_id"]


def test_hybrid_and_sparse_modes(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["hybrid"]["default"]):
        assert_ranked(found, exact.ranking(question)[:6])
    assert {len(found) for found in report["hybrid"]["hybrid"]} == {7}
    assert {len(found) for found in report["hybrid"]["sparse"]} == {8}
    assert_whole(report["hybrid"]["hybrid"][0] + report["hybrid"]["sparse"][0], _remark)
    kept = {entry.id for entry in ENTRIES if FILTERS["and"](entry)}
    assert {hit["id"] for hit in report["hybrid"]["filtered"]} <= kept
    assert report["hybrid"]["filtered"]


def test_getting_and_deleting(report: dict[str, Any]) -> None:
    done = report["changes"]
    extra = "7d0a2f3e-0000-4000-8000-000000000002"
    assert [hit["id"] for hit in done["get"]] == sorted(entry.id for entry in ENTRIES[:4])
    assert [hit["id"] for hit in done["get-filtered"]] == sorted(e.id for e in ENTRIES if FILTERS["and"](e))
    assert_whole(done["get-filtered"], _remark)
    assert done["inserted"][0]["id"] == extra
    left = [entry for entry in ENTRIES if entry not in ENTRIES[:2]]
    assert done["nodes-deleted"][0] == len(left) + 1
    assert [hit["id"] for hit in done["nodes-deleted"][1]] == sorted(entry.id for entry in ENTRIES[2:4])
    left = [entry for entry in left if not FILTERS["equal"](entry)]
    assert done["filter-deleted"] == len(left) + 1
    left = [entry for entry in left if NUMBER[entry.id] % 10 != 3]
    assert done["document-deleted"] == len(left) + 1
    assert [hit["id"] for hit in done["left"]] == sorted([*(entry.id for entry in left), extra])


def test_clearing(report: dict[str, Any]) -> None:
    assert report["cleared"] is False


def test_async_api(report: dict[str, Any], exact: Exact) -> None:
    done, stored = report["async"], ENTRIES[:60]
    assert done["added"] == [entry.id for entry in stored]
    for question, found in enumerate(done["asked"]):
        expected = exact.ranking(question, lambda entry: entry in stored and FILTERS["in"](entry))
        assert_ranked(found, expected[:TOP])
    left = [entry.id for number, entry in enumerate(stored) if number % 10 != 1 and number != 0]
    assert [hit["id"] for hit in done["left"]] == sorted(left)
    assert done["cleared"] is False
