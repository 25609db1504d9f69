"""The RPCs of older clients answer, and refuse, the same through the proxy as straight from the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .legacy_operations import legacy
from .sides import Call, Pair, cases

Pairs = Callable[[str, str], Pair]
SLOW = pytest.mark.slow


@pytest.mark.parametrize("protection", ["exact", pytest.param("noisy", marks=SLOW)])
@pytest.mark.parametrize("distance", ["cosine", pytest.param("dot", marks=SLOW), pytest.param("euclid", marks=SLOW)])
@cases(legacy(""))
def test_old_rpcs(call: Call, request: pytest.FixtureRequest, distance: str, protection: str, pairs: Pairs) -> None:
    name = request.node.callspec.id.split(f"-{distance}-")[0]
    pairs(protection, distance).same(legacy(distance)[name])
