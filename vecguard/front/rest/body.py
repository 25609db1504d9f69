"""Reading a request's body: bounded in size while it arrives and while it is unpacked, and bounded in time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from vecguard.errors import InvalidArgument
from vecguard.front.rest.decoding import FORMAT
from vecguard.front.rest.refusals import Refusal

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

# RFC 1952 (gzip) and RFC 1950 (zlib, which HTTP calls deflate), told apart by zlib's own window sizes.
_WINDOWS: Final[Mapping[str, int]] = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}
_CLOSE: Final = {"connection": "close"}


class Disconnected(Exception):
    """The client went away before its request, or the answer, was whole."""

    status = "CANCELLED"


class Cut(Disconnected):
    """An answer that had begun cannot be ended: the connection is closed instead."""

    def __init__(self, status: str) -> None:
        """`status` is what the trail says of it."""
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a body: bytes, unpacked; seconds for the whole; seconds without a byte."""

    size: int
    total_s: float = 300.0
    idle_s: float = 30.0


class _Unpack(Protocol):
    def __call__(self, chunk: bytes, room: int, /) -> bytes:
        """The unpacked bytes, one more than `room` at most."""


def _unpacking(encoding: str) -> tuple[_Unpack, Callable[[], bool]]:
    """How chunks are unpacked, and whether what was given is complete."""
    if encoding in ("", "identity"):
        return (lambda chunk, room: chunk), (lambda: True)
    window = _WINDOWS.get(encoding)
    if window is None:
        raise Refusal(415, f"content encoding `{encoding}` is not known: gzip, deflate and identity are", _CLOSE)
    unpacker = zlib.decompressobj(window)

    def unpack(chunk: bytes, room: int) -> bytes:
        if unpacker.eof and chunk:
            raise zlib.error
        return unpacker.decompress(chunk, room + 1)

    return unpack, (lambda: unpacker.eof)


async def read(receive: Receive, headers: Mapping[str, str], limits: Limits) -> bytes:
    """The whole body, unpacked.

    Raises:
        Refusal: too large (413), too slow (408), packed in a way that is not known (415), or wrongly packed (400).
        Disconnected: the client went away.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.size:
        raise _too_large(limits)
    unpack, complete = _unpacking(headers.get("content-encoding", "").strip().lower())
    chunks: list[bytes] = []
    room = limits.size
    try:
        async with asyncio.timeout(limits.total_s):
            more = True
            while more:
                chunk, more = await _next(receive, limits.idle_s)
                unpacked = unpack(chunk, room)
                room -= len(unpacked)
                if room < 0:
                    raise _too_large(limits)
                chunks.append(unpacked)
    except TimeoutError:
        raise Refusal(408, "the request's body did not arrive in time", _CLOSE) from None
    except zlib.error:
        raise Refusal(400, "Format error in JSON body: it is not packed as its content encoding says", _CLOSE) from None
    if not complete():
        raise Refusal(400, "Format error in JSON body: the packed body ends too early", _CLOSE)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def pieces(receive: Receive, headers: Mapping[str, str], limits: Limits) -> AsyncIterator[bytes]:
    """The body of a file as it arrives, for as long as bytes come; it must not be packed.

    Raises:
        Refusal: it is packed (415), larger than `limits.size` (413), or pauses for `limits.idle_s` (408).
        Disconnected: the client went away.
    """
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refusal(415, "a file is taken as it is, without a content encoding", _CLOSE)
    room, more = limits.size, True
    while more:
        try:
            chunk, more = await _next(receive, limits.idle_s)
        except TimeoutError:
            raise Refusal(408, "the request's body did not arrive in time", _CLOSE) from None
        room -= len(chunk)
        if room < 0:
            raise Refusal(413, f"a file of more than {limits.size} bytes is not taken", _CLOSE)
        yield chunk


def require_none(content: bytes) -> None:
    """Refuse the body of a request that takes none. An empty object says nothing: the JavaScript client sends it.

    Raises:
        InvalidArgument: there is one.
    """
    if content.strip() not in (b"", b"{}"):
        raise InvalidArgument(f"{FORMAT}this endpoint takes no body")


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"JSON payload is larger than allowed (limit: {limits.size} bytes).", _CLOSE)


async def _next(receive: Receive, idle_s: float) -> tuple[bytes, bool]:
    async with asyncio.timeout(idle_s):
        event = await receive()
    if event["type"] != "http.request":
        raise Disconnected
    return event.get("body", b""), event.get("more_body", False)
