"""Reads answer the same through the proxy as straight from the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .read_operations import reads
from .sides import Call, Pair, cases

Pairs = Callable[[str, str], Pair]
SLOW = pytest.mark.slow
PROTECTIONS = ["exact", *(pytest.param(name, marks=SLOW) for name in ("hidden", "noisy", "copied"))]
VECTORS = [protection for protection in PROTECTIONS if "hidden" not in getattr(protection, "values", ())]


@pytest.mark.parametrize("protection", PROTECTIONS)
@cases(reads("cosine"))
@pytest.mark.slow
def test_reads(call: Call, protection: str, pairs: Pairs) -> None:
    assert "answer" in pairs(protection, "cosine").same(call)


@pytest.mark.parametrize("protection", VECTORS)
@cases({name: call for name, call in reads("dot").items() if "retrieve" in name or "everything" in name})
@pytest.mark.slow
def test_vectors_of_dot_collections(call: Call, protection: str, pairs: Pairs) -> None:
    assert "answer" in pairs(protection, "dot").same(call)


@pytest.mark.parametrize("protection", VECTORS)
@cases({name: call for name, call in reads("euclid").items() if "retrieve" in name or "everything" in name})
@pytest.mark.slow
def test_vectors_of_euclid_collections(call: Call, protection: str, pairs: Pairs) -> None:
    assert "answer" in pairs(protection, "euclid").same(call)


@pytest.mark.slow
def test_unprotected_collections_pass_as_they_are(pairs: Pairs) -> None:
    pair = pairs("clear", "cosine")
    for name, call in reads("cosine").items():
        assert "answer" in pair.same(call), name
