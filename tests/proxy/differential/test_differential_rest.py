"""The ordinary client over REST gets from the proxy what it gets from the engine over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from qdrant_client.http.exceptions import UnexpectedResponse

from . import library
from .conftest import Proxies
from .over_rest import RestPair
from .query_operations import queries
from .read_operations import reads
from .sides import Call, cases
from .wrong_operations import wrong

RestPairs = Callable[[str, str], RestPair]
# One of each kind is quick enough for the fast suite.
_QUICK = 12


def _quickly(operations: dict[str, Call]) -> Callable[[str], bool]:
    chosen = set(list(operations)[:: max(1, len(operations) // _QUICK)])
    return lambda name: name in chosen


QUERIES, READS, WRONG = queries("cosine"), reads("cosine"), wrong("cosine")


@cases(QUERIES, quick=_quickly(QUERIES))
def test_queries(call: Call, rest_pairs: RestPairs) -> None:
    assert "answer" in rest_pairs("exact", "cosine").same(call)


@cases(READS, quick=_quickly(READS))
def test_reads(call: Call, rest_pairs: RestPairs) -> None:
    assert "answer" in rest_pairs("exact", "cosine").same(call)


@cases(WRONG, quick=_quickly(WRONG))
def test_wrong_calls(call: Call, rest_pairs: RestPairs) -> None:
    rest_pairs("exact", "cosine").same(call)


def test_snapshots(rest_pairs: RestPairs, proxy: Proxies) -> None:
    """Made, listed and removed; without waiting it is only said that they were taken on."""
    on = rest_pairs("exact", "cosine").proxied
    name = on.name("cosine-unnamed")
    made = on.client.create_snapshot(name)
    assert made is not None
    assert [found.name for found in on.client.list_snapshots(name)] == [made.name]
    assert on.client.delete_snapshot(name, made.name)
    assert on.client.list_snapshots(name) == []
    url = proxy(library.POLICY).url
    answer = httpx.post(f"{url}/collections/{name}/snapshots?wait=false", timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    [taken] = on.client.list_snapshots(name)
    assert on.client.delete_snapshot(name, taken.name)
    with pytest.raises(UnexpectedResponse) as refused:
        on.client.delete_snapshot(name, "none.snapshot")
    assert refused.value.status_code == 404


@pytest.mark.slow
def test_full_snapshots(rest_pairs: RestPairs) -> None:
    client = rest_pairs("exact", "cosine").proxied.client
    made = client.create_full_snapshot()
    assert made is not None
    assert made.name in [found.name for found in client.list_full_snapshots()]
    assert client.delete_full_snapshot(made.name)


@pytest.mark.slow
def test_the_asynchronous_client(rest_pairs: RestPairs, proxy: Proxies) -> None:
    """Fifty questions at once, each answered as it is alone."""
    pair = rest_pairs("exact", "cosine")
    collection = pair.proxied.name("cosine-unnamed")
    vectors = [library.dense(70_000 + number) for number in range(50)]

    async def ask() -> list[Any]:
        client = proxy(library.POLICY).async_rest_client()
        try:
            return await asyncio.gather(*(client.query_points(collection, query=vector) for vector in vectors))
        finally:
            await client.close()

    for vector, together in zip(vectors, asyncio.run(ask()), strict=True):
        alone = pair.direct.client.query_points("cosine-unnamed", query=vector)
        assert [hit.id for hit in together.points] == [hit.id for hit in alone.points]
        assert [hit.score for hit in together.points] == pytest.approx([hit.score for hit in alone.points], abs=1e-4)
