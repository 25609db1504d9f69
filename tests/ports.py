"""TCP ports for the servers that tests start: none is given out twice soon, nor by the kernel to somebody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

# Below those that the kernel gives to whoever names none (Linux: 32768 to 60999), and below those that
# `benchmarks.milvus_standalone` takes for the listeners of a Milvus server.
PORTS = range(10_240, 24_576)
SHARES = 8
"""Test processes side by side (pytest-xdist) each have a part of the ports of their own."""


def _in_turn() -> Iterator[int]:
    """This process's ports, round and round, from a place of its own: other test runs on the machine have theirs."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    own = PORTS[share::SHARES]
    start = os.getpid() * 97 % len(own)
    while True:
        yield from own[start:]
        yield from own[:start]


_ports = _in_turn()


def free_port() -> int:
    """A TCP port of the loopback interface that is free now.

    A port of the kernel's own choice (`bind` to port 0) is free as well, but until the server that it is meant for has
    bound it, the kernel may choose it again for another: once in 10,000 times for the very next one who asks.
    """
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round and round")
