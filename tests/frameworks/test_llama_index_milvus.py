"""llama-index over Milvus through VecGuard, with the older pymilvus: what it finds is what exact arithmetic finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked, assert_whole
from frameworks.scenarios.clinic import ENTRIES, Entry

pytestmark = pytest.mark.slow
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
    "greater": _where(lambda m: m["page"] > 8),
    "at-most": _where(lambda m: m["page"] <= 2),
    "or": _where(lambda m: m["page"] == 1 or m["department"] == DEPARTMENTS[0]),
    "and": _where(lambda m: m["department"] == DEPARTMENTS[0] and m["page"] >= 3),
}


@pytest.fixture
def report(answers: Answers) -> dict[str, Any]:
    return answers("llama_index_milvus_scenario", "grpc")


def _nothing(_: Entry) -> dict[str, Any]:
    return {}


def test_nearest_are_exact(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["dense"]["nearest"]):
        assert_ranked(found, exact.ranking(question)[:TOP])
        assert_whole(found, _nothing)
    assert_ranked(report["again"], exact.ranking(0)[:3])


@pytest.mark.parametrize("name", FILTERS)
def test_node_filters(report: dict[str, Any], exact: Exact, name: str) -> None:
    expected = exact.ranking(0, FILTERS[name])
    assert expected
    assert_ranked(report["dense"]["filtered"][name], expected[:TOP])


def test_every_filter_is_tried(report: dict[str, Any]) -> None:
    assert report["dense"]["filtered"].keys() == FILTERS.keys()


def test_documents_nodes_and_an_expression_of_ones_own(report: dict[str, Any], exact: Exact) -> None:
    found = report["dense"]
    assert_ranked(found["documents"], exact.ranking(0, lambda entry: NUMBER[entry.id] % 10 in (1, 4))[:TOP])
    assert_ranked(found["nodes"], exact.ranking(0, lambda entry: entry in ENTRIES[:25])[:TOP])
    assert_ranked(found["own-filter"], exact.ranking(0, lambda entry: entry.metadata["urgent"])[:TOP])


def _mmr_against_the_last(exact: Exact, count: int, candidates: int) -> list[str]:
    """MMR with lambda 0.5 as llama-index does it: unlike the one taken last, not unlike all that were taken."""
    cosines = exact.cosines(0)
    left = [int(i) for i in np.argsort(-cosines)[:candidates]]
    taken = [left.pop(0)]
    while len(taken) < count:
        marginal = [cosines[i] - float(exact.entries[i] @ exact.entries[taken[-1]]) for i in left]
        taken.append(left.pop(int(np.argmax(marginal))))
    return [ENTRIES[i].id for i in taken]


def test_maximal_marginal_relevance_over_returned_vectors(report: dict[str, Any], exact: Exact) -> None:
    # The framework fetches four times as many with their vectors, and ranks by itself.
    assert report["dense"]["mmr"] == _mmr_against_the_last(exact, 5, 20)


def test_hybrid_search(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["hybrid"]["default"]):
        assert_ranked(found, exact.ranking(question)[:7])
    for found in report["hybrid"]["hybrid"]:
        scores = [hit["score"] for hit in found]
        assert len(scores) == 7
        assert scores == sorted(scores, reverse=True)
        assert_whole(found, _nothing)
    kept = {entry.id for entry in ENTRIES if FILTERS["and"](entry)}
    assert report["hybrid"]["filtered"]
    assert {hit["id"] for hit in report["hybrid"]["filtered"]} <= kept


def test_what_the_database_refuses_is_told_in_its_words(report: dict[str, Any]) -> None:
    assert "only drop_ratio_search=0 is supported" in report["hybrid"]["sparse-refused"]


def test_getting_and_deleting(report: dict[str, Any]) -> None:
    done = report["changes"]
    assert [hit["id"] for hit in done["get"]] == sorted(entry.id for entry in ENTRIES[:4])
    assert_whole(done["get"], _nothing)
    assert [hit["id"] for hit in done["get-filtered"]] == sorted(e.id for e in ENTRIES if FILTERS["and"](e))
    assert done["inserted"][0]["text"] == "The lighthouse keeper counted eleven ships."
    left = [e for e in ENTRIES[2:] if not FILTERS["equal"](e) and NUMBER[e.id] % 10 != 3]
    assert [hit["id"] for hit in done["left"]] == sorted([*(e.id for e in left), done["inserted"][0]["id"]])


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
