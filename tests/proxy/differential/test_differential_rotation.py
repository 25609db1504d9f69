"""In the midst of a key rotation every answer is what it was: both epochs' records are found, opened and merged.

What the database would have to compute over both epochs itself is refused by name, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .query_operations import queries
from .read_operations import reads
from .sides import Call, Pair, cases, outcome

Pairs = Callable[[str, str], Pair]
SLOW = pytest.mark.slow
# One kind of vector each way stands for the others: what differs by kind is below the parts.
_LEFT_OUT = ("image-", "unnamed-", "tokens-recommend", "tokens-context", "tokens-discover", "words-context")
_FEW = ("text-nearest-", "text-discover", "words-recommend-best", "groups-s_city")
_QUICK = ("text-nearest-t", "text-discover", "words-nearest-t", "tokens-mmr", "groups-s_city", "matrix-pairs-t")


def same_or_refused(pair: Pair, name: str, call: Call) -> None:
    """The engine's answer; or the refusal of what cannot be told while keys are rotated."""
    got = outcome(pair.proxied, call)
    if "refused" in got and "being rotated" in got["refused"][1]:
        assert got["refused"][0] == "FAILED_PRECONDITION"
        assert any(kind in name for kind in ("bm25", "idf", "tree", "words-mmr", "matrix")), name
        return
    assert "answer" in pair.same(call)


@cases(
    {name: call for name, call in queries("").items() if not name.startswith(_LEFT_OUT)},
    quick=lambda name: name.startswith(_QUICK),
)
def test_queries(call: Call, request: pytest.FixtureRequest, rotating_pairs: Pairs) -> None:
    name = request.node.callspec.id
    same_or_refused(rotating_pairs("noisy", "cosine"), name, queries("cosine")[name])


@pytest.mark.slow
@pytest.mark.parametrize(("protection", "distance"), [("exact", "dot"), ("copied", "euclid"), ("exact", "cosine")])
@cases({name: call for name, call in queries("").items() if name.startswith(_FEW)})
def test_queries_of_other_protections(
    call: Call, request: pytest.FixtureRequest, protection: str, distance: str, rotating_pairs: Pairs
) -> None:
    name = request.node.callspec.id.removesuffix(f"-{protection}-{distance}")
    same_or_refused(rotating_pairs(protection, distance), name, queries(distance)[name])


@cases({name: call for name, call in reads("cosine").items() if "facet" in name or "retrieve" in name})
def test_reads(call: Call, rotating_pairs: Pairs) -> None:
    assert "answer" in rotating_pairs("noisy", "cosine").same(call)
