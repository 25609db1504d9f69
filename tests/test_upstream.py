"""The channel to the database: what it answers and refuses comes through; what is no answer does not."""

import asyncio
from collections.abc import Callable

import grpc
import pytest
from qdrant_client import grpc as q

from vecguard.errors import UpstreamFailure
from vecguard.model import Caller
from vecguard.upstream import Upstream

COUNT = "/qdrant.Points/Count"
ASK = q.CountPoints(collection_name="notes")
ANSWER = q.CountResponse(result=q.CountResult(count=7))


class Database(grpc.GenericRpcHandler):
    """A gRPC server that treats every call with `behaviour`."""

    def __init__(self, behaviour: Callable) -> None:
        self.behaviour = behaviour
        self.metadata: dict[str, str] = {}

    def service(self, details):
        self.metadata = dict(details.invocation_metadata)

        async def unary(body, context):
            return await self.behaviour(details.method, body, context)

        return grpc.unary_unary_rpc_method_handler(unary)


def calling(tmp_path, behaviour, use, **options):
    """Run `use(upstream, database)` before a database."""

    async def run():
        database = Database(behaviour)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((database,))
        target = f"unix:{tmp_path}/db.sock"
        server.add_insecure_port(target)
        await server.start()
        upstream = Upstream(target, max_message_bytes=2**20, **options)
        try:
            return await use(upstream, database)
        finally:
            await upstream.close()
            await server.stop(None)

    return asyncio.run(run())


async def answers(method, body, context):
    assert (method, q.CountPoints.FromString(body)) == (COUNT, ASK)
    return ANSWER.SerializeToString()


def test_an_answer_comes_through(tmp_path):
    async def use(upstream, database):
        return [await upstream.call(COUNT, ASK, q.CountResponse, Caller(30.0)) for _ in range(2)]

    assert calling(tmp_path, answers, use) == [ANSWER, ANSWER]


def test_the_proxys_own_metadata_goes_with_every_call(tmp_path):
    async def use(upstream, database):
        await upstream.call(COUNT, ASK, q.CountResponse, Caller())
        return database.metadata

    assert calling(tmp_path, answers, use, metadata=(("api-key", "k"),))["api-key"] == "k"
    assert "api-key" not in calling(tmp_path, answers, use)


@pytest.mark.parametrize("status", ["NOT_FOUND", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"])
def test_an_error_comes_through_with_text_and_metadata(tmp_path, status):
    async def refuses(method, body, context):
        await context.abort(grpc.StatusCode[status], "größe", (("retry-after", "3"), ("x-bin", b"\x00\xff")))

    async def use(upstream, database):
        await upstream.call(COUNT, ASK, q.CountResponse, Caller(30.0))

    with pytest.raises(UpstreamFailure) as failure:
        calling(tmp_path, refuses, use)
    assert (failure.value.status, str(failure.value)) == (status, "größe")
    assert {("retry-after", "3"), ("x-bin", b"\x00\xff")} <= set(failure.value.trailing)


@pytest.mark.parametrize(
    ("metadata", "stamp"),
    [((("vecguard-configuration", "c0ffee"),), "c0ffee"), ((("other", "x"),), ""), ((), "")],
)
def test_the_stamp_beside_an_answer_is_given_with_it(tmp_path, metadata, stamp):
    async def stamps(method, body, context):
        context.set_trailing_metadata(metadata)
        return ANSWER.SerializeToString()

    async def use(upstream, database):
        return await upstream.stamped(COUNT, ASK, q.CountResponse, Caller(30.0))

    assert calling(tmp_path, stamps, use) == (ANSWER, stamp)


def test_a_stamp_beside_an_error_is_none(tmp_path):
    async def refuses(method, body, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone", (("vecguard-configuration", "c0ffee"),))

    async def use(upstream, database):
        await upstream.stamped(COUNT, ASK, q.CountResponse, Caller(30.0))

    with pytest.raises(UpstreamFailure, match="gone"):
        calling(tmp_path, refuses, use)


def test_what_is_no_answer_is_a_failure_without_its_bytes(tmp_path):
    async def babbles(method, body, context):
        return b"\xff secret"

    async def use(upstream, database):
        await upstream.call(COUNT, ASK, q.CountResponse, Caller(30.0))

    with pytest.raises(UpstreamFailure, match="is not a CountResponse") as failure:
        calling(tmp_path, babbles, use)
    assert failure.value.status == "INTERNAL"
    assert "secret" not in str(failure.value)


def test_a_deadline_is_kept(tmp_path):
    async def sleeps(method, body, context):
        await asyncio.sleep(30)

    async def use(upstream, database):
        await upstream.call(COUNT, ASK, q.CountResponse, Caller(0.1))

    with pytest.raises(UpstreamFailure) as failure:
        calling(tmp_path, sleeps, use)
    assert failure.value.status == "DEADLINE_EXCEEDED"


def test_a_database_that_is_not_there_is_unavailable(tmp_path):
    async def run():
        upstream = Upstream(f"unix:{tmp_path}/gone.sock", max_message_bytes=2**20)
        try:
            await upstream.call(COUNT, ASK, q.CountResponse, Caller(5.0))
        finally:
            await upstream.close()

    with pytest.raises(UpstreamFailure) as failure:
        asyncio.run(run())
    assert failure.value.status == "UNAVAILABLE"


def test_a_message_that_is_too_large_is_not_sent(tmp_path):
    async def use(upstream, database):
        await upstream.call(COUNT, q.CountPoints(collection_name="x" * 2**21), q.CountResponse, Caller(30.0))

    with pytest.raises(UpstreamFailure) as failure:
        calling(tmp_path, answers, use)
    assert failure.value.status == "RESOURCE_EXHAUSTED"


def test_an_answer_may_be_larger_than_what_is_sent(tmp_path):
    async def talks(method, body, context):
        return q.CountResponse(time=1.0).SerializeToString() + b"\x7a\x80\x80\x80\x02" + bytes(4 * 2**20)

    async def use(upstream, database):
        return await upstream.call(COUNT, ASK, q.CountResponse, Caller(30.0))

    assert calling(tmp_path, talks, use).time == 1.0
