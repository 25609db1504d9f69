"""When what is behind fails: the status says so, nothing acknowledged is lost, and it works again by itself."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from proxy import processes
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from serving import Proxy, Server, bare_engine, serving_proxy

from hostile.link import Link, link

pytestmark = pytest.mark.slow

POLICY = "version: 1\ncollections: [{match: 'faults*'}]\n"
NAME = "faults"


def make(face: Face, name: str = NAME) -> None:
    config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    face.collections.Create(q.CreateCollection(collection_name=name, vectors_config=config), timeout=30)


def put(face: Face, number: int, timeout: float = 30) -> None:
    payload = {"text": q.Value(string_value="x" * 200)}
    point = q.PointStruct(id=q.PointId(num=number), vectors=unnamed([number + 1.0, *range(1, DIMS)]), payload=payload)
    face.points.Upsert(q.UpsertPoints(collection_name=NAME, points=[point], wait=True), timeout=timeout)


def count(face: Face, timeout: float = 30) -> int:
    answer = face.points.Count(q.CountPoints(collection_name=NAME, exact=True), timeout=timeout)
    return int(answer.result.count)


def numbers(face: Face) -> set[int]:
    """All points, each opened."""
    ask = q.ScrollPoints(collection_name=NAME, limit=10_000)
    ask.with_payload.enable = ask.with_vectors.enable = True
    return {point.id.num for point in face.points.Scroll(ask, timeout=60).result}


def status(face: Face, timeout: float = 30) -> tuple[grpc.StatusCode, str]:
    """How a count ends."""
    try:
        count(face, timeout)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


@dataclass
class Place:
    """A proxy before a link to an engine."""

    engine: Server
    link: Link
    proxy: Proxy
    face: Face

    def ended(self, status: str, cause: str) -> int:
        """How many calls the trail says ended so."""
        lines = [json.loads(line) for line in self.proxy.logs.splitlines() if line.startswith("{")]
        calls = [line for line in lines if line["event"] == "call"]
        return sum((call["status"], call.get("cause")) == (status, cause) for call in calls)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("faults")
    with (
        bare_engine(folder / "engine") as engine,
        link(engine.target) as line,
        serving_proxy(folder / "proxy", POLICY, upstream=f"qdrant://{line.target}") as proxy,
    ):
        face = Face(proxy.target)
        with face.channel:
            make(face)
            put(face, 1)
            yield Place(engine, line, proxy, face)


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> None:
    """The link is whole before a test, and the proxy has found that out."""
    if "place" in request.fixturenames:
        place: Place = request.getfixturevalue("place")
        place.link.become("whole")
        until(lambda: status(place.face, 5)[0] is grpc.StatusCode.OK)


@pytest.mark.parametrize("state", ["cut", "nonsense"])
def test_a_database_that_is_away_or_talks_nonsense_is_unavailable_until_it_is_back(place: Place, state: str) -> None:
    place.link.become(state)  # type: ignore[arg-type]
    until(lambda: status(place.face)[0] is grpc.StatusCode.UNAVAILABLE)
    assert status(place.face)[1]
    until(lambda: place.ended("UNAVAILABLE", "upstream"))
    place.link.become("whole")
    until(lambda: status(place.face)[0] is grpc.StatusCode.OK)
    assert place.proxy.process.poll() is None


def test_a_deadline_holds_before_a_database_that_is_silent(place: Place) -> None:
    place.link.become("stalled")
    started = time.monotonic()
    assert status(place.face, 1.0)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 30
    until(lambda: place.ended("DEADLINE_EXCEEDED", "upstream") or place.ended("CANCELLED", "client"))
    # The proxy answers what it can meanwhile: the silence of one call holds up no other.
    with pytest.raises(grpc.RpcError) as refused:
        place.face.points.Count(q.CountPoints(collection_name="other"), timeout=60)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_cancelled_call_is_over_at_once(place: Place) -> None:
    place.link.become("stalled")
    before = place.ended("CANCELLED", "client")

    def cancelled() -> bool:
        call = place.face.points.Count.future(q.CountPoints(collection_name=NAME), timeout=600)
        time.sleep(0.3)  # for the proxy to have it; where that takes longer, it never hears of the call
        call.cancel()
        time.sleep(0.3)
        return place.ended("CANCELLED", "client") > before

    until(cancelled)


def test_details_of_the_databases_errors_come_through(place: Place) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        place.face.points.Count(q.CountPoints(collection_name="faults-missing"), timeout=30)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "faults-missing" in refused.value.details()


def write_while(face: Face, happens: threading.Event, acknowledged: set[int], tried: set[int]) -> None:
    """Write points one by one until a second after `happens`, and add up which were acknowledged, and all tried."""
    number, end = 100, None
    while end is None or time.monotonic() < end:
        if happens.is_set() and end is None:
            end = time.monotonic() + 1.0
        number += 1
        tried.add(number)
        try:
            put(face, number, timeout=10)
            acknowledged.add(number)
        except grpc.RpcError:
            time.sleep(0.05)


def test_kill_9_of_the_engine_and_of_the_proxy_under_load_loses_no_acknowledged_write(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    tried: set[int] = set()
    happens = threading.Event()
    with serving_proxy(tmp_path, POLICY) as proxy:
        face = Face(proxy.target)
        make(face)

        def kill() -> None:
            until(lambda: len(acknowledged) > 15)
            os.kill(processes.engine(proxy.process.pid), signal.SIGKILL)
            time.sleep(1.0)
            happens.set()

        killer = threading.Thread(target=kill)
        killer.start()
        write_while(face, happens, acknowledged, tried)
        killer.join()
        until(lambda: status(face, 5)[0] is grpc.StatusCode.OK)  # the engine is started anew by itself
        assert acknowledged <= numbers(face) <= tried
        put(face, 1)
        proxy.process.kill()
        proxy.process.wait(60)
        face.channel.close()
    with serving_proxy(tmp_path, POLICY) as proxy:
        face = Face(proxy.target)
        with face.channel:
            found = numbers(face)
    assert len(acknowledged) > 10
    assert acknowledged | {1} <= found <= tried | {1}


def test_a_full_disk_under_the_engine_refuses_writes_and_loses_none(tmp_path: Path) -> None:
    with serving_proxy(tmp_path, POLICY) as proxy:
        face = Face(proxy.target)
        with face.channel:
            make(face)
            acknowledged = set(range(1, 21))
            for number in acknowledged:
                put(face, number)
            pid = processes.engine(proxy.process.pid)
            # No file of the engine may grow beyond 1 MiB from here on: what a disk without room does to it.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
            big = {"text": q.Value(string_value="y" * 1_000_000)}
            refused: list[str] = []
            for number in range(1_000, 1_060):
                point = q.PointStruct(id=q.PointId(num=number), vectors=unnamed([1.0] * DIMS), payload=big)
                ask = q.UpsertPoints(collection_name=NAME, points=[point], wait=True)
                try:
                    face.points.Upsert(ask, timeout=30)
                    acknowledged.add(number)
                except grpc.RpcError as error:
                    refused.append(error.details())
                    if len(refused) == 3:
                        break
            assert refused, "the limit was felt"
            assert not any("yyyy" in details for details in refused)
            with_pid = processes.engine(proxy.process.pid)
            if with_pid == pid:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            until(lambda: status(face, 5)[0] is grpc.StatusCode.OK)
            assert acknowledged <= numbers(face)
    with serving_proxy(tmp_path, POLICY) as proxy:
        face = Face(proxy.target)
        with face.channel:
            assert acknowledged <= numbers(face)
            put(face, 5_000)
