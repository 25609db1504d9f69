"""The trail is one JSON object a line, on standard error, without anything of a client's data."""

import asyncio
import io
import json
import subprocess
import sys

import pytest
import structlog

from vecguard.trail import FLUSH_S, Trail, configure


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(monkeypatch, stream):
    """What was logged, parsed; call it after logging."""
    monkeypatch.setattr("sys.stderr", stream)
    configure()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def test_a_call_is_one_line(lines, stream):
    Trail(stream)("call", rpc="/a/b", status="OK", ms=1.5, collections=["größe\n"])
    (event,) = lines()
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "call",
        "level": "info",
        "rpc": "/a/b",
        "status": "OK",
        "ms": 1.5,
        "collections": ["größe\n"],
    }


def test_a_name_that_is_no_unicode_is_written_all_the_same(lines, stream):
    Trail(stream)("call", rpc="/a/\ud800", ms=1.5)
    (event,) = lines()
    assert (event["rpc"], event["ms"], event["event"]) == ("/a/\ud800", 1.5, "call")


def test_events_wait_a_moment_while_a_loop_runs(lines, stream):
    async def calls(number, seconds):
        trail = Trail(stream)
        for i in range(number):
            trail("call", number=i)
        before = len(lines())
        await asyncio.sleep(seconds)
        return before

    assert asyncio.run(calls(3, 3 * FLUSH_S)) == 0
    assert [event["number"] for event in lines()] == [0, 1, 2]
    assert asyncio.run(calls(1_000, 0)) > 3  # many calls do not pile up


def test_events_that_wait_are_written_on_demand_and_once(lines, stream):
    trail = Trail(stream)

    async def call():
        trail("call", number=1)
        trail.flush()
        assert len(lines()) == 1
        trail("call", number=2)

    asyncio.run(call())
    trail.flush()
    trail.flush()
    assert [event["number"] for event in lines()] == [1, 2]


def test_events_that_wait_are_written_when_the_process_ends():
    code = (
        "import asyncio; from vecguard.trail import Trail\nasync def main(): Trail()('call', n=1)\nasyncio.run(main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ended.stderr)["n"] == 1


def test_an_exception_is_its_type_and_place_and_never_its_text(lines):
    def inner(secret):
        raise ValueError(f"cannot read {secret}")

    try:
        inner("Ada Lovelace")
    except ValueError:
        structlog.get_logger("test").exception("it failed", rpc="/a/b")
    (event,) = lines()
    assert "Lovelace" not in json.dumps(event)
    assert (event["error"], event["rpc"], event["level"]) == ("ValueError", "/a/b", "error")
    assert event["at"][-1].endswith(":inner")
    assert "exc_info" not in event


def test_events_without_an_exception_have_no_place(lines):
    structlog.get_logger("test").error("bad", exc_info=False)
    (event,) = lines()
    assert not {"at", "error", "exc_info"} & set(event)


def test_an_exception_that_is_given_as_such_is_described_too(lines):
    caught = None
    try:
        raise KeyError("Ada Lovelace")
    except KeyError as error:
        caught = error
    structlog.get_logger("test").error("later", exc_info=caught)
    (event,) = lines()
    assert event["error"] == "KeyError"
    assert "Lovelace" not in json.dumps(event)
