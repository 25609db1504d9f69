"""`QdrantClient(":memory:")`, the client's reference, answers as the proxy does over REST and gRPC, without noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from qdrant_client import QdrantClient, models
from serving import Proxy

from proxy.differential import library
from proxy.differential.over_rest import NeedsGrpc, as_rest, rest_side
from proxy.differential.sides import Call, Side, Tied, differences, outcome, side, untied

from .drawing import Draw

Proxies = Callable[[str | None], Proxy]
INDEXES = {
    **{
        f"{prefix}{name}": kind
        for prefix in ("", "s_")
        for name, kind in {"city": "keyword", "tags": "keyword"}.items()
    },
    **{f"{prefix}{name}": kind for prefix in ("", "s_") for name, kind in {"age": "integer", "active": "bool"}.items()},
    **{"weight": "float", "when": "datetime", "place": "geo"},
}


@dataclass(frozen=True)
class Three:
    """Local mode, and the proxy by both protocols."""

    local: Side
    grpc: Side
    rest: Side


@pytest.fixture(scope="module")
def three(proxy: Proxies) -> Iterator[Three]:
    server = proxy(library.POLICY)
    local = QdrantClient(":memory:")
    with side(server, "exact-") as grpc, rest_side(server, "exact-") as rest:
        yield Three(Side(local, NeedsGrpc(), NeedsGrpc(), ""), grpc, rest)  # type: ignore[arg-type]
    local.close()


def populate(draw: Draw, three: Three) -> None:
    config, points = draw.config(), draw.points()
    for on, protocol in ((three.local, "local"), (three.rest, "rest")):
        on.client.create_collection(on.name(draw.name), **config)
        if protocol == "rest":
            for field, kind in INDEXES.items():
                on.client.create_payload_index(on.name(draw.name), field, models.PayloadSchemaType(kind), wait=True)
        on.client.upsert(on.name(draw.name), points, wait=True)


def same(three: Three, call: Call) -> None:
    expected = as_rest(outcome(three.local, call))
    assert "answer" in expected
    for protocol, on in (("grpc", three.grpc), ("rest", three.rest)):
        if on is three.local:  # not its turn
            continue
        got, wanted = as_rest(outcome(on, call)), expected
        if isinstance(call, Tied):
            wanted, got = untied(wanted, got)
        found = list(differences(wanted, got))
        assert not found, f"local mode and the proxy over {protocol} differ:\n" + "\n".join(found[:8])


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 14))]


@pytest.fixture
def draw(seed: int, three: Three) -> Iterator[Draw]:
    """A seed's collection on all sides."""
    drawn = Draw(seed)
    populate(drawn, three)
    yield drawn
    three.rest.client.delete_collection(three.rest.name(drawn.name))
    three.local.client.delete_collection(drawn.name)


def agree(three: Three, draw: Draw, calls: Iterator[tuple[str, Call]], after: Call | None = None) -> None:
    for name, call in calls:
        try:
            same(three, call)
            if after is not None:
                same(three, after)
        except Exception as fault:
            raise AssertionError(f"{draw.distance.value}, {name}: {type(fault).__name__}: {fault}") from fault


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls_on_a_random_collection(draw: Draw, seed: int, three: Three) -> None:
    agree(three, draw, draw.calls(76 if seed else 19))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_random_writes_leave_the_same_points(draw: Draw, seed: int, three: Three) -> None:
    """Written over REST and over gRPC in turn; then asked."""
    for number, (name, call) in enumerate(draw.writes(40 if seed else 10)):
        turn = replace(three, grpc=three.local) if number % 2 else replace(three, rest=three.local)
        agree(turn, draw, iter([(name, call)]))
        agree(three, draw, iter([(f"after {name}", draw.everything())]))
    agree(three, draw, draw.calls(19))
