"""The bare pass-through and the load generator, against a real gRPC server of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from benchmarks.generator import Load, generating, read_requests, replay, write_requests
from benchmarks.passthrough import Forward
from benchmarks.processes import free_port, running, wait_until_serving
from vecguard.errors import Unavailable


class Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers a request with method, a header and the request itself; refuses the method `/x.Y/Refuse`."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method

        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            if method == "/x.Y/Refuse":
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
            headers = dict(context.invocation_metadata() or ())
            return b"|".join([method.encode(), str(headers.get("api-key", "")).encode(), request])

        return grpc.unary_unary_rpc_method_handler(answer)


async def _through(use: Callable[[str, str], Awaitable[None]]) -> None:
    """Give `use` the addresses of an echo server and of a pass-through before it."""
    echo = grpc.aio.server()
    echo.add_generic_rpc_handlers([Echo()])
    echo_at = f"127.0.0.1:{echo.add_insecure_port('127.0.0.1:0')}"
    await echo.start()
    async with grpc.aio.insecure_channel(echo_at) as channel:
        bare = grpc.aio.server()
        bare.add_generic_rpc_handlers([Forward(channel)])
        bare_at = f"127.0.0.1:{bare.add_insecure_port('127.0.0.1:0')}"
        await bare.start()
        try:
            await use(echo_at, bare_at)
        finally:
            await bare.stop(None)
            await echo.stop(None)


def test_bytes_method_and_metadata_arrive_as_they_are() -> None:
    request = bytes(range(256)) * 100

    async def use(_: str, bare_at: str) -> None:
        async with grpc.aio.insecure_channel(bare_at) as channel:
            call = channel.unary_unary("/qdrant.Points/Query", None, None)
            answer = await call(request, metadata=(("api-key", "abc"),))
            assert answer == b"/qdrant.Points/Query|abc|" + request

    asyncio.run(_through(use))


def test_the_upstreams_status_comes_back() -> None:
    async def use(_: str, bare_at: str) -> None:
        async with grpc.aio.insecure_channel(bare_at) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await channel.unary_unary("/x.Y/Refuse", None, None)(b"")
            assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert raised.value.details() == "not now"

    asyncio.run(_through(use))


def test_requests_come_back_from_their_file(tmp_path: Path) -> None:
    requests = [b"", b"a" * 70_000, b"\x00\x01"]
    write_requests(tmp_path / "r", requests)
    assert read_requests(tmp_path / "r") == requests


def test_each_request_is_sent_once_without_a_time(tmp_path: Path) -> None:
    write_requests(tmp_path / "r", [b"x" * n for n in range(1, 31)])

    async def use(echo_at: str, bare_at: str) -> None:
        for target in (echo_at, bare_at):
            timing = await replay(Load(target, "/x.Y/Z", str(tmp_path / "r"), streams=3))
            assert len(timing.latencies_ms) == 30
            assert timing.sent_bytes == sum(range(1, 31))
            assert timing.received_bytes == timing.sent_bytes + 30 * len(b"/x.Y/Z||")

    asyncio.run(_through(use))


def test_requests_are_repeated_until_the_time_is_over(tmp_path: Path) -> None:
    write_requests(tmp_path / "r", [b"a", b"b"])

    async def use(echo_at: str, _: str) -> None:
        timing = await replay(Load(echo_at, "/x.Y/Z", str(tmp_path / "r"), streams=2, seconds=2.0))
        assert len(timing.latencies_ms) > 4
        assert 2.0 <= timing.seconds < 60
        assert all(latency > 0 for latency in timing.latencies_ms)

    asyncio.run(_through(use))


def test_a_failing_call_fails_the_load(tmp_path: Path) -> None:
    write_requests(tmp_path / "r", [b"a"])

    async def use(echo_at: str, _: str) -> None:
        load = Load(echo_at, "/x.Y/Refuse", str(tmp_path / "r"), streams=1)
        with generating() as generator:
            with pytest.raises(Unavailable, match=r"FAILED_PRECONDITION: not now"):
                await asyncio.to_thread(generator.send, load)
            fine = await asyncio.to_thread(generator.send, Load(echo_at, "/x.Y/Z", load.requests, streams=1))
            assert len(fine.latencies_ms) == 1

    asyncio.run(_through(use))


def test_an_answer_that_tells_of_an_error_fails_the_load(tmp_path: Path) -> None:
    write_requests(tmp_path / "r", [b"a"])

    async def use(echo_at: str, _: str) -> None:
        with generating() as generator:
            load = Load(echo_at, "/x.Y/Z", str(tmp_path / "r"), streams=1, success=b"/x.Y/Z".hex())
            assert len((await asyncio.to_thread(generator.send, load)).latencies_ms) == 1
            with pytest.raises(Unavailable, match=r"/x.Y/Other at .*x.Y/Other"):
                await asyncio.to_thread(generator.send, replace(load, method="/x.Y/Other"))

    asyncio.run(_through(use))


def test_a_process_that_does_not_serve_is_reported_with_its_log(tmp_path: Path) -> None:
    at = f"127.0.0.1:{free_port()}"
    with (
        running("broken", ("benchmarks.passthrough", "--listen", at), tmp_path) as child,
        pytest.raises(Unavailable, match="--upstream"),
    ):
        wait_until_serving(child, at, seconds=120)
