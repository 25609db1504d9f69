"""One HTTP connection, with bounds on how long, and how large, the head of a request may be, and on how many there are.

uvicorn bounds neither head nor connections; the body is bounded where it is read (`body.py`). A connection beyond the
bound is closed at once: nothing was read of it, so nothing is known that could be answered, and a client tries again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 30.0
HEAD_BYTES: Final = 256 * 1024
CERTIFICATE: Final = "vecguard.certificate"
"""The ASGI extension that holds the client's certificate in DER, where TLS verified one."""


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose next request's head does not arrive in time, or does not end."""

    _waiting: asyncio.TimerHandle | None = None
    _received = 0
    head_s = HEAD_S
    most = 10_000
    """Connections of a listener at once."""
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its first head has to come."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refused = True
            transport.abort()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a head are counted."""
        if self._refused:
            return
        self._received += len(data)
        super().data_received(data)
        if self._waiting is not None and self._received > HEAD_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        secured = self.transport.get_extra_info("ssl_object")
        certificate = None if secured is None else secured.getpeercert(binary_form=True)
        if certificate is not None:
            self.scope["extensions"] = {CERTIFICATE: certificate}
        if self._waiting is None:
            self._expect()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._settle()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended."""
        self._settle()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._received = 0
        self._waiting = self.loop.call_later(self.head_s, self.transport.close)

    def _settle(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def bounded(most: int) -> type[BoundedConnection]:
    """Connections of a listener that has so many at once, and no more."""
    return type("BoundedConnection", (BoundedConnection,), {"most": most})
