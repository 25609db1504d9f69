"""Starts the two databases of the demo as processes of their own: the bare engine, and VecGuard before an engine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
from qdrant_client import grpc as qdrant

from vecguard.errors import Unavailable

START_S = 90.0
STOP_S = 20.0
LOG_TAIL = 2000


@contextlib.contextmanager
def bare_engine(data: Path, log: Path) -> Iterator[int]:
    """The embedded engine alone over the folder `data`, without any protection. Yields its gRPC port.

    Raises:
        Unavailable: it did not start; the message holds the end of its log.
    """
    port = free_port()
    command = ["-m", "vecguard.engine", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    command += ["--die-with", str(os.getpid())]
    with _serving(command, port, log):
        yield port


@contextlib.contextmanager
def protected_engine(data: Path, log: Path, policy: Path | None = None) -> Iterator[int]:
    """`vecguard serve` before an embedded engine over `data`, by `policy`, else by its default one.

    Yields the proxy's gRPC port.

    Raises:
        Unavailable: it did not start; the message holds the end of its log.
    """
    port = free_port()
    addresses = ["--listen", f"127.0.0.1:{port}", "--rest", "off"]
    command = ["-m", "vecguard", "serve", *addresses, "--upstream", f"embedded:{data}"]
    if policy is not None:
        command += ["--policy", str(policy)]
    with _serving(command, port, log):
        yield port


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _serving(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    # One BLAS thread: spinning threads of a pool would take the second core from the database beside it.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
            [sys.executable, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
        )
    try:
        _wait_until_healthy(process, port, log)
        yield
    finally:
        _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = qdrant.QdrantStub(channel)  # type: ignore[no-untyped-call]
        while process.poll() is None and time.monotonic() < deadline:
            try:
                health.HealthCheck(qdrant.HealthCheckRequest(), timeout=1.0)
                return
            except grpc.RpcError:
                time.sleep(0.1)
    raise Unavailable(f"{log.stem} did not start; its log ends with:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
