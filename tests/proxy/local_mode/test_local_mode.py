"""`QdrantClient(":memory:")`, the client's reference, answers as the proxy does over REST and gRPC, without noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
        got, wanted = as_rest(outcome(on, call)), expected
        if isinstance(call, Tied):
            wanted, got = untied(wanted, got)
        found = list(differences(wanted, got))
        assert not found, f"local mode and the proxy over {protocol} differ:\n" + "\n".join(found[:8])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 40))])
def test_random_calls_on_a_random_collection(seed: int, three: Three) -> None:
    draw = Draw(seed)
    populate(draw, three)
    for name, call in draw.calls(64 if seed else 20):
        try:
            same(three, call)
        except Exception as fault:
            raise AssertionError(f"{draw.distance.value}, {name}: {type(fault).__name__}: {fault}") from fault
    three.rest.client.delete_collection(three.rest.name(draw.name))
    three.local.client.delete_collection(draw.name)
