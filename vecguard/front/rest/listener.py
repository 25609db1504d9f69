"""The HTTP listener of one worker: uvicorn in the worker's own event loop, beside gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn

from vecguard.errors import ConfigError
from vecguard.front.rest.app import RestApp
from vecguard.front.rest.body import Limits
from vecguard.front.rest.connection import bounded
from vecguard.front.rest.table import ENDPOINTS
from vecguard.pipeline import Pipeline

_MIB: Final = 1024 * 1024
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 2_048
_TICK_S: Final = 0.005


class _Embedded(uvicorn.Server):
    """Leaves signals to the process that it is embedded in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class RestServer:
    """One HTTP listener of one worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        host: str,
        port: int,
        *,
        shared_port: bool,
        max_message_mib: int,
        max_connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`shared_port`: whether other workers listen on it too (SO_REUSEPORT); `tls`: for HTTPS;
        `max_connections`: at once, beyond which a connection is closed as it is made.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._socket = _bound(host, port, shared_port)
        self.port: int = self._socket.getsockname()[1]
        app = RestApp(pipeline, ENDPOINTS, Limits(max_message_mib * _MIB))
        config = uvicorn.Config(
            app,
            http=bounded(max_connections),
            lifespan="off",
            ws="none",
            loop="none",
            log_config=None,
            log_level="critical",  # what it would say of a request may hold a client's data; the trail has the calls
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            backlog=_BACKLOG,
            ssl_context_factory=None if tls is None else lambda _, __: tls,
        )
        self._config = config
        self._server = _Embedded(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take requests."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise ConfigError("the REST listener ended at once")
            await asyncio.sleep(_TICK_S)

    async def stop(self, grace: float) -> None:
        """Take no new requests, and give those in flight `grace` seconds to finish."""
        if self._serving is None:
            self._socket.close()
            return
        self._config.timeout_graceful_shutdown = max(int(grace), 1)
        self._server.should_exit = True
        await self._serving


def _bound(host: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off: it would hold back each answer's last packet.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as fault:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} for REST: {fault.strerror}; give another with --rest, or `--rest off`"
        ) from None
    return listener
