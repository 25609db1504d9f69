"""Planted rows on Milvus Lite and the real 2.3.5: no answer shows one, none lacks a row for them, and hits are told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from detect.inside import ACCESS, KEYS, Inside, worker_inside
from pymilvus import AnnSearchRequest, DataType, MilvusClient, MilvusException, RRFRanker
from serving import free_port

from milvus.servers import MilvusServer
from vecguard.errors import FailedPrecondition
from vecguard.front.milvus import planting, reveal
from vecguard.front.milvus.inspect import stored_pages
from vecguard.front.milvus.layout import layout_of
from vecguard.front.milvus.transfer_rows import rows_of
from vecguard.upkeep import canaries
from vecguard.upkeep.access import open_database
from vecguard.upkeep.rotate import rotate
from vecguard.upkeep.verify import verify

DIMS, ROWS, PLANTED = 16, 240, 48
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
    detection: {{canaries: {PLANTED}}}
  - match: "open*"
    detection: {{canaries: {PLANTED}}}
  - match: "unique*"
    payload: {{fields: {{tag: plain}}}}
    detection: {{canaries: {PLANTED}}}
  - match: "none*"
  - match: "clear*"
    protect: none
"""
RANDOM = np.random.default_rng(4)
BASE = RANDOM.normal(size=(6, DIMS))
X = (RANDOM.normal(size=(ROWS, 6)) @ BASE + 0.2 * RANDOM.normal(size=(ROWS, DIMS))).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
IDS = [str(uuid.UUID(bytes=RANDOM.bytes(16), version=4)) for _ in range(ROWS)]
EVERY = {"limit": 10_000}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def inside(server: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A worker before each of the two servers."""
    ports = {"milvus_listen": f"127.0.0.1:{free_port()}"}
    folder = tmp_path_factory.mktemp("canaries")
    with worker_inside(folder, POLICY, upstream=f"milvus://{server.target}", **ports) as running:
        yield running


def connected(inside: Inside, name: str) -> MilvusClient:
    return MilvusClient(uri=f"http://{inside.settings.milvus_listen}", token=KEYS[name], timeout=120, dedicated=True)


@pytest.fixture(scope="module")
def alice(inside: Inside) -> Iterator[MilvusClient]:
    """Who writes the collections."""
    client = connected(inside, "alice")
    yield client
    for name in client.list_collections():
        client.drop_collection(name)
    client.close()


@pytest.fixture(scope="module")
def is_real(server: MilvusServer) -> bool:
    """Whether it is the real server."""
    with server.client() as client:
        return "lite" not in str(client.get_server_version())


def fill(alice: MilvusClient, name: str, ids: Any = None, tag: Any = lambda i: f"t{i % 5}", **schema: Any) -> None:
    """A collection of as many rows as there are ids, loaded."""
    ids = IDS if ids is None else list(ids)
    made = alice.create_schema(**schema)
    if isinstance(ids[0], str):
        made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    else:
        made.add_field("id", DataType.INT64, is_primary=True)
    made.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    made.add_field("tag", DataType.VARCHAR, max_length=32)
    made.add_field("lang", DataType.VARCHAR, max_length=8)
    index = alice.prepare_index_params()
    index.add_index("v", metric_type="COSINE", index_type="FLAT")
    alice.create_collection(name, schema=made, index_params=index, consistency_level="Strong")
    rows = [
        {"id": one, "v": X[i].tolist(), "tag": tag(i), "lang": "en" if i % 3 else "de"} for i, one in enumerate(ids)
    ]
    if made.auto_id:
        rows = [{key: value for key, value in row.items() if key != "id"} for row in rows]
    alice.insert(name, rows)


def at(inside: Inside, do: Any) -> Any:
    """What an operator's command does."""

    async def run() -> Any:
        async with open_database(inside.settings) as database:
            return await do(database)

    return asyncio.run(run())


def plant(inside: Inside, name: str) -> tuple[int, int]:
    done: tuple[int, int] = at(inside, lambda database: canaries.plant(database, inside.settings, name))
    return done


def stored(inside: Inside, name: str) -> tuple[list[Any], np.ndarray[Any, Any]]:
    """Keys and exact vectors of the planted rows of a collection."""

    async def look(database: Any) -> Any:
        shield = await database.shield(name)
        layout, found = layout_of(shield), []
        async for columns, keys in stored_pages(database.upstream, name, shield):
            clear = reveal.client_columns(reveal.found_rows(shield, layout, columns, len(keys)), columns)
            found += [row for row in rows_of(layout, clear) if row.key in shield.planted.numbers]
        return [row.key for row in found], np.array([row.vectors["v"] for row in found])

    keys, vectors = at(inside, look)
    return keys, vectors


@pytest.fixture(scope="module", params=["planted", "rest"])
def place(request: pytest.FixtureRequest, inside: Inside, alice: MilvusClient) -> Iterator[str]:
    """A collection with canaries: re-ranked, or whose distances at rest are the ones to answer with."""
    name = str(request.param)
    fill(alice, name)
    assert plant(inside, name) == (PLANTED, PLANTED)
    yield name
    alice.drop_collection(name)


@pytest.fixture(scope="module")
def decoys(place: str, inside: Inside) -> np.ndarray[Any, Any]:
    """The exact vectors of what was planted."""
    return stored(inside, place)[1]


def search(client: MilvusClient, name: str, queries: Any, limit: int, **how: Any) -> list[list[str]]:
    """The keys of each query's hits."""
    how.setdefault("output_fields", ["tag"])
    rows = np.atleast_2d(queries).tolist()
    return [[hit["id"] for hit in hits] for hits in client.search(name, rows, limit=limit, anns_field="v", **how)]


def are_best(found: list[str], query: np.ndarray[Any, Any], start: int, end: int, allowed: Any = None) -> bool:
    """Whether these are the best from `start` to `end`, in order, but for rounding."""
    order = [i for i in np.argsort(-(X @ query), kind="stable") if allowed is None or allowed(i)][start:end]
    rows = [IDS.index(one) for one in found]
    return len({*rows}) == len(order) and np.allclose((X @ query)[rows], (X @ query)[order], atol=2e-6)


def test_they_lie_in_the_cloud_and_open(inside, place, decoys):
    assert len(decoys) == PLANTED
    cosines = X @ X.T - 3 * np.eye(ROWS)
    unit = decoys / np.linalg.norm(decoys, axis=1, keepdims=True)
    assert abs(np.median((X @ unit.T).max(axis=0)) - np.median(cosines.max(axis=1))) < 0.08
    listed = at(inside, lambda database: canaries.found(database, place))
    assert sorted(one for one, _ in listed) == sorted(stored(inside, place)[0])
    assert all(faults == () for _, faults in listed)


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_searches_beside_them_answer_as_if_there_were_none(alice, place, decoys, limit):
    for query, hits in zip(decoys[:12], search(alice, place, decoys[:12], limit), strict=True):
        assert are_best(hits, query, 0, limit)
    (hits,) = search(alice, place, decoys[0], limit, search_params={"offset": 7})
    assert are_best(hits, decoys[0], 7, 7 + limit)
    (hits,) = search(alice, place, decoys[0], 5, filter="tag == 't1'")
    assert are_best(hits, decoys[0], 0, 5, lambda i: i % 5 == 1)


def test_groups_iterators_and_hybrid_searches_are_whole(alice, place, decoys, is_real):
    found, iterator = (
        list[str](),
        alice.search_iterator(
            place, decoys[:1].tolist(), batch_size=25, limit=150, anns_field="v", output_fields=["tag"]
        ),
    )
    while page := iterator.next():
        found += [hit["id"] for hit in page]
    iterator.close()
    assert set(found) <= set(IDS)
    assert len(set(found)) == 150
    if is_real:
        return
    requests = [AnnSearchRequest([row.tolist()], "v", {}, limit=20) for row in decoys[:2]]
    (fused,) = alice.hybrid_search(place, requests, RRFRanker(), limit=20)
    assert len({hit["id"] for hit in fused}) == 20
    assert {hit["id"] for hit in fused} <= set(IDS)
    (grouped,) = alice.search(
        place, [decoys[0].tolist()], limit=5, group_by_field="tag", anns_field="v", output_fields=["tag"]
    )
    assert {hit["entity"]["tag"] for hit in grouped} == {f"t{i}" for i in range(5)}
    assert {hit["id"] for hit in grouped} <= set(IDS)


def test_queries_and_their_iterators_go_through_all_rows(alice, place):
    everything = alice.query(place, filter="id != ''", output_fields=["tag"], **EVERY)
    assert sorted(row["id"] for row in everything) == sorted(IDS)
    alone = alice.query(place, filter="id != ''", output_fields=["lang"], **EVERY)
    assert len(alone) == ROWS
    seen: list[str] = []
    while page := alice.query(place, filter="id != ''", output_fields=["tag"], limit=50, offset=len(seen)):
        seen += [row["id"] for row in page]
    assert sorted(seen) == sorted(IDS)
    found, iterator = list[str](), alice.query_iterator(place, batch_size=30, output_fields=["tag"])
    while page := iterator.next():
        found += [row["id"] for row in page]
    iterator.close()
    assert sorted(found) == sorted(IDS)


def test_nothing_is_counted_of_them(alice, place):
    def count(text: str) -> int:
        (row,) = alice.query(place, filter=text, output_fields=["count(*)"])
        return int(row["count(*)"])

    assert count("") == ROWS
    assert count("lang == 'de'") == len(range(0, ROWS, 3))
    assert count("tag == 't2'") == ROWS // 5
    alice.flush(place)
    assert int(alice.get_collection_stats(place)["row_count"]) == ROWS
    described = alice.describe_index(place, "v")
    assert int(described.get("total_rows") or 0) <= ROWS
    assert int(described.get("indexed_rows") or 0) <= ROWS


def test_who_names_one_gets_nothing_and_is_told_of(inside, alice, place):
    planted = stored(inside, place)[0]
    mallory, told = connected(inside, "mallory"), len(inside.events("canary"))
    with inside.observed() as seen:
        assert [row["id"] for row in mallory.get(place, [planted[0], IDS[0]], output_fields=["tag"])] == [IDS[0]]
        assert mallory.query(place, filter=f"tag != 'x' and id in ['{planted[1]}']", output_fields=["tag"]) == []
    events = inside.events("canary")[told:]
    assert {(one["principal"], one["collection"]) for one in events} == {("mallory", place)}
    met = [number for one in seen if one.principal == "mallory" for number in one.canaries.tolist()]
    assert len(met) == 2
    assert min(met) >= 256
    row = {"id": planted[0], "v": X[0].tolist(), "tag": "a", "lang": "en"}
    for write in (
        lambda: mallory.insert(place, [row]),
        lambda: mallory.upsert(place, [row]),
        lambda: mallory.delete(place, ids=[planted[0]]),
        lambda: mallory.delete(place, filter=f"lang == 'en' and id == '{planted[0]}'"),
    ):
        with pytest.raises(MilvusException, match="cannot be written"):
            write()
    assert len(inside.events("canary")) == told + len(events) + 4
    mallory.close()
    assert len(stored(inside, place)[0]) == PLANTED


def test_hits_are_observed_once_each_and_only_where_they_would_have_been_answered(inside, alice, place, decoys):
    with inside.observed() as seen:
        search(alice, place, decoys[0], 1)
        search(alice, place, decoys[0], 1)
        search(alice, place, X[0] + 1e-3, 1)
        alice.query(place, filter="id != ''", output_fields=["tag"], **EVERY)
    first, again, beside, listed = seen
    unit = decoys / np.linalg.norm(decoys, axis=1, keepdims=True)
    nearest = int(np.argmax(unit @ unit[0]))
    assert nearest == 0
    assert [one.canaries.size for one in (first, again, beside)] == [1, 1, 0]
    assert first.canaries.tolist() == again.canaries.tolist()
    assert all(one.planted == PLANTED for one in seen)
    assert sorted(listed.canaries.tolist()) == list(range(PLANTED))
    assert listed.ids.size == ROWS


def test_deletions_leave_them_alone_and_planting_again_plants_what_is_missing(inside, alice):
    fill(alice, "planted_again")
    assert plant(inside, "planted_again") == (PLANTED, PLANTED)
    assert plant(inside, "planted_again") == (0, PLANTED)
    looked = at(inside, lambda database: verify(database, "planted_again"))
    assert (looked.records, looked.canaries, looked.bad) == (ROWS + PLANTED, PLANTED, {})
    gone = alice.delete("planted_again", filter="tag == 't0'")
    keys = gone.get("delete_count", 0) if isinstance(gone, dict) else len(gone)
    assert keys in (0, ROWS // 5)
    assert len(at(inside, lambda database: canaries.found(database, "planted_again"))) == PLANTED
    (row,) = alice.query("planted_again", filter="", output_fields=["count(*)"])
    assert int(row["count(*)"]) == ROWS - ROWS // 5
    assert at(inside, lambda database: canaries.remove(database, "planted_again")) == PLANTED
    assert at(inside, lambda database: canaries.found(database, "planted_again")) == []
    assert plant(inside, "planted_again") == (PLANTED, PLANTED)
    alice.drop_collection("planted_again")


def test_encrypted_numbers_are_planted_among(inside, alice):
    fill(alice, "numbers", range(1, 101))
    assert plant(inside, "numbers") == (PLANTED, PLANTED)
    planted, vectors = stored(inside, "numbers")
    assert min(planted) < 0 < max(planted)  # numbers of 64 bits, with a sign
    found = alice.query("numbers", filter="id != 0", output_fields=["tag"], **EVERY)
    assert sorted(row["id"] for row in found) == list(range(1, 101))
    for hits in search(alice, "numbers", vectors[:10], 3):
        assert {1 <= hit <= 100 for hit in hits} == {True}
        assert len(hits) == 3
    looked = at(inside, lambda database: verify(database, "numbers"))
    assert (looked.records, looked.canaries, looked.bad) == (100 + PLANTED, PLANTED, {})
    alice.drop_collection("numbers")


def test_they_are_hidden_where_the_policy_knows_nothing_of_them(inside, alice):
    """A replica that has an older policy, or one from which the entry was taken away."""
    fill(alice, "none")

    async def do(database: Any) -> int:
        return await planting.plant(database.upstream, "none", await database.shield("none"), PLANTED)

    assert at(inside, do) == PLANTED
    for hits in search(alice, "none", stored(inside, "none")[1][:8], 5):
        assert len(hits) == 5
        assert set(hits) <= set(IDS)
    everything = alice.query("none", filter="id != ''", output_fields=["tag"], **EVERY)
    assert sorted(row["id"] for row in everything) == sorted(IDS)
    alice.drop_collection("none")


def test_rotation_brings_them_over(inside, alice):
    fill(alice, "planted_turned")
    assert plant(inside, "planted_turned") == (PLANTED, PLANTED)
    before = stored(inside, "planted_turned")

    async def turn(database: Any) -> None:
        async for _ in rotate(database, "planted_turned", 2.2):
            pass

    at(inside, turn)
    after = stored(inside, "planted_turned")
    assert sorted(after[0]) == sorted(before[0])
    found = alice.query("planted_turned", filter="id != ''", output_fields=["tag"], **EVERY)
    assert sorted(row["id"] for row in found) == sorted(IDS)
    alice.drop_collection("planted_turned")


def test_the_command_plants_lists_and_removes(inside, alice):
    fill(alice, "planted_by_command")
    file = inside.settings.key.removeprefix("file:")
    where = ("--upstream", f"milvus://{inside.settings.upstream[0].target}", "--key", f"file:{file}")

    def run(what: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vecguard", "canaries", what, "planted_by_command", *where, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = run("plant", "--policy", str(inside.settings.policy))
    said = f"{PLANTED} records planted in `planted_by_command`, which has {PLANTED} of them now\n"
    assert (done.returncode, done.stdout) == (0, said), done.stderr
    assert sorted(run("list").stdout.split()) == sorted(stored(inside, "planted_by_command")[0])
    assert run("remove").stdout == f"{PLANTED} planted records removed from `planted_by_command`\n"
    assert run("list").stdout == ""
    alice.drop_collection("planted_by_command")


@pytest.mark.parametrize(
    ("name", "how", "why"),
    [
        ("open_ids", {"ids": range(1, 101)}, "are numbers in clear"),
        ("open_texts", {"ids": [f"doc-{i}" for i in range(100)]}, "not all UUIDs"),
        ("open_made", {"ids": range(1, 101), "auto_id": True}, "the database makes"),
        ("unique_tags", {"ids": IDS[:100], "tag": lambda i: f"tag {i}"}, "tag.* hardly repeat"),
        ("none_at_all", {"ids": IDS[:100]}, "the policy has no canaries"),
        ("planted_few", {"ids": IDS[:20]}, "48 are needed"),
        ("clear", {"ids": IDS[:100]}, "lies in clear"),
    ],
)
def test_nothing_is_planted_where_it_would_stand_out(inside, alice, name, how, why):
    fill(alice, name, **how)
    with pytest.raises(FailedPrecondition, match=why):
        plant(inside, name)
    (row,) = alice.query(name, filter="", output_fields=["count(*)"])
    assert int(row["count(*)"]) == len(list(how["ids"]))
    alice.drop_collection(name)


def test_nothing_is_planted_beside_partitions_that_have_names(inside, alice):
    fill(alice, "planted_parted")
    alice.create_partition("planted_parted", "other")
    with pytest.raises(FailedPrecondition, match="partitions that rows were put into by name"):
        plant(inside, "planted_parted")
    alice.drop_collection("planted_parted")
