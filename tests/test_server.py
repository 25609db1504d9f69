"""The gRPC face: bytes to the pipeline and back, errors to statuses, nothing of a bug to the client."""

import asyncio
import io
import json

import grpc
import pytest
import structlog

from vecguard import errors
from vecguard.errors import ConfigError, UpstreamFailure, VecGuardError
from vecguard.server import Server
from vecguard.trail import configure

METHOD = "/qdrant.Points/Count"


class Pipeline:
    """Treats every call with `behaviour`: the server's only neighbour."""

    def __init__(self, behaviour, rpcs=(METHOD,)):
        self.rpcs = rpcs
        self.calls = []
        self._behaviour = behaviour

    async def handle(self, rpc, body, metadata, time_left, *, peer):
        self.calls.append((rpc, body, metadata, time_left))
        result = self._behaviour(body)
        return await result if asyncio.iscoroutine(result) else result


def serving(tmp_path, pipeline, use, *, max_message_mib=1):
    """Run `use(channel, server)` before a server."""

    async def run():
        listen = f"unix:{tmp_path}/server.sock"
        server = Server(pipeline, listen, shared_port=False, max_message_mib=max_message_mib)
        await server.start()
        try:
            # Not the connection that an earlier channel to the same path had, to a server that is gone.
            alone = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(listen, options=alone) as channel:
                return await use(channel, server)
        finally:
            await server.stop(0)

    return asyncio.run(run())


def called(tmp_path, pipeline, body=b"", method=METHOD, metadata=(), timeout=30.0, **options):
    async def use(channel, server):
        return await channel.unary_unary(method)(body, metadata=metadata, timeout=timeout)

    return serving(tmp_path, pipeline, use, **options)


def test_bytes_go_to_the_pipeline_and_back(tmp_path):
    pipeline = Pipeline(lambda body: body[::-1])
    answer = called(tmp_path, pipeline, b"\x00\xffabc", metadata=(("who", "ada"), ("x-bin", b"\x00")))
    assert answer == b"cba\xff\x00"
    ((rpc, body, metadata, time_left),) = pipeline.calls
    assert (rpc, body, metadata["who"]) == (METHOD, b"\x00\xffabc", "ada")
    assert all(isinstance(value, str) for value in metadata.values())
    assert 0 < time_left < 31  # gRPC rounds a deadline up


def test_a_call_without_a_deadline_has_none(tmp_path):
    pipeline = Pipeline(lambda body: body)
    called(tmp_path, pipeline, timeout=None)
    assert pipeline.calls[0][3] is None


@pytest.mark.parametrize("method", ["/qdrant.Points/New", "/other.Service/Call", "/x"])
def test_every_method_reaches_the_pipeline(tmp_path, method):
    pipeline = Pipeline(lambda body: body)
    called(tmp_path, pipeline, method=method)
    assert pipeline.calls[0][0] == method


def failing(failure):
    def behaviour(body):
        raise failure

    return Pipeline(behaviour)


def subclasses(kind):
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


EXPECTED = [
    kind for kind in subclasses(VecGuardError) if kind.__module__ == errors.__name__ and kind is not UpstreamFailure
]


# How those are made whose text is not given.
MADE = {
    errors.RateExceeded: lambda: errors.RateExceeded("what the client may know", 3),
    errors.Suspended: lambda: errors.Suspended(3, denied=True),
    errors.TenantShredded: errors.TenantShredded,
    errors.Unreadable: errors.Unreadable,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_expected_error_has_its_status_and_text(tmp_path, kind):
    failure = MADE[kind]() if kind in MADE else kind("what the client may know")
    with pytest.raises(grpc.aio.AioRpcError) as answer:
        called(tmp_path, failing(failure))
    assert answer.value.code() == grpc.StatusCode[failure.status]
    assert answer.value.details() == str(failure)


def test_an_error_of_the_database_is_passed_on_without_its_transport(tmp_path):
    trailing = (("retry-after", "3"), ("grpc-status", "0"), ("x-bin", b"\x00"), (":path", "/"))
    with pytest.raises(grpc.aio.AioRpcError) as answer:
        called(tmp_path, failing(UpstreamFailure("RESOURCE_EXHAUSTED", "slow down", trailing)))
    assert (answer.value.code(), answer.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
    passed = dict(tuple(pair) for pair in answer.value.trailing_metadata())
    assert (passed["retry-after"], passed["x-bin"]) == ("3", b"\x00")


def test_a_bug_answers_internal_and_tells_nobody_its_text(tmp_path, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    configure()
    try:
        with pytest.raises(grpc.aio.AioRpcError) as answer:
            called(tmp_path, failing(RuntimeError("a secret of the client")))
    finally:
        structlog.reset_defaults()
    assert answer.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in answer.value.details()
    assert "secret" not in log.getvalue()
    event = json.loads(log.getvalue().splitlines()[-1])
    assert (event["event"], event["error"], event["rpc"]) == ("unexpected error", "RuntimeError", METHOD)
    assert any("behaviour" in place for place in event["at"])


def test_a_message_that_is_too_large_is_refused_before_the_pipeline(tmp_path):
    pipeline = Pipeline(lambda body: b"")
    with pytest.raises(grpc.aio.AioRpcError) as answer:
        called(tmp_path, pipeline, bytes(2**20 + 1))
    assert answer.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not pipeline.calls
    assert called(tmp_path, pipeline, bytes(2**20 - 1)) == b""


def test_an_address_in_use_is_an_error(tmp_path):
    async def run():
        first = Server(Pipeline(bytes), "127.0.0.1:0", shared_port=False, max_message_mib=1)
        await first.start()
        try:
            with pytest.raises(ConfigError, match="cannot listen on"):
                Server(Pipeline(bytes), f"127.0.0.1:{first.port}", shared_port=False, max_message_mib=1)
            with pytest.raises(ConfigError, match="cannot listen on"):
                Server(Pipeline(bytes), "203.0.113.7:6334", shared_port=False, max_message_mib=1)
        finally:
            await first.stop(0)

    asyncio.run(run())


def test_workers_can_share_a_port():
    async def run():
        first = Server(Pipeline(bytes), "127.0.0.1:0", shared_port=True, max_message_mib=1)
        second = Server(Pipeline(bytes), f"127.0.0.1:{first.port}", shared_port=True, max_message_mib=1)
        assert second.port == first.port
        await first.start()
        await second.start()
        await first.stop(0)
        await second.stop(0)

    asyncio.run(run())


def test_calls_in_flight_are_finished_when_it_stops(tmp_path):
    async def slow():
        await asyncio.sleep(0.3)
        return b"done"

    pipeline = Pipeline(lambda body: slow())

    async def ask(channel):
        return await channel.unary_unary(METHOD)(b"")

    async def use(channel, server):
        call = asyncio.create_task(ask(channel))
        while not pipeline.calls:
            await asyncio.sleep(0.01)
        await server.stop(10)
        return await call

    assert serving(tmp_path, pipeline, use) == b"done"
