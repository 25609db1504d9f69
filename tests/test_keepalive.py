"""Pings of idle clients, on each listener: one a second is borne, a flood is not."""

import asyncio
import socket
import struct
import time
from importlib import import_module

import pytest

from vecguard.keepalive import PINGS
from vecguard.server import Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 0x4, 0x6, 0x7  # RFC 9113, section 11.2
ENHANCE_YOUR_CALM = 0xB


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame without flags on stream 0 (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, 0, 0) + payload


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """Kind and payload of each whole frame."""
    found = []
    while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
        found.append((received[3], received[9:end]))
        received = received[end:]
    return found


def pinged(path: str, times: int, every_s: float) -> list[tuple[int, bytes]]:
    """What a server answers to an idle client that pings."""
    received = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.settimeout(10.0)
        client.sendall(PREFACE + frame(SETTINGS))
        for number in range(times):
            time.sleep(every_s)
            try:
                client.sendall(frame(PING, number.to_bytes(8, "big")))
                received += client.recv(65536)
            except (TimeoutError, ConnectionError):
                break
        client.settimeout(0.5)
        try:
            while more := client.recv(65536):
                received += more
        except (TimeoutError, ConnectionError):
            pass
    return frames(received)


class Nobody:
    rpcs = ()


async def answers(path: str, times: int, every_s: float) -> list[tuple[int, bytes]]:
    server = Server(Nobody(), f"unix:{path}", shared_port=False, max_message_mib=1)
    await server.start()
    try:
        return await asyncio.to_thread(pinged, path, times, every_s)
    finally:
        await server.stop(0)


def calmed(found: list[tuple[int, bytes]]) -> bool:
    return any(kind == GOAWAY and payload[7] == ENHANCE_YOUR_CALM for kind, payload in found)


@pytest.mark.slow
def test_a_ping_a_second_is_borne_and_a_flood_is_not(tmp_path):
    found = asyncio.run(answers(f"{tmp_path}/calm", 5, 1.3))
    assert [kind for kind, _ in found].count(PING) == 5
    assert not calmed(found)
    assert calmed(asyncio.run(answers(f"{tmp_path}/flood", 50, 0.001)))


@pytest.mark.parametrize("module", ["server", "engine.server", "engine.lite_server", "admin.listener"])
def test_every_listener_has_it(module):
    assert import_module(f"vecguard.{module}").PINGS is PINGS
