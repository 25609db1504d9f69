"""The listening socket: shared or not, clear about an address it cannot have, and without Nagle's delay."""

from __future__ import annotations

import asyncio
import socket

import pytest

from vecguard.errors import ConfigError
from vecguard.front.rest.listener import RestServer, _bound


def test_an_address_in_use_is_refused_unless_both_share_it() -> None:
    with _bound("127.0.0.1", 0, False) as one:
        port = one.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1:{port} for REST: .*--rest off"):
            _bound("127.0.0.1", port, False)
        with pytest.raises(ConfigError):
            _bound("127.0.0.1", port, True)
    with _bound("127.0.0.1", 0, True) as one, _bound("127.0.0.1", one.getsockname()[1], True) as other:
        assert one.getsockname() == other.getsockname()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="for REST"):
        _bound(host, 0, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_answer_waits_for_the_client_to_acknowledge_its_head(host: str) -> None:
    """Head and body of an answer are two packets; Nagle's algorithm would hold the second back for 40 ms."""

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = _bound(host, 0, False)
        server = await asyncio.start_server(look, sock=listening)
        _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        try:
            return await asyncio.wait_for(found, 5)
        finally:
            writer.close()
            server.close()

    assert asyncio.run(accepted()) != 0


def test_a_listener_that_was_never_started_lets_go_of_its_address() -> None:
    async def run() -> int:
        server = RestServer(None, "127.0.0.1", 0, shared_port=False, max_message_mib=1, max_connections=9)  # type: ignore[arg-type]
        await server.stop(1.0)
        return server.port

    port = asyncio.run(run())
    _bound("127.0.0.1", port, False).close()
