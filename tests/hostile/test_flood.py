"""Floods and slow clients: memory stays bounded, what is too much is told to wait, and others are served."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from serving import Proxy, bare_engine, serving_proxy

from hostile.link import Link, link

pytestmark = pytest.mark.slow

POLICY = "version: 1\ncollections: [{match: 'flood'}]\n"
SETTINGS = "max_calls: 24\nmax_inflight_mib: 16\nmax_message_mib: 8\n"
CALLS = 96
SIZE = 4 * 1024 * 1024


@dataclass
class Place:
    """A proxy with narrow bounds, before a link to an engine."""

    proxy: Proxy
    link: Link
    face: Face

    def memory_mib(self) -> float:
        """Resident memory of the proxy."""
        status = Path(f"/proc/{self.proxy.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def count(self) -> grpc.StatusCode:
        """How a small call ends."""
        try:
            self.face.points.Count(q.CountPoints(collection_name="flood", exact=True), timeout=60)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("flood")
    (folder / "settings.yaml").write_text(SETTINGS)
    arguments = ("--config", str(folder / "settings.yaml"))
    with (
        bare_engine(folder / "engine") as engine,
        link(engine.target) as line,
        serving_proxy(
            folder / "proxy", POLICY, upstream=f"qdrant://{line.target}", rest=True, arguments=arguments
        ) as proxy,
    ):
        face = Face(proxy.target)
        with face.channel:
            config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
            face.collections.Create(q.CreateCollection(collection_name="flood", vectors_config=config), timeout=30)
            yield Place(proxy, line, face)


def test_a_flood_of_large_messages_is_bounded(place: Place) -> None:
    payload = {"text": q.Value(string_value="x" * SIZE)}
    point = q.PointStruct(id=q.PointId(num=1), vectors=unnamed([1.0] * DIMS), payload=payload)
    body = q.UpsertPoints(collection_name="flood", points=[point], wait=True).SerializeToString()
    before = place.memory_mib()
    place.link.become("stalled")

    def send(_: int) -> str:
        with grpc.insecure_channel(place.proxy.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            try:
                channel.unary_unary("/qdrant.Points/Upsert")(body, timeout=20)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"

    with ThreadPoolExecutor(CALLS) as threads:
        ended = Counter(threads.map(send, range(CALLS)))
    grown = place.memory_mib() - before
    assert ended["OK"] == 0
    assert ended["RESOURCE_EXHAUSTED"] > CALLS / 2, ended
    # 24 calls of 4 MiB that were read, and 16 MiB of them being sealed, which makes copies of some times their size.
    assert grown < 600, f"{grown} MiB more than before"
    place.link.become("whole")
    until(lambda: place.count() is grpc.StatusCode.OK)
    assert place.proxy.process.poll() is None


def test_clients_that_begin_and_say_no_more_hold_up_nobody(place: Place) -> None:
    assert place.proxy.rest_port is not None
    place.link.become("whole")
    until(lambda: place.count() is grpc.StatusCode.OK)
    beginnings = (
        b"",
        b"POST /collections/flood/points/count HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 100\r\n\r\n{",
    )
    held = []
    try:
        http2 = (place.proxy.port, b"PRI * HTTP/2.0\r\n\r\n")
        for port, beginning in (http2, *((place.proxy.rest_port, one) for one in beginnings)):
            for _ in range(60):
                connection = socket.create_connection(("127.0.0.1", port), timeout=60)
                connection.sendall(beginning)
                held.append(connection)
        assert place.count() is grpc.StatusCode.OK
        client = place.proxy.rest_client()
        assert client.count("flood").count == 0
        client.close()
    finally:
        for connection in held:
            connection.close()
