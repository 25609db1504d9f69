"""Detection on Milvus Lite: what is seen of its calls, and each of the ladder's answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from detect.inside import ACCESS, KEYS, Inside, worker_inside
from pymilvus import AnnSearchRequest, DataType, MilvusClient, MilvusException, RRFRanker
from serving import free_port

from milvus.servers import MilvusServer
from vecguard.detect.desk import Pardon, Pin
from vecguard.detect.observation import SKETCH_DIMS

pytestmark = pytest.mark.slow

DIMS, ROWS, MANY = 8, 30, 300
NAMES = ("seen_notes", "seen_spent", "seen_many")
POLICY = f"""
version: 1
{ACCESS}
collections:
  - match: {NAMES[0]}
    payload: {{fields: {{a: plain}}}}
    detection:
      mode: enforce
      slow_ms: 400
      block_for: 90s
      degraded: {{vectors: deny, scores: rounded, score_decimals: 1, max_limit: 5}}
  - match: {NAMES[1]}
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}, budgets: {{records_per_hour: 12}}}}
  - match: {NAMES[2]}
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}}}
"""
X = np.random.default_rng(5).normal(size=(MANY, DIMS)).astype(np.float32)


@pytest.fixture(scope="module")
def inside(lite: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A worker before Milvus Lite, with two collections."""
    ports = {"milvus_listen": f"127.0.0.1:{free_port()}"}
    folder = tmp_path_factory.mktemp("detection")
    with worker_inside(folder, POLICY, upstream=f"milvus://{lite.target}", **ports) as running:
        client = connected(running, "alice")
        for name in NAMES:
            schema = client.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
            schema.add_field("a", DataType.INT64)
            index = client.prepare_index_params()
            index.add_index("v", metric_type="COSINE", index_type="FLAT")
            client.create_collection(name, schema=schema, index_params=index)
            client.insert(
                name, [{"id": i, "v": X[i].tolist(), "a": i} for i in range(MANY if name == NAMES[2] else ROWS)]
            )
        yield running
        for name in NAMES:
            client.drop_collection(name)
        client.close()


def connected(inside: Inside, name: str) -> MilvusClient:
    return MilvusClient(uri=f"http://{inside.settings.milvus_listen}", token=KEYS[name], timeout=120, dedicated=True)


@pytest.fixture
def ask(inside: Inside) -> Iterator[Callable[[str], MilvusClient]]:
    """A client by principal; mallory has no risk at first, and alice is trusted."""
    for name in NAMES:
        inside.do(Pardon(), "mallory", name)
        inside.do(Pin(0.0), "alice", name)
    made: list[MilvusClient] = []

    def client(principal: str) -> MilvusClient:
        made.append(connected(inside, principal))
        return made[-1]

    yield client
    for one in made:
        one.close()


def search(client: MilvusClient, name: str = NAMES[0], limit: int = 3, fields: tuple[str, ...] = ("id",)):
    (hits,) = client.search(name, [X[0].tolist()], limit=limit, output_fields=list(fields), anns_field="v")
    return hits


# -- what is seen ------------------------------------------------------------------------------------------------------


def only(seen):
    (one,) = [one for one in seen if one.principal == "mallory"]
    return one


def test_a_search_is_seen_with_its_vectors_rows_and_distances(inside, ask):
    mallory = ask("mallory")
    with inside.observed() as seen:
        (first, second) = mallory.search(
            NAMES[0], X[:2].tolist(), filter="a >= 0", limit=3, output_fields=["v", "a"], anns_field="v"
        )
    found = only(seen)
    assert (found.operation, found.collection, found.limit, found.records) == ("search", NAMES[0], 3, ROWS)
    assert (found.queries.shape, found.query_of.tolist()) == ((2, SKETCH_DIMS), [0, 0, 0, 1, 1, 1])
    assert found.scores.tolist() == pytest.approx([hit["distance"] for hit in (*first, *second)])
    assert found.left == {"scores", "vectors", "payload"}
    assert np.allclose(found.queries, found.vectors[[0, 3]], atol=1e-3)  # each found itself first
    assert (found.vector_ids == found.ids).all()
    assert found.filter_shape != 0


def test_queries_are_reads_by_key_scrolls_or_counts(inside, ask):
    alice = ask("alice")
    with inside.observed() as seen:
        alice.query(NAMES[0], filter="id in [1, 2, 99]", output_fields=["v"])
        alice.query(NAMES[0], filter="a > 3", limit=7, offset=2, output_fields=["a"])
        alice.query(NAMES[0], filter="", output_fields=["count(*)"])
    by_key, scroll, count = (one for one in seen if one.principal == "alice")
    assert (by_key.operation, by_key.limit, len(by_key.ids), by_key.filter_ids) == ("retrieve", 3, 2, 3)
    assert (by_key.left, len(by_key.vectors)) == ({"vectors"}, 2)
    assert (scroll.operation, scroll.limit, scroll.offset, len(scroll.ids)) == ("scroll", 7, 2, 7)
    assert scroll.left == {"payload"}
    assert (count.operation, len(count.ids)) == ("count", 0)


def test_a_hybrid_search_is_seen_with_all_its_vectors(inside, ask):
    mallory = ask("mallory")
    requests = [AnnSearchRequest([X[i].tolist()], "v", {"metric_type": "COSINE"}, limit=4) for i in range(2)]
    with inside.observed() as seen:
        mallory.hybrid_search(NAMES[0], requests, RRFRanker(), limit=2)
    found = only(seen)
    assert (len(found.queries), found.query_of.tolist(), len(found.ids), found.limit) == (2, [0, 0], 2, 4)


def test_writes_are_seen_with_their_keys_and_vectors(inside, ask):
    mallory = ask("mallory")
    rows = [{"id": 1_000 + i, "v": X[i].tolist(), "a": 0} for i in range(2)]
    with inside.observed() as seen:
        mallory.insert(NAMES[0], rows)
        mallory.upsert(NAMES[0], rows[:1])
        mallory.delete(NAMES[0], ids=[1_000, 1_001])
    insert, upsert, delete = (one for one in seen if one.principal == "mallory")
    assert [one.operation for one in (insert, upsert, delete)] == ["write", "write", "delete"]
    assert [len(one.written) for one in (insert, upsert, delete)] == [2, 1, 2]
    assert set(insert.written.tolist()) == set(delete.written.tolist())
    assert insert.written_vectors.shape == (2, SKETCH_DIMS)
    assert np.allclose(upsert.written_vectors[0], insert.written_vectors[0])


# -- the ladder and budgets --------------------------------------------------------------------------------------------


def test_below_the_ladder_nothing_is_changed(inside, ask):
    inside.do(Pin(0.4), "mallory", NAMES[0])
    first, *others = search(ask("mallory"), limit=10, fields=("v",))
    assert first["entity"]["v"] == pytest.approx(X[0].tolist(), abs=1e-3)
    assert len(others) == 9


def test_on_slow_calls_wait(inside, ask):
    inside.do(Pin(0.95), "mallory", NAMES[0])
    mallory = ask("mallory")
    began = time.monotonic()
    assert len(search(mallory)) == 3
    assert time.monotonic() - began >= 0.4


def test_on_degrade_answers_lose_vectors_exact_distances_and_length(inside, ask):
    inside.do(Pin(1.05), "mallory", NAMES[0])
    mallory, alice = ask("mallory"), ask("alice")
    distances = [hit["distance"] for hit in search(mallory)]
    assert distances == pytest.approx([round(distance, 1) for distance in distances], abs=1e-6)
    with pytest.raises(MilvusException, match="vectors are not given"):
        search(mallory, fields=("v",))
    with pytest.raises(MilvusException, match="the policy allows 5"):
        search(mallory, limit=6)
    with pytest.raises(MilvusException, match="vectors are not given"):
        mallory.query(NAMES[0], filter="id in [1]", output_fields=["v"])
    assert len(search(alice, limit=6, fields=("v",))) == 6


def test_on_block_calls_are_refused_without_a_reason(inside, ask):
    inside.do(Pin(5.0), "mallory", NAMES[0])
    mallory, alice = ask("mallory"), ask("alice")
    for call in (
        lambda: search(mallory),
        lambda: mallory.query(NAMES[0], filter="id in [1]", output_fields=["a"]),
        lambda: mallory.delete(NAMES[0], ids=[1]),
    ):
        with pytest.raises(MilvusException, match=r"calls of this caller are refused for now: try again in [3-9]\d s"):
            call()
    assert inside.events("call")[-1]["status"] == "RESOURCE_EXHAUSTED"
    assert len(search(alice)) == 3
    inside.do(Pardon(), "mallory", NAMES[0])
    assert len(search(mallory)) == 3


@pytest.mark.slow
def test_a_budget_holds_to_the_row(inside, ask):
    store = inside.worker._detection.store
    store._buckets.clear()
    mallory = ask("mallory")
    assert len(search(mallory, NAMES[1], limit=10)) == 10
    assert len(mallory.query(NAMES[1], filter="id in [1, 2]", output_fields=["a"])) == 2
    told = len(inside.events("budget"))
    with pytest.raises(MilvusException, match="budget records_per_hour"):
        mallory.query(NAMES[1], filter="id in [1]", output_fields=["a"], timeout=5)
    assert len(inside.events("budget")) > told
    assert len(search(ask("alice"), NAMES[1], limit=10)) == 10


def test_an_answer_that_is_much_of_a_collection_is_refused(inside, ask):
    mallory = ask("mallory")
    with pytest.raises(MilvusException, match=r"300 records of `seen_many` in one answer.*allows 250; ask for fewer"):
        mallory.query(NAMES[2], filter="id >= 0", output_fields=["a"], limit=MANY, timeout=5)
    assert len(mallory.query(NAMES[2], filter="id >= 0", output_fields=["a"], limit=250)) == 250
    assert len(ask("alice").query(NAMES[2], filter="id >= 0", output_fields=["a"], limit=MANY)) == MANY
