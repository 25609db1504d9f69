"""Writes leave the same points behind through the proxy as straight in the engine, after every single one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from qdrant_client import models
from serving import Proxy, Server

from . import library
from .conftest import Proxies
from .over_rest import RestPair, mixed_side
from .sides import Call, Pair, Side, side
from .write_operations import STAGES, unnamed

# Steps that are refused, since they name no point, or one that does not exist.
REFUSED = frozenset({"none", "set-nobody", "removed-missing", "no-vectors"})


def dump(name: str) -> Call:
    """Everything that a collection holds, and what its searchable and sealed fields answer."""

    def run(on: Side) -> object:
        points, after = on.client.scroll(on.name(name), limit=1_000, with_payload=True, with_vectors=True)
        assert after is None
        counted = {}
        for field in ("s_city", "secret", "secret.maybe", "age"):
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=field))
            counted[field] = on.client.count(on.name(name), models.Filter(must_not=[empty]), exact=True).count
        return points, counted

    return run


def check(pair: Pair, name: str, steps: Iterator[tuple[str, Call]]) -> None:
    for step, call in steps:
        try:
            done = pair.same(call)
            assert ("refused" in done) == (step in REFUSED), done
            pair.same(dump(name))
        except AssertionError as difference:
            raise AssertionError(f"at the write `{step}`: {difference}") from None


def make(pair: Pair, name: str, config: dict[str, object]) -> None:
    for on in (pair.direct, pair.proxied):
        on.client.delete_collection(on.name(name))
        on.client.create_collection(on.name(name), **config)
        on.client.create_payload_index(on.name(name), "s_city", models.PayloadSchemaType.KEYWORD, wait=True)


@pytest.fixture(scope="session")
def written(engine: Server, proxy: Proxies) -> Iterator[dict[str, Pair]]:
    """Pairs by protection, and one over REST; their collections are the tests' own."""
    server: Proxy = proxy(library.POLICY)
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(side(engine))
        protections = ("exact", "hidden", "noisy", "copied")
        yield {
            **{name: Pair(direct, stack.enter_context(side(server, f"{name}-"))) for name in protections},
            "rest": RestPair(direct, stack.enter_context(mixed_side(server, "exact-"))),
        }


SLOW = pytest.mark.slow
PROTECTIONS = ["exact", *(pytest.param(name, marks=SLOW) for name in ("hidden", "noisy", "copied", "rest"))]


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["cosine", pytest.param("dot", marks=SLOW), pytest.param("euclid", marks=SLOW)])
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_writes_of_named_vectors(written: dict[str, Pair], distance: str, protection: str) -> None:
    pair, name = written[protection], f"writes-{distance}"
    make(pair, name, library.named_config(distance))
    for stage in STAGES:
        check(pair, name, stage(name))


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["cosine", "dot", "euclid"])
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_writes_of_the_unnamed_vector(written: dict[str, Pair], distance: str, protection: str) -> None:
    pair, name = written[protection], f"writes-unnamed-{distance}"
    make(pair, name, library.unnamed_config(distance))
    check(pair, name, unnamed(name))
