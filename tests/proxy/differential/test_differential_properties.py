"""Whatever a client writes comes back, and whatever it asks is answered as the engine would: drawn at random."""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import grpc as pb
from qdrant_client import models
from serving import Server

from . import strategies as drawn
from .conftest import Proxies
from .sides import Call, Pair, Side, outcome, side

POLICY = """
version: 1
collections:
  - match: "exact-*"
    vectors:
      - {match: "*", transforms: [{kind: rotation}]}
    payload: &payload {default: sealed, fields: {p: plain, s: searchable}}
  - match: "noisy-*"
    payload: *payload
  - match: "copied-*"
    vectors:
      - {match: "*", recover: sealed}
    payload: *payload
"""
NAME = "drawn"
DIMS = 5
CONFIG: dict[str, Any] = {
    "vectors_config": {"d": models.VectorParams(size=DIMS, distance=models.Distance.DOT)},
    "sparse_vectors_config": {"s": models.SparseVectorParams()},
}
BRIEF = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="module")
def pair(engine: Server, proxy: Proxies) -> Iterator[Pair]:
    with side(engine) as direct, side(proxy(POLICY), "exact-") as proxied:
        for on in (direct, proxied):
            on.client.create_collection(on.name(NAME), **CONFIG)
            on.client.create_payload_index(on.name(NAME), "s.a", models.PayloadSchemaType.KEYWORD)
        yield Pair(direct, proxied)
        direct.client.delete_collection(NAME)


def everything(on: Side) -> list[Any]:
    points, after = on.client.scroll(on.name(NAME), limit=1_000, with_vectors=True)
    assert after is None
    return points


def emptied(pair: Pair) -> None:
    for on in (pair.direct, pair.proxied):
        on.client.delete(on.name(NAME), models.FilterSelector(filter=models.Filter()), wait=True)


def put(points: list[models.PointStruct]) -> Call:
    return lambda on: on.client.upsert(on.name(NAME), points, wait=True)


@pytest.mark.slow
@BRIEF
@given(st.lists(st.tuples(drawn.point_ids(), drawn.payloads()), max_size=4))
def test_payloads_come_back_as_they_were(pair: Pair, written: list[tuple[int | str, dict[str, Any]]]) -> None:
    emptied(pair)
    points = [models.PointStruct(id=i, vector={"d": [1.0] * DIMS}, payload=payload) for i, payload in written]
    if points:
        pair.same(put(points))
    pair.same(everything)
    latest = {canonical(i): payload for i, payload in written}
    found = {record.id: record.payload for record in everything(pair.proxied)}
    assert found.keys() == latest.keys()
    for identity, payload in latest.items():
        assert found[identity].keys() == payload.keys()
        # What lies plain in the database is as exact as the database is; see `sides`.
        assert all(same_data(found[identity][key], value) for key, value in payload.items() if key != "p")
    for identity, _ in written:
        pair.same(lambda on, i=identity: on.client.retrieve(on.name(NAME), [i]))


def canonical(identity: int | str) -> int | str:
    return identity if isinstance(identity, int) else str(uuid.UUID(identity))


def same_data(found: Any, written: Any) -> bool:
    """Equal in value and type: 1, 1.0 and True are three different things."""
    if type(found) is not type(written):
        return False
    if isinstance(found, dict):
        return found.keys() == written.keys() and all(same_data(found[key], written[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(written) and all(map(same_data, found, written))
    return bool(found == written)


@pytest.fixture(scope="module")
def populated(pair: Pair) -> Pair:
    """Points with random payload, the same each time."""
    emptied(pair)
    points: list[models.PointStruct] = []

    @settings(max_examples=60, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn.payloads(), drawn.point_ids(), st.sampled_from(["d", "s", "both"]))
    def fill(payload: dict[str, Any], identity: int | str, has: str) -> None:
        both = {"d": [1.0] * DIMS, "s": models.SparseVector(indices=[1], values=[1.0])}
        vector = both if has == "both" else {has: both[has]}
        points.append(models.PointStruct(id=identity, vector=vector, payload=payload))

    fill()
    pair.same(put(points))
    pair.same(everything)
    return pair


@pytest.mark.slow
@settings(BRIEF, max_examples=80)
@given(drawn.filters())
def test_filters_select_the_same_points(populated: Pair, condition: models.Filter) -> None:
    def selected(on: Side) -> object:
        page, _ = on.client.scroll(on.name(NAME), scroll_filter=condition, limit=1_000, with_payload=False)
        counted = on.client.count(on.name(NAME), count_filter=condition, exact=True).count
        return [record.id for record in page], counted

    populated.same(selected)


@pytest.mark.slow
@settings(BRIEF, max_examples=20)
@given(drawn.filters(depth=1), drawn.payloads(), st.sampled_from(["p", "s", "x", "p.a", "s.b.c", "x.a[]", "s.a[0]"]))
def test_payload_writes_by_filter(pair: Pair, condition: models.Filter, payload: dict[str, Any], key: str) -> None:
    emptied(pair)
    # `s.a` has a keyword index, by which Qdrant finds no numbers for `except`, though it does without one: so texts.
    written = [{"p": {"a": i}, "s": {"a": f"w{i}", "b": {}}, "x": {"a": [i, {}]}} for i in range(6)]
    pair.same(put([models.PointStruct(id=i, vector={"d": [1.0] * DIMS}, payload=one) for i, one in enumerate(written)]))
    pair.same(lambda on: on.client.set_payload(on.name(NAME), payload, points=condition, key=key, wait=True))
    pair.same(everything)
    pair.same(lambda on: on.client.delete_payload(on.name(NAME), [key], points=condition, wait=True))
    pair.same(everything)
    pair.same(lambda on: on.client.overwrite_payload(on.name(NAME), payload, points=condition, wait=True))
    pair.same(everything)


@pytest.fixture(scope="module")
def protections(proxy: Proxies) -> Iterator[list[Side]]:
    """The proxy, with an empty collection of each protection."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(side(proxy(POLICY), prefix)) for prefix in ("exact-", "noisy-", "copied-")]
        for on in found:
            on.client.create_collection(on.name(f"{NAME}-sizes"), **CONFIG)
        yield found


@pytest.mark.slow
@BRIEF
@given(st.lists(st.tuples(st.integers(0, 9), drawn.components(DIMS)), min_size=1, max_size=6), drawn.components(DIMS))
def test_vectors_of_every_size_come_back(
    protections: list[Side], written: list[tuple[int, list[float]]], query: list[float]
) -> None:
    """To 1e-5 of the vector's length, whatever its length: a rotation mixes components, so small ones beside huge ones
    are as exact as float32 sums are."""
    points = [models.PointStruct(id=number, vector={"d": vector}) for number, vector in written]
    latest = dict(written)
    for on in protections:
        name = on.name(f"{NAME}-sizes")
        on.client.delete(name, models.FilterSelector(filter=models.Filter()), wait=True)
        on.client.upsert(name, points, wait=True)
        for record in on.client.scroll(name, with_vectors=True)[0]:
            expected = np.array(latest[record.id], np.float32)
            error = np.linalg.norm((np.array(record.vector["d"]) - expected).astype(np.float64))
            assert error <= 1e-5 * np.linalg.norm(expected.astype(np.float64)) + 1e-30
        for hit in on.client.query_points(name, query, using="d").points:
            x, q = (np.array(one, np.float64) for one in (latest[hit.id], query))
            assert math.isclose(hit.score, x @ q, abs_tol=1e-4 * np.linalg.norm(x) * np.linalg.norm(q) + 1e-30)


# 3e38 is a float32 whose square is none.
NOT_FINITE = [math.nan, math.inf, -math.inf, 3e38]


def _dense(bad: float) -> pb.Vector:
    return pb.Vector(dense=pb.DenseVector(data=[1.0, 2.0, bad, 4.0, 5.0]))


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_vectors_that_are_not_finite_are_refused_everywhere(pair: Pair, bad: float) -> None:
    """The engine would take them; the proxy cannot rotate them, so nothing of the call is done."""
    emptied(pair)
    pair.proxied.client.upsert(
        pair.proxied.name(NAME), [models.PointStruct(id=1, vector={"d": [1.0] * DIMS})], wait=True
    )
    before = outcome(pair.proxied, everything)
    name = pair.proxied.name(NAME)
    sparse = pb.Vector(sparse=pb.SparseVector(indices=[1], values=[bad]))

    def struct(vector: pb.Vector, key: str = "d") -> pb.PointStruct:
        return pb.PointStruct(id=pb.PointId(num=2), vectors=pb.Vectors(vectors=pb.NamedVectors(vectors={key: vector})))

    def ask(query: pb.Query) -> pb.QueryPoints:
        return pb.QueryPoints(collection_name=name, query=query, using="d")

    dense_input = pb.VectorInput(dense=pb.DenseVector(data=[1.0, 2.0, bad, 4.0, 5.0]))
    points = pair.proxied.points
    good = struct(pb.Vector(dense=pb.DenseVector(data=[1.0] * DIMS)))
    named = pb.Vectors(vectors=pb.NamedVectors(vectors={"d": _dense(bad)}))
    entry = pb.PointVectors(id=pb.PointId(num=1), vectors=named)
    calls = {
        "upsert": lambda: points.Upsert(pb.UpsertPoints(collection_name=name, points=[good, struct(_dense(bad))])),
        "deprecated": lambda: points.Upsert(
            pb.UpsertPoints(collection_name=name, points=[struct(pb.Vector(data=[1.0, 2.0, bad, 4.0, 5.0]))])
        ),
        "sparse": lambda: points.Upsert(pb.UpsertPoints(collection_name=name, points=[struct(sparse, "s")])),
        "update-vectors": lambda: points.UpdateVectors(pb.UpdatePointVectors(collection_name=name, points=[entry])),
        "nearest": lambda: points.Query(ask(pb.Query(nearest=dense_input))),
        "recommend": lambda: points.Query(ask(pb.Query(recommend=pb.RecommendInput(positive=[dense_input])))),
        "search": lambda: points.Search(
            pb.SearchPoints(collection_name=name, vector=[1.0, 2.0, bad, 4.0, 5.0], vector_name="d", limit=1)
        ),
    }
    for what, call in calls.items():
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, what
        assert ("too long" if bad == 3e38 else "NaN or infinite") in refused.value.details(), what
    assert outcome(pair.proxied, everything) == before


def test_empty_batches(pair: Pair) -> None:
    emptied(pair)
    for call in (
        lambda on: on.points.Upsert(pb.UpsertPoints(collection_name=on.name(NAME))),
        lambda on: on.points.UpdateVectors(pb.UpdatePointVectors(collection_name=on.name(NAME))),
        lambda on: on.points.UpdateBatch(pb.UpdateBatchPoints(collection_name=on.name(NAME))),
        lambda on: on.points.QueryBatch(pb.QueryBatchPoints(collection_name=on.name(NAME))),
        lambda on: on.points.Get(pb.GetPoints(collection_name=on.name(NAME))),
        lambda on: on.client.delete(on.name(NAME), []),
        lambda on: on.client.set_payload(on.name(NAME), {}, points=[]),
        lambda on: on.client.upload_points(on.name(NAME), []),
        everything,
    ):
        pair.same(call)


@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_huge_values(pair: Pair, size: int) -> None:
    emptied(pair)
    payload = {"p": "p" * size, "s": "s" * size, "x": ["x" * size, {"k" * 5_000: 1}]}
    pair.same(put([models.PointStruct(id=1, vector={"d": [1.0] * DIMS}, payload=payload)]))
    pair.same(everything)
