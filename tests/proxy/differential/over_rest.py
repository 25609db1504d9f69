"""The REST side of the differential tests: the ordinary client on the proxy's REST API, against the engine over gRPC.

What the two protocols say differently is made alike first: statuses become HTTP codes, what is not there is left out
(REST has null or nothing where gRPC has an empty map), and so is a payload that is empty.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pytest
from front.rest.openapi import check
from httpx import Request, Response
from qdrant_client.http.exceptions import UnexpectedResponse
from serving import Proxy

from .sides import Call, Pair, Plain, Side, Tied, differences, outcome, side, untied

# As in github.com/qdrant/qdrant, src/actix/helpers.rs and lib/api; VecGuard adds 501.
CODES = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}


class NeedsGrpc:
    """Stands where raw gRPC messages are sent: a call that sends them is skipped."""

    def __getattr__(self, name: str) -> NoReturn:
        pytest.skip("sends gRPC messages of its own")


def _checked(request: Request, call_next: Callable[[Request], Response]) -> Response:
    """Hold every answer against Qdrant's OpenAPI document."""
    response = call_next(request)
    path = request.url.raw_path.partition(b"?")[0].decode("ascii")
    check(request.method, path, response.status_code, response.json())
    return response


@contextlib.contextmanager
def rest_side(server: Proxy, prefix: str = "") -> Iterator[Side]:
    """The REST side of a running proxy, for calls of the ordinary client alone."""
    client = server.rest_client()
    client.http.client.add_middleware(_checked)
    try:
        yield Side(client, NeedsGrpc(), NeedsGrpc(), prefix)  # type: ignore[arg-type]
    finally:
        client.close()


@contextlib.contextmanager
def mixed_side(server: Proxy, prefix: str = "") -> Iterator[Side]:
    """As `rest_side`, with raw gRPC messages sent over gRPC."""
    with side(server, prefix) as grpc_side, rest_side(server, prefix) as on:
        yield replace(grpc_side, client=on.client)


@dataclass(frozen=True)
class RestPair(Pair):
    """The engine over gRPC (the reference), and the proxy over REST."""

    def same(self, call: Call) -> Plain:
        """As `Pair.same`."""
        expected, got = as_rest(outcome(self.direct, call)), as_rest(over_rest(self.proxied, call))
        if isinstance(call, Tied):
            expected, got = untied(expected, got)
        found = list(differences(expected, got))
        assert not found, "engine and REST differ:\n" + "\n".join(found[:8])
        return expected


def over_rest(on: Side, call: Call) -> Plain:
    """What a call answers over REST, or the code and text of its refusal."""
    try:
        return outcome(on, call)
    except UnexpectedResponse as refusal:
        text: str = json.loads(refusal.content)["status"]["error"]
        return {"refused": (refusal.status_code, text.replace(on.prefix, "") if on.prefix else text)}


def as_rest(found: Plain) -> Plain:
    """An outcome in the words of REST."""
    if "refused" not in found:
        return _without_nothing(found)
    status, text = found["refused"]
    if isinstance(status, int):
        return {"refused": (status, text)}
    if text.startswith("Validation error in body"):
        return {"refused": (422, text.replace("in body", "in JSON body", 1))}
    return {"refused": (CODES[status], text)}


def _without_nothing(value: Plain, *, data: bool = False) -> Plain:
    if isinstance(value, dict):
        kept: dict[Any, Plain] = {}
        for key, item in value.items():
            inner = _without_nothing(item, data=data or key in ("payload", "metadata"))
            if data or (inner is not None and not (key in ("payload", "metadata") and inner == {})):
                kept[key] = inner
        return kept
    if isinstance(value, list):
        return [None if item == {} and not data else _without_nothing(item, data=data) for item in value]
    return value
