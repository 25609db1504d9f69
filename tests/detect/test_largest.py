"""Which answers are too much of their collection to be given in one piece."""

from __future__ import annotations

import pytest

from vecguard.detect.largest import most_in_one, require_small, sure_of, too_large
from vecguard.errors import LimitExceeded
from vecguard.policy.detection import LEAST_ANSWER, DetectionRule

ENFORCING = DetectionRule(mode="enforce")
CONTENT = frozenset({"payload", "scores"})


@pytest.mark.parametrize(
    ("records", "most"),
    [(0, 300), (100, 250), (8_000, 250), (10_000, 300), (1_000_000, 30_000)],
    ids=["nobody knows", "small", "the share is less", "share", "large"],
)
def test_a_share_of_the_collection_but_never_less_than_a_page(records: int, most: int) -> None:
    assert most_in_one(0.03, records) == most
    require_small("notes", ENFORCING, CONTENT, most, records)
    with pytest.raises(
        LimitExceeded, match=rf"{most + 1:,} records of `notes` in one answer.*allows {most:,}; ask for"
    ):
        require_small("notes", ENFORCING, CONTENT, most + 1, records)


def test_ids_and_scores_alone_are_no_content() -> None:
    require_small("notes", ENFORCING, frozenset({"scores"}), 10_000, 10_000)
    assert too_large(ENFORCING, frozenset({"vectors"}), 10_000, 10_000)


def test_only_who_enforces_refuses() -> None:
    observing = DetectionRule()
    require_small("notes", observing, CONTENT, 10_000, 10_000)
    assert too_large(observing, CONTENT, 10_000, 10_000)  # what `replay` tells


def test_null_is_any_number() -> None:
    rule = DetectionRule(mode="enforce", largest_answer=None)
    require_small("notes", rule, CONTENT, 10_000, 10_000)
    assert not too_large(rule, CONTENT, 10_000, 10_000)
    assert not too_large(DetectionRule(mode="enforce", largest_answer=1.0), CONTENT, 10_000, 10_000)
    assert LEAST_ANSWER == 250


@pytest.mark.parametrize("records", [0, 40, 9_000, 1_000_000])
def test_what_is_not_read_would_not_have_been_refused(records: int) -> None:
    assert not too_large(ENFORCING, CONTENT, sure_of(ENFORCING, records), records)
    if records:
        assert too_large(ENFORCING, CONTENT, sure_of(ENFORCING, records) + 1, records)
