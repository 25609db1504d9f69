"""Structured logs and the trail of calls, as JSON lines on standard error. No vectors, no payload, no keys, ever."""

from __future__ import annotations

import asyncio
import atexit
import json
import sys
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson
import structlog

FLUSH_S: Final = 0.05
_MOST_WAITING: Final = 256
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


def _only_where(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its type and place: its text and locals may hold a client's data."""
    given = event.pop("exc_info", None)
    if given:
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
        frames = traceback.extract_tb(error.__traceback__) if error else []
        event["error"] = type(error).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames]
    return event


def configure() -> None:
    """Set up structlog for a server process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_where,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def event_line(event: str, **fields: object) -> bytes:
    """An event of the trail as a line of JSON, with the time that is now."""
    return _line(event, fields, datetime.now(UTC))


def _line(event: str, fields: dict[str, object], at: datetime) -> bytes:
    whole = {**fields, "event": event, "level": "info", "timestamp": at}
    try:
        return orjson.dumps(whole, option=_OPTIONS)
    except orjson.JSONEncodeError:  # half a surrogate pair, say: an odd name must not cost the call its answer
        return json.dumps(whole, default=str).encode() + b"\n"


class Trail:
    """Writes one event a call, some at a time: a system call and a flush for each cost as much as the call's own work.

    Events wait `FLUSH_S` at most while the event loop runs; `flush` writes them at once, and so does the end of the
    process. Only a kill that leaves a process no time loses those of its last moments. Lines are made when they are
    written, many in a row, off the path of the calls.
    """

    def __init__(self, stream: TextIO | None = None, copy: Callable[[Sequence[bytes]], None] | None = None) -> None:
        """`stream` is where events go; standard error when left out. `copy` takes the same lines, as they go."""
        self._stream = sys.stderr if stream is None else stream
        self._copy = copy
        self._waiting: list[tuple[str, dict[str, object], datetime]] = []
        atexit.register(self.flush)

    def __call__(self, event: str, **fields: object) -> None:
        """Write `event` with its fields, which do not change any more: texts, numbers, and lists of them."""
        self._waiting.append((event, fields, datetime.now(UTC)))
        if len(self._waiting) == 1:
            self._flush_soon()
        elif len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            lines = [_line(*event) for event in waiting]
            if self._copy is not None:
                self._copy(lines)
            self._stream.write(b"".join(lines).decode())
            self._stream.flush()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        except RuntimeError:  # no loop, so nothing would come back to it
            self.flush()
