"""The trail is one JSON object a line, on standard error, without anything of a client's data."""

import io
import json

import pytest
import structlog

from vecguard.trail import Trail, configure


@pytest.fixture
def lines(monkeypatch):
    """What was logged, parsed; call it after logging."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def test_a_call_is_one_line(lines):
    Trail()("call", rpc="/a/b", status="OK", ms=1.5, collections=["größe\n"])
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
