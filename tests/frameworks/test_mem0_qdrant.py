"""mem0 through VecGuard: memories are added, found, filtered, changed and forgotten as without it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact
from frameworks.scenarios.clinic import ENTRIES, Entry

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("way", ["grpc", "rest"])]
DEPARTMENT = ENTRIES[0].metadata["department"]
HASHED = {md5(entry.text.encode()).hexdigest(): number for number, entry in enumerate(ENTRIES)}


def _number(entry: Entry) -> int:
    return ENTRIES.index(entry)


def _ann(test: Callable[[dict[str, Any]], bool]) -> Callable[[Entry], bool]:
    return lambda entry: _number(entry) % 2 == 0 and test(entry.metadata)


FILTERS: dict[str, Callable[[Entry], bool]] = {
    "user": _ann(lambda _: True),
    "agent": lambda entry: _number(entry) % 4 == 0,
    # Only every fourth note, all of them Ann's, has an agent.
    "both": lambda _: False,
    "equal": _ann(lambda m: m["department"] == DEPARTMENT),
    "not-equal": _ann(lambda m: m["department"] != DEPARTMENT),
    "in": _ann(lambda m: m["department"] in (DEPARTMENT, "cardiology")),
    "range": _ann(lambda m: 3 <= m["page"] < 8),
    "dates": _ann(lambda m: m["written"] > "2026-06-01"),
    "or": _ann(lambda m: m["department"] == DEPARTMENT or m["page"] > 9),
    "not": _ann(lambda m: m["department"] != DEPARTMENT),
    "any-value": _ann(lambda _: True),
}


@pytest.fixture
def report(answers: Answers, way: str) -> dict[str, Any]:
    return answers("mem0_qdrant_scenario", way)


@pytest.mark.parametrize("name", FILTERS)
def test_filters(report: dict[str, Any], name: str) -> None:
    kept = [entry for entry in ENTRIES if FILTERS[name](entry)]
    found = report["searches"]["filtered"][name]
    assert len(found) == min(5, len(kept))
    assert all(ENTRIES[HASHED[hit["id"]]] in kept for hit in found)


def test_every_filter_is_tried(report: dict[str, Any]) -> None:
    assert report["searches"]["filtered"].keys() == FILTERS.keys()


def test_memories_come_back_whole(report: dict[str, Any]) -> None:
    found = report["searches"]["asked"]
    assert all(found)
    for hit in [memory for memories in found for memory in memories]:
        entry = ENTRIES[HASHED[hit["id"]]]
        assert hit["memory"] == entry.text
        assert hit["metadata"] == entry.metadata
        assert (hit["user_id"], hit["role"]) == ("ann", "user")
    assert [HASHED[hit["id"]] % 2 for hit in report["searches"]["all"]] == [1] * (len(ENTRIES) // 2)


def test_the_semantic_part_of_a_score_is_the_exact_cosine(report: dict[str, Any], exact: Exact) -> None:
    details = report["searches"]["explained"]
    cosines = {score for ident, score in exact.ranking(0)}
    assert min(abs(details["semantic_score"] - cosine) for cosine in cosines) < 1e-4


def test_the_threshold_is_applied_to_exact_cosines(report: dict[str, Any], exact: Exact) -> None:
    kept = {ident for ident, score in exact.ranking(0, FILTERS["user"]) if score >= 0.3}
    assert 0 < len(kept) < len(ENTRIES) // 2
    assert {ENTRIES[HASHED[hit["id"]]].id for hit in report["searches"]["threshold"]} == kept


def test_batches_are_exact(report: dict[str, Any], exact: Exact) -> None:
    for question, found in enumerate(report["searches"]["batch"]):
        expected = exact.ranking(question, FILTERS["agent"])[:3]
        assert [ENTRIES[HASHED[hit["id"]]].id for hit in found] == [ident for ident, _ in expected]
        assert [hit["score"] for hit in found] == pytest.approx([score for _, score in expected], abs=1e-4)


def test_keyword_search_ranks_by_words(report: dict[str, Any]) -> None:
    scores = [hit["score"] for hit in report["searches"]["keyword"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_indexes_of_the_scopes_are_made(report: dict[str, Any]) -> None:
    assert report["searches"]["indexes"] == ["actor_id", "agent_id", "run_id", "user_id"]


def test_adding_changing_and_forgetting(report: dict[str, Any]) -> None:
    done = report["changes"]
    texts = ["I am allergic to penicillin.", "My daughter Clara plays the cello."]
    texts += ["I moved to Lisbon in April.", "I never eat shellfish."]
    changed = "I am allergic to penicillin and latex."
    assert done["added"] == [[text, "ADD"] for text in texts]
    assert done["repeated"] == []
    assert done["updated"][0]["memory"] == changed
    assert done["updated"][0]["metadata"] == {"department": "intake", "page": 7}
    assert done["deleted"] is None
    assert done["asked"][0]["memory"] == changed
    added = [[["ADD", None, text, False]] for text in texts]
    added[0].append(["UPDATE", texts[0], changed, False])
    added[1].append(["DELETE", texts[1], None, True])
    assert done["history"] == added
    assert done["payload-only"] == "I moved to Porto in May."
    assert done["vector-only"][0]["memory"] == texts[3]
    assert done["left"] == []
    assert report["reset"] == []


def test_the_collection_of_entities(report: dict[str, Any]) -> None:
    before, after = report["changes"]["entities"]
    assert before == [["Clara", [2, 3]], ["Lisbon", [2]]]
    assert after == [["Clara", [3]]]


def test_async_memory(report: dict[str, Any]) -> None:
    done = report["async"]
    assert done["found"][0]["memory"] == "I moved to Faro in June."
    assert {hit["memory"] for hit in done["all"]} == {"I moved to Faro in June.", "I never eat shellfish."}
    assert [event[0] for event in done["history"]] == ["ADD", "UPDATE"]
    assert [hit["memory"] for hit in done["left"]] == ["I never eat shellfish."]
