"""The ordinary client over REST gets from the proxy what it gets from the engine over gRPC."""

from __future__ import annotations

from collections.abc import Callable

from .over_rest import RestPair
from .query_operations import queries
from .read_operations import reads
from .sides import Call, cases
from .wrong_operations import wrong

RestPairs = Callable[[str, str], RestPair]
# One of each kind is quick enough for the fast suite.
_QUICK = 12


def _quickly(operations: dict[str, Call]) -> Callable[[str], bool]:
    chosen = set(list(operations)[:: max(1, len(operations) // _QUICK)])
    return lambda name: name in chosen


QUERIES, READS, WRONG = queries("cosine"), reads("cosine"), wrong("cosine")


@cases(QUERIES, quick=_quickly(QUERIES))
def test_queries(call: Call, rest_pairs: RestPairs) -> None:
    assert "answer" in rest_pairs("exact", "cosine").same(call)


@cases(READS, quick=_quickly(READS))
def test_reads(call: Call, rest_pairs: RestPairs) -> None:
    assert "answer" in rest_pairs("exact", "cosine").same(call)


@cases(WRONG, quick=_quickly(WRONG))
def test_wrong_calls(call: Call, rest_pairs: RestPairs) -> None:
    rest_pairs("exact", "cosine").same(call)
