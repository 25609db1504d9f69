"""`AsyncQdrantClient` gets the same answers from the proxy as the ordinary client from the engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from . import library
from .conftest import Proxies
from .query_operations import queries
from .read_operations import reads
from .sides import Call, Pair, cases
from .write_operations import unnamed

Pairs = Callable[[str, str], Pair]


class Blocking:
    """An asynchronous client with the face of the blocking one: each call waits for its coroutine."""

    def __init__(self, make: Callable[[], AsyncQdrantClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

        async def connect() -> AsyncQdrantClient:
            return make()

        self._client = self._wait(connect())

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*positional: Any, **named: Any) -> Any:
            found = method(*positional, **named)
            return self._wait(found) if asyncio.iscoroutine(found) else found

        return call

    def stop(self) -> None:
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def asynchronous(pairs: Pairs, proxy: Proxies) -> Iterator[Pair]:
    """The engine with the ordinary client, the proxy with the asynchronous one."""
    pair = pairs("exact", "cosine")
    client = Blocking(proxy(library.POLICY).async_client)
    yield Pair(pair.direct, replace(pair.proxied, client=cast(QdrantClient, client)))
    client.stop()


CHOSEN = {
    name: call
    for name, call in {**reads("cosine"), **queries("cosine")}.items()
    if name.startswith(("scroll", "retrieve", "facet", "text-", "rrf", "formula", "groups-s_city", "matrix", "batch"))
}
QUICK = ("scroll-p", "retrieve-t", "facet-city", "text-nearest-f", "text-mmr", "rrf-t", "formula-score", "batch")


@cases(CHOSEN, quick=lambda name: name.startswith(QUICK))
def test_reads_and_queries(asynchronous: Pair, call: Call) -> None:
    assert "answer" in asynchronous.same(call)


def test_writes(asynchronous: Pair) -> None:
    name = "asynchronous"
    for on in (asynchronous.direct, asynchronous.proxied):
        on.client.create_collection(on.name(name), **library.unnamed_config("cosine"))
    for step, call in unnamed(name):
        # The asynchronous client's uploads are plain functions that start processes; they are the same code.
        if step != "uploaded":
            assert "answer" in asynchronous.same(call), step
        asynchronous.same(lambda on: on.client.scroll(on.name(name), limit=100, with_vectors=True))
    for on in (asynchronous.direct, asynchronous.proxied):
        on.client.delete_collection(on.name(name))


@pytest.mark.slow
def test_calls_at_the_same_time(pairs: Pairs, proxy: Proxies) -> None:
    """Fifty questions at once, each answered as it is alone."""
    pair = pairs("noisy", "cosine")
    collection = pair.proxied.name(f"cosine-{library.UNNAMED}")
    vectors = [library.dense(70_000 + number) for number in range(50)]

    async def ask() -> list[models.QueryResponse]:
        client = proxy(library.POLICY).async_client()
        try:
            return await asyncio.gather(*(client.query_points(collection, query=vector) for vector in vectors))
        finally:
            await client.close()

    for vector, together in zip(vectors, asyncio.run(ask()), strict=True):
        alone = pair.direct.client.query_points(f"cosine-{library.UNNAMED}", query=vector)
        assert [hit.id for hit in together.points] == [hit.id for hit in alone.points]
        assert [hit.payload for hit in together.points] == [hit.payload for hit in alone.points]
        assert [hit.score for hit in together.points] == pytest.approx([hit.score for hit in alone.points], abs=1e-4)
