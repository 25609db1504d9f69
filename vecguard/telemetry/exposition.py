"""The port at which Prometheus fetches metrics: the library's own HTTP server, in a thread of its own."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from vecguard.errors import ConfigError

_READINGS: Final = 5
_PAUSE_S: Final = 0.05


class _Settled(MultiProcessCollector):
    """Reads again where a worker that starts or ends has just made, or is removing, one of the files."""

    def collect(self) -> Iterator[Metric]:
        """All metrics, of one reading."""
        for left in reversed(range(_READINGS)):
            try:
                return iter(list(super().collect()))  # type: ignore[no-untyped-call]
            except (OSError, ValueError, RuntimeError, struct.error):
                if not left:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("unreachable: the last reading returns or raises")


def own_registry() -> CollectorRegistry:
    """A registry of this process alone, with what the system knows of it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def shared_registry(folder: Path) -> CollectorRegistry:
    """A registry that adds up what the processes wrote to `folder`."""
    registry = CollectorRegistry()
    _Settled(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry


@contextlib.contextmanager
def exposed(host: str, port: int, registry: CollectorRegistry) -> Iterator[None]:
    """Serve `registry` at `http://HOST:PORT/metrics` while the block runs.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as fault:
        raise ConfigError(f"cannot listen on {host}:{port} for metrics: {fault.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
