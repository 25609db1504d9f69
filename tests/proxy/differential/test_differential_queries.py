"""Queries answer the same through the proxy as straight from the engine: ids, order, payloads, scores to 1e-4."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .query_operations import queries
from .sides import Call, Pair, cases

Pairs = Callable[[str, str], Pair]


@pytest.mark.slow
@pytest.mark.parametrize("protection", ["exact", "hidden"])
@cases(queries("cosine"))
def test_cosine(call: Call, protection: str, pairs: Pairs) -> None:
    assert "answer" in pairs(protection, "cosine").same(call)


@pytest.mark.slow
@cases(queries("dot"))
def test_dot(call: Call, pairs: Pairs) -> None:
    assert "answer" in pairs("exact", "dot").same(call)


@pytest.mark.slow
@cases(queries("euclid"))
def test_euclid(call: Call, pairs: Pairs) -> None:
    assert "answer" in pairs("exact", "euclid").same(call)
