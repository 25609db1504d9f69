"""Qdrant's REST API of a running proxy: codes, shapes, bounds, and that what is not understood goes nowhere."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from front.rest.openapi import check
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from serving import Proxy, Server, serving_proxy

from proxy.behind import Face
from proxy.processes import until
from proxy.recording import Recorder, recording

POLICY = """
version: 1
access:
  anonymous: [read, write]
collections:
  - match: "small-*"
    limits: {max_limit: 5, max_batch: 3, max_message_mib: 1}
  - match: "box-*"
    payload: {default: sealed, fields: {open: plain, tag: searchable}}
  - match: "open-*"
    protect: none
"""
NAME = "box-rest"
P = f"/collections/{NAME}/points"
JSON = {"content-type": "application/json"}
VECTOR = [0.25, -0.5, 0.125]
NESTED: Any = {"must": [{"key": "tag", "match": {"value": "a"}}]}


@dataclass
class Place:
    """A proxy with its REST API, and the recorder before the database."""

    proxy: Proxy
    recorder: Recorder
    http: httpx.Client

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Code and JSON of an answer, which is held against the OpenAPI document."""
        answer = self.http.request(method, path, **({} if body is None else {"json": body}), **more)
        content = answer.json()
        raw = answer.request.url.raw_path.partition(b"?")[0].decode()
        check(method, raw, answer.status_code, content)
        return answer.status_code, content

    def refused(self, code: int, text: str, method: str, path: str, body: Any = None, **more: Any) -> None:
        """Assert a refusal, and that nothing was forwarded."""
        self.recorder.clear()
        got, content = self.ask(method, path, body, **more)
        assert (got, self.recorder.forwarded) == (code, []), content
        assert text in content["status"]["error"], content


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with recording(engine.target) as recorder:
        upstream = f"qdrant://127.0.0.1:{recorder.port}"
        arguments = ["--config", str(_settings(tmp_path_factory))]
        folder = tmp_path_factory.mktemp("rest")
        with (
            serving_proxy(folder, POLICY, upstream=upstream, rest=True, arguments=arguments) as proxy,
            httpx.Client(base_url=proxy.url, timeout=60) as http,
        ):
            there = Place(proxy, recorder, http)
            create = {"vectors": {"size": 3, "distance": "Cosine"}}
            for name in (NAME, "small-rest"):
                assert there.ask("PUT", f"/collections/{name}", create)[0] == 200
            points = [
                {"id": i, "vector": [i, *VECTOR[1:]], "payload": {"tag": "ab"[i % 2], "note": "n"}} for i in (1, 2, 3)
            ]
            assert there.ask("PUT", f"{P}?wait=true", {"points": points})[0] == 200
            yield there
            for name in (NAME, "small-rest"):
                there.http.delete(f"/collections/{name}")


def _settings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("settings") / "settings.yaml"
    file.write_text("max_message_mib: 2\n")
    return file


def test_service_endpoints(place: Place) -> None:
    code, root = place.ask("GET", "/")
    assert (code, root["title"]) == (200, "qdrant - vector search engine")
    for path, text in {
        "/healthz": "healthz check passed",
        "/livez": "healthz check passed",
        "/readyz": "all shards are ready",
    }.items():
        answer = place.http.get(path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path", "code", "text"),
    [
        ("GET", "/nowhere", 404, "there is no such path"),
        ("GET", "/dashboard", 404, "there is no such path"),
        ("POST", f"/collections/{NAME}/points/query/more", 404, "there is no such path"),
        ("DELETE", P, 405, "this path takes POST, PUT"),
        ("OPTIONS", P, 405, "this path takes POST, PUT"),
        ("GET", "/metrics", 501, "is refused: VecGuard's own metrics"),
        ("GET", "/telemetry", 501, "telemetry"),
        ("GET", "/cluster", 501, "peers of a cluster"),
        ("DELETE", "/cluster/peer/5", 501, "peers of a cluster"),
        ("GET", f"/collections/{NAME}/snapshots/x.snapshot", 403, "may not admin"),
        ("POST", f"/collections/{NAME}/snapshots/upload", 403, "may not admin"),
        ("PUT", f"/collections/{NAME}/snapshots/recover", 403, "may not admin"),
        ("GET", f"/collections/{NAME}/shards/0/snapshots", 501, "single shards"),
        ("GET", f"/collections/{NAME}/snapshots", 403, "may not admin"),
        ("POST", "/snapshots", 403, "may not admin"),
        ("GET", f"{P}/1?with_payload=true", 400, "unknown field `with_payload`, expected `consistency`, `timeout`"),
        ("GET", f"{P}/one", 400, 'Can not recognize "one" as point id'),
        ("GET", "/collections/unknown-to-the-policy", 403, "the policy has no entry"),
    ],
)
def test_refusals_without_a_body(place: Place, method: str, path: str, code: int, text: str) -> None:
    place.refused(code, text, method, path)


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("query", {"limit": 0}, 422, "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"),
        ("query", {"query": VECTOR, "foo": 1}, 400, "unknown field `foo`"),
        (
            "query",
            {"query": VECTOR, "filter": {"must": [{"nested": {"key": "a", "filter": {"foo": []}}}]}},
            400,
            "unknown field `foo`",
        ),
        ("query", {"query": VECTOR, "limit": "5"}, 400, "invalid value at `limit`"),
        ("query", {"query": VECTOR, "limit": -5}, 400, "out of range"),
        ("query", {"query": {"text": "words", "model": "m"}}, 400, "server-side inference input"),
        ("query", {"query": {"nearest": {"image": "i", "model": "m"}}}, 400, "server-side inference input"),
        ("query", {"query": [1e300, 0, 0]}, 400, "NaN or infinite"),
        ("query", {"query": [1, 2]}, 400, "Vector dimension error: expected dim: 3, got 2"),
        ("scroll", {"filter": {"must": [{"key": "note", "match": {"value": "n"}}]}}, 400, "its mode is sealed"),
        ("scroll", {"filter": {"must": [{"key": "tag", "range": {"gte": 5}}]}}, 400, "its mode is searchable"),
        ("scroll", {"filter": {"must": [{"key": "tag"}]}}, 422, "At least one field condition"),
        ("scroll", {"filter": {"must": [{"key": "open", "range": {"gte": "5"}}]}}, 400, "failed to parse date-time"),
        ("scroll", {"order_by": {"key": "tag"}}, 400, "its mode is searchable"),
        ("payload", {"payload": {"a": 1}}, 400, "Either list of points or filter must be provided"),
        ("payload", {"payload": {"a": 2**63}, "points": [1]}, 400, "2^63 - 1"),
        (
            "batch",
            {"operations": [{"upsert": {"points": [{"id": 1, "vector": VECTOR, "x": 1}]}}]},
            400,
            "unknown field `x`",
        ),
        ("search", {"vector": VECTOR}, 400, "missing field `limit`"),
        ("search", {"vector": VECTOR, "limit": 1, "brand_new": 1}, 400, "unknown field `brand_new`"),
        ("recommend", {"positive": [], "limit": 1}, 400, "At least one positive vector ID required"),
    ],
)
def test_refused_bodies(place: Place, path: str, body: Any, code: int, text: str) -> None:
    place.refused(code, text, "POST", f"{P}/{path}", body)


@pytest.mark.parametrize(
    "point",
    [
        {"id": 1, "vector": VECTOR, "brand_new_vector": VECTOR},
        {"id": 1, "vector": {"text": "in clear", "model": "m"}},
        {"id": 1, "vector": {"d": {"indices": [1], "values": [1], "names": ["in clear"]}}},
        {"id": 1, "vector": [0.5, None, 1]},
        {"id": -1, "vector": VECTOR},
        {"id": "x", "vector": VECTOR},
        {"id": 1, "vector": [1e39, 0, 0]},
        {"id": 1, "vector": VECTOR, "payload": {"a": 2**64 - 1}},
    ],
)
def test_points_that_are_not_understood_go_nowhere(place: Place, point: Any) -> None:
    for body in ({"points": [{"id": 9, "vector": VECTOR}, point]}, {"points": [point], "update_mode": "upsert"}):
        place.refused(400, "", "PUT", f"{P}?wait=true", body)
    place.refused(400, "", "POST", f"{P}/batch", {"operations": [{"upsert": {"points": [point]}}]})
    assert place.ask("GET", f"{P}/9")[0] == 404


def test_statuses_of_the_database_and_of_the_policy(place: Place) -> None:
    assert place.ask("GET", f"{P}/77")[1]["status"]["error"] == "Not found: Point with id 77 does not exists!"
    assert place.ask("GET", "/collections/box-gone")[0] == 404
    assert place.ask("POST", "/collections/box-gone/points/query", {})[0] == 404
    assert place.ask("PUT", f"/collections/{NAME}", {"vectors": {"size": 3, "distance": "Dot"}})[0] == 409
    assert place.ask("PUT", "/collections/box-l1", {"vectors": {"size": 3, "distance": "Manhattan"}})[0] == 400
    place.refused(
        429, "the policy allows 5", "POST", "/collections/small-rest/points/query", {"query": VECTOR, "limit": 6}
    )
    code, content = place.ask(
        "PUT",
        "/collections/small-rest/points",
        {"points": [{"id": 1, "vector": VECTOR, "payload": {"a": "x" * 2**20}}]},
    )
    assert (code, "MiB" in content["status"]["error"]) == (429, True)


def test_the_content_type_must_be_json(place: Place) -> None:
    """So that a web page cannot send one without asking first."""
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        place.refused(400, "Content type error", "POST", f"{P}/query", content=b"{}", headers=headers)
    answer = place.http.post(f"{P}/count", content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"})
    assert answer.status_code == 200


def test_a_body_where_none_belongs(place: Place) -> None:
    place.refused(400, "takes no body", "DELETE", f"/collections/{NAME}", content=b'{"a": 1}', headers=JSON)
    assert place.ask("GET", f"/collections/{NAME}")[0] == 200
    empty = place.http.request("GET", f"/collections/{NAME}", content=b"{}", headers=JSON)  # as the JavaScript client
    assert empty.status_code == 200


@pytest.mark.parametrize("raw", [b"", b"nul", b'{"limit": 1', b'{"limit": NaN}', b"\xff", b"[]", b"[" * 10_000])
def test_what_is_no_json(place: Place, raw: bytes) -> None:
    place.refused(400, "Format error in JSON body: ", "POST", f"{P}/query", content=raw, headers=JSON)


def test_packed_and_streamed_bodies(place: Place) -> None:
    raw = json.dumps({"query": VECTOR, "limit": 1, "with_payload": True}).encode()
    packed = place.ask("POST", f"{P}/query", content=gzip.compress(raw), headers={**JSON, "content-encoding": "gzip"})
    streamed = place.ask("POST", f"{P}/query", content=iter([raw[:9], raw[9:]]), headers=JSON)
    plain = place.ask("POST", f"{P}/query", content=raw, headers=JSON)
    assert packed[0] == streamed[0] == plain[0] == 200
    assert packed[1]["result"] == streamed[1]["result"] == plain[1]["result"]
    place.refused(415, "`br`", "POST", f"{P}/query", content=raw, headers={**JSON, "content-encoding": "br"})
    place.refused(400, "packed", "POST", f"{P}/query", content=raw, headers={**JSON, "content-encoding": "gzip"})


def test_large_bodies(place: Place) -> None:
    """As it is announced, as it streams in, and as it is unpacked; the next request is served."""
    large = b" " * (2 * 1024 * 1024 + 1)
    place.refused(413, "2097152 bytes", "POST", f"{P}/query", content=large, headers=JSON)
    place.refused(413, "2097152 bytes", "POST", f"{P}/query", content=iter([large]), headers=JSON)
    packed = gzip.compress(large)
    place.refused(
        413, "2097152 bytes", "POST", f"{P}/query", content=packed, headers={**JSON, "content-encoding": "gzip"}
    )
    assert place.ask("GET", "/collections")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http(place: Place, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", place.proxy.rest_port), timeout=60) as line:
        line.sendall(raw)
        answer = b""
        while chunk := line.recv(4096):
            answer += chunk
    assert answer == b"" or answer.split()[1] in (b"400", b"404", b"405"), answer
    assert place.ask("GET", "/collections")[0] == 200


def test_a_head_that_does_not_end(place: Place) -> None:
    with socket.create_connection(("127.0.0.1", place.proxy.rest_port), timeout=60) as line:
        line.sendall(b"GET / HTTP/1.1\r\n")
        endless = b"".join(f"X-{number}: {'x' * 4_000}\r\n".encode() for number in range(5_000))
        with pytest.raises(ConnectionError):
            line.sendall(endless)
    assert place.ask("GET", "/collections")[0] == 200


def test_a_websocket_is_not_opened(place: Place) -> None:
    headers = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "eA==",
    }
    assert place.http.get("/", headers=headers).status_code != 101


def test_no_other_origin_is_given_leave(place: Place) -> None:
    answer = place.http.get("/collections", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_both_protocols_see_the_same_points_under_the_same_rules(place: Place) -> None:
    """Written over REST, read over gRPC, and the other way round; at rest nothing is in clear."""
    face = Face(place.proxy.target)
    with face.channel:
        found = face.points.Get(
            q.GetPoints(
                collection_name=NAME,
                ids=[q.PointId(num=1)],
                with_payload=q.WithPayloadSelector(enable=True),
                with_vectors=q.WithVectorsSelector(enable=True),
            )
        ).result[0]
        assert found.payload["note"].string_value == "n"
        written = q.PointStruct(
            id=q.PointId(num=4),
            vectors=q.Vectors(vector=q.Vector(dense=q.DenseVector(data=VECTOR))),
            payload={"note": q.Value(string_value="by gRPC")},
        )
        face.points.Upsert(q.UpsertPoints(collection_name=NAME, points=[written], wait=True))
    assert place.ask("GET", f"{P}/4")[1]["result"]["payload"] == {"note": "by gRPC"}
    place.recorder.clear()
    body = {"points": [{"id": 5, "vector": VECTOR, "payload": {"note": "over REST", "tag": "marked"}}]}
    assert place.ask("PUT", f"{P}?wait=true", body)[0] == 200
    sent = b"".join(call.body for call in place.recorder.calls)
    assert b"over REST" not in sent
    assert b"marked" not in sent
    assert q.DenseVector(data=VECTOR).SerializeToString()[2:] not in sent
    assert place.ask("POST", f"{P}/delete?wait=true", {"points": [4, 5]})[1]["result"]["status"] == "completed"


def test_the_trail_says_which_protocol(place: Place) -> None:
    place.ask("POST", f"{P}/count", {}, headers={"x-request-id": "by-rest"})
    until(lambda: '"request_id":"by-rest"' in place.proxy.logs)
    events = [json.loads(line) for line in place.proxy.logs.splitlines() if line.startswith("{")]
    (last,) = [event for event in events if event.get("request_id") == "by-rest"]
    assert (last["rpc"], last["protocol"]) == ("/qdrant.Points/Count", "rest")
    assert (last["collections"], last["status"]) == ([NAME], "OK")
    refused = [event for event in events if event.get("rpc") == "GET /metrics"]
    assert all(event["status"] == "UNIMPLEMENTED" for event in refused)


def test_the_client_checks_the_version_at_start(place: Place, recwarn: pytest.WarningsRecorder) -> None:
    with_grpc = QdrantClient(
        url=place.proxy.url, grpc_port=place.proxy.port, prefer_grpc=True, check_compatibility=True, timeout=60
    )
    assert with_grpc.info().title == "qdrant - vector search engine"
    assert with_grpc.count(NAME).count == 3
    with_grpc.close()
    assert not [warning for warning in recwarn if "compatib" in str(warning.message).lower()]


def test_floats_are_printed_as_short_as_qdrant_prints_them(place: Place) -> None:
    raw = place.http.post(f"{P}/search", json={"vector": [1, 0, 0], "limit": 1, "with_vector": True}).text
    hit = json.loads(raw)["result"][0]
    for text in (repr(hit["score"]), *map(repr, hit["vector"])):
        assert len(text.lstrip("-").replace(".", "").lstrip("0").partition("e")[0]) <= 9, raw


def test_an_unprotected_collection(place: Place) -> None:
    client = QdrantClient(url=place.proxy.url, timeout=60)
    client.create_collection("open-rest", vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT))
    client.upsert("open-rest", [models.PointStruct(id=1, vector=VECTOR, payload={"a": {"b": [1, None]}})], wait=True)
    [hit] = client.query_points("open-rest", VECTOR, with_vectors=True).points
    assert (hit.payload, hit.vector) == ({"a": {"b": [1, None]}}, VECTOR)
    client.delete_collection("open-rest")
    client.close()
