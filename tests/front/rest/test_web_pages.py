"""What a page in a browser on the same machine may ask of a listener at 127.0.0.1: nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from front.rest.test_app import Calls, Line, answers, scope
from vecguard.front.rest import web_pages
from vecguard.front.rest.app import RestApp
from vecguard.front.rest.body import Limits
from vecguard.front.rest.refusals import Refusal
from vecguard.front.rest.table import ENDPOINTS


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:6333", "LOCALHOST.:6333", "127.0.0.1:6333", "127.0.0.1", "[::1]:6333", "[::1]"),
        *("192.168.1.7:6333", "vecguard:6333", "host.docker.internal:6333", "vecguard.rag.svc.cluster.local:6333", ""),
    ],
)
@pytest.mark.parametrize("listening", ["127.0.0.1", "::1", "10.0.0.7", None])
def test_names_that_no_page_can_have(host: str, listening: str | None) -> None:
    web_pages.refuse({"host": host}, listening)
    web_pages.refuse({}, listening)


@pytest.mark.parametrize(
    "host", ["evil.example.com:6333", "evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "a.b."]
)
@pytest.mark.parametrize("listening", ["127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"])
def test_names_that_came_to_loopback_by_rebinding(host: str, listening: str) -> None:
    with pytest.raises(Refusal, match="DNS rebinding") as caught:
        web_pages.refuse({"host": host}, listening)
    assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
    web_pages.refuse({"host": host}, "10.0.0.7")


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://localhost:6333", ""])
def test_pages_of_any_origin_are_refused(origin: str) -> None:
    with pytest.raises(Refusal, match="Origin"):
        web_pages.refuse({"host": "localhost", "origin": origin}, "10.0.0.7")


def reply_to(asked: dict[str, Any], body: bytes = b"{}") -> tuple[int, dict[str, Any], Calls]:
    calls, line = Calls(answers), Line(body)
    app = RestApp(calls, ENDPOINTS, Limits(1 << 20))  # type: ignore[arg-type]  # stands where the pipeline does
    asyncio.run(app(asked, line.receive, line.send))
    return line.sent[0]["status"], json.loads(line.sent[1]["body"]), calls


def test_they_never_come_as_far_as_the_pipeline() -> None:
    asked = scope(content_type="application/json", host="evil.com:6333") | {"server": ("127.0.0.1", 6333)}
    code, body, calls = reply_to(asked)
    assert (code, calls.taken) == (403, [])
    assert "evil.com:6333" in body["status"]["error"]
    assert calls.turned == [("/qdrant.Points/Count", "PERMISSION_DENIED", "rest")]
    assert reply_to(asked | {"server": ("10.0.0.7", 6333)})[0] == 200
    assert reply_to(scope(content_type="application/json", origin="null"))[0] == 403


SNAPSHOT = "/collections/c/snapshots"


def test_a_form_of_another_page_makes_no_snapshot() -> None:
    """The one POST without a body, which a page can send without asking first."""
    code, _, calls = reply_to(scope(path=SNAPSHOT, content_type="text/plain", origin="http://evil.com"), b"")
    assert (code, calls.taken) == (403, [])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_json_is_refused_and_no_internal_error(number: str) -> None:
    for text in (
        '{"filter": {"must": [{"key": "a", "range": {"gt": %s}}]}}',
        '{"filter": {"must": [{"key": "a", "range": {"gt": 1, "lt": %s}}]}}',
    ):
        code, body, calls = reply_to(scope(content_type="application/json"), (text % number).encode())
        assert (code, calls.taken) == (400, [])
        assert body["status"]["error"].startswith("Format error in JSON body: ")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(literal: str) -> None:
    """Qdrant's parser knows none of them; pydantic's does."""
    upsert = f'{{"points": [{{"id": 1, "vector": [1.0], "payload": {{"a": {literal}}}}}]}}'
    asked = scope("PUT", "/collections/c/points", content_type="application/json")
    assert reply_to(asked, upsert.encode())[0] == 400
    query = f'{{"query": [1.0], "score_threshold": {literal}}}'
    assert (
        reply_to(scope(path="/collections/c/points/query", content_type="application/json"), query.encode())[0] == 400
    )
    text = '{"filter": {"must": [{"key": "NaN", "match": {"value": "Infinity"}}]}}'
    assert reply_to(scope(content_type="application/json"), text.encode())[0] == 200


@pytest.mark.parametrize("depth", [60, 150, 900, 5_000])
def test_nesting_that_a_message_cannot_have_is_no_internal_error(depth: int) -> None:
    nested = b"[" * depth + b"1" + b"]" * depth
    upsert = b'{"points": [{"id": 1, "vector": [1.0], "payload": {"a": %s}}]}' % nested
    code, body, calls = reply_to(scope("PUT", "/collections/c/points", content_type="application/json"), upsert)
    assert (code, calls.taken) == (400, []), body
