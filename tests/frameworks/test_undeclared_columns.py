"""langchain-milvus under a policy that declares no field: search works, and a refusal says what to declare."""

from __future__ import annotations

from typing import Any

import pytest

from frameworks.conftest import Answers
from frameworks.expected import Exact, assert_ranked

pytestmark = pytest.mark.slow


@pytest.fixture
def report(answers: Answers) -> dict[str, Any]:
    return answers("undeclared_milvus_scenario", "grpc")


def test_search_needs_no_declaration(report: dict[str, Any], exact: Exact) -> None:
    assert_ranked(report["found"][:1], exact.ranking(0)[:1])
    assert report["ids"] == 20


@pytest.mark.parametrize(
    ("call", "field", "needs"),
    [
        ("equal", "department", "plain or searchable"),
        ("range", "page", "plain"),
        ("query", "department", "plain or searchable"),
    ],
)
def test_a_refusal_names_field_mode_and_remedy(report: dict[str, Any], call: str, field: str, needs: str) -> None:
    assert f"cannot be answered on field `{field}`: its mode is sealed" in report[call]
    assert f"it needs mode {needs} in the policy (payload.fields)" in report[call]


def test_a_refused_deletion_deletes_nothing(report: dict[str, Any]) -> None:
    assert report["delete"] is False
    assert report["left"] == [150, 150]


def test_full_text_search_by_the_server_is_refused_with_the_reason(report: dict[str, Any]) -> None:
    assert "cannot read field text: its mode is sealed" in report["full-text"]
    assert "full-text search needs mode plain" in report["full-text"]
