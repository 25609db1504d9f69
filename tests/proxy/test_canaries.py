"""Planted records on a real engine: no answer shows one, none lacks a record for them, and hits are told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from detect.inside import ACCESS, KEYS, Inside, worker_inside
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from serving import Server, free_port

from vecguard.errors import FailedPrecondition
from vecguard.front.qdrant import planting, reveal
from vecguard.front.qdrant.inspect import stored_pages
from vecguard.front.qdrant.vectors import read
from vecguard.upkeep import canaries
from vecguard.upkeep.access import open_database
from vecguard.upkeep.migrate import Migration
from vecguard.upkeep.plan import Order, planned
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.verify import verify

DIMS, RECORDS, PLANTED = 16, 320, 64
POLICY = f"""
version: 1
{ACCESS}
collections:
  - match: "planted*"
    vectors: [{{rerank: {{certainty: 6}}}}]
    payload: {{fields: {{tag: searchable, lang: plain}}}}
    detection:
      mode: enforce
      canaries: {PLANTED}
      largest_answer: null
      ladder: {{slow: off, degrade: off, block: off}}
  - match: "rest*"
    vectors: [{{transforms: [{{kind: rotation}}], rerank: "off"}}]
    payload: {{fields: {{tag: searchable, lang: plain}}}}
    detection: {{canaries: {PLANTED}}}
  - match: "numbers*"
    ids: encrypted
    detection: {{canaries: 8}}
  - match: "open-ids"
    detection: {{canaries: 8}}
  - match: "unique"
    payload: {{fields: {{title: plain}}}}
    detection: {{canaries: 8}}
  - match: "none"
  - match: "clear"
    protect: none
"""
RANDOM = np.random.default_rng(4)
BASE = RANDOM.normal(size=(6, DIMS))
X = (RANDOM.normal(size=(RECORDS, 6)) @ BASE + 0.2 * RANDOM.normal(size=(RECORDS, DIMS))).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
IDS = [str(uuid.UUID(bytes=RANDOM.bytes(16), version=4)) for _ in range(RECORDS)]
PAYLOADS = [{"note": f"note {i}", "tag": f"t{i % 5}", "lang": "en" if i % 3 else "de"} for i in range(RECORDS)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]


@pytest.fixture(scope="module")
def inside(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A worker before the shared engine."""
    ports = {"listen": f"127.0.0.1:{free_port()}", "rest": f"127.0.0.1:{free_port()}"}
    folder = tmp_path_factory.mktemp("canaries")
    with worker_inside(folder, POLICY, upstream=f"qdrant://{engine.target}", **ports) as running:
        yield running


@pytest.fixture(scope="module")
def alice(inside: Inside) -> Iterator[QdrantClient]:
    """Who writes the collections."""
    with_client = client(inside, "alice")
    yield with_client
    with_client.close()


def client(inside: Inside, name: str) -> QdrantClient:
    port = int(inside.settings.listen.rpartition(":")[2])
    return QdrantClient(
        host="127.0.0.1",
        grpc_port=port,
        prefer_grpc=True,
        check_compatibility=False,
        api_key=KEYS[name],
        https=False,
        timeout=120,
    )


def fill(alice: QdrantClient, name: str, ids: Any = IDS, payloads: Any = PAYLOADS) -> None:
    alice.create_collection(name, vectors_config=models.VectorParams(size=DIMS, distance=models.Distance.COSINE))
    points = [models.PointStruct(id=one, vector=X[i].tolist(), payload=payloads[i]) for i, one in enumerate(list(ids))]
    alice.upsert(name, points, wait=True)
    if name.startswith(("planted", "rest")):
        alice.create_payload_index(name, "tag", models.PayloadSchemaType.KEYWORD, wait=True)


def at(inside: Inside, do: Any) -> Any:
    """What an operator's command does."""

    async def run() -> Any:
        async with open_database(inside.settings) as database:
            return await do(database)

    return asyncio.run(run())


def plant(inside: Inside, name: str) -> tuple[int, int]:
    done: tuple[int, int] = at(inside, lambda database: canaries.plant(database, inside.settings, name))
    return done


def stored(inside: Inside, name: str) -> tuple[list[str], np.ndarray[Any, Any], list[dict[str, Any]]]:
    """Ids, exact vectors and stored payloads of the planted records of a collection."""

    async def look(database: Any) -> Any:
        shield = await database.shield(name)
        ids, vectors, payloads = [], [], []
        async for page in stored_pages(database.upstream, name, shield):
            for point in page:
                if point.id.uuid in shield.planted.numbers or point.id.num in shield.planted.numbers:
                    ids.append(point.id.uuid or str(point.id.num))
                    payloads.append(sorted(point.payload))
                    reveal.points(shield, [point], [""])
                    vectors.append(read(point.vectors.vector).data)  # type: ignore[union-attr]
        return ids, np.array(vectors), payloads

    found: tuple[list[str], np.ndarray[Any, Any], list[dict[str, Any]]] = at(inside, look)
    return found


@pytest.fixture(scope="module", params=["planted", "rest"])
def place(request: pytest.FixtureRequest, inside: Inside, alice: QdrantClient) -> Iterator[str]:
    """A collection with canaries: re-ranked, or whose scores at rest are the ones to answer with."""
    name = str(request.param)
    fill(alice, name)
    assert plant(inside, name) == (PLANTED, PLANTED)
    yield name
    alice.delete_collection(name)


@pytest.fixture(scope="module")
def decoys(place: str, inside: Inside) -> np.ndarray[Any, Any]:
    """The exact vectors of what was planted."""
    return stored(inside, place)[1]


def best(query: np.ndarray[Any, Any], count: int, allowed: Any = None) -> list[str]:
    rows = np.argsort(-(X @ query), kind="stable")
    return [IDS[i] for i in rows if allowed is None or allowed(i)][:count]


def are_best(found: list[str], query: np.ndarray[Any, Any], count: int, allowed: Any = None) -> bool:
    """Whether these are the best, in order; planted vectors are other ones each time, so that two scores may be alike
    but for rounding, and then either comes first."""
    rows, wanted = ([IDS.index(one) for one in ids_] for ids_ in (found, best(query, count, allowed)))
    fits = allowed is None or all(allowed(row) for row in rows)
    return fits and len({*rows}) == len(wanted) and np.allclose((X @ query)[rows], (X @ query)[wanted], atol=2e-6)


def ids(points: Any) -> list[str]:
    return [str(point.id) for point in points]


def test_they_lie_in_the_cloud_and_look_like_records(inside, place, decoys):
    found, vectors, payloads = stored(inside, place)
    assert len(found) == PLANTED
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    cosines = X @ X.T - 3 * np.eye(RECORDS)
    own, theirs = cosines.max(axis=1), (X @ vectors.T).max(axis=0)
    assert abs(np.median(theirs) - np.median(own)) < 0.06
    outside = np.linalg.norm(vectors - vectors @ np.linalg.pinv(BASE) @ BASE, axis=1)
    data = np.linalg.norm(X - X @ np.linalg.pinv(BASE) @ BASE, axis=1)
    assert np.median(outside) < 2 * np.median(data)
    assert all(keys == ["_p", "_vg"] for keys in payloads)


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_searches_beside_them_answer_as_if_there_were_none(alice, place, decoys, limit):
    for query in decoys[:20]:
        answer = alice.query_points(place, query=query.tolist(), limit=limit, with_vectors=True).points
        assert len(answer) == limit
        assert are_best(ids(answer), query, limit)


def test_an_offset_counts_records_alone(alice, place, decoys):
    """Also of searches that the database answers: planted records before the page move nothing."""
    for query in decoys[:12]:
        answer = alice.query_points(place, query=query.tolist(), limit=6, offset=3).points
        assert are_best([*best(query, 3), *ids(answer)], query, 9)


def test_every_kind_of_query_is_whole(alice, place, decoys):
    query = decoys[0]
    tagged = models.Filter(must=[models.FieldCondition(key="tag", match=models.MatchValue(value="t1"))])
    answer = alice.query_points(place, query=query.tolist(), limit=8, offset=4, query_filter=tagged).points
    assert are_best([*best(query, 4, lambda i: i % 5 == 1), *ids(answer)], query, 12, lambda i: i % 5 == 1)
    batch = [models.QueryRequest(query=row.tolist(), limit=5) for row in decoys[:6]]
    for row, part in zip(decoys, alice.query_batch_points(place, batch), strict=False):
        assert are_best(ids(part.points), row, 5)
    legs = [models.Prefetch(query=row.tolist(), limit=20) for row in decoys[:2]]
    fused = alice.query_points(
        place, prefetch=legs, query=models.FusionQuery(fusion=models.Fusion.RRF), limit=20
    ).points
    assert len(fused) == 20
    assert set(ids(fused)) <= set(IDS)
    groups = alice.query_points_groups(place, query=query.tolist(), group_by="tag", limit=5, group_size=4).groups
    assert sorted(len(group.hits) for group in groups) == [4] * 5
    for group in groups:
        assert are_best(ids(group.hits), query, 4, lambda i, group=group: f"t{i % 5}" == group.id)
    mmr = models.NearestQuery(nearest=query.tolist(), mmr=models.Mmr(diversity=0.5, candidates_limit=30))
    assert len(alice.query_points(place, query=mmr, limit=10).points) == 10
    liked = alice.query_points(place, query=models.RecommendQuery(recommend=models.RecommendInput(positive=[IDS[0]])))
    assert ids(liked.points) == [one for one in best(X[0], 11) if one != IDS[0]]
    drawn = alice.query_points(place, query=models.SampleQuery(sample=models.Sample.RANDOM), limit=RECORDS + 50).points
    assert sorted(ids(drawn)) == sorted(IDS)
    pairs = alice.search_matrix_pairs(place, sample=RECORDS + 50, limit=3).pairs
    assert {str(one) for pair in pairs for one in (pair.a, pair.b)} <= set(IDS)
    assert len({str(pair.a) for pair in pairs}) == RECORDS


@pytest.mark.parametrize("size", [1, 7, 50, 1_000])
def test_a_scroll_goes_through_all_records_in_full_pages(alice, place, size):
    seen: list[str] = []
    page, at_most = None, 40 if size == 1 else RECORDS
    while len(seen) < at_most:
        points, page = alice.scroll(place, limit=size, offset=page, with_vectors=True)
        assert page is None or len(points) == size
        assert str(page) in IDS or page is None
        seen += ids(points)
        if page is None:
            break
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(IDS)
    assert len(seen) >= at_most


def test_nothing_is_counted_of_them(alice, place):
    assert alice.count(place).count == RECORDS
    assert alice.get_collection(place).points_count == RECORDS
    info = alice.get_collection(place)
    assert (info.indexed_vectors_count or 0) <= RECORDS
    hits = alice.facet(place, "tag").hits
    assert {hit.value: hit.count for hit in hits} == {f"t{i}": RECORDS // 5 for i in range(5)}
    german = models.Filter(must=[models.FieldCondition(key="lang", match=models.MatchValue(value="de"))])
    assert alice.count(place, count_filter=german).count == sum(one["lang"] == "de" for one in PAYLOADS)


def test_who_names_one_gets_nothing_and_is_told_of(inside, alice, place):
    planted = stored(inside, place)[0]
    mallory, told = client(inside, "mallory"), len(inside.events("canary"))
    with inside.observed() as seen:
        assert mallory.retrieve(place, [planted[0], IDS[0], planted[1].upper()]) != []
        assert ids(mallory.retrieve(place, [planted[0], IDS[0]])) == [IDS[0]]
        with pytest.raises((grpc.RpcError, UnexpectedResponse), match=r"[Nn]o point with id|not found"):
            mallory.query_points(place, query=planted[0])
    events = inside.events("canary")[told:]
    assert {(one["principal"], one["collection"]) for one in events} == {("mallory", place)}
    met = [number for one in seen if one.principal == "mallory" for number in one.canaries.tolist()]
    assert min(met) >= 256
    for write in (
        lambda: mallory.upsert(place, [models.PointStruct(id=planted[0], vector=X[0].tolist())]),
        lambda: mallory.delete(place, [planted[0]]),
        lambda: mallory.set_payload(place, {"a": 1}, points=[planted[0]]),
    ):
        with pytest.raises(grpc.RpcError, match="cannot be written"):
            write()
    assert len(inside.events("canary")) == told + len(events) + 3
    mallory.close()
    assert len(stored(inside, place)[0]) == PLANTED


def test_hits_are_observed_once_each_and_only_where_they_would_have_been_answered(inside, alice, place, decoys):
    with inside.observed() as seen:
        alice.query_points(place, query=decoys[0].tolist(), limit=1)
        alice.query_points(place, query=decoys[0].tolist(), limit=1)
        alice.query_points(place, query=(X[0] + 1e-3).tolist(), limit=1)
        alice.scroll(place, limit=1_000)
    searches = [one for one in seen if one.operation == "search"]
    # Those that lie before the best record: itself, and at times a neighbour of it.
    before = int((decoys @ decoys[0] > (X @ decoys[0]).max()).sum())
    assert before >= 1
    # Where the database's own scores count, an answer of one record holds one planted at most.
    met = before if place == "planted" else 1
    assert [one.canaries.size for one in searches] == [met, met, 0]
    assert searches[0].canaries.tolist() == searches[1].canaries.tolist()
    assert all(one.planted == PLANTED for one in seen)
    (scrolled,) = (one for one in seen if one.operation == "scroll")
    assert sorted(scrolled.canaries.tolist()) == list(range(PLANTED))
    assert scrolled.ids.size == RECORDS


def test_planting_again_plants_what_is_missing_and_removal_leaves_records(inside, alice):
    fill(alice, "planted-again")
    try:
        assert plant(inside, "planted-again") == (PLANTED, PLANTED)
        assert plant(inside, "planted-again") == (0, PLANTED)
        looked = at(inside, lambda database: verify(database, "planted-again"))
        assert (looked.records, looked.canaries, looked.bad) == (RECORDS + PLANTED, PLANTED, {})
        alice.delete(
            "planted-again",
            models.Filter(must=[models.FieldCondition(key="tag", match=models.MatchValue(value="t0"))]),
            wait=True,
        )
        left = at(inside, lambda database: canaries.found(database, "planted-again"))
        assert 0 < len(left) < PLANTED
        assert all(faults == () for _, faults in left)
        assert plant(inside, "planted-again")[0] == PLANTED - len(left)
        assert at(inside, lambda database: canaries.remove(database, "planted-again")) == PLANTED
        looked = at(inside, lambda database: verify(database, "planted-again"))
        assert (looked.records, looked.canaries) == (RECORDS - RECORDS // 5, 0)
        assert alice.count("planted-again").count == RECORDS - RECORDS // 5
    finally:
        alice.delete_collection("planted-again")


def test_encrypted_numbers_are_planted_among(inside, alice):
    payloads = [{"n": i} for i in range(100)]
    fill(alice, "numbers", range(1, 101), payloads)
    try:
        assert plant(inside, "numbers") == (8, 8)
        assert sorted(int(one.id) for one in alice.scroll("numbers", limit=200)[0]) == list(range(1, 101))
        assert alice.count("numbers").count == 100
    finally:
        alice.delete_collection("numbers")


def test_the_command_plants_lists_and_removes(inside, alice):
    fill(alice, "planted-by-command")
    file = inside.settings.key.removeprefix("file:")
    where = ("--upstream", f"qdrant://{inside.settings.upstream[0].target}", "--key", f"file:{file}")

    def run(what: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vecguard", "canaries", what, "planted-by-command", *where, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    try:
        done = run("plant", "--policy", str(inside.settings.policy))
        assert (done.returncode, done.stdout) == (
            0,
            f"{PLANTED} records planted in `planted-by-command`, which has {PLANTED} of them now\n",
        )
        assert sorted(run("list").stdout.split()) == sorted(stored(inside, "planted-by-command")[0])
        assert run("remove").stdout == f"{PLANTED} planted records removed from `planted-by-command`\n"
        assert run("list").stdout == ""
        assert len(alice.scroll("planted-by-command", limit=1_000)[0]) == RECORDS
    finally:
        alice.delete_collection("planted-by-command")
    missing = run("list")
    assert (missing.returncode, "vecguard canaries list: " in missing.stderr) == (1, True)


def test_they_are_hidden_where_the_policy_knows_nothing_of_them(inside, alice):
    """A replica that has an older policy, or one from which the entry was taken away."""
    fill(alice, "none", IDS, [{"n": i} for i in range(RECORDS)])
    try:

        async def do(database: Any) -> int:
            return await planting.plant(database.upstream, "none", await database.shield("none"), PLANTED)

        assert at(inside, do) == PLANTED
        for query in stored(inside, "none")[1][:10]:
            assert len(alice.query_points("none", query=query.tolist(), limit=5).points) == 5
            assert set(ids(alice.query_points("none", query=query.tolist(), limit=200).points)) <= set(IDS)
        assert sorted(ids(alice.scroll("none", limit=1_000)[0])) == sorted(IDS)
    finally:
        alice.delete_collection("none")


def test_rotation_brings_them_over_and_migration_leaves_them_behind(inside, alice, tmp_path):
    fill(alice, "planted-moving")
    try:
        plant(inside, "planted-moving")
        before = stored(inside, "planted-moving")

        async def turn(database: Any) -> None:
            async for _ in rotate(database, "planted-moving", 2.2):
                pass

        at(inside, turn)
        after = stored(inside, "planted-moving")
        assert sorted(after[0]) == sorted(before[0])
        assert at(inside, lambda database: verify(database, "planted-moving")).bad == {}
        query = after[1][0].tolist()
        assert are_best(ids(alice.query_points("planted-moving", query=query, limit=10).points), after[1][0], 10)

        async def move() -> int:
            order = Order("planted-moving", "planted-moved", tmp_path / "journal.json")
            async with planned(order, inside.settings, None, None) as plan:
                migration = Migration(plan.source, plan.target, plan.policy, order.state, plan.journal)
                return (await migration.run()).copied

        assert asyncio.run(move()) == RECORDS
        looked = at(inside, lambda database: verify(database, "planted-moved"))
        assert (looked.records, looked.canaries, looked.bad) == (RECORDS, 0, {})
    finally:
        for name in ("planted-moving", "planted-moved"):
            alice.delete_collection(name)


@pytest.mark.parametrize(
    ("name", "given", "payloads", "why"),
    [
        ("open-ids", range(1, 101), [{}] * 100, "ids of the collection's records are in clear"),
        ("unique", IDS[:100], [{"title": f"Title {i}"} for i in range(100)], "title.* hardly repeat"),
        ("none", IDS[:100], [{}] * 100, "the policy has no canaries"),
        ("planted-few", IDS[:20], [{}] * 20, "64 are needed"),
        ("clear", IDS[:100], [{}] * 100, "lies in clear"),
    ],
)
def test_nothing_is_planted_where_it_would_stand_out(inside, alice, name, given, payloads, why):
    fill(alice, name, given, payloads)
    try:
        with pytest.raises(FailedPrecondition, match=why):
            plant(inside, name)
        assert alice.count(name).count == len(list(given))
    finally:
        alice.delete_collection(name)
