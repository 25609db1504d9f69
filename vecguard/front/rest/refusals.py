"""How a call is refused over HTTP: Qdrant's status codes and its JSON form of an error.

The codes are Qdrant's own for the same statuses (github.com/qdrant/qdrant, src/actix/helpers.rs): a service error is
500, a locked collection 403, a timeout 408; a request that fails validation is 422, one that cannot be read 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vecguard.errors import VecGuardError

_CODES: Final[Mapping[str, int]] = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "FAILED_PRECONDITION": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
_STATUSES: Final[Mapping[int, str]] = {
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
}
_INTERNAL: Final = 500
_RETRY: Final = "retry-after"
_VALIDATION: Final = 422
# What Qdrant calls a request's body over gRPC, and over HTTP.
_GRPC_BODY: Final = "Validation error in body"
_HTTP_BODY: Final = "Validation error in JSON body"
INTERNAL_TEXT: Final = "internal error in VecGuard; the call was not forwarded further"


class Refusal(Exception):
    """A request that HTTP itself refuses, before any call is made of it."""

    def __init__(self, code: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.headers = headers or {}

    @property
    def status(self) -> str:
        """What the trail says of it, in the names of gRPC's statuses."""
        return _STATUSES.get(self.code, "INVALID_ARGUMENT")


def validation(place: str, complaints: str) -> Refusal:
    """A request whose `place` ("JSON body", "query parameters") was read, and holds a value that is not allowed."""
    return Refusal(_VALIDATION, f"Validation error in {place}: [{complaints}]")


def code_and_text(failure: VecGuardError) -> tuple[int, str]:
    """The HTTP code and the text for a failed call."""
    text = str(failure)
    code = _CODES.get(failure.status, _INTERNAL)
    if code == 400 and text.startswith((_GRPC_BODY, _HTTP_BODY)):
        return _VALIDATION, text.replace(_GRPC_BODY, _HTTP_BODY, 1)
    return code, text


def headers(failure: VecGuardError) -> dict[str, str]:
    """When to come back: `retry-after`, which is metadata over gRPC and a header here."""
    told = {key: value for key, value in failure.trailing if isinstance(value, str)}
    return {key: value for key, value in told.items() if key == _RETRY and value.isdecimal()}


def error(text: str, seconds: float) -> dict[str, Any]:
    """Qdrant's JSON form of an error (`ErrorResponse` of its OpenAPI document)."""
    return {"status": {"error": text}, "time": seconds}
