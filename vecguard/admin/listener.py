"""The control plane's port: the service's handlers made from its descriptor, health, reflection, credentials, TLS."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import _async as aio_health
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from vecguard.admin.credentials import RequireKey
from vecguard.config import AdminSettings
from vecguard.errors import ConfigError, VecGuardError
from vecguard.keepalive import PINGS
from vecguard.v1 import admin_pb2 as v1

SERVICE: Final = "vecguard.v1.Admin"
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_CALLS: Final = 64
_GRACE_S: Final = 1.0
_INTERNAL: Final = "internal error in VecGuard"
_log = structlog.get_logger("vecguard.admin")

Health = health_pb2.HealthCheckResponse


class AdminListener:
    """The gRPC server of the control plane. `port` is where it listens; 0 for a Unix socket."""

    def __init__(self, settings: AdminSettings, *services: object) -> None:
        """`services` have the methods between them.

        Raises ConfigError: a file of TLS cannot be read, or the address cannot be listened on.
        """
        interceptors = () if settings.key is None else (RequireKey(settings.key),)
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MOST_BYTES), *PINGS]
        self._server = grpc.aio.server(interceptors=interceptors, options=options, maximum_concurrent_rpcs=_MOST_CALLS)
        self._server.add_generic_rpc_handlers((_handlers(services),))
        self._health = aio_health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        credentials = _tls(settings)
        before = os.umask(0o177)  # a Unix socket is this user's alone, from its first moment on
        try:
            self.port = (
                self._server.add_insecure_port(settings.listen)
                if credentials is None
                else self._server.add_secure_port(settings.listen, credentials)
            )
        except RuntimeError:
            raise ConfigError(f"cannot listen on {settings.listen} for the control plane") from None
        finally:
            os.umask(before)

    async def start(self) -> None:
        """Begin to take calls."""
        await self._server.start()
        await self._health.set(SERVICE, Health.SERVING)

    async def tell_health(self, name: str, serving: bool) -> None:
        """Let health checks of a service know; "" is all of it."""
        await self._health.set(name, Health.SERVING if serving else Health.NOT_SERVING)

    async def stop(self) -> None:
        """Take no new calls, and end those that watch."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(_GRACE_S)


def _tls(settings: AdminSettings) -> grpc.ServerCredentials | None:
    if settings.certificate is None or settings.private_key is None:
        return None
    try:
        pair = (settings.private_key.read_bytes(), settings.certificate.read_bytes())
        root = None if settings.client_ca is None else settings.client_ca.read_bytes()
    except OSError as fault:
        raise ConfigError(f"admin: {fault.filename} cannot be read: {fault.strerror}") from None
    return grpc.ssl_server_credentials([pair], root, require_client_auth=root is not None)


def _handlers(services: Sequence[object]) -> grpc.GenericRpcHandler:  # type: ignore[type-arg]  # generic in the stubs only
    methods = v1.DESCRIPTOR.services_by_name["Admin"].methods
    return grpc.method_handlers_generic_handler(
        SERVICE, {method.name: _handler(method, _served(services, _snake(method.name))) for method in methods}
    )


def _served(services: Sequence[object], name: str) -> Callable[[Any], Any]:
    (serve,) = (getattr(service, name) for service in services if hasattr(service, name))
    return serve  # type: ignore[no-any-return]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _handler(method: MethodDescriptor, serve: Callable[[Any], Any]) -> grpc.RpcMethodHandler[Any, Any]:
    ask: type[Message] = GetMessageClass(method.input_type)
    kind = (
        grpc.unary_stream_rpc_method_handler
        if inspect.isasyncgenfunction(serve)
        else grpc.unary_unary_rpc_method_handler
    )
    return kind(
        _streamed(method.name, serve) if inspect.isasyncgenfunction(serve) else _answered(method.name, serve),
        request_deserializer=ask.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )


def _answered(name: str, serve: Callable[[Any], Any]) -> Callable[..., Any]:
    async def answer(ask: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            _require_known(ask)
            answer = await serve(ask)
        except VecGuardError as failure:
            await _abort(name, failure, context)
        except Exception:  # noqa: BLE001 - the last resort of a server; logged, and answered with INTERNAL
            _log.exception("unexpected error", rpc=name)
            await context.abort(grpc.StatusCode.INTERNAL, _INTERNAL)
        _log.info("admin call", rpc=name, status="OK")
        return answer

    return answer


def _streamed(name: str, serve: Callable[[Any], AsyncIterator[Message]]) -> Callable[..., Any]:
    async def answer(ask: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Message]:
        _log.info("admin call", rpc=name)
        try:
            _require_known(ask)
            async for message in serve(ask):
                yield message
        except VecGuardError as failure:
            await _abort(name, failure, context)

    return answer


def _require_known(ask: Message) -> None:
    """Refuse what a newer client asks for with fields that are not known here. Raises ConfigError."""
    size = ask.ByteSize()
    ask.DiscardUnknownFields()
    if ask.ByteSize() != size:
        raise _Unknown("the request has fields that this version of VecGuard does not know")


class _Unknown(VecGuardError):
    status = "INVALID_ARGUMENT"


async def _abort(name: str, failure: VecGuardError, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    _log.info("admin call", rpc=name, status=failure.status)
    await context.abort(grpc.StatusCode[failure.status], str(failure))
