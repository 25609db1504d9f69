"""langchain-milvus through VecGuard: what it finds is what exact arithmetic finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked, assert_whole
from frameworks.scenarios.clinic import ENTRIES, Entry

pytestmark = pytest.mark.slow
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
    "integer": _where(lambda m: m["page"] == 3),
    "range": _where(lambda m: 4 <= m["page"] < 9),
    "float": _where(lambda m: m["weight"] > 0.5),
    "prefix": _where(lambda m: m["written"].startswith("2026-03")),
    "ids": lambda entry: entry in ENTRIES[:20],
    "mixed": _where(lambda m: m["weight"] > 0.5 and (m["department"] == DEPARTMENTS[2] or m["urgent"])),
    "not": _where(lambda m: m["diagnosis"] != ENTRIES[0].metadata["diagnosis"]),
}


@pytest.fixture
def report(answers: Answers) -> dict[str, Any]:
    return answers("langchain_milvus_scenario", "grpc")


def _columns(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hits of a store with columns, which has none for lists: their tags are put back for the comparison."""
    tags = {entry.id: entry.metadata["tags"] for entry in ENTRIES}
    return [hit | {"metadata": hit["metadata"] | {"tags": tags[hit["id"]]}} for hit in hits]


def _pk(entry: Entry) -> dict[str, Any]:
    return {"pk": entry.id}


def test_nearest_are_exact(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["reads"]["nearest"]):
        assert_ranked(found, exact.ranking(question)[:TOP])
        assert_whole(_columns(found), _pk)
    assert_ranked(report["reads"]["by-vector"], exact.ranking(0)[:TOP])
    relevance = [(ident, (score + 1) / 2) for ident, score in exact.ranking(0)[:TOP]]
    assert_ranked(report["reads"]["relevance"], relevance)


@pytest.mark.parametrize("name", FILTERS)
def test_expressions(report: dict[str, Any], exact: Exact, name: str) -> None:
    expected = exact.ranking(0, FILTERS[name])
    assert expected
    assert_ranked(report["reads"]["filtered"][name], expected[:TOP])
    assert report["reads"]["pks"][name] == sorted(entry.id for entry in ENTRIES if FILTERS[name](entry))


def test_every_expression_is_tried(report: dict[str, Any]) -> None:
    assert report["reads"]["filtered"].keys() == report["reads"]["pks"].keys() == FILTERS.keys()


def test_search_by_metadata(report: dict[str, Any]) -> None:
    wanted = sorted(entry.id for entry in ENTRIES if FILTERS["mixed"](entry))
    assert [hit["id"] for hit in report["reads"]["metadata"]] == wanted


@pytest.mark.parametrize(("number", "diversity"), [(0, 0.0), (1, 0.4), (2, 1.0)])
def test_maximal_marginal_relevance(report: dict[str, Any], exact: Exact, number: int, diversity: float) -> None:
    # The framework asks for the stored vectors and ranks by itself: they come back exact.
    found = [hit["id"] for hit in report["reads"]["mmr"][number]]
    assert found == exact.mmr(0, 5, 40, diversity)


def test_retrievers(report: dict[str, Any], exact: Exact) -> None:
    found = {kind: [hit["id"] for hit in hits] for kind, hits in report["retrievers"].items()}
    above = [ident for ident, score in exact.ranking(1)[:TOP] if (score + 1) / 2 >= 0.75]
    assert 0 < len(above) < TOP
    assert found["similarity"] == [ident for ident, _ in exact.ranking(1, FILTERS["urgent"])[:4]]
    assert found["mmr"] == exact.mmr(1, 4, 30, 0.5)
    assert found["similarity_score_threshold"] == above


def test_other_metrics(report: dict[str, Any], exact: Exact) -> None:
    assert_ranked(report["metrics"]["IP"], exact.ranking(0)[:TOP])
    assert_ranked(report["metrics"]["L2"], [(ident, 2 - 2 * score) for ident, score in exact.ranking(0)[:TOP]])


def test_dynamic_fields_and_json(report: dict[str, Any], exact: Exact) -> None:
    found = report["dynamic"]
    for name in ("equal", "in", "urgent", "range", "mixed"):
        assert_ranked(found[name], exact.ranking(0, FILTERS[name])[:TOP])
        assert_whole(found[name], _pk)
    tagged = exact.ranking(0, _where(lambda m: DEPARTMENTS[1] in m["tags"]))
    assert_ranked(found["tags"], tagged[:TOP])
    assert_ranked(found["json"], exact.ranking(0, _where(lambda m: m["department"] == DEPARTMENTS[1]))[:TOP])
    assert_ranked(found["json-range"], exact.ranking(0, FILTERS["range"])[:TOP])
    assert_whole(found["json"], lambda _: {})


@pytest.mark.parametrize("ranker", ["rrf", "weighted"])
def test_hybrid_search(report: dict[str, Any], ranker: str) -> None:
    for found in report["hybrid"][ranker]:
        scores = [hit["score"] for hit in found]
        assert len(scores) == TOP
        assert scores == sorted(scores, reverse=True)
    assert_whole(_columns(report["hybrid"][ranker][0]), _pk)
    kept = {entry.id for entry in ENTRIES if FILTERS["mixed"](entry)}
    assert report["hybrid"]["filtered"]
    assert {hit["id"] for hit in report["hybrid"]["filtered"]} <= kept


def test_async_api(report: dict[str, Any], exact: Exact) -> None:
    done = report["async"]
    assert done["added"] == [done["found"][0]["id"]]
    assert done["found"][0]["text"] == "A parcel of blue envelopes was left at the desk."
    assert_ranked(done["filtered"], exact.ranking(2, FILTERS["range"])[:4])
    assert [hit["id"] for hit in done["mmr"]] == exact.mmr(2, 4, 20, 0.5)
    assert [hit["id"] for hit in done["retriever"]] == [ident for ident, _ in exact.ranking(3)[:3]]
    equal = {entry.id for entry in ENTRIES if FILTERS["equal"](entry)}
    assert set(done["pks"]) - {done["found"][0]["id"]} == equal
    assert done["deleted"] is True
    assert done["after"][0]["id"] != done["found"][0]["id"]


def test_upserting_and_deleting(report: dict[str, Any]) -> None:
    done = report["changes"]
    assert [hit["text"] for hit in done["found"]] == ["The lighthouse keeper counted eleven ships."]
    assert done["harbour"] == [ENTRIES[0].id]
    assert done["deleted"] is done["urgent-deleted"] is True
    assert done["gone"] == []
    assert done["left"] == sorted(entry.id for entry in ENTRIES[2:] if not entry.metadata["urgent"])
