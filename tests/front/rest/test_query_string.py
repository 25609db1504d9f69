"""Query parameters: those that an endpoint has, of the right form, once; anything else is refused."""

from __future__ import annotations

import pytest
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.rest.query_string import read
from vecguard.front.rest.refusals import Refusal

WRITE = ("wait", "ordering", "timeout")


def test_the_parameters_of_a_write() -> None:
    found = read(b"wait=true&ordering=strong&timeout=7", WRITE)
    assert found == {"wait": True, "ordering": q.WriteOrdering(type=q.WriteOrderingType.Strong), "timeout": 7}
    assert read(b"wait=false", WRITE) == {"wait": False}
    assert read(b"", WRITE) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"majority", q.ReadConsistency(type=q.ReadConsistencyType.Majority)),
        (b"quorum", q.ReadConsistency(type=q.ReadConsistencyType.Quorum)),
        (b"all", q.ReadConsistency(type=q.ReadConsistencyType.All)),
        (b"3", q.ReadConsistency(factor=3)),
    ],
)
def test_consistency(text: bytes, expected: q.ReadConsistency) -> None:
    assert read(b"consistency=" + text, ("consistency",)) == {"consistency": expected}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (b"consistency=all", "unknown field `consistency`, expected `wait`, `ordering`, `timeout`"),
        (b"Wait=true", "unknown field `Wait`"),
        (b"wait=true&wait=true", "duplicate field `wait`"),
        (b"wait=1", "not `true` or `false`"),
        (b"wait=", "not `true` or `false`"),
        (b"wait", "not a query string"),
        (b"wait=true&", "not a query string"),
        (b"timeout=-1", "invalid digit"),
        (b"timeout=1.5", "invalid digit"),
        (b"timeout=99999999999999999999", "invalid digit"),
        (b"timeout=%D9%A1", "invalid digit"),
        (b"ordering=Strong", "unknown variant `Strong`"),
        (b"ordering=%ff", "not a query string"),
        (b"wait=tr\xfce", "not a query string"),
    ],
)
def test_others_are_refused(query: bytes, text: str) -> None:
    with pytest.raises(InvalidArgument, match="Deserialize error in query parameters: ") as refused:
        read(query, WRITE)
    assert text in str(refused.value)


@pytest.mark.parametrize("query", [b"consistency=0", b"consistency=-1", b"consistency=some"])
def test_wrong_consistency(query: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read(query, ("consistency",))


def test_a_timeout_of_nothing_is_a_validation_error() -> None:
    with pytest.raises(Refusal) as refused:
        read(b"timeout=0", WRITE)
    assert (refused.value.code, refused.value.text) == (
        422,
        "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]",
    )


def test_where_no_parameter_is_known_none_is_taken() -> None:
    with pytest.raises(InvalidArgument, match="unknown field `wait`, expected none"):
        read(b"wait=true", ())
