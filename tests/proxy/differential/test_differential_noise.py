"""Noise changes no answer: opened candidates are scored exactly, and enough of them are read.

`noisy` and `copied` (recovery derived and sealed, ratio 1) read all points of these small collections, so every answer
must be the engine's. `paged` starts with 7 candidates and must read on until its certificate (5 standard deviations)
holds, so what it certifies must be the engine's too.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from qdrant_client import grpc as pb

from . import library
from .conftest import Proxies
from .query_operations import queries
from .sides import Call, Pair, cases

Pairs = Callable[[str, str], Pair]
SLOW = pytest.mark.slow

# The first page of a recommendation by another strategy than the average, and of discovery, is not certified.
_CERTIFIED = ("nearest", "average_vector", "rrf", "dbsf", "rescore", "mmr", "matrix", "no-query", "order-by", "fused")
_UNCERTIFIED = ("best_score", "sum_scores", "discover", "context", "feedback", "best-score")


def certified() -> dict[str, Call]:
    """Queries whose answer is exact by certificate, whatever the size of the collection."""
    names = [name for name in queries("") if any(kind in name for kind in _CERTIFIED)]
    return {name: queries("")[name] for name in names if not any(kind in name for kind in _UNCERTIFIED)}


@pytest.mark.parametrize(
    ("protection", "distance"),
    [
        ("noisy", "cosine"),
        pytest.param("noisy", "dot", marks=SLOW),
        pytest.param("noisy", "euclid", marks=SLOW),
        pytest.param("copied", "cosine", marks=SLOW),
        pytest.param("copied", "dot", marks=SLOW),
        pytest.param("copied", "euclid", marks=SLOW),
    ],
)
@cases(queries(""), quick=lambda name: name.startswith(("text-", "rrf", "rescore", "groups-s_city", "matrix-pairs-t")))
@pytest.mark.slow
def test_noise(call: Call, request: pytest.FixtureRequest, protection: str, distance: str, pairs: Pairs) -> None:
    name = request.node.callspec.id.removesuffix(f"-{protection}-{distance}")
    assert "answer" in pairs(protection, distance).same(queries(distance)[name])


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["cosine", "dot", "euclid"])
@cases(certified())
def test_pages(call: Call, request: pytest.FixtureRequest, distance: str, pairs: Pairs) -> None:
    name = request.node.callspec.id.removesuffix(f"-{distance}")
    assert "answer" in pairs("paged", distance).same(queries(distance)[name])


@pytest.mark.parametrize("protection", ["noisy", "copied"])
def test_at_rest_the_answers_are_others(pairs: Pairs, proxy: Proxies, protection: str) -> None:
    """What the tests above compare really went through noise: the database alone ranks and scores otherwise."""
    pair = pairs(protection, "cosine")
    name, query = pair.proxied.name(f"cosine-{library.UNNAMED}"), library.dense(90_001)
    answered = pair.proxied.points.Query(asked := question(name, query))
    with grpc.insecure_channel(proxy(library.POLICY).engine_target) as channel:
        at_rest = pb.PointsStub(channel).Query(asked)
    ids = [[str(hit.id) for hit in found.result] for found in (answered, at_rest)]
    assert len(ids[0]) == len(ids[1]) == 10
    # A clear question to 80 rotated and noised vectors is a random one: ten right ones in order, one in 10^18.
    assert ids[0] != ids[1]


def question(collection: str, vector: list[float]) -> pb.QueryPoints:
    nearest = pb.VectorInput(dense=pb.DenseVector(data=vector))
    return pb.QueryPoints(collection_name=collection, query=pb.Query(nearest=nearest), limit=10)
