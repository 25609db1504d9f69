"""A bare pass-through of the gRPC stack that VecGuard's server uses: the yardstick for what protection adds.

It accepts any unary call, forwards the request's bytes, metadata and deadline as they are, and hands back the answer's
bytes or the upstream's status. It never parses a message.
Run: `python -m benchmarks.passthrough --listen HOST:PORT --upstream HOST:PORT`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 2**20),
    ("grpc.max_send_message_length", 64 * 2**20),
)

Context = grpc.aio.ServicerContext[bytes, bytes]
Call = Callable[[bytes, Context], Awaitable[bytes]]


class Forward(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Answers every method by the same method of the upstream channel."""

    def __init__(self, upstream: grpc.aio.Channel) -> None:
        self._upstream = upstream
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        if method not in self._handlers:
            self._handlers[method] = grpc.unary_unary_rpc_method_handler(self._forward(method))
        return self._handlers[method]

    def _forward(self, method: str) -> Call:
        call = self._upstream.unary_unary(method, None, None)

        async def forward(request: bytes, context: Context) -> bytes:
            metadata = [(key, value) for key, value in context.invocation_metadata() or () if key != "user-agent"]
            try:
                response: bytes = await call(request, metadata=metadata, timeout=context.time_remaining())
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")
            return response

        return forward


async def serve(
    listen: str, upstream: str, handler: Callable[[grpc.aio.Channel], grpc.GenericRpcHandler[bytes, bytes]] = Forward
) -> None:
    """Answer by `handler` of the upstream's channel until SIGTERM, then let the calls in flight finish."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with grpc.aio.insecure_channel(upstream, options=OPTIONS) as channel:
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers([handler(channel)])
        server.add_insecure_port(listen)
        await server.start()
        await stopped.wait()
        await server.stop(grace=10)


def main() -> None:
    """Read the two addresses and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--upstream", required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.listen, arguments.upstream))


if __name__ == "__main__":
    main()
