"""The load generator: one process of its own that replays prepared requests and times every call.

`python -m benchmarks.generator` reads one `Load` a line as JSON on its standard input and answers each with one
`Timing`. Requests are bytes that the controlling process has serialised before, and answers stay bytes, so the
generator's own work is the gRPC client alone. `Generator` is the controlling side.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc.aio

from benchmarks.passthrough import OPTIONS
from benchmarks.processes import ONE_BLAS_THREAD, ROOT, Child
from vecguard.errors import Unavailable


@dataclass(frozen=True)
class Load:
    """What to send: the file's requests to `method` at `target` over `streams` concurrent closed loops.

    With `seconds` they are repeated, starting with number `first`, until that time is over; with None each request
    is sent once, in order. An answer that does not begin with the bytes `success` (hexadecimal) fails the load.
    """

    target: str
    method: str
    requests: str
    streams: int
    seconds: float | None = None
    first: int = 0
    success: str = ""


class Refused(Exception):
    """An answer of the database that tells of an error."""


@dataclass(frozen=True)
class Timing:
    """What came of a load: wall time in seconds, each call's latency in milliseconds, and the bytes both ways."""

    seconds: float
    latencies_ms: list[float]
    sent_bytes: int
    received_bytes: int


def write_requests(path: Path, requests: Sequence[bytes]) -> None:
    """Each request behind its length as 4 bytes, big-endian."""
    with path.open("wb") as out:
        for request in requests:
            out.write(len(request).to_bytes(4, "big") + request)


def read_requests(path: Path) -> list[bytes]:
    """The requests that `write_requests` wrote."""
    data, start, requests = path.read_bytes(), 0, []
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        requests.append(data[start + 4 : end])
        start = end
    return requests


async def replay(load: Load) -> Timing:
    """Send the load over one fresh connection. A failing call raises: a benchmark of refused calls means nothing."""
    requests = read_requests(Path(load.requests))
    success = bytes.fromhex(load.success)
    latencies, sent, received = [], 0, 0
    async with grpc.aio.insecure_channel(load.target, options=OPTIONS) as channel:
        call = channel.unary_unary(load.method, None, None)
        await channel.channel_ready()
        start = time.perf_counter()
        queue = _once(requests) if load.seconds is None else _until(requests, load.first, start + load.seconds)

        async def stream() -> None:
            nonlocal sent, received
            for request in queue:
                before = time.perf_counter()
                response: bytes = await call(request)
                latencies.append(1e3 * (time.perf_counter() - before))
                sent += len(request)
                received += len(response)
                if not response.startswith(success):
                    raise Refused(repr(response[:300]))

        await asyncio.gather(*(stream() for _ in range(load.streams)))
        return Timing(time.perf_counter() - start, latencies, sent, received)


def _once(requests: list[bytes]) -> Iterator[bytes]:
    yield from requests


def _until(requests: list[bytes], first: int, deadline: float) -> Iterator[bytes]:
    number = first
    while time.perf_counter() < deadline:
        yield requests[number % len(requests)]
        number += 1


class Generator:
    """The controlling side of a running generator."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.child = Child("generator", process, Path(os.devnull))

    def send(self, load: Load) -> Timing:
        """Run one load and wait for it. Raises `Unavailable` with the failing call's status."""
        if self._process.stdin is None or self._process.stdout is None:
            raise Unavailable("the load generator has no pipes")
        self._process.stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or b'{"error": "the load generator died"}')
        if "error" in answer:
            raise Unavailable(f"{load.method} at {load.target}: {answer['error']}")
        return Timing(**answer)


@contextmanager
def generating() -> Iterator[Generator]:
    """A load generator in a process of its own, ended by closing its input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator"],
        cwd=ROOT,
        env={**os.environ, **ONE_BLAS_THREAD},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Generator(process)
    finally:
        process.communicate()


def main() -> None:
    """Answer loads until the input ends."""
    for line in sys.stdin:
        try:
            answer = asdict(asyncio.run(replay(Load(**json.loads(line)))))
        except grpc.aio.AioRpcError as error:
            answer = {"error": f"{error.code().name}: {error.details()}"}
        except Refused as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
