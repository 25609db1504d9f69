"""An engine served from a thread of the test process, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import QdrantClient
from qdrant_client import grpc as pb

from vecguard.engine.server import EngineServer, Listen
from vecguard.engine.store import Store

START_SECONDS = 120


class _Serving:
    """Runs a store and its server on an event loop of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> str:
        self._thread.start()
        assert self._started.wait(START_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self.target

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure
            self._started.set()
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        store = Store(self._folder)
        store.open()
        server = EngineServer(store, Listen("127.0.0.1:0"))
        self.target = await server.start()
        self._started.set()
        await self._stop.wait()
        await server.stop(1.0)
        await store.close()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a data folder; yields the gRPC target."""
    server = _Serving(folder)
    target = server.start()
    try:
        yield target
    finally:
        server.stop()


@pytest.fixture(scope="session")
def engine_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gRPC target of an engine that all tests of the session share."""
    with serving(tmp_path_factory.mktemp("engine-data")) as target:
        yield target


@pytest.fixture(scope="session")
def client(engine_target: str) -> Iterator[QdrantClient]:
    """The ordinary Qdrant client, connected to the shared engine."""
    host, _, port = engine_target.rpartition(":")
    connected = QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False)
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def points(engine_target: str) -> Iterator[pb.PointsStub]:
    """The raw RPCs, for messages that the client no longer or never sends."""
    with grpc.insecure_channel(engine_target) as channel:
        yield pb.PointsStub(channel)


@pytest.fixture
def collection_name(request: pytest.FixtureRequest, client: QdrantClient) -> Iterator[Callable[[str], str]]:
    """Names of collections that belong to one test; the collections are deleted after it."""
    names: list[str] = []

    def name(suffix: str = "") -> str:
        names.append(re.sub(r"[^A-Za-z0-9_-]+", "-", f"{request.node.name}{suffix}")[:200])
        return names[-1]

    yield name
    for one in names:
        client.delete_collection(one)


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """The status and text that a call is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()
