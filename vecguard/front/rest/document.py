"""Writes docs/compatibility.md from the tables of all fronts: `python -m vecguard.front.rest.document`."""

# ruff: noqa: E501 - rows of a Markdown table cannot be broken

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from vecguard.front.base import Front
from vecguard.front.rest.endpoint import AnyEndpoint, Endpoint, Refused, Transfer
from vecguard.front.rest.table import ENDPOINTS
from vecguard.pipeline import AnyRoute
from vecguard.registry import FRONTS

TARGET: Final = Path("docs/compatibility.md")

_HEAD: Final = """# Every endpoint, and how it is handled

Made from the tables of the fronts by `python -m vecguard.front.rest.document`. What is not listed is refused.

*protected*: rewritten both ways. *passed*: carries no vector, payload or filter. *admin*: passed, but only for principals
that may `admin`. *refused*: never forwarded.

"""

_REST: Final = """## Qdrant over REST

The operations of Qdrant's OpenAPI document as qdrant-client {client} has them, and the search, recommend and discover endpoints
of older servers, which older clients send. Each becomes the gRPC call that is named beside it and goes the same way:
one set of rules for both protocols. Bodies are read by the models of `qdrant_client.http.models`, which are generated from
the published document; tests hold every answer against JSON Schema made of these models.

{table}
What is the same as in Qdrant: paths, query parameters, JSON shapes (`result`, `status`, `time`, and `usage` where the database
tells it), HTTP codes. An error is `{{"status": {{"error": "..."}}, "time": ...}}`:

| status of the call | HTTP |
|---|---|
| INVALID_ARGUMENT | 400; 422 where validation of a value failed |
| UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION | 401, 403, 403 |
| NOT_FOUND, ALREADY_EXISTS | 404, 409 |
| DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED | 408, 429 |
| UNIMPLEMENTED, UNAVAILABLE | 501, 503 |
| DATA_LOSS, INTERNAL | 500 |

What differs from a Qdrant server, on purpose:

| request | answer | why |
|---|---|---|
| a field that the models do not have, at any depth | 400, "Format error in JSON body: unknown field ..." | it could hold data in clear; Qdrant ignores some |
| a query parameter that the operation does not have | 400 | likewise |
| an unknown path, or a known one with another method | 404 or 405, with Qdrant's JSON form of an error | Qdrant's 404 has no body |
| a body where none belongs | 400 | it could hold data in clear |
| a body larger than `max_message_mib`, packed or unpacked | 413, before it is read to the end | |
| a body with more than 500,000 objects and fields that is no plain upsert | 413 | reading it would hold up everybody else |
| a body that takes longer than 300 s, or pauses for 30 s | 408 | |
| a head that takes longer than 30 s, or is larger than 256 KiB | the connection is closed | |
| content encodings but gzip, deflate and identity | 415 | |
| several conditions in one `FieldCondition` | all of them go on; over gRPC `qdrant-client` sends the first alone | |
| a whole number from 2^63 to 2^64 - 1 in a payload | 400 | gRPC, by which VecGuard reaches the database, has signed integers only |
| a payload nested deeper than 30 maps or 45 lists | 400 | a gRPC message ends at depth 100; a map takes three of that, a list two |
| `points` and `filter` together in one write | 400 | one gRPC message has one selector |
| `radius` of a geo filter, beyond float32's 24 bits | rounded | gRPC has it as float32 |
| a snapshot file of more than 64 GiB, or one that the engine's disk has no room for | 413, 429 | |
| an upload over a collection that is there | 409 | Qdrant replaces it; here nothing is lost by a wrong name |
| `wait=false` on snapshots | 202, when the snapshot is done | |
| requests of other web origins (CORS) | no leave is given | a web page must not reach a database on the user's machine |
| responses | never compressed | |

The headers `api-key` and `authorization` reach the authenticator as the metadata of those names does over gRPC.

A differential suite holds both protocols against `QdrantClient(":memory:")` too. Where that differs from a server, and the
suite looks away: points of equal value in `order_by` come in ascending order of their ids from local mode, and in the order
asked for from a server; a server may list a facet's value with the count 0 after its points were deleted; local mode fails
on ids that do not exist where a server passes over them; scores that differ in the seventh digit may change places.

"""

_GRPC: Final = """## Qdrant over gRPC

For the API of qdrant-client {client}. A request with protobuf fields that this API does not have is refused (INVALID_ARGUMENT).
Which answers are exact, and which requests are refused inside a handled RPC, is in [qdrant-api.md](qdrant-api.md).

{table}
"""

_OTHER: Final = """## {name} over gRPC

{table}
"""


def _rows(head: str, rows: Iterable[str]) -> str:
    return "\n".join([f"| {head} |", "|" + "---|" * (head.count("|") + 1), *rows, ""])


def _rest_row(endpoint: AnyEndpoint, routes: Mapping[str, AnyRoute]) -> str:
    shown = f"`{endpoint.method} {endpoint.path}`"
    if isinstance(endpoint, Transfer):
        return f"| {shown} | | admin | admin | {endpoint.about} |"
    if not isinstance(endpoint, Endpoint):
        handling = "refused" if isinstance(endpoint, Refused) else "passed"
        return f"| {shown} | | {handling} | | {endpoint.about} |"
    route = routes[endpoint.rpc]
    about = "; ".join(text for text in (route.about, endpoint.about) if text)
    return f"| {shown} | `{endpoint.rpc}` | {route.handling} | {route.action} | {about} |"


def rest_table(routes: Mapping[str, AnyRoute]) -> str:
    """The REST endpoints, each with how its RPC is handled."""
    return _rows("endpoint | RPC | handling | action | how", (_rest_row(one, routes) for one in ENDPOINTS))


def grpc_table(front: Front) -> str:
    """The RPCs of a front."""
    routes = front.routes.values()
    rows = (f"| `{route.rpc}` | {route.handling} | {route.action} | {route.about} |" for route in routes)
    return _rows("RPC | handling | action | how", rows)


def document() -> str:
    """The page's text: Qdrant's two protocols, then every other front of the registry."""
    qdrant, client = FRONTS.load("qdrant"), version("qdrant-client")
    page = _HEAD + _REST.format(client=client, table=rest_table(qdrant.routes))
    page += _GRPC.format(client=client, table=grpc_table(qdrant))
    others = [kind for kind in FRONTS.kinds if kind != "qdrant"]
    page += "".join(_OTHER.format(name=kind.capitalize(), table=grpc_table(FRONTS.load(kind))) for kind in others)
    return page.rstrip("\n") + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(document(), encoding="utf-8")
