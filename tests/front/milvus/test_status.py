"""Errors in replies, both ways."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.message import Message

from vecguard.errors import Denied, InvalidArgument, Unavailable, Unreadable, UpstreamFailure
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.status import ask, checked, client_text, failed, status_of
from vecguard.front.milvus.table import ROUTES
from vecguard.pipeline import Session
from vecguard.upstream import Answer

INSERT = ROUTES[rpc("Insert")]


def test_a_failing_reply_is_raised_and_comes_back_as_it_was() -> None:
    status = c.Status(code=100, error_code=4, reason="can't find it", detail="nowhere", retriable=True)
    status.extra_info["key"] = "value"
    with pytest.raises(UpstreamFailure, match="can't find it") as caught:
        checked(m.MutationResult(status=status))
    reply = failed(INSERT, caught.value)
    assert isinstance(reply, m.MutationResult)
    assert reply.status == status


@pytest.mark.parametrize("status", [c.Status(error_code=1), c.Status(code=65535)])
def test_either_code_tells_of_an_error(status: c.Status) -> None:
    with pytest.raises(UpstreamFailure):
        checked(status)


def test_success_passes() -> None:
    reply = m.BoolResponse(status=c.Status(reason="said in passing"), value=True)
    assert checked(reply) is reply
    assert checked(m.DummyResponse()) == m.DummyResponse()


@pytest.mark.parametrize(
    ("error", "code", "legacy"),
    [
        (InvalidArgument("what"), 1100, 5),
        (Denied("what"), 1401, 3),
        (Unreadable(), 65535, 1),
    ],
)
def test_our_errors_have_milvus_codes(error: Exception, code: int, legacy: int) -> None:
    reply = failed(INSERT, error)  # type: ignore[arg-type]  # each is one of ours
    assert isinstance(reply, m.MutationResult)
    assert (reply.status.code, reply.status.error_code, reply.status.reason) == (code, legacy, str(error))
    assert isinstance(failed(ROUTES[rpc("DropCollection")], error), c.Status)  # type: ignore[arg-type]


def test_what_is_out_of_reach_stays_a_grpc_status() -> None:
    """Clients know to try those again."""
    assert failed(INSERT, UpstreamFailure("UNAVAILABLE", "gone")) is None
    assert failed(INSERT, Unavailable("gone")) is None
    assert failed(ROUTES[rpc("Dummy")], InvalidArgument("no status in its reply")) is None


@pytest.mark.parametrize("name", ["CreateReplicateStream", "DumpMessages"])
def test_streams_fail_by_grpc_status(name: str) -> None:
    assert failed(ROUTES[rpc(name)], InvalidArgument("what")) is None


def test_a_status_under_another_name_is_found() -> None:
    reply = m.AlterCollectionSchemaResponse()
    status = status_of(reply)
    assert status is not None
    status.code = 7
    assert reply.alter_status.code == 7


def test_names_of_ours_are_taken_out_of_texts() -> None:
    assert client_text("fields [id, v, _vg_v, _vg] are missing") == "fields [id, v] are missing"
    assert client_text("nothing to hide: my_vg") == "nothing to hide: my_vg"


def test_encrypted_values_are_taken_out_of_texts() -> None:
    """A refused expression comes back as it was sent: with the tokens that its literals were turned into."""
    status = c.Status(code=1100, reason='cannot parse: word in ["vg:AbC-_9","vg:x"] and _vg == 1', detail="vg:AbC at 3")
    status.extra_info["expression"] = 'word == "vg:AbC-_9"'
    with pytest.raises(UpstreamFailure) as caught:
        checked(m.MutationResult(status=status))
    reply = failed(INSERT, caught.value)
    assert isinstance(reply, m.MutationResult)
    assert b"vg:" not in reply.SerializeToString()
    assert "vg:" not in str(caught.value)
    assert reply.status.reason == 'cannot parse: word in ["<encrypted>","<encrypted>"] and == 1'


def test_the_texts_of_grpc_statuses_are_cleaned_too() -> None:
    class Lost(Session):
        def __init__(self) -> None:
            pass

        def shield_of(self, message: Message) -> None:
            return None

        async def call(self, rpc: str, message: Message, answer: type[Answer], *, planted: bool = False) -> Answer:
            raise UpstreamFailure("UNKNOWN", 'word == "vg:AbC" over _vg_v', (("retry-after", "1"),))

    with pytest.raises(UpstreamFailure) as caught:
        asyncio.run(ask(Lost(), rpc("Query"), m.QueryRequest(), m.QueryResults))
    assert str(caught.value) == 'word == "<encrypted>" over'
    assert (caught.value.status, caught.value.trailing) == ("UNKNOWN", (("retry-after", "1"),))
