"""Searches through the proxy and straight to the same server give the same rows, distances and columns.

One vector a row here; several, and rankers, in `test_differential_hybrid`. Under noise the proxy computes what it
answers; without, it passes on what the server computes. Both must be what the server answers on vectors in clear.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import (
    Collection,
    MilvusException,
    connections,
)
from pymilvus.orm.iterator import SearchIterator

from milvus.proxies import serving_milvus
from milvus.search_sides import (
    DIMS,
    KEYS,
    METRICS,
    POLICIES,
    QUERIES,
    ROWS,
    Side,
    Sides,
    X,
    both,
    compare,
    make_auto,
    make_half,
    make_plain,
)
from milvus.servers import MilvusServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["rotated", "noised"])
def sides(request: pytest.FixtureRequest, server: MilvusServer, tmp_path_factory: Any) -> Iterator[Sides]:
    """Rows with one vector, under each metric, on each server."""

    def make(side: Side) -> None:
        for metric in METRICS:
            make_plain(side, metric)
        make_auto(side)

    with both(server, request.param, tmp_path_factory.mktemp("search"), make) as found:
        yield found


SEARCHES: dict[str, dict[str, Any]] = {
    "scalars": {"output_fields": ["num", "cat", "price"]},
    "dynamic keys": {"output_fields": ["colour", "note"]},
    "vectors": {"output_fields": ["v"]},
    "everything": {"output_fields": ["*"]},
    "offset": {"search_params": {"offset": 5}, "output_fields": ["num"]},
    "one": {"limit": 1, "output_fields": ["num"]},
    "many": {"limit": 200, "output_fields": ["num"]},
    "more than there are": {"limit": 500, "output_fields": ["num"]},
    "rounded": {"round_decimal": 2, "output_fields": ["num"]},
    "plain filter": {"filter": "num in [1, 2] and ok == true", "output_fields": ["num"]},
    "searchable filter": {"filter": "cat == 'c3' or cat in ['c4', 'c5']", "output_fields": ["cat"]},
    "dynamic filter": {"filter": "colour != 'red'", "output_fields": ["colour"]},
    "by key": {"filter": f"id in {KEYS[:20]}", "output_fields": ["num"]},
    "nothing found": {"filter": "num == 99", "output_fields": ["num"]},
    "partition": {"partition_names": ["half"], "output_fields": ["num"]},
    "index parameters": {"search_params": {"params": {"nprobe": 16}}, "output_fields": ["num"]},
    "anns_field": {"anns_field": "v", "output_fields": ["num"]},
    "eventually": {"consistency_level": "Eventually", "output_fields": ["num"]},
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("what", SEARCHES)
def test_searches(sides: Sides, metric: str, what: str) -> None:
    arguments = {"limit": 10} | SEARCHES[what]
    straight, through = (side.client.search(side.name(metric.lower()), QUERIES, **arguments) for side in sides)
    compare(straight, through, ties=what == "rounded")


def test_template_values(sides: Sides) -> None:
    """Not every server knows them; behind the proxy every one does."""
    straight, through = sides
    literal = "num in [1, 2, 3] and cat == 'c1'"
    template, values = "num in {numbers} and cat == {category}", {"numbers": [1, 2, 3], "category": "c1"}
    arguments = {"limit": 6, "output_fields": ["num", "cat"]}
    expected = straight.client.search(straight.name("l2"), QUERIES, filter=literal, **arguments)
    found = through.client.search(through.name("l2"), QUERIES, filter=template, filter_params=values, **arguments)
    compare(expected, found)


@pytest.mark.parametrize("metric", METRICS)
def test_a_named_metric(sides: Sides, metric: str) -> None:
    arguments = {"limit": 7, "search_params": {"metric_type": metric}, "output_fields": ["num"]}
    straight, through = (side.client.search(side.name(metric.lower()), QUERIES, **arguments) for side in sides)
    compare(straight, through)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("limit", [5, 300])
def test_ranges(sides: Sides, metric: str, inner: bool, limit: int) -> None:
    """Bounds are laid between distances that there are, so that rounding cannot decide."""
    clear = sides[0].client.search(sides[0].name(metric.lower()), QUERIES[:1], limit=ROWS)[0]
    distances = [hit["distance"] for hit in clear]
    params = {"radius": (distances[60] + distances[61]) / 2}
    if inner:
        params["range_filter"] = (distances[20] + distances[21]) / 2
    straight, through = (
        side.client.search(
            side.name(metric.lower()),
            QUERIES[:1],
            limit=limit,
            search_params={"metric_type": metric, "params": params},
            output_fields=["num"],
        )
        for side in sides
    )
    # Milvus Lite looks for a range among the nearest five times `limit` only, and what it answers passes on.
    guessed = inner and limit == 5
    if "noised" in sides[1].prefix or not guessed:
        assert [hit.id for hit in through[0]] == [hit.id for hit in clear[21 if inner else 0 : 61]][:limit]
    if "rotated" in sides[1].prefix or not guessed:
        compare(straight, through)


def test_keys_that_the_database_makes(sides: Sides) -> None:
    """Their numbers differ; the rows do not."""
    straight, through = (
        side.client.search(side.name("auto"), QUERIES, limit=9, output_fields=["note", "v"]) for side in sides
    )
    compare(straight, through, keys=False)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("batch", "limit"), [(20, 90), (50, -1)])
def test_search_iterators(sides: Sides, metric: str, batch: int, limit: int) -> None:
    """Every row once, nearest first. Straight to the server the older protocol may end early: it guesses its way."""
    _, through = sides
    exact = sides[0].client.search(sides[0].name(metric.lower()), QUERIES[:1], limit=ROWS, output_fields=["num"])[0]
    pages = through.client.search_iterator(
        through.name(metric.lower()),
        QUERIES[:1],
        batch_size=batch,
        limit=limit,
        filter="num != 6",
        output_fields=["num"],
        search_params={"metric_type": metric},
    )
    found = []
    while page := pages.next():
        found += list(page)
        if len(found) > ROWS:
            break
    pages.close()
    expected = [hit.id for hit in exact if hit["entity"]["num"] != 6]
    expected = expected if limit == -1 else expected[:limit]
    ids = [hit.id for hit in found]
    if "noised" in through.prefix:
        assert ids == expected
    assert len(set(ids)) == len(ids)
    assert ids == expected[: len(ids)]


@pytest.mark.parametrize("metric", METRICS)
def test_search_iterators_of_older_clients(sides: Sides, metric: str) -> None:
    """They page by ranges that they guess, and leave out by key what they had at the last distance."""
    straight, through = sides
    name, handler = through.name(metric.lower()), through.client._get_connection()
    exact = straight.client.search(straight.name(metric.lower()), QUERIES[:1], limit=ROWS)[0]
    pages = SearchIterator(
        handler,
        None,
        name,
        QUERIES[:1],
        "v",
        {"metric_type": metric, "params": {}},
        batch_size=40,
        expr="ok == true",
        output_fields=["ok"],
        schema=handler.describe_collection(name),
    )
    found = []
    while page := pages.next():
        found += page.ids()
        if len(found) > ROWS:
            break
    expected = [hit.id for hit in exact if KEYS.index(hit.id) % 3 == 0]
    assert found == expected[: len(found)]
    assert len(found) == len(expected) or "rotated" in through.prefix


WRONG: dict[str, dict[str, Any]] = {
    "dimension": {"data": [[1.0, 2.0]]},
    "filter": {"filter": "num ==="},
    "hidden field": {"filter": "_vg_v == 'a'"},
    "hidden output": {"output_fields": ["_vg_v"]},
    "unknown vector": {"anns_field": "nothing"},
    "sealed filter": {"filter": "price > 3"},
    "limit": {"limit": 20_000},
    "offset": {"search_params": {"offset": 16_384}},
    "round": {"round_decimal": 9},
    "range": {"search_params": {"params": {"radius": "near"}}},
    "unknown parameter": {"search_params": {"params": {"secret": 1}}},
    "text": {"data": ["find this"]},
    "not a number": {"data": [[float("nan")] * DIMS]},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_refused_says_why_and_leaks_nothing(sides: Sides, what: str) -> None:
    _, through = sides
    arguments = {"data": QUERIES[:1].tolist(), "limit": 3} | WRONG[what]
    with pytest.raises(MilvusException) as caught:
        through.client.search(through.name("l2"), **arguments)
    assert caught.value.code != 0
    if what not in ("hidden field", "hidden output"):
        assert "_vg" not in str(caught.value)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("field", ["num", "cat", "ok", "id"])
@pytest.mark.parametrize(("size", "offset"), [(1, 0), (3, 0), (3, 2), (60, 0)])
def test_groups(sides: Sides, metric: str, field: str, size: int, offset: int) -> None:
    """Against what follows from all distances: servers that group look at a part of the rows only, or do not group."""
    straight, through = sides
    arguments = {"limit": 4, "output_fields": [field, "price"], "group_by_field": field, "group_size": size}
    if offset:
        arguments["search_params"] = {"offset": offset}
    found = through.client.search(through.name(metric.lower()), QUERIES, **arguments)
    if "rotated" in through.prefix:
        compare(straight.client.search(straight.name(metric.lower()), QUERIES, **arguments), found)
        return
    everything = straight.client.search(
        straight.name(metric.lower()), QUERIES, limit=ROWS, output_fields=["id", "num", "cat", "ok", "price"]
    )
    for hits, every in zip(found, everything, strict=True):
        groups: dict[Any, list[Any]] = {}
        for hit in every:
            groups.setdefault(hit["entity"].get(field, hit.id), []).append(hit)
        wanted = [hit for group in list(groups.values())[offset : offset + 4] for hit in group[:size]]
        assert [hit.id for hit in hits] == [hit.id for hit in wanted]
        assert [hit["entity"]["price"] for hit in hits] == [hit["entity"]["price"] for hit in wanted]


@pytest.fixture(scope="module")
def estimated(lite: MilvusServer, tmp_path_factory: Any) -> Iterator[Sides]:
    """A policy that turns re-ranking off."""

    def make(side: Side) -> None:
        for metric in METRICS:
            make_plain(side, metric)

    with both(lite, "estimated", tmp_path_factory.mktemp("estimated"), make) as found:
        yield found


@pytest.mark.parametrize("metric", METRICS)
def test_without_reranking_distances_are_estimates_in_order(estimated: Sides, metric: str) -> None:
    straight, through = (
        side.client.search(side.name(metric.lower()), QUERIES, limit=ROWS, output_fields=["num"]) for side in estimated
    )
    for expected, found in zip(straight, through, strict=True):
        assert {hit.id for hit in found} == {hit.id for hit in expected}
        distances = np.array([hit["distance"] for hit in found])
        assert (np.diff(distances) >= 0).all() if metric == "L2" else (np.diff(distances) <= 0).all()
        true = {hit.id: hit["distance"] for hit in expected}
        exact = np.array([true[hit.id] for hit in found])
        assert np.corrcoef(distances, exact)[0, 1] > 0.5
        assert abs(np.mean(distances - exact)) < 0.5 * np.std(exact)


@pytest.mark.parametrize("policy", ["rotated", "noised"])
def test_half_precision(real: MilvusServer, tmp_path: Path, policy: str) -> None:
    """Vectors of 16-bit numbers come back bit by bit, and are found at their own distances."""
    with serving_milvus(tmp_path, real, POLICIES[policy]) as proxy, proxy.client() as client:
        side = Side(client, f"half_{policy}", proxy)
        make_half(side)
        stored = X.astype(np.float16).astype(np.float32)
        query = QUERIES[0].astype(np.float16)
        distances = ((stored - query.astype(np.float32)) ** 2).sum(axis=1)
        best = np.argsort(distances)[:10]
        found = client.search(side.name("half"), [query], limit=10, output_fields=["h"])[0]
        assert [hit.id for hit in found] == [KEYS[i] for i in best]
        assert [hit["distance"] for hit in found] == pytest.approx(distances[best].tolist(), rel=1e-4)
        held = (
            np.frombuffer(found[0]["entity"]["h"][0], np.float16)
            if isinstance(found[0]["entity"]["h"], list)
            else np.frombuffer(found[0]["entity"]["h"], np.float16)
        )
        assert held.tolist() == X[best[0]].astype(np.float16).tolist()


def test_the_trail_tells_of_searches_that_reached_the_cap(lite: MilvusServer, tmp_path: Path) -> None:
    with serving_milvus(tmp_path, lite, POLICIES["capped"]) as proxy, proxy.client() as client:
        side = Side(client, "capped", proxy)
        make_plain(side, "COSINE")
        client.search(side.name("cosine"), QUERIES[:3], limit=5)
        client.search(side.name("cosine"), QUERIES[:1], limit=5, filter=f"id in {KEYS[:8]}")
        deadline = time.monotonic() + 60
        while len(told := searches_in(proxy.logs)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert told == [(60, 3), (8, 0)]


def searches_in(logs: str) -> list[tuple[int, int]]:
    """Candidates, and queries that reached the cap, of each search in a trail."""
    events = [json.loads(line) for line in logs.splitlines() if line.startswith("{") and line.endswith("}")]
    found = [event for event in events if event.get("rpc", "").endswith("/Search")]
    return [(event["candidates"], event["uncertified"]) for event in found]


def test_asynchronous_client(sides: Sides) -> None:
    straight, through = sides
    arguments = {"limit": 3, "output_fields": ["cat"]}

    async def search() -> Any:
        async with through.server.async_client() as client:
            return await client.search(through.name("ip"), QUERIES[:2], **arguments)

    compare(straight.client.search(straight.name("ip"), QUERIES[:2], **arguments), asyncio.run(search()))


def test_collection_objects(sides: Sides) -> None:
    """The older door, by which an object stands for a collection."""
    found = []
    for number, side in enumerate(sides):
        alias = f"{side.prefix}_{number}"
        connections.connect(alias, uri=side.server.uri)
        collection = Collection(side.name("l2"), using=alias)
        param = {"metric_type": "L2", "params": {"nprobe": 4}, "offset": 2}
        found.append(collection.search(QUERIES.tolist(), "v", param, 6, expr="num < 5", output_fields=["num", "price"]))
        pages = collection.search_iterator(
            QUERIES[:1].tolist(), "v", {"metric_type": "L2", "params": {}}, batch_size=30, limit=60
        )
        ids = []
        while page := pages.next():
            ids += page.ids()
        exact = side.client.search(side.name("l2"), QUERIES[:1], limit=60)[0]
        assert ids == [hit.id for hit in exact][: len(ids)]
        assert len(ids) == 60
        connections.disconnect(alias)
    compare(*found)
