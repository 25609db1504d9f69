"""Wrong calls are refused with the same status and text through the proxy as straight from the engine."""

from __future__ import annotations

from collections.abc import Callable

from .sides import Call, Pair, cases, outcome
from .wrong_operations import formulas_without_a_value, wrong

Pairs = Callable[[str, str], Pair]


@cases(wrong("cosine"))
def test_wrong_calls(call: Call, pairs: Pairs) -> None:
    pairs("exact", "cosine").same(call)


@cases(formulas_without_a_value("cosine"))
def test_formulas_without_a_value(call: Call, pairs: Pairs) -> None:
    """The embedded engine cannot say which value is missing, the proxy (as a Qdrant server) can: statuses only."""
    pair = pairs("exact", "cosine")
    expected, got = outcome(pair.direct, call), outcome(pair.proxied, call)
    assert expected["refused"][0] == got["refused"][0] == "INVALID_ARGUMENT"
