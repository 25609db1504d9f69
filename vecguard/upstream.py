"""The vector database behind the proxy: one async call, `(rpc, message) -> message`, over a gRPC channel.

What does not fit a message (snapshot files) goes over a `Stream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message

from vecguard.errors import UpstreamFailure
from vecguard.model import Caller
from vecguard.stages import stage
from vecguard.stamp import stamp_in

if TYPE_CHECKING:
    _Reading: TypeAlias = grpc.aio.UnaryStreamCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]

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
        self.carries = frozenset(key for key, _ in self._metadata)
        """Keys of the metadata that goes with every call: a client's own must not go beside it."""
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    async def call(self, rpc: str, request: Message, answer: type[Answer], caller: Caller) -> Answer:
        """Send `request` to the method `/package.Service/Name` on behalf of `caller`.

        Raises:
            UpstreamFailure: the database answered with an error, or could not be reached (UNAVAILABLE), or its answer
                is not a message of the type `answer`.
        """
        return await _answer_of(self._begun(rpc, request, caller), rpc, answer)

    async def stamped(self, rpc: str, request: Message, answer: type[Answer], caller: Caller) -> tuple[Answer, str]:
        """As `call`; with the answer the stamp of the collection's configuration, empty where the database gives none
        (see `vecguard.stamp`). Raises UpstreamFailure."""
        begun = self._begun(rpc, request, caller)
        found = await _answer_of(begun, rpc, answer)
        return found, stamp_in(cast("Iterable[tuple[str, str | bytes]]", await begun.trailing_metadata() or ()))

    def _begun(self, rpc: str, request: Message, caller: Caller) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        method = self._methods.get(rpc)
        if method is None:
            method = self._methods[rpc] = self._channel.unary_unary(rpc, None, None)
        metadata = self._metadata + caller.metadata
        return method(request.SerializeToString(), timeout=caller.timeout, metadata=metadata)

    def stream(self, rpc: str, ask: bytes, caller: Caller) -> Stream:
        """Call a method that answers one message with many, each in bytes."""
        method = self._channel.unary_stream(rpc, None, None)
        return Stream(method(ask, timeout=caller.timeout, metadata=self._metadata + caller.metadata))

    def exchange(self, rpc: str, caller: Caller) -> Exchange:
        """Begin a call of a method that takes and gives many messages, each in bytes.

        The method must answer with its metadata before it is sent anything.
        """
        method = self._channel.stream_stream(rpc, None, None)
        metadata = self._metadata + caller.metadata
        return Exchange(method(timeout=caller.timeout, metadata=metadata))  # type: ignore[call-arg]  # optional in truth

    def reachable(self) -> bool:
        """Whether the channel is connected; if not, it tries to."""
        return self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close(None)


class Stream:
    """A call that answers in many messages, each in bytes. Leaving the `with` block before its end cancels it."""

    def __init__(self, call: _Reading) -> None:
        self._reading = call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.cancel()

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            UpstreamFailure: the database ended the call with an error, or without another message.
        """
        message = await self._next()
        if message is None:
            raise UpstreamFailure("INTERNAL", "the vector database ended the call too early")
        return message

    async def rest(self) -> AsyncIterator[bytes]:
        """All further messages, to the call's end. Raises UpstreamFailure."""
        while (message := await self._next()) is not None:
            yield message

    async def _next(self) -> bytes | None:
        try:
            message = await self._reading.read()
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        return message if isinstance(message, bytes) else None


class Exchange(Stream):
    """A stream that is sent many messages, too."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        super().__init__(call)
        self._call = call

    async def send(self, message: bytes) -> None:
        """Send one message, as soon as there is room for it.

        Raises:
            UpstreamFailure: the database ended the call.
        """
        # Writing to a method that is not there could fail before its status arrives.
        await self._call.initial_metadata()
        try:
            await self._call.write(message)
        except asyncio.InvalidStateError:  # it ended before: why is told to who reads
            await self.receive()
            raise UpstreamFailure("INTERNAL", "the vector database ended the call too early") from None
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None


async def _answer_of(begun: grpc.aio.UnaryUnaryCall[bytes, bytes], rpc: str, answer: type[Answer]) -> Answer:
    """What a call is answered with. Raises UpstreamFailure."""
    try:
        with stage("upstream"):
            body = await begun
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from None
    try:
        return answer.FromString(body)
    except DecodeError:
        raise UpstreamFailure("INTERNAL", f"the vector database's answer to {rpc} is not a {answer.__name__}") from None


def _failure(error: grpc.aio.AioRpcError) -> UpstreamFailure:
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    return UpstreamFailure(error.code().name, error.details() or "", tuple(trailing))
