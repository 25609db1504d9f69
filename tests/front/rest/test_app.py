"""The application around the pipeline: what it hands over, and what becomes of a call that fails or is left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from qdrant_client import grpc as q
from structlog.testing import capture_logs

from vecguard.errors import Refused
from vecguard.front.rest.app import RestApp
from vecguard.front.rest.body import Limits
from vecguard.front.rest.refusals import INTERNAL_TEXT
from vecguard.front.rest.table import ENDPOINTS

COUNT = "/qdrant.Points/Count"
Handle = Callable[..., Coroutine[Any, Any, bytes]]


class Calls:
    """Stands where the pipeline does: keeps what it is handed, and does what it is told."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.taken: list[tuple[str, bytes, Mapping[str, str], float | None, str]] = []
        self.turned: list[tuple[str, str, str]] = []

    def turned_away(self, rpc: str, status: str, *, protocol: str, request: str) -> None:
        assert request
        self.turned.append((rpc, status, protocol))

    async def handle(
        self, rpc: str, body: bytes, metadata: Mapping[str, str], left: float | None, *, protocol: str, peer: object
    ) -> bytes:
        self.taken.append((rpc, body, metadata, left, protocol))
        return await self._handle()


async def answers() -> bytes:
    return q.CountResponse(
        result=q.CountResult(count=7), usage=q.Usage(hardware=q.HardwareUsage(cpu=3))
    ).SerializeToString()


def scope(method: str = "POST", path: str = "/collections/c/points/count", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "raw_path": path.encode(), "query_string": b"", "headers": pairs}


class Line:
    """One request's connection."""

    def __init__(self, body: bytes = b"{}", leaves_after: float | None = None) -> None:
        self._events = [{"type": "http.request", "body": body, "more_body": False}]
        self._leaves_after = leaves_after
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self._events:
            return self._events.pop()
        await asyncio.sleep(60 if self._leaves_after is None else self._leaves_after)
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        self.sent.append(event)

    @property
    def answer(self) -> tuple[int, Any]:
        start, body = self.sent
        return start["status"], json.loads(body["body"])


def run(handle: Handle, line: Line, asked: dict[str, Any]) -> Calls:
    calls = Calls(handle)
    app = RestApp(calls, ENDPOINTS, Limits(1_000))  # type: ignore[arg-type]
    asyncio.run(app(asked, line.receive, line.send))
    return calls


def test_headers_go_on_as_metadata() -> None:
    line = Line()
    asked = scope(content_type="application/json", api_key="k", authorization="Bearer t", dbname="ä")
    [(rpc, body, metadata, left, protocol)] = run(answers, line, asked).taken
    assert (rpc, left, protocol) == ("/qdrant.Points/Count", None, "rest")
    assert q.CountPoints.FromString(body) == q.CountPoints(collection_name="c", exact=True)
    assert (metadata["api-key"], metadata["authorization"]) == ("k", "Bearer t")


def test_the_envelope() -> None:
    line = Line()
    run(answers, line, scope(content_type="application/json"))
    code, content = line.answer
    assert (code, content["result"], content["status"]) == (200, {"count": 7}, "ok")
    assert 0 <= content["time"] < 60
    assert content["usage"]["hardware"]["cpu"] == 3
    assert (b"content-type", b"application/json") in line.sent[0]["headers"]


def test_a_call_whose_client_leaves_is_cancelled() -> None:
    ended: list[str] = []

    async def waits() -> bytes:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError("the call went on")

    line = Line(leaves_after=0.05)
    run(waits, line, scope(content_type="application/json"))
    assert (ended, line.sent) == (["cancelled"], [])


def test_a_bug_is_logged_without_its_text_and_answered_without_it() -> None:
    async def fails() -> bytes:
        raise RuntimeError("secret text")

    line = Line()
    with capture_logs() as events:
        run(fails, line, scope(content_type="application/json"))
    code, content = line.answer
    assert (code, content["status"]["error"]) == (500, INTERNAL_TEXT)
    assert [event["event"] for event in events] == ["unexpected error"]
    assert "secret" not in json.dumps({key: str(value) for key, value in events[0].items() if key != "exc_info"})


def test_a_refused_endpoint_is_told_to_the_pipeline_and_then_to_the_client() -> None:
    async def refuses() -> bytes:
        raise Refused("unknown")

    line = Line(b"")
    calls = run(refuses, line, scope("GET", "/cluster"))
    assert [call[0] for call in calls.taken] == ["GET /cluster"]
    assert line.answer[0] == 501
    assert "peers of a cluster" in line.answer[1]["status"]["error"]


@pytest.mark.parametrize(
    ("asked", "body", "told"),
    [
        (scope(content_type="application/json"), b'{"x": 1}', (COUNT, "INVALID_ARGUMENT")),
        (scope(content_type="application/json"), b"[" * 500, (COUNT, "INVALID_ARGUMENT")),
        (scope(content_type="application/json"), b'{"filter": {"must": [{"key": "a"}]}}', (COUNT, "INVALID_ARGUMENT")),
        (scope(content_type="application/json"), b" " * 2_000, (COUNT, "RESOURCE_EXHAUSTED")),
        (scope(), b"{}", (COUNT, "INVALID_ARGUMENT")),
        (scope("GET", "/nowhere"), b"", ("unknown path", "NOT_FOUND")),
        (scope("PUT"), b"", ("unknown path", "UNIMPLEMENTED")),
        (scope("DELETE", "/collections/c"), b'{"a": 1}', ("/qdrant.Collections/Delete", "INVALID_ARGUMENT")),
        ({**scope(content_type="application/json"), "query_string": b"a=b"}, b"{}", (COUNT, "INVALID_ARGUMENT")),
    ],
)
def test_what_is_not_understood_reaches_the_trail_alone(asked: Any, body: bytes, told: tuple[str, str]) -> None:
    line = Line(body)
    calls = run(answers, line, asked)
    assert (calls.taken, calls.turned) == ([], [(*told, "rest")])
    assert 400 <= line.answer[0] < 500


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_are_not_served(kind: str) -> None:
    with pytest.raises(NotImplementedError):
        run(answers, Line(), {"type": kind})
