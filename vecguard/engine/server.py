"""The engine's gRPC server: Qdrant's services over one store, and one of our own for snapshot files.

`HealthCheck` reports the version of Qdrant's API that the pinned client and its protobuf messages are made for.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from qdrant_client import grpc as qdrant

from vecguard.engine.collections_service import CollectionsService
from vecguard.engine.failure_log import log_failure
from vecguard.engine.listening import bind
from vecguard.engine.points_service import PointsService
from vecguard.engine.snapshot_transfer import SnapshotTransfer
from vecguard.engine.snapshots_service import SnapshotsService
from vecguard.engine.store import Store
from vecguard.errors import VecGuardError
from vecguard.keepalive import PINGS
from vecguard.stamp import HEADER

TITLE = "qdrant - vector search engine"
API_VERSION = "1.20.0"
DEFAULT_MESSAGE_BYTES = 128 * 1024 * 1024
# What the proxy reads configurations with, and all that it writes points with.
_STAMPED = frozenset({"/qdrant.Collections/Get", "/qdrant.Points/Upsert", "/qdrant.Points/UpdateBatch"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the engine listens.

    Args:
        address: `unix:/path` or `host:port` (port 0: any free one).
        max_message_bytes: largest request and response.
    """

    address: str
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES


class EngineServer:
    """A gRPC server over an open store."""

    def __init__(self, store: Store, listen: Listen) -> None:
        self._store = store
        self._listen = listen
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        """Begin to serve.

        Returns:
            The gRPC target under which clients reach it.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        limit = self._listen.max_message_bytes
        server = grpc.aio.server(
            interceptors=[StatusInterceptor(self._store)],
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", limit),
                # Two engines must not share a port: each would see a part of the calls.
                ("grpc.so_reuseport", 0),
                *PINGS,
            ],
        )
        qdrant.add_PointsServicer_to_server(PointsService(self._store), server)  # type: ignore[no-untyped-call]
        qdrant.add_CollectionsServicer_to_server(CollectionsService(self._store), server)  # type: ignore[no-untyped-call]
        qdrant.add_SnapshotsServicer_to_server(SnapshotsService(self._store), server)  # type: ignore[no-untyped-call]
        qdrant.add_QdrantServicer_to_server(HealthService(), server)  # type: ignore[no-untyped-call]
        server.add_generic_rpc_handlers((SnapshotTransfer(self._store).handler,))
        target = bind(server, self._listen.address)
        await server.start()
        self._server = server
        self._store.resume_maintenance()
        return target

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, and give those in flight `grace_seconds` to finish."""
        if self._server is not None:
            await self._server.stop(grace_seconds)


class HealthService(qdrant.QdrantServicer):
    """`qdrant.Qdrant`: tells what is served here."""

    async def HealthCheck(
        self, request: qdrant.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> qdrant.HealthCheckReply:
        """Title and API version."""
        return qdrant.HealthCheckReply(title=TITLE, version=API_VERSION)


class StatusInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Answers errors of the project's tree with their gRPC status; anything else is a bug and answers INTERNAL.

    Beside answers to `_STAMPED` it gives the stamp of the collection's configuration (`vecguard.stamp`).
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the RPC's handler. Qdrant's RPCs are unary; those that stream here write to their context."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
        stamped = handler_call_details.method in _STAMPED

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                response = await method(request, context)
                if stamped:  # before anything else runs: it is that of the collection which the answer speaks of
                    context.set_trailing_metadata(((HEADER, self._store.collection(request.collection_name).stamp),))
                return response
            except VecGuardError as failure:
                await context.abort(grpc.StatusCode[failure.status], str(failure))
            except (grpc.aio.AbortError, NotImplementedError):
                raise
            except Exception as failure:  # noqa: BLE001 - a bug must not show its text to clients
                log_failure(_log, handler_call_details.method, failure)
                await context.abort(grpc.StatusCode.INTERNAL, "Service internal error: unexpected failure")

        return _wrapping(handler)(
            answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _wrapping(handler: grpc.RpcMethodHandler[Any, Any]) -> Callable[..., grpc.RpcMethodHandler[Any, Any]]:
    if handler.response_streaming:
        streams = handler.request_streaming
        return grpc.stream_stream_rpc_method_handler if streams else grpc.unary_stream_rpc_method_handler
    return grpc.unary_unary_rpc_method_handler
