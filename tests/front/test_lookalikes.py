"""Vectors and payloads that are made to look like a collection's own; what cannot be made so is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecguard.errors import FailedPrecondition
from vecguard.front.lookalikes import payloads_like, vectors_like
from vecguard.policy.model import PayloadRule

RULE = PayloadRule.model_validate(
    {"fields": {"lang": "plain", "doc": "searchable", "price": "range", "meta.page": "plain", "words": "tokens"}}
)


def made(sample: list[dict[str, Any]], count: int = 40) -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    rows = [int(row) for row in random.integers(len(sample), size=count)]
    payloads: list[dict[str, Any]] = payloads_like(sample, rows, RULE.mode_of, random)
    return payloads


def test_vectors_keep_to_the_subspace_the_distances_and_the_lengths() -> None:
    random = np.random.default_rng(0)
    base = random.standard_normal((10, 96))
    sample = (random.standard_normal((600, 10)) @ base * random.uniform(1, 3, (600, 1))).astype(np.float32)
    vectors = vectors_like(sample, 40, random)
    assert vectors.shape == (40, 96)
    inside = vectors @ np.linalg.pinv(base) @ base
    np.testing.assert_allclose(inside, vectors, atol=1e-3 * np.abs(vectors).max())
    lengths, own = np.linalg.norm(vectors, axis=1), np.linalg.norm(sample, axis=1)
    assert own.min() * 0.999 <= lengths.min()
    assert lengths.max() <= own.max() * 1.001
    units, theirs = sample / own[:, None], vectors / lengths[:, None]
    cosines = units @ units.T - 3 * np.eye(600)
    assert abs(np.median((theirs @ units.T).max(axis=1)) - np.median(cosines.max(axis=1))) < 0.06


def test_copies_of_a_record_are_as_far_apart_as_records() -> None:
    sample = np.random.default_rng(0).standard_normal((200, 32)).astype(np.float32)
    vectors = vectors_like(sample, 60, np.random.default_rng(2))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (units @ units.T - 3 * np.eye(60)).max() < 0.999


def test_values_that_repeat_and_what_is_sealed_are_copied() -> None:
    sample = [{"lang": "en" if i % 2 else "de", "note": f"note {i}", "tags": ["a", "b"]} for i in range(60)]
    for payload in made(sample):
        assert payload in sample


def test_searchable_texts_that_hardly_repeat_are_made_anew_in_their_length() -> None:
    sample = [{"doc": f"doc-{i:06}"} for i in range(60)]
    fresh = [payload["doc"] for payload in made(sample)]
    assert {len(one) for one in fresh} == {10}
    assert not set(fresh) & {one["doc"] for one in sample}


def test_numbers_that_hardly_repeat_lie_among_the_others() -> None:
    sample = [{"price": 10.0 + i / 7, "meta": {"page": 3 * i}} for i in range(60)]
    for payload in made(sample):
        assert 10 <= payload["price"] <= 19
        assert isinstance(payload["price"], float)
        assert 0 <= payload["meta"]["page"] <= 177
        assert isinstance(payload["meta"]["page"], int)


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ([{"lang": f"text {i}"} for i in range(60)], "`lang` has the mode plain, whose values hardly repeat"),
        ([{"price": f"2024-01-01T00:00:{i:02}Z"} for i in range(60)], "`price` has the mode range"),
        ([{"words": "red green"} for _ in range(60)], "`words` has the mode tokens"),
        ([{"meta": {"page": [f"p{i}"]}} for i in range(60)], "`meta.page` has the mode plain"),
    ],
)
def test_what_would_be_told_by_its_twin_is_refused(sample: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(FailedPrecondition, match=why):
        made(sample)


def test_samples_stay_as_they_are() -> None:
    sample = [{"doc": f"doc-{i:06}", "deep": {"list": [i, None, {"x": i}]}} for i in range(60)]
    before = [dict(one) for one in sample]
    made(sample)
    assert sample == before
