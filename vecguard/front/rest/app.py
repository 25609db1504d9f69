"""The ASGI application: one HTTP request, read, made into one call of the pipeline, and answered as Qdrant does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import orjson
import structlog
from google.protobuf.message import DecodeError

from vecguard.errors import InvalidArgument, VecGuardError
from vecguard.errors import Refused as RefusedCall
from vecguard.front.rest import answers, body, query_string, refusals, web_pages
from vecguard.front.rest.body import Disconnected, Limits, Receive
from vecguard.front.rest.connection import CERTIFICATE
from vecguard.front.rest.conversion import into_grpc
from vecguard.front.rest.decoding import FORMAT
from vecguard.front.rest.endpoint import (
    Alive,
    AnyEndpoint,
    Bare,
    Endpoint,
    Incoming,
    Refused,
    Request,
    Send,
    Text,
    Transfer,
)
from vecguard.front.rest.refusals import Refusal
from vecguard.front.rest.routing import Router
from vecguard.model import UNKNOWN_PEER, Peer
from vecguard.pipeline import Pipeline
from vecguard.request_id import HEADER as REQUEST_ID
from vecguard.request_id import identified

Answered = TypeVar("Answered")
Scope: TypeAlias = MutableMapping[str, Any]
Shown: TypeAlias = tuple[Mapping[str, str], Peer]
"""What a request shows of its caller: its headers, and what the transport knows."""

_JSON: Final = "application/json"
_PLAIN: Final = "text/plain; charset=utf-8"
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_NO_TIME: Final = 0.0
_PROTOCOL: Final = "rest"
_log = structlog.get_logger("vecguard.rest")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    code: int
    content: bytes
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def _json(code: int, tree: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(code, orjson.dumps(tree, option=_OPTIONS), headers=headers or {})


class RestApp:
    """Qdrant's REST API before a pipeline."""

    def __init__(self, pipeline: Pipeline, endpoints: Sequence[AnyEndpoint], limits: Limits) -> None:
        self._pipeline = pipeline
        self._router = Router(endpoints)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3, https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI scope {scope['type']} is not served")
        headers = identified({key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]})
        try:
            reply = await self._until_gone(scope, headers, receive, send)
        except Disconnected:
            return
        if reply is None:
            return
        headers = {
            **{"content-type": reply.content_type, "content-length": str(len(reply.content))},
            **{REQUEST_ID: headers[REQUEST_ID], **reply.headers},
        }
        pairs = [(key.encode("ascii"), value.encode("ascii")) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.code, "headers": pairs})
        await send({"type": "http.response.body", "body": reply.content})

    async def _until_gone(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> Reply | None:
        """The reply, or None where a file was the answer; the call ends when its client goes away, as a gRPC call does.

        Raises:
            Disconnected: the client went away.
        """
        started = time.perf_counter()
        endpoint: AnyEndpoint | None = None
        try:
            endpoint, path = self._router.find(scope["method"], scope["raw_path"].partition(b"?")[0])
            peer = _peer(scope)
            web_pages.refuse(headers, (scope.get("server") or (None,))[0])
            if isinstance(endpoint, Transfer):
                parameters = query_string.read(scope["query_string"], endpoint.query)
                incoming = Incoming(path, parameters, headers, receive, send, peer)
                return await self._guarded(endpoint, self._transfer(endpoint, incoming, started), started)
            content = await body.read(receive, headers, self._limits)
        except Refusal as refusal:
            self._turned_away(_rpc(endpoint), refusal.status, headers)
            return _json(refusal.code, refusals.error(refusal.text, _NO_TIME), refusal.headers)
        except InvalidArgument as fault:
            self._turned_away(_rpc(endpoint), fault.status, headers)
            return _json(400, refusals.error(str(fault), _NO_TIME))
        answer = self._answer(endpoint, path, scope["query_string"], (headers, peer), content, started)
        answering = asyncio.ensure_future(self._guarded(endpoint, answer, started))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise Disconnected
            return answering.result()
        finally:
            answering.cancel()
            leaving.cancel()

    async def _answer(
        self,
        endpoint: AnyEndpoint,
        path: Mapping[str, str],
        query: bytes,
        shown: Shown,
        content: bytes,
        started: float,
    ) -> Reply:
        if isinstance(endpoint, Alive):
            return Reply(200, endpoint.text.encode(), _PLAIN)
        if isinstance(endpoint, Refused):
            await self._refuse(endpoint, shown)
        assert isinstance(endpoint, Endpoint)  # noqa: S101 - `_refuse` raises
        request = self._understood(endpoint, path, query, shown[0], content)
        return await self._call(endpoint, request, shown, started)

    async def _transfer(self, endpoint: Transfer, incoming: Incoming, started: float) -> Reply | None:
        """Serve a file's way in or out through the pipeline."""
        result = await self._pipeline.transfer(
            _rpc(endpoint),
            "admin",
            incoming.path.get("collection_name"),
            incoming.headers,
            partial(endpoint.serve, incoming),
            protocol=_PROTOCOL,
            peer=incoming.peer,
        )
        if result is None:
            return None
        if incoming.query.get("wait") is False:
            return _json(202, {"status": "accepted", "time": time.perf_counter() - started})
        return _json(200, {"result": result, "status": "ok", "time": time.perf_counter() - started})

    @staticmethod
    async def _guarded(endpoint: AnyEndpoint, answer: Awaitable[Answered], started: float) -> Answered | Reply:
        """The answer, or the reply that tells what went wrong."""
        try:
            return await answer
        except Disconnected:
            raise
        except Refusal as refusal:
            return _json(refusal.code, refusals.error(refusal.text, _NO_TIME), refusal.headers)
        except VecGuardError as failure:
            code, text = refusals.code_and_text(failure)
            return _json(code, refusals.error(text, time.perf_counter() - started), refusals.headers(failure))
        except Exception:  # noqa: BLE001 - the last resort of a server; logged, and answered with 500
            # A bug: its text may hold anything, so the client gets none of it and the log only its type and place.
            _log.exception("unexpected error", endpoint=f"{endpoint.method} {endpoint.path}")
            return _json(500, refusals.error(refusals.INTERNAL_TEXT, time.perf_counter() - started))

    def _understood(
        self, endpoint: Endpoint, path: Mapping[str, str], query: bytes, headers: Mapping[str, str], content: bytes
    ) -> Request:
        """The request with its gRPC message.

        Raises:
            InvalidArgument, Refusal: not all of it is understood; the trail has been told.
        """
        try:
            request = _read(endpoint, path, query, headers, content)
            with into_grpc():
                return replace(request, sent=endpoint.ask(request))
        except (Refusal, VecGuardError) as fault:
            self._turned_away(endpoint.rpc, fault.status, headers)
            raise
        except (RecursionError, DecodeError):
            too_deep = InvalidArgument(f"{FORMAT}recursion limit exceeded")
            self._turned_away(endpoint.rpc, too_deep.status, headers)
            raise too_deep from None

    def _turned_away(self, rpc: str, status: str, headers: Mapping[str, str]) -> None:
        self._pipeline.turned_away(rpc, status, protocol=_PROTOCOL, request=headers[REQUEST_ID])

    async def _refuse(self, endpoint: Refused, shown: Shown) -> None:
        """Refuse through the pipeline, so that the trail has it, with the table's reason.

        Raises:
            Refused, Denied.
        """
        try:
            await self._pipeline.handle(_rpc(endpoint), b"", shown[0], None, protocol=_PROTOCOL, peer=shown[1])
        except RefusedCall:
            raise RefusedCall(f"{endpoint.method} {endpoint.path} is refused: {endpoint.about}") from None

    async def _call(self, endpoint: Endpoint, request: Request, shown: Shown, started: float) -> Reply:
        assert request.sent is not None  # noqa: S101 - the caller made it
        sent = await self._pipeline.handle(
            endpoint.rpc, request.sent.SerializeToString(), shown[0], None, protocol=_PROTOCOL, peer=shown[1]
        )
        reply = endpoint.reply.FromString(sent)
        answer = endpoint.answer(reply, request)
        if isinstance(answer, Text):
            return Reply(200, answer.text.encode(), _PLAIN)
        if isinstance(answer, Bare):
            return _json(200, answer.tree)
        if request.query.get("wait") is False and endpoint.rpc.startswith("/qdrant.Snapshots/"):
            return _json(202, {"status": "accepted", "time": time.perf_counter() - started})
        tree = {"result": answer, "status": "ok", "time": time.perf_counter() - started}
        usage = answers.usage(reply)
        return _json(200, tree if usage is None else {**tree, "usage": usage})


def _rpc(endpoint: AnyEndpoint | None) -> str:
    """What the trail calls a request: its RPC, or its row of the table; never a path that a client made up."""
    if endpoint is None:
        return "unknown path"
    return endpoint.rpc if isinstance(endpoint, Endpoint) else f"{endpoint.method} {endpoint.path}"


def _peer(scope: Scope) -> Peer:
    """What the connection knows of the caller; the certificate is put there by `connection.py`."""
    times = Counter(key for key, _ in scope["headers"])
    repeated = frozenset(key.decode("latin-1") for key, count in times.items() if count > 1)
    certificate = scope.get("extensions", {}).get(CERTIFICATE)
    return Peer(certificate, repeated) if certificate or repeated else UNKNOWN_PEER


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _read(
    endpoint: Endpoint, path: Mapping[str, str], query: bytes, headers: Mapping[str, str], content: bytes
) -> Request:
    """The request, if all of it was understood.

    Raises:
        InvalidArgument, Refusal: it was not.
    """
    parameters = query_string.read(query, endpoint.query)
    if endpoint.body is None:
        body.require_none(content)
        return Request(path, parameters)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise InvalidArgument("Content type error")
    return Request(path, parameters, endpoint.body.read(content))
