"""Keyword search with the IDF modifier while keys are rotated: scores are those of a collection that is not."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from meanwhile import Meanwhile
from qdrant_client import QdrantClient, models
from serving import Proxy, Server, serving_proxy

from proxy.differential.rotating import begin, epochs_of
from proxy.test_rotation import QUICK, rotate_command
from vecguard.front.qdrant.frequencies import counts_a_corpus
from vecguard.policy.credentials import hash_key

pytestmark = pytest.mark.slow

COUNT, DIMS = 60, 8
KINDS = ("a", "b", "c")
POLICY = f"""
version: 1
access:
  anonymous: []
  api_keys:
    - {{name: root, hash: "{hash_key("vgk_root")}", roles: [read, write, admin]}}
    - {{name: some, hash: "{hash_key("vgk_some")}", roles: [some], attributes: {{kind: b}}}}
  roles:
    - name: some
      grants: [{{collections: ["*"], actions: [read, write]}}]
      row_filter: {{kind: {{attribute: kind}}}}
collections:
  - match: "*"
    vectors: [{{match: "*", transforms: [{{kind: rotation}}]}}]
    payload: {{default: sealed, fields: {{kind: searchable, n: plain}}}}
"""
ALL_MOVED = COUNT - 3
Finding = list[tuple[int, float]]


def words(number: int, version: int = 0) -> models.SparseVector:
    """Up to 8 of 50 words, of which the first are the commonest; some weights are negative."""
    draw = np.random.default_rng([number, version])
    of = np.unique(np.minimum((draw.pareto(0.7, 8) * 2).astype(int), 49))
    weights = (draw.normal(1, 0.6, len(of))).astype(np.float32)
    return models.SparseVector(indices=of.tolist(), values=weights.tolist())


def point(number: int) -> models.PointStruct:
    vector = {"dense": np.random.default_rng(number).normal(size=DIMS).tolist(), "bm25": words(number)}
    return models.PointStruct(id=number, vector=vector, payload={"kind": KINDS[number % 3], "n": number, "note": "x"})


def make(client: QdrantClient, name: str, **more: Any) -> None:
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=DIMS, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        **more,
    )
    client.upsert(name, [point(number) for number in range(COUNT)], wait=True)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with serving_proxy(tmp_path_factory.mktemp("idf"), POLICY, rest=True) as running:
        yield running


def client_of(proxy: Proxy, key: str = "vgk_root", *, rest: bool = False) -> QdrantClient:
    return QdrantClient(
        url=proxy.url,
        grpc_port=proxy.port,
        prefer_grpc=not rest,
        api_key=key,
        check_compatibility=False,
        timeout=60,
    )


@dataclass(frozen=True)
class World:
    """The same collection in the engine, unprotected, and behind the proxy, its keys being rotated."""

    proxy: Proxy
    name: str
    twin: QdrantClient
    root: QdrantClient


@pytest.fixture(scope="module", params=[0, 20, ALL_MOVED], ids=["none-moved", "some-moved", "all-but-some-moved"])
def world(request: pytest.FixtureRequest, engine: Server, proxy: Proxy) -> Iterator[World]:
    name = f"idf-{request.param}"
    with contextlib.closing(engine.client()) as twin, contextlib.closing(client_of(proxy)) as root:
        make(twin, name)
        make(root, name)
        begin(proxy, [name])
        if request.param:
            root.upsert(name, [point(number) for number in range(request.param)], wait=True)
        assert epochs_of(proxy, name).count(2) == request.param
        yield World(proxy, name, twin, root)


def found(points: Sequence[models.ScoredPoint]) -> Finding:
    return [(int(hit.id), hit.score) for hit in points]


def same(one: Finding, other: Finding) -> None:
    """Equal scores, rank by rank, and equal ids where no two scores are equal."""
    assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-4)
    apart = [i for i, (_, s) in enumerate(one) if all(abs(s - t) > 1e-3 for j, (_, t) in enumerate(one) if j != i)]
    assert [one[i][0] for i in apart] == [other[i][0] for i in apart]
    assert one, "the query finds something"


def sparse(indices: Sequence[int], values: Sequence[float]) -> models.SparseVector:
    return models.SparseVector(indices=list(indices), values=list(values))


QUERIES = {
    "one word": sparse([2], [1.0]),
    "several words": sparse([0, 1, 3, 7, 20], [0.4, 1.0, 0.3, 2.0, 0.1]),
    "negative weights": sparse([0, 2, 5], [1.0, -0.7, -2.0]),
    "a word that no record has": sparse([1, 1_000_000], [1.0, 5.0]),
    "a weight of nothing": sparse([1, 3], [0.0, 1.0]),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
@pytest.mark.parametrize("filtered", [False, True])
def test_scores_are_those_of_a_collection_that_is_not_rotated(
    world: World, query: models.SparseVector, filtered: bool
) -> None:
    kind = models.FieldCondition(key="kind", match=models.MatchValue(value="b"))
    asked: dict[str, Any] = {"query": query, "using": "bm25", "limit": 25}
    if filtered:
        asked["query_filter"] = models.Filter(must=[kind])
    same(*(found(client.query_points(world.name, **asked).points) for client in (world.twin, world.root)))


def test_a_query_without_words_finds_nothing(world: World) -> None:
    for client in (world.twin, world.root):
        assert client.query_points(world.name, query=sparse([], []), using="bm25").points == []


def test_thresholds_offsets_batches_and_hybrid_searches(world: World) -> None:
    query, dense = QUERIES["several words"], np.random.default_rng(5).normal(size=DIMS).tolist()
    prefetch = [
        models.Prefetch(query=query, using="bm25", limit=20),
        models.Prefetch(query=dense, using="dense", limit=20),
    ]
    asks = [
        models.QueryRequest(query=query, using="bm25", limit=8, offset=3, score_threshold=0.2),
        models.QueryRequest(query=QUERIES["one word"], using="bm25", limit=5),
        models.QueryRequest(prefetch=prefetch, query=models.FusionQuery(fusion=models.Fusion.DBSF), limit=12),
    ]
    answers = [client.query_batch_points(world.name, asks) for client in (world.twin, world.root)]
    for one, other in zip(*answers, strict=True):
        same(found(one.points), found(other.points))


def test_examples_of_a_recommendation(world: World) -> None:
    for strategy in (None, models.RecommendStrategy.SUM_SCORES):
        examples = models.RecommendInput(positive=[3, words(4)], negative=[40], strategy=strategy)
        asked: dict[str, Any] = {"query": models.RecommendQuery(recommend=examples), "using": "bm25", "limit": 15}
        same(*(found(client.query_points(world.name, **asked).points) for client in (world.twin, world.root)))


def test_a_caller_of_some_rows_has_the_frequencies_of_all(world: World) -> None:
    kind = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value="b"))])
    query = QUERIES["several words"]
    expected = world.twin.query_points(world.name, query=query, using="bm25", query_filter=kind, limit=30).points
    with contextlib.closing(client_of(world.proxy, "vgk_some")) as some:
        same(found(expected), found(some.query_points(world.name, query=query, using="bm25", limit=30).points))


def test_over_rest_as_frameworks_ask(world: World) -> None:
    """A framework's keyword search, between its writes of payload and of a vector."""
    query, changed = QUERIES["several words"], [models.PointVectors(id=58, vector={"bm25": words(58, 1)})]
    with contextlib.closing(client_of(world.proxy, rest=True)) as rest:
        for client in (world.twin, rest):
            client.set_payload(world.name, {"note": "new"}, [57], wait=True)
            client.update_vectors(world.name, changed, wait=True)
        same(*(found(c.query_points(world.name, query=query, using="bm25").points) for c in (world.twin, rest)))


def test_several_shards_are_refused_by_name(proxy: Proxy) -> None:
    with contextlib.closing(client_of(proxy)) as client:
        make(client, "sharded", shard_number=2)
        begin(proxy, ["sharded"])
        with pytest.raises(grpc.RpcError) as refused:
            client.query_points("sharded", query=QUERIES["one word"], using="bm25")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "`bm25`, which has the IDF modifier, and of which each shard counts" in (refused.value.details() or "")


def test_more_words_than_are_counted_are_refused(world: World) -> None:
    with pytest.raises(grpc.RpcError, match="1025 indices"):
        world.root.query_points(world.name, query=sparse(range(1_025), [1.0] * 1_025), using="bm25")


@pytest.mark.parametrize(
    ("version", "counts"),
    [
        ("1.19.0", True),
        ("1.20.1", True),
        ("2.0.0", True),
        ("1.18.9", False),
        ("1.9.0", False),
        ("", False),
        ("x", False),
    ],
)
def test_versions_that_know_a_corpus(version: str, counts: bool) -> None:
    assert counts_a_corpus(version) is counts


# -- a rotation under way ----------------------------------------------------------------------------------------------


class Keywords(Meanwhile):
    """Clients that search by words, and write, until they are told to stop."""

    def __init__(self, proxy: Proxy, name: str, expected: Finding) -> None:
        self.searches, self.failures = 0, list[str]()
        self._proxy, self._name, self._expected = proxy, name, expected
        super().__init__(*(partial(self._until, do) for do in (self._search, self._write)))

    def _until(self, do: Callable[[QdrantClient, int], None]) -> None:
        with contextlib.closing(client_of(self._proxy)) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                try:
                    do(client, number)
                except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                    self.failures.append(repr(failure))

    def _search(self, client: QdrantClient, _: int) -> None:
        got = found(client.query_points(self._name, query=QUERIES["one word"], using="bm25", limit=COUNT).points)
        self.searches += 1
        assert len({key for key, _ in got}) == len(got)
        # Of each word at most one record is between two keys as it is counted, and counted twice or not at all.
        assert dict(got) == pytest.approx(dict(self._expected), rel=0.1, abs=1e-3)

    def _write(self, client: QdrantClient, number: int) -> None:
        """Every write leaves the words as they are."""
        which = number % COUNT
        if number % 3 == 0:
            client.upsert(self._name, [point(which)], wait=True)
        elif number % 3 == 1:
            client.set_payload(self._name, {"note": f"note {number}"}, [which], wait=True)
        else:
            vector = {"bm25": words(which)}
            client.update_vectors(self._name, [models.PointVectors(id=which, vector=vector)], wait=True)


def test_no_search_by_words_fails_while_a_rotation_goes_on(engine: Server, proxy: Proxy) -> None:
    name = "idf-turning"
    with contextlib.closing(engine.client()) as twin, contextlib.closing(client_of(proxy)) as root:
        make(twin, name)
        make(root, name)
        expected = found(twin.query_points(name, query=QUERIES["one word"], using="bm25", limit=COUNT).points)
        assert expected
        with Keywords(proxy, name, expected) as clients:
            command = rotate_command(proxy, name, *QUICK)
            done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        assert clients.failures == []
        assert clients.searches > 10
        assert set(epochs_of(proxy, name)) == {2}
        after = found(root.query_points(name, query=QUERIES["one word"], using="bm25", limit=COUNT).points)
        same(expected, after)
