"""qdrant-haystack through VecGuard: what it finds and counts is what exact arithmetic finds and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked, assert_whole
from frameworks.scenarios.clinic import ENTRIES, Entry

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("way", ["grpc", "rest"])]
DEPARTMENTS = sorted({entry.metadata["department"] for entry in ENTRIES})
TOP = 10


def _where(test: Callable[[dict[str, Any]], bool]) -> Callable[[Entry], bool]:
    return lambda entry: test(entry.metadata)


FILTERS: dict[str, Callable[[Entry], bool]] = {
    "equal": _where(lambda m: m["department"] == DEPARTMENTS[0]),
    "not-equal": _where(lambda m: m["department"] != DEPARTMENTS[0]),
    "in": _where(lambda m: m["department"] in DEPARTMENTS[:2]),
    "not-in": _where(lambda m: m["department"] not in DEPARTMENTS[:3]),
    "urgent": _where(lambda m: m["urgent"]),
    "in-list": _where(lambda m: DEPARTMENTS[1] in m["tags"]),
    "range": _where(lambda m: m["page"] >= 7),
    "float": _where(lambda m: m["weight"] < 0.5),
    "dates": _where(lambda m: m["written"] > "2026-06-01"),
    "not": _where(lambda m: m["department"] != DEPARTMENTS[0]),
    "nested": _where(lambda m: m["urgent"] and (m["page"] == 1 or m["department"] == DEPARTMENTS[0])),
}


def _nothing(_: Entry) -> dict[str, Any]:
    return {}


def _kept(name: str) -> list[Entry]:
    return [entry for entry in ENTRIES if FILTERS[name](entry)]


@pytest.fixture
def report(answers: Answers, way: str) -> dict[str, Any]:
    return answers("haystack_qdrant_scenario", way)


def test_writing_and_counting(report: dict[str, Any]) -> None:
    assert report["written"] == [len(ENTRIES)] * 2
    assert report["dense"]["count"] == report["dense"]["everything"] == len(ENTRIES)


@pytest.mark.parametrize("name", FILTERS)
def test_filters(report: dict[str, Any], exact: Exact, name: str) -> None:
    kept = _kept(name)
    assert kept
    found = report["dense"]["filter"][name]
    assert [hit["id"] for hit in found] == sorted(entry.id for entry in kept)
    assert_whole(found, _nothing)
    assert report["dense"]["counts"][name] == len(kept)
    assert_ranked(report["retrievers"]["filtered"][name], exact.ranking(0, FILTERS[name])[:TOP])


def test_every_filter_is_tried(report: dict[str, Any]) -> None:
    assert report["dense"]["filter"].keys() == report["retrievers"]["filtered"].keys() == FILTERS.keys()


def test_statistics_over_metadata(report: dict[str, Any]) -> None:
    found = report["dense"]
    kinds = {"page": "long", "weight": "float", "urgent": "boolean"}
    assert found["fields"] == {key: {"type": kinds.get(key, "keyword")} for key in ENTRIES[0].metadata}
    assert report["indexed-fields"] == {"department": {"type": "keyword"}}
    patients = sorted({entry.metadata["patient"] for entry in ENTRIES})
    weights = [entry.metadata["weight"] for entry in ENTRIES]
    assert found["min-max"] == [
        {"min": 0, "max": 11},
        {"min": min(weights), "max": max(weights)},
        {"min": patients[0], "max": patients[-1]},
        {"min": None, "max": None},
    ]
    kept = _kept("equal")
    assert found["unique"] == {
        key: len({entry.metadata[key] for entry in kept}) for key in ("patient", "diagnosis", "urgent")
    }
    matching = [name for name in patients if "an" in name.lower()]
    assert found["values"] == [matching[2:7], len(matching)]


def test_documents_by_id(report: dict[str, Any]) -> None:
    assert [hit["id"] for hit in report["dense"]["by-id"]] == sorted(entry.id for entry in ENTRIES[:3])
    assert_whole(report["dense"]["by-id"], _nothing)


def test_the_embedding_retriever_is_exact(report: dict[str, Any], exact: Exact) -> None:
    found = report["retrievers"]
    for question, hits in enumerate(found["nearest"]):
        assert_ranked(hits, exact.ranking(question)[:TOP])
        assert_whole(hits, _nothing)
    ranking = exact.ranking(0)
    assert_ranked(found["unnamed"], ranking[:TOP])
    assert_ranked(found["piped"], ranking[:3])
    assert_ranked(found["scaled"], [(ident, (score + 1) / 2) for ident, score in ranking[:TOP]])
    assert_ranked(found["threshold"], [each for each in ranking if each[1] >= 0.5][:TOP])
    best = next(number for number, entry in enumerate(ENTRIES) if entry.id == ranking[0][0])
    np.testing.assert_allclose(found["vector"], exact.entries[best], atol=1e-5)


def test_groups(report: dict[str, Any], exact: Exact) -> None:
    by_id = {entry.id: entry.metadata["department"] for entry in ENTRIES}
    grouped: dict[str, list[tuple[str, float]]] = {}
    for ident, score in exact.ranking(0):
        grouped.setdefault(by_id[ident], []).append((ident, score))
    expected = [hit for hits in list(grouped.values())[:4] for hit in hits[:2]]
    assert_ranked(report["retrievers"]["groups"], expected)
    diagnoses = [hit["metadata"]["diagnosis"] for hit in report["retrievers"]["sparse-groups"]]
    assert len(diagnoses) == len(set(diagnoses)) == 4
    fused = [hit["metadata"]["department"] for hit in report["retrievers"]["unordered-hybrid-groups"]]
    assert len(set(fused)) == 3
    assert all(fused.count(department) <= 2 for department in fused)
    assert report["retrievers"]["unordered-hybrid-groups"][0]["id"] == report["retrievers"]["hybrid"][0]["id"]


def test_sparse_and_hybrid_retrievers(report: dict[str, Any]) -> None:
    found = report["retrievers"]
    for name in ("sparse", "hybrid", "hybrid-weights"):
        scores = [hit["score"] for hit in found[name]]
        assert len(scores) == TOP
        assert scores == sorted(scores, reverse=True)
        assert_whole(found[name], _nothing)
    assert {hit["id"] for hit in found["hybrid-filtered"]} <= {entry.id for entry in _kept("nested")}
    assert [hit["score"] for hit in found["hybrid-weights"]] != [hit["score"] for hit in found["hybrid"]]


def test_duplicates_updates_and_deletions(report: dict[str, Any]) -> None:
    done = report["changes"]
    assert "already exist" in done["fail"]
    assert done["skip"] == 0
    assert [hit["text"] for hit in done["skipped"]] == [ENTRIES[0].text]
    assert done["overwrite"] == 1
    assert [(hit["text"], hit["metadata"]) for hit in done["overwritten"]] == [("Replaced.", {"page": 99})]
    # The first entry was urgent, and is replaced.
    urgent = [entry for entry in _kept("urgent") if entry != ENTRIES[0]]
    assert done["update"] == len(urgent)
    assert [hit["id"] for hit in done["updated"]] == sorted(entry.id for entry in urgent)
    assert_whole(done["updated"], lambda _: {"department": "triage", "checked": "by Ann"})
    deleted = [entry for entry in ENTRIES[1:] if entry.metadata["page"] >= 9]
    assert done["delete-filter"] == len(deleted) + 1
    left = [entry for entry in ENTRIES[2:] if entry not in deleted]
    assert [hit["id"] for hit in done["left"]] == sorted(entry.id for entry in left)
    assert done["ranked-after"][0]["id"] == ENTRIES[3].id
    assert done["ranked-after"][0]["score"] == pytest.approx(1.0, abs=1e-4)
    assert done["emptied"] == done["recreated"] == 0
    assert [hit["id"] for hit in done["again"]] == sorted(entry.id for entry in ENTRIES[:3])


def test_async_api(report: dict[str, Any]) -> None:
    done, stored = report["async"], ENTRIES[:50]
    assert done["written"] == 50
    assert len(done["hybrid"]) == 5
    assert [hit["id"] for hit in done["filter"]] == sorted(e.id for e in stored if FILTERS["in"](e))
    assert done["updated"] == sum(FILTERS["urgent"](entry) for entry in stored)
    assert done["fields"].keys() == ENTRIES[0].metadata.keys() | {"checked"}
    assert done["min-max"] == {"min": 0, "max": 11}
    deleted = sum(FILTERS["equal"](entry) for entry in stored)
    assert (done["deleted"], done["count"]) == (deleted, 50 - deleted)
