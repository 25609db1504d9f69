"""The populated collections of the differential tests, through the proxy and straight in the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from qdrant_client import models
from serving import Proxy, Server, serving_proxy

from . import library, rotating
from .over_rest import RestPair, mixed_side, rest_side
from .sides import Pair, Side, side

Proxies = Callable[[str | None], Proxy]

_INDEXES = {
    "city": models.PayloadSchemaType.KEYWORD,
    "age": models.PayloadSchemaType.INTEGER,
    "weight": models.PayloadSchemaType.FLOAT,
    "when": models.PayloadSchemaType.DATETIME,
    "place": models.PayloadSchemaType.GEO,
    "tags": models.PayloadSchemaType.KEYWORD,
    "active": models.PayloadSchemaType.BOOL,
    "text": models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=True, scoring=True),
    "items[].n": models.PayloadSchemaType.INTEGER,
    "s_city": models.PayloadSchemaType.KEYWORD,
    "s_age": models.PayloadSchemaType.INTEGER,
    "s_tags": models.PayloadSchemaType.KEYWORD,
    "s_active": models.PayloadSchemaType.BOOL,
}
# What `order_by` and text queries need; all the others are made once, since making them takes most of the time.
_ORDERED = ("age", "weight", "when", "items[].n", "text")


def populate(on: Side, distance: str) -> None:
    """Make both collections on one side."""
    for kind, config, points in (
        (library.UNNAMED, library.unnamed_config(distance), library.unnamed_points()),
        (library.NAMED, library.named_config(distance), library.named_points()),
    ):
        name = on.name(f"{distance}-{kind}")
        on.client.create_collection(name, **config)
        wanted = _INDEXES if distance == "cosine" and kind == library.NAMED else _ORDERED
        for field in wanted:
            on.client.create_payload_index(name, field, _INDEXES[field], wait=True)
        on.client.upsert(name, points, wait=True)


@pytest.fixture(scope="session")
def pairs(engine: Server, proxy: Proxies) -> Iterator[Callable[[str, str], Pair]]:
    """Gives the pair for a protection (`exact`, `noisy`, `copied`, `paged`, `clear`: see the policy) and a distance."""
    made: dict[tuple[str, str], Side] = {}
    with contextlib.ExitStack() as stack:

        def on(server: Server, prefix: str, distance: str) -> Side:
            if (prefix, distance) not in made:
                made[prefix, distance] = stack.enter_context(side(server, prefix))
                populate(made[prefix, distance], distance)
            return made[prefix, distance]

        yield lambda protection, distance: Pair(
            on(engine, "", distance), on(proxy(library.POLICY), f"{protection}-", distance)
        )


@pytest.fixture(scope="session")
def rotating_pairs(
    pairs: Callable[[str, str], Pair], proxy: Proxies, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Pair]]:
    """As `pairs`, in the midst of a key rotation: half of the points lie under the new key epoch."""
    made: dict[tuple[str, str], Pair] = {}
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("rotating")
        server = stack.enter_context(serving_proxy(folder, library.POLICY))

        def on(protection: str, distance: str) -> Pair:
            if (protection, distance) not in made:
                proxied = stack.enter_context(side(server, f"{protection}-"))
                populate(proxied, distance)
                rotating.turn(server, proxied, distance)
                made[protection, distance] = Pair(pairs(protection, distance).direct, proxied)
            return made[protection, distance]

        yield on


@pytest.fixture(scope="session")
def writers(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    """A pair without collections, for tests that make their own (protection `exact`)."""
    with side(engine, "exact-") as direct, side(proxy(library.POLICY), "exact-") as proxied:
        yield Pair(direct, proxied)


@pytest.fixture(scope="session")
def rest_writers(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    """As `writers`, with the proxy's side over REST."""
    with side(engine, "exact-") as direct, mixed_side(proxy(library.POLICY), "exact-") as proxied:
        yield RestPair(direct, proxied)


@pytest.fixture(scope="session")
def rest_pairs(pairs: Callable[[str, str], Pair], proxy: Proxies) -> Iterator[Callable[[str, str], RestPair]]:
    """As `pairs`, with the proxy's side over REST."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Side] = {}

        def on(protection: str, distance: str) -> RestPair:
            direct = pairs(protection, distance).direct
            if protection not in made:
                made[protection] = stack.enter_context(rest_side(proxy(library.POLICY), f"{protection}-"))
            return RestPair(direct, made[protection])

        yield on
