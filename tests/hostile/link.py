"""A line between the proxy and a real database that can be cut, stalled, or made to talk nonsense."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Literal

State = Literal["whole", "cut", "stalled", "nonsense"]
_CHUNK = 65_536


class Link:
    """Listens on `port` and passes bytes on to `target`, as `state` lets it. Changing it holds for open connections."""

    def __init__(self, target: str) -> None:
        """`target` is HOST:PORT; where nothing listens there, connections are closed."""
        host, _, port = target.rpartition(":")
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._state: State = "whole"
        self._open: set[socket.socket] = set()
        self._moved = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def become(self, state: State) -> None:
        """Change what happens to bytes; `cut` ends all connections, and refuses new ones."""
        with self._moved:
            self._state = state
            self._moved.notify_all()
        if state in {"cut", "nonsense"}:
            self.drop()

    def drop(self) -> None:
        """End all connections."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        """End it all."""
        self.become("cut")
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._state == "cut":
                client.close()
            elif self._state == "nonsense":
                with contextlib.suppress(OSError):
                    client.sendall(os.urandom(4_096))
                client.close()
            else:
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._to, timeout=5)
            server.settimeout(None)
        except OSError:
            client.close()
            return
        self._open |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._moved:
                    self._moved.wait_for(lambda: self._state != "stalled")
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def link(target: str) -> Iterator[Link]:
    """A link to `target` while the block runs."""
    made = Link(target)
    try:
        yield made
    finally:
        made.close()
