"""A connection whose request's head does not come, or does not end, is closed; others go on as long as they like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn

from vecguard.front.rest.connection import HEAD_BYTES, BoundedConnection, bounded

Dialogue = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Impatient(BoundedConnection):
    head_s = 0.2


async def app(scope: Any, receive: Any, send: Any) -> None:
    event = await receive()
    while event.get("more_body"):
        event = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def with_server(dialogue: Dialogue) -> None:
    async def run() -> None:
        config = uvicorn.Config(app, http=Impatient, lifespan="off", ws="none", log_config=None, log_level="critical")
        config.load()
        server = uvicorn.Server(config)
        loop = asyncio.get_running_loop()
        make = lambda: Impatient(config=config, server_state=server.server_state, app_state={})  # noqa: E731
        listening = await loop.create_server(make, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        try:
            async with asyncio.timeout(60):
                await dialogue(reader, writer)
        finally:
            writer.close()
            listening.close()

    asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come(begun: bytes) -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        assert await reader.read() == b""

    with_server(dialogue)


def test_a_second_head_that_does_not_come() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(REQUEST[:-2])
        assert await reader.read() == b""

    with_server(dialogue)


def test_a_head_that_is_too_large() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (HEAD_BYTES + 1))
        with contextlib.suppress(ConnectionError):  # whether the end or a reset comes first is the kernel's choice
            assert await reader.read() == b""

    with_server(dialogue)


def test_a_body_may_take_its_time_and_a_connection_may_rest() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            size = 2 * HEAD_BYTES
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * (size - 1))
            await asyncio.sleep(0.4)
            writer.write(b"x")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.4)

    with_server(dialogue)


def test_no_more_connections_than_allowed() -> None:
    async def run() -> list[bytes]:
        kind = bounded(2)
        config = uvicorn.Config(app, http=kind, lifespan="off", ws="none", log_config=None, log_level="critical")
        config.load()
        server = uvicorn.Server(config)
        make = lambda: kind(config=config, server_state=server.server_state, app_state={})  # type: ignore[call-arg]  # noqa: E731
        listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        address = listening.sockets[0].getsockname()

        async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            with contextlib.suppress(ConnectionError):
                writer.write(REQUEST)
                return (await reader.read(12))[:12]
            return b""

        open_ones = [await asyncio.open_connection(*address) for _ in range(2)]
        answers = [await asked(*one) for one in open_ones]
        answers.append(await asked(*await asyncio.open_connection(*address)))
        open_ones[0][1].close()
        await open_ones[0][1].wait_closed()
        await asyncio.sleep(0.1)
        answers.append(await asked(*await asyncio.open_connection(*address)))
        answers.append(await asked(*open_ones[1]))  # one that is there is not disturbed
        listening.close()
        return answers

    first, second, third, fourth, fifth = asyncio.run(run())
    assert (first, second, third, fourth) == (b"HTTP/1.1 200", b"HTTP/1.1 200", b"", b"HTTP/1.1 200")
    assert fifth != b""
