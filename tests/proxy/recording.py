"""A pass-through between the proxy and the engine that remembers every call: it shows what really leaves the proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from qdrant_client import grpc as q
from serving import MESSAGE_BYTES

THREADS = 16
LONGEST_S = 86_400.0
# What the proxy asks of its own accord before it decides: the manifest, and whose alias a name is.
LOOK_UPS = frozenset({"/qdrant.Collections/Get", "/qdrant.Collections/ListAliases"})
COUNT = "/qdrant.Points/Count"


@dataclass(frozen=True)
class Call:
    """One call that reached the database's side."""

    method: str
    body: bytes


def _counts_all(call: Call) -> bool:
    """Whether a call is how detection asks, beside the calls, how large a collection is."""
    if call.method != COUNT:
        return False
    asked = q.CountPoints.FromString(call.body)
    return asked == q.CountPoints(collection_name=asked.collection_name, exact=True)


@dataclass
class Recorder(grpc.GenericRpcHandler):
    """Forwards the bytes of every unary call as they are, and keeps them."""

    upstream: grpc.Channel
    port: int = 0
    _calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def calls(self) -> list[Call]:
        """All calls since `clear`."""
        with self._lock:
            return list(self._calls)

    @property
    def forwarded(self) -> list[str]:
        """Methods called since `clear`, the proxy's own look-ups left out."""
        return [call.method for call in self.calls if call.method not in LOOK_UPS and not _counts_all(call)]

    def clear(self) -> None:
        """Forget what was recorded."""
        with self._lock:
            self._calls.clear()

    def service(self, handler_call_details):
        method = handler_call_details.method

        def forward(body: bytes, context: grpc.ServicerContext) -> bytes:
            with self._lock:
                self._calls.append(Call(method, body))
            try:
                left = context.time_remaining()  # without a deadline: some hundred years, which no timer takes
                ask = self.upstream.unary_unary(method)
                answer, call = ask.with_call(body, timeout=left if left < LONGEST_S else None)
                context.set_trailing_metadata(tuple(call.trailing_metadata()))
                return answer
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(forward)


@contextmanager
def recording(upstream: str) -> Iterator[Recorder]:
    """A recorder before the gRPC target `upstream`, on a free loopback port."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    with grpc.insecure_channel(upstream, options=options) as channel:
        recorder = Recorder(channel)
        server = grpc.server(ThreadPoolExecutor(THREADS), handlers=(recorder,), options=options)
        recorder.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield recorder
        finally:
            server.stop(None).wait()
