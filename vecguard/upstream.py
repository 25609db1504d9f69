"""The vector database behind the proxy: one async call, `(rpc, message) -> message`, over a gRPC channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message

from vecguard.errors import UpstreamFailure
from vecguard.model import Caller

Answer = TypeVar("Answer", bound=Message)

_BACKOFF_MS: Final = 100
_BACKOFF_CEILING_MS: Final = 1_000


class Upstream:
    """A channel to the database. Statuses, details and trailing metadata of its errors are passed through."""

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        max_message_bytes: int,
    ) -> None:
        """`target` is `host:port` or `unix:/path`; `metadata` goes with every call (an api key, say)."""
        options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", _BACKOFF_MS),
            ("grpc.max_reconnect_backoff_ms", _BACKOFF_CEILING_MS),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self._metadata = tuple(metadata)
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    async def call(self, rpc: str, request: Message, answer: type[Answer], caller: Caller) -> Answer:
        """Send `request` to the method `/package.Service/Name` on behalf of `caller`.

        Raises:
            UpstreamFailure: the database answered with an error, or could not be reached (UNAVAILABLE), or its answer
                is not a message of the type `answer`.
        """
        method = self._methods.get(rpc)
        if method is None:
            method = self._methods[rpc] = self._channel.unary_unary(rpc, None, None)
        try:
            body = await method(
                request.SerializeToString(), timeout=caller.timeout, metadata=self._metadata + caller.metadata
            )
        except grpc.aio.AioRpcError as error:
            trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
            raise UpstreamFailure(error.code().name, error.details() or "", tuple(trailing)) from None
        try:
            return answer.FromString(body)
        except DecodeError:
            raise UpstreamFailure(
                "INTERNAL", f"the vector database's answer to {rpc} is not a {answer.__name__}"
            ) from None

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close(None)
