"""Structured logs and the trail of calls, as JSON lines on standard error. No vectors, no payload, no keys, ever."""

from __future__ import annotations

import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog


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


class Trail:
    """Writes one event a call."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("vecguard.trail")

    def __call__(self, event: str, **fields: object) -> None:
        """Write `event` with its fields."""
        self._log.info(event, **fields)
