"""Any bytes at any RPC and any JSON at any endpoint: no crash, no bug's answer, no client's value in errors or logs.

Few and always the same examples by default; `VECGUARD_FUZZ=20000` takes as many of each kind, drawn anew each time.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy.behind import DIMS, Face, unnamed
from pymilvus.grpc_gen import milvus_pb2 as m
from pymilvus.grpc_gen import milvus_pb2_grpc
from qdrant_client import grpc as q
from serving import Proxy, free_port, serving_proxy

from hostile.messages import SECRET, broken, messages
from vecguard.front.milvus.table import ROUTES as MILVUS
from vecguard.front.qdrant.table import ROUTES as QDRANT
from vecguard.front.rest.endpoint import Endpoint
from vecguard.front.rest.table import ENDPOINTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

MANY = int(os.environ.get("VECGUARD_FUZZ", "0"))
CALL_S = 60.0
POLICY = "version: 1\ncollections: [{match: 'notes*'}, {match: 'default*'}]\n"
# Whole collections come and go often enough by themselves; what stops the engine's own work is left out.
_SLOW = frozenset({"/milvus.proto.milvus.MilvusService/FlushAll"})


def examples(few: int) -> Any:
    """Settings of a test with few examples, or with many."""
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=MANY or few, derandomize=not MANY, deadline=None, database=None, suppress_health_check=quiet
    )


class Target:
    """A server with both protocols, and what it said."""

    def __init__(self, proxy: Proxy, milvus_port: int) -> None:
        self.proxy = proxy
        self.milvus = grpc.insecure_channel(f"127.0.0.1:{milvus_port}")
        self.qdrant = grpc.insecure_channel(proxy.target)
        self.texts: list[str] = []

    def send(self, channel: grpc.Channel, rpc: str, body: bytes) -> grpc.StatusCode:
        """A call; its status. What it answers with is looked at by the tests below, and by `require_well`."""
        try:
            channel.unary_unary(rpc)(body, timeout=CALL_S)
        except grpc.RpcError as error:
            self.texts.append(error.details() or "")
            return error.code()
        return grpc.StatusCode.OK

    def require_well(self) -> None:
        """Fail if the server ended, met a bug, or showed a client's value."""
        assert self.proxy.process.poll() is None
        logs = self.proxy.logs
        assert "unexpected error" not in logs, logs[logs.index("unexpected error") - 500 :][:3_000]
        assert "Traceback" not in logs
        assert SECRET not in logs
        assert not any(SECRET in text for text in self.texts)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder, port = tmp_path_factory.mktemp("fuzz"), free_port()
    lite = ("--upstream", f"embedded-milvus:{folder / 'lite'}", "--milvus-listen", f"127.0.0.1:{port}")
    with serving_proxy(folder / "proxy", POLICY, rest=True, arguments=lite) as proxy:
        made = Target(proxy, port)
        with made.milvus, made.qdrant:
            ready(made)
            yield made


def ready(target: Target) -> None:
    """The collection `notes` with a point is there, whatever was done to it; and can be searched."""
    face = Face(target.proxy.target)
    with face.channel:
        face.collections.Delete(q.DeleteCollection(collection_name="notes"), timeout=60)
        config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
        face.collections.Create(q.CreateCollection(collection_name="notes", vectors_config=config), timeout=60)
        point = q.PointStruct(id=q.PointId(num=1), vectors=unnamed([1.0] * DIMS))
        face.points.Upsert(q.UpsertPoints(collection_name="notes", points=[point], wait=True), timeout=60)
        query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
        ask = q.QueryPoints(collection_name="notes", query=query, limit=3)
        assert [point.id.num for point in face.points.Query(ask, timeout=60).result] == [1]


ROUTES = {"qdrant": sorted(QDRANT), "milvus": sorted(MILVUS.keys() - _SLOW)}
TABLES = {"qdrant": QDRANT, "milvus": MILVUS}


@pytest.mark.parametrize("front", ["qdrant", "milvus"])
def test_messages_of_any_content(target: Target, front: str) -> None:
    channel = target.qdrant if front == "qdrant" else target.milvus

    @examples(200 if front == "qdrant" else 120)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        route = TABLES[front][data.draw(st.sampled_from(ROUTES[front]))]
        body = data.draw(messages(route.ask)).SerializeToString()
        status = target.send(channel, route.rpc, body)
        assert status is not grpc.StatusCode.INTERNAL or "VecGuard" not in target.texts[-1], route.rpc

    run()
    target.require_well()
    ready(target)


@pytest.mark.parametrize("front", ["qdrant", "milvus"])
def test_bytes_that_are_broken(target: Target, front: str) -> None:
    channel = target.qdrant if front == "qdrant" else target.milvus

    @examples(200 if front == "qdrant" else 80)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        route = TABLES[front][data.draw(st.sampled_from(ROUTES[front]))]
        target.send(channel, route.rpc, data.draw(broken(route.ask)))

    run()
    target.require_well()
    ready(target)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from((0, 1, -1, 2**63, -(2**63), 2**64, 10**30, 0.5, 1e308, SECRET, "notes", "d", "")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(("id", "ids", "points", "vector", "vectors", "payload", "filter", "must", "key", "match")),
            inner,
            max_size=4,
        ),
        st.dictionaries(
            st.sampled_from(("query", "limit", "nearest", "value", "prefetch", "using", "size", "distance", "a")),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)
WITH_BODY = [one for one in ENDPOINTS if isinstance(one, Endpoint) and one.body is not None]


def test_json_of_any_shape(target: Target) -> None:
    @examples(250)
    @given(st.sampled_from(WITH_BODY), JSON, st.sampled_from((b"", b"}", b"\xff", b"[" * 5_000)))
    def run(endpoint: Endpoint, tree: Any, after: bytes) -> None:
        path = endpoint.path.format_map(Names())
        body = json.dumps(tree).encode() + after
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(target.proxy.url + path, body, headers, method=endpoint.method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            target.texts.append(text)
            assert "internal error in VecGuard" not in text, (path, body)

    run()
    target.require_well()
    ready(target)


class Names(dict[str, str]):
    """What stands in a path for any of its parameters."""

    def __missing__(self, key: str) -> str:
        return "notes" if key == "collection_name" else "1"


@pytest.mark.parametrize("size", [1, 100_000])
def test_messages_that_are_deep(target: Target, size: int) -> None:
    """Filters in filters: beyond protobuf's depth they are no message, below it they may be too deep for the engine."""
    inner = b""
    for _ in range(60 if size == 1 else size):
        inner = _field(3, _field(5, inner)) if len(inner) < 60_000_000 else inner  # must: condition: filter
        if size > 1 and len(inner) > 200_000:
            break
    body = _field(1, b"notes") + _field(2, inner)
    status = target.send(target.qdrant, "/qdrant.Points/Count", body)
    assert status in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK}
    target.require_well()


def _field(number: int, content: bytes) -> bytes:
    length, out = len(content), bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *out, length]) + content


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3.4e38])
@pytest.mark.parametrize("dims", [0, 1, DIMS - 1, DIMS, DIMS + 1, 65_537])
def test_vectors_that_are_none(target: Target, value: float, dims: int) -> None:
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[value] * dims)))
    asks = {
        "/qdrant.Points/Query": q.QueryPoints(collection_name="notes", query=query, limit=3),
        "/qdrant.Points/Upsert": q.UpsertPoints(
            collection_name="notes", points=[q.PointStruct(id=q.PointId(num=9), vectors=unnamed([value] * dims))]
        ),
    }
    for rpc, ask in asks.items():
        status = target.send(target.qdrant, rpc, ask.SerializeToString())
        allowed = {grpc.StatusCode.INVALID_ARGUMENT}
        if dims == DIMS:
            allowed |= {grpc.StatusCode.OK}
        assert status in allowed, (rpc, target.texts[-1:])
    target.require_well()


def test_milvus_answers_health_after_all_that(target: Target) -> None:
    stub = milvus_pb2_grpc.MilvusServiceStub(target.milvus)
    assert stub.GetVersion(m.GetVersionRequest(), timeout=60).version
