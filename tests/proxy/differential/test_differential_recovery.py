"""Vectors that nobody can recover, and vectors at half precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qdrant_client import models

from . import library
from .query_operations import queries
from .sides import Call, Pair, cases, outcome

Pairs = Callable[[str, str], Pair]

# Queries that ask for vectors, or need an exact one to compare it with vectors under another key.
_NEED_VECTORS = ("vectors", "large", "elsewhere", "groups-order", "no-query-filter", "batch")


def without_vectors() -> dict[str, Call]:
    """Queries that rotated vectors answer although the proxy cannot turn them back."""
    return {name: call for name, call in queries("cosine").items() if not any(part in name for part in _NEED_VECTORS)}


@pytest.mark.slow
@cases(without_vectors())
def test_queries_on_vectors_that_nobody_can_recover(call: Call, pairs: Pairs) -> None:
    assert "answer" in pairs("bare", "cosine").same(call)


@cases(
    {
        "retrieve": lambda on: on.client.retrieve(on.name("cosine-unnamed"), [1], with_vectors=True),
        "scroll": lambda on: on.client.scroll(on.name("cosine-named"), with_vectors=["text"]),
        "query": lambda on: on.client.query_points(on.name("cosine-unnamed"), library.dense(1), with_vectors=True),
        "lookup": lambda on: on.client.query_points(
            on.name("cosine-unnamed"),
            1,
            lookup_from=models.LookupLocation(collection=on.name("cosine-named"), vector="text"),
        ),
    }
)
def test_vectors_that_nobody_can_recover_are_refused(call: Call, pairs: Pairs) -> None:
    pair = pairs("bare", "cosine")
    assert "answer" in outcome(pair.direct, call)
    status, text = outcome(pair.proxied, call)["refused"]
    assert status == "INVALID_ARGUMENT"
    assert "recover: none" in text


@pytest.mark.parametrize("protection", ["exact", "noisy", "copied"])
def test_half_precision(protection: str, pairs: Pairs) -> None:
    """Stored floats have 11 bits: scores are as near as those of the engine alone."""
    on = pairs(protection, "cosine").proxied
    name = on.name("half")
    on.client.create_collection(
        name,
        vectors_config=models.VectorParams(
            size=library.DIMS, distance=models.Distance.COSINE, datatype=models.Datatype.FLOAT16
        ),
    )
    on.client.upsert(name, library.unnamed_points(), wait=True)
    vectors = np.array([library.dense(number) for number in range(1, library.COUNT + 1)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    true = dict(zip([str(library.point_id(n)) for n in range(1, library.COUNT + 1)], vectors, strict=True))
    for seed in range(5):
        query = np.array(library.dense(80_000 + seed))
        exact = {key: float(vector @ query / np.linalg.norm(query)) for key, vector in true.items()}
        hits = on.client.query_points(name, query.tolist(), with_vectors=True).points
        assert [hit.score for hit in hits] == pytest.approx([exact[str(hit.id)] for hit in hits], abs=5e-3)
        assert min(hit.score for hit in hits) >= sorted(exact.values())[-10] - 5e-3
        for hit in hits:
            np.testing.assert_allclose(hit.vector, true[str(hit.id)], atol=5e-3)
    on.client.delete_collection(name)
