"""Frameworks under a policy that declares no payload field: search works, and a refusal says what to declare."""

from __future__ import annotations

from typing import Any

import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("way", ["grpc", "rest"])]


@pytest.fixture
def report(answers: Answers, way: str) -> dict[str, Any]:
    return answers("undeclared_scenario", way)


def test_search_needs_no_declaration(report: dict[str, Any], exact: Exact) -> None:
    # The default certainty of 2 standard deviations promises the best hit, though hardly ever all ten.
    for framework in ("langchain", "llama-index"):
        assert_ranked(report[framework]["found"][:1], exact.ranking(0)[:1])
    assert report["langchain"]["ids"] == 20
    assert report["haystack"]["count"] == report["haystack"]["left"] == 150
    assert report["haystack"]["bounds"] == {"min": 0, "max": 11}


@pytest.mark.parametrize(
    ("framework", "call", "field", "needs"),
    [
        ("langchain", "equal", "metadata.department", "plain or searchable"),
        ("langchain", "range", "metadata.page", "plain or range"),
        ("llama-index", "made", "doc_id", "plain or searchable or range"),
        ("llama-index", "deleted", "doc_id", "plain or searchable"),
        ("haystack", "filter", "meta.department", "plain or searchable"),
        ("haystack", "delete", "meta.department", "plain or searchable"),
        ("mem0", "search", "user_id", "plain or searchable"),
        ("mem0", "all", "user_id", "plain or searchable"),
    ],
)
def test_a_refusal_names_field_mode_and_remedy(
    report: dict[str, Any], framework: str, call: str, field: str, needs: str
) -> None:
    text = report[framework][call]
    assert f"cannot be answered on field `{field}`: its mode is sealed" in text
    # qdrant-client cuts REST errors off behind this.
    assert f"it needs mode {needs} in the policy" in text


def test_vectors_that_cannot_be_protected_are_refused_with_the_reason(report: dict[str, Any]) -> None:
    assert "datatype Uint8 cannot hold a rotated vector" in report["unprotectable"]["bytes"]
    assert "Manhattan distance does not survive a rotation" in report["unprotectable"]["manhattan"]
