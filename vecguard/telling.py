"""What workers tell the process that serves the control plane: datagrams on a Unix socket, one JSON object each.

A worker never waits: what the socket does not take at once is left out, and counted in the next of its kind. Kinds of
alerts have a room each: many of one do not hide another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vecguard.alerting.kinds import alert_of

SOCKET: Final = "control.sock"
BLOCKS: Final = "blocks.json"
_MOST_BYTES: Final = 8_192
_A_SECOND: Final = 20
"""Alerts of a kind."""


class Telling:
    """A worker's end: a sink of the trail's events, of which it tells those that an operator should know of."""

    def __init__(self, socket_file: Path, worker: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = str(socket_file)
        self._worker = worker
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._clock = clock
        self._second = 0
        self._told, self._suppressed = Counter[str](), Counter[str]()

    def __call__(self, event: str, **fields: object) -> None:
        """Take an event of the trail."""
        found = alert_of(event, fields)
        if found is not None:
            self.alert(found[0], **found[1])

    def alert(self, kind: str, **fields: object) -> None:
        """Tell of something, unless too much of its kind was told within this second."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._told.clear()
        if self._told[kind] >= _A_SECOND or not self._send(alert=kind, suppressed=self._suppressed[kind], **fields):
            self._suppressed[kind] += 1
            return
        self._told[kind] += 1
        self._suppressed[kind] = 0

    def policy(self, digest: str) -> None:
        """Tell under which policy this worker serves."""
        self._send(policy=digest)

    def risk(self, risk: str) -> bool:
        """Tell what is remembered of a principal, a profile's head; whether it was taken."""
        return self._send(risk=risk)

    def _send(self, **fields: object) -> bool:
        message = {"worker": self._worker, "pid": os.getpid(), "time": time.time(), **fields}
        data = json.dumps(message).encode()
        if len(data) > _MOST_BYTES:
            data = json.dumps({**message, "collections": [], "reasons": []}).encode()
        try:
            self._socket.sendto(data, self._file)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[Mapping[str, Any]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, _: Any) -> None:
        with contextlib.suppress(ValueError):
            message = json.loads(data)
            if isinstance(message, dict):
                self._take(message)


async def receive(socket_file: Path, take: Callable[[Mapping[str, Any]], None]) -> asyncio.DatagramTransport:
    """Take what workers tell, until the transport is closed. The folder must be this user's alone."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    receiver.bind(str(socket_file))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Receiver(take), sock=receiver)
    return transport
