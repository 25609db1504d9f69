"""The gRPC face: raw bytes in, raw bytes out, every method through the pipeline; errors become statuses here."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import grpc
import structlog

from vecguard.errors import ConfigError, VecGuardError
from vecguard.keepalive import PINGS
from vecguard.model import UNKNOWN_PEER, Peer
from vecguard.pipeline import Pipeline
from vecguard.request_id import HEADER as REQUEST_ID
from vecguard.request_id import identified

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

_MIB: Final = 1024 * 1024
_log = structlog.get_logger("vecguard.server")


class _EveryMethod(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in the stubs only
    """Takes every method, known or not, as unary calls on bytes: what is not known is refused by the pipeline."""

    def __init__(self, known: Iterable[str], behaviour: Callable[..., Any]) -> None:
        self._behaviour = behaviour
        # Made once for the methods that there are; any other name a client may think of is not remembered.
        self._handlers = {method: self._handler(method) for method in known}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        return self._handlers.get(method) or self._handler(method)

    def _handler(self, method: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def unary(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            result: bytes = await self._behaviour(method, body, context)
            return result

        return grpc.unary_unary_rpc_method_handler(unary)


def _repeated(sent: Metadata) -> frozenset[str]:
    """Keys of the metadata that came more than once."""
    if len({key for key, _ in sent}) == len(sent):  # as nearly always
        return frozenset()
    times = Counter(key for key, _ in sent)
    return frozenset(key for key, count in times.items() if count > 1)


def _certificate(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes | None:
    """The client's certificate in DER, where TLS verified one."""
    pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return None if pem is None else ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))


class Server:
    """One listener of one worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        listen: str,
        *,
        shared_port: bool,
        max_message_mib: int,
        max_calls: int | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """`shared_port`: whether other workers listen on it too (SO_REUSEPORT); `credentials`: for TLS;
        `max_calls`: at once, beyond which calls get RESOURCE_EXHAUSTED.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._pipeline = pipeline
        self._over_tls = credentials is not None
        options = [
            ("grpc.so_reuseport", int(shared_port)),
            ("grpc.max_receive_message_length", max_message_mib * _MIB),
            ("grpc.max_send_message_length", -1),
            *PINGS,
        ]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=max_calls)
        self._server.add_generic_rpc_handlers((_EveryMethod(pipeline.rpcs, self._call),))
        try:
            self.port = (
                self._server.add_insecure_port(listen)
                if credentials is None
                else self._server.add_secure_port(listen, credentials)
            )
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise ConfigError(f"cannot listen on {listen}: the address is in use or not one of this machine's")

    async def _call(self, method: str, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        sent: Metadata = tuple(context.invocation_metadata() or ())  # asked once: gRPC makes it anew each time
        metadata = identified({key: value for key, value in sent if isinstance(value, str)})
        told = ((REQUEST_ID, metadata[REQUEST_ID]),)
        context.set_trailing_metadata(told)
        try:
            peer = self._peer(sent, context)
            return await self._pipeline.handle(method, body, metadata, context.time_remaining(), peer=peer)
        except VecGuardError as failure:
            await context.abort(grpc.StatusCode[failure.status], str(failure), (*_passed_on(failure), *told))
        except Exception:  # noqa: BLE001 - the last resort of a server; logged, and answered with INTERNAL
            # A bug: its text may hold anything, so the client gets none of it and the log only its type and place.
            _log.exception("unexpected error", rpc=method, request_id=metadata[REQUEST_ID])
            text = "internal error in VecGuard; the call was not forwarded further"
            await context.abort(grpc.StatusCode.INTERNAL, text, told)
        raise AssertionError("unreachable: abort raises")

    def _peer(self, sent: Metadata, context: grpc.aio.ServicerContext[bytes, bytes]) -> Peer:
        """What gRPC knows of the caller."""
        certificate = _certificate(context) if self._over_tls else None
        repeated = _repeated(sent)
        return Peer(certificate, repeated) if certificate or repeated else UNKNOWN_PEER

    async def start(self) -> None:
        """Begin to take calls."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those in flight `grace` seconds to finish."""
        await self._server.stop(grace)


def _passed_on(failure: VecGuardError) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata of an error; without what belongs to the database's own transport, and its request id."""
    return tuple(
        (key, value) for key, value in failure.trailing if not key.startswith(("grpc-", ":")) and key != REQUEST_ID
    )
