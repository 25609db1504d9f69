"""In the midst of a key rotation every answer is what it was: both epochs' records are found, opened and merged.

So are scores with the IDF modifier, whose frequencies are counted over both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .query_operations import queries
from .read_operations import reads
from .sides import Call, Pair, cases

Pairs = Callable[[str, str], Pair]
SLOW = pytest.mark.slow
# One kind of vector each way stands for the others: what differs by kind is below the parts.
_LEFT_OUT = ("image-", "unnamed-", "tokens-recommend", "tokens-context", "tokens-discover", "words-context")
_FEW = ("text-nearest-", "text-discover", "words-recommend-best", "groups-s_city")
_QUICK = (
    *("text-nearest-t", "text-discover", "words-nearest-t", "words-mmr", "groups-s_city", "matrix-pairs-t"),
    *("bm25-", "idf-", "tree"),
)


@cases(
    {name: call for name, call in queries("").items() if not name.startswith(_LEFT_OUT)},
    quick=lambda name: name.startswith(_QUICK),
)
@pytest.mark.slow
def test_queries(call: Call, request: pytest.FixtureRequest, rotating_pairs: Pairs) -> None:
    name = request.node.callspec.id
    assert "answer" in rotating_pairs("noisy", "cosine").same(queries("cosine")[name])


@pytest.mark.slow
@pytest.mark.parametrize(("protection", "distance"), [("exact", "dot"), ("copied", "euclid"), ("exact", "cosine")])
@cases({name: call for name, call in queries("").items() if name.startswith(_FEW)})
def test_queries_of_other_protections(
    call: Call, request: pytest.FixtureRequest, protection: str, distance: str, rotating_pairs: Pairs
) -> None:
    name = request.node.callspec.id.removesuffix(f"-{protection}-{distance}")
    assert "answer" in rotating_pairs(protection, distance).same(queries(distance)[name])


@cases({name: call for name, call in reads("cosine").items() if "facet" in name or "retrieve" in name})
def test_reads(call: Call, rotating_pairs: Pairs) -> None:
    assert "answer" in rotating_pairs("noisy", "cosine").same(call)
