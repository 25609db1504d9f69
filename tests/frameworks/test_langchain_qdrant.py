"""langchain-qdrant through VecGuard: what it finds is what exact arithmetic finds."""

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


def _where(test: Callable[[dict[str, Any]], bool]) -> Callable[[Entry], bool]:
    return lambda entry: test(entry.metadata)


FILTERS: dict[str, Callable[[Entry], bool]] = {
    "equal": _where(lambda m: m["department"] == DEPARTMENTS[0]),
    "any": _where(lambda m: m["department"] in DEPARTMENTS[:2]),
    "except": _where(lambda m: m["department"] not in DEPARTMENTS[:3]),
    "not": _where(lambda m: m["diagnosis"] != ENTRIES[0].metadata["diagnosis"]),
    "urgent": _where(lambda m: m["urgent"]),
    "in-list": _where(lambda m: DEPARTMENTS[1] in m["tags"]),
    "integer": _where(lambda m: m["page"] == 3),
    "range": _where(lambda m: 4 <= m["page"] < 9),
    "dates": _where(lambda m: m["written"].startswith("2026-03")),
    "ids": lambda entry: entry in ENTRIES[:20],
    "empty": lambda _: True,
    "mixed": _where(lambda m: m["weight"] > 0.5 and (m["department"] == DEPARTMENTS[2] or m["urgent"])),
}


@pytest.fixture
def report(answers: Answers, way: str) -> dict[str, Any]:
    return answers("langchain_qdrant_scenario", way)


def _extra(collection: str) -> Callable[[Entry], dict[str, Any]]:
    return lambda entry: {"_id": entry.id, "_collection_name": collection}


def test_nearest_are_exact(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["dense"]["nearest"]):
        assert_ranked(found, exact.ranking(question)[:TOP])
        assert_whole(found, _extra("langchain-dense"))
    assert_ranked(report["dense"]["by-vector"], exact.ranking(0)[:TOP])


@pytest.mark.parametrize("name", FILTERS)
def test_filters_on_metadata(report: dict[str, Any], exact: Exact, name: str) -> None:
    expected = exact.ranking(0, FILTERS[name])
    assert expected
    assert_ranked(report["dense"]["filtered"][name], expected[:TOP])


def test_every_filter_is_tried(report: dict[str, Any]) -> None:
    assert report["dense"]["filtered"].keys() == FILTERS.keys()


def test_offset_and_threshold(report: dict[str, Any], exact: Exact) -> None:
    assert_ranked(report["dense"]["offset"], exact.ranking(0)[5:10])
    assert_ranked(report["dense"]["threshold"], exact.ranking(0)[:5])
    relevance = [(ident, (score + 1) / 2) for ident, score in exact.ranking(0)[:TOP]]
    assert_ranked(report["dense"]["relevance"], relevance)


@pytest.mark.parametrize(("number", "diversity"), [(0, 0.0), (1, 0.4)])
def test_maximal_marginal_relevance(report: dict[str, Any], exact: Exact, number: int, diversity: float) -> None:
    found = [hit["id"] for hit in report["dense"]["mmr"][number]]
    assert found == exact.mmr(0, 5, 40, diversity)
    if diversity:
        assert found != [ident for ident, _ in exact.ranking(0)[:5]]


def test_retrievers(report: dict[str, Any], exact: Exact) -> None:
    found = {kind: [hit["id"] for hit in hits] for kind, hits in report["retrievers"].items()}
    urgent = exact.ranking(1, FILTERS["urgent"])[:4]
    above = [ident for ident, score in exact.ranking(1)[:TOP] if (score + 1) / 2 >= 0.75]
    assert 0 < len(above) < TOP
    assert found["similarity"] == [ident for ident, _ in urgent]
    assert found["mmr"] == exact.mmr(1, 4, 30, 0.5)
    assert found["similarity_score_threshold"] == above


def test_sparse_and_hybrid_find_texts_by_their_words(report: dict[str, Any], exact: Exact) -> None:
    for found in (*report["sparse"], *report["hybrid"]):
        assert len(found) == TOP
        scores = [hit["score"] for hit in found]
        assert scores == sorted(scores, reverse=True)
    assert_whole(report["sparse"][0], _extra("langchain-sparse"))
    assert_whole(report["hybrid"][0], _extra("langchain-hybrid"))
    mixed = {entry.id for entry in ENTRIES if FILTERS["mixed"](entry)}
    assert {hit["id"] for hit in report["hybrid-filtered"] + report["sparse-filtered"]} <= mixed


def test_a_collection_is_shown_as_it_was_declared(report: dict[str, Any]) -> None:
    assert "configured for COSINE similarity, but requested DOT" in report["existing"]["distance"]
    assert "does not contain dense vector named other" in report["existing"]["vector"]
    assert "does not contain sparse vectors named langchain-sparse" in report["existing"]["sparse"]


def test_async_api(report: dict[str, Any], exact: Exact) -> None:
    done = report["async"]
    assert done["added"] == [done["found"][0]["id"]]
    assert done["found"][0]["text"] == "A parcel of blue envelopes was left at the desk."
    assert done["deleted"] is True
    assert done["after"][0]["id"] != done["found"][0]["id"]
    assert [hit["id"] for hit in done["mmr"]] == exact.mmr(2, 4, 20, 0.5)
    assert [hit["id"] for hit in done["retriever"]] == [ident for ident, _ in exact.ranking(3)[:3]]


def test_overwriting_and_deleting(report: dict[str, Any]) -> None:
    done = report["changes"]
    text = "The lighthouse keeper counted eleven ships."
    assert [hit["text"] for hit in done["overwritten"]] == [text]
    assert done["overwritten"][0]["metadata"]["department"] == "harbour"
    assert "patient" not in done["overwritten"][0]["metadata"]
    assert [hit["text"] for hit in done["found"]] == [text]
    assert [hit["text"] for hit in done["filter"]] == [text]
    assert done["deleted"] is True
    assert done["gone"] == []
    assert done["left"] == len(ENTRIES) - 1


def test_other_distances(report: dict[str, Any], exact: Exact) -> None:
    assert_ranked(report["distances"]["Dot"], exact.ranking(0)[:TOP])
    lengths = [(ident, max(2 - 2 * score, 0.0) ** 0.5) for ident, score in exact.ranking(0)[:TOP]]
    assert_ranked(report["distances"]["Euclid"], lengths)


def test_options_of_a_collection(report: dict[str, Any]) -> None:
    assert {name: len(found) for name, found in report["declared"].items()} == dict.fromkeys(
        ("on-disk", "quantized", "half", "sparse-index", "collection"), 5
    )
    # Whatever the database does with the vectors, what is found is the same as in an ordinary store.
    best = [hit["id"] for hit in report["hybrid"][0][:1]]
    assert [hit["id"] for hit in report["declared"]["collection"][:1]] == best
