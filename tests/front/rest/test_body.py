"""Bodies are bounded: in bytes as they come and unpacked, in time, and in the ways they may be packed."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable
from typing import Any

import pytest

from vecguard.front.rest.body import Disconnected, Limits, read
from vecguard.front.rest.refusals import Refusal

LIMITS = Limits(size=1_000, total_s=60, idle_s=30)
IMPATIENT = Limits(size=1_000, total_s=0.3, idle_s=0.1)


def received(
    chunks: Iterable[bytes | float], headers: dict[str, str] | None = None, limits: Limits = LIMITS
) -> tuple[bytes, int]:
    """The body of a request that arrives in chunks, with pauses (seconds) between; and how many chunks were taken."""
    queue = list(chunks)
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        while queue and isinstance(queue[0], float):
            await asyncio.sleep(queue.pop(0))
        taken += 1
        chunk = queue.pop(0) if queue else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(queue)}

    return asyncio.run(read(receive, headers or {}, limits)), taken


def refused(chunks: Iterable[bytes | float], headers: dict[str, str] | None = None, limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        received(chunks, headers, limits)
    return caught.value


def test_chunks_are_put_together() -> None:
    assert received([b"a", b"", b"bc"])[0] == b"abc"
    assert received([b""])[0] == b""
    assert received([b"x" * 1_000], {"content-length": "1000"})[0] == b"x" * 1_000


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    refusal = refused([b"x"], {"content-length": "1001"})
    assert (refusal.code, refusal.headers) == (413, {"connection": "close"})


def test_a_body_that_turns_out_too_large_is_not_read_on() -> None:
    assert refused([b"x" * 600] * 1_000).code == 413
    assert refused([b"x" * 600] * 1_000, {"content-length": "5"}).code == 413
    assert refused([b"x" * 1_001]).code == 413


def test_slow_bodies() -> None:
    assert refused([b"x", 5.0, b"y"], limits=IMPATIENT).code == 408
    assert refused([part for _ in range(20) for part in (b"x", 0.05)] + [b"x"], limits=IMPATIENT).code == 408
    assert received([b"x", 0.02, b"y"])[0] == b"xy"


def test_a_client_that_goes_away() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        asyncio.run(read(receive, {}, LIMITS))


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)]
)
def test_packed_bodies(encoding: str, pack: Any) -> None:
    packed = pack(b"hello " * 100)
    headers = {"content-encoding": encoding}
    assert received([packed], headers)[0] == b"hello " * 100
    assert received([packed[i : i + 1] for i in range(len(packed))], headers)[0] == b"hello " * 100
    assert refused([packed[:-5]], headers).code == 400
    assert refused([packed, b"more"], headers).code == 400
    assert refused([b"hello"], headers).code == 400
    assert refused([b""], headers).code == 400


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    limits = Limits(size=100_000, total_s=60, idle_s=60)
    assert refused([bomb], {"content-encoding": "gzip"}, limits).code == 413
    assert (
        refused([bomb[i : i + 100] for i in range(0, len(bomb), 100)], {"content-encoding": "gzip"}, limits).code == 413
    )


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_other_packings_are_refused(encoding: str) -> None:
    assert refused([b"x"], {"content-encoding": encoding}).code == 415
