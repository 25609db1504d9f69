"""Detection's answers on a real engine, over gRPC and REST: each rung of the ladder, budgets, and mere observing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from detect.inside import ACCESS, KEYS, Inside, worker_inside
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse
from serving import Server, free_port

from vecguard.detect.desk import Acknowledge, Pardon, Pin

DIMS, RECORDS, MANY = 8, 40, 1_000
POLICY = f"""
version: 1
{ACCESS}
collections:
  - match: notes
    detection:
      mode: enforce
      slow_ms: 400
      block_for: 90s
      degraded: {{vectors: deny, scores: rounded, score_decimals: 1, max_limit: 5}}
  - match: denied
    detection: {{mode: enforce, block_with: denied}}
  - match: large
    detection: {{mode: enforce, block_for: 90s, ladder: {{slow: off, degrade: off}}}}
  - match: wide
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}}}
  - match: watched
  - match: unwatched
    detection: {{mode: "off"}}
  - match: spent
    detection:
      mode: enforce
      ladder: {{slow: off, degrade: off, block: off}}
      budgets: {{records_per_hour: 12, vectors_per_day: 3}}
  - match: counted
    detection:
      mode: enforce
      ladder: {{slow: off, degrade: off, block: off}}
      budgets: {{distinct_ids_per_day: 6}}
  - match: reckoned
    detection: {{budgets: {{records_per_hour: 5}}}}
  - match: clear
    protect: none
    detection: {{mode: enforce}}
  - match: "also-*"
    protect: none
    detection: {{mode: "off"}}
"""
COLLECTIONS = ("notes", "denied", "watched", "unwatched", "spent", "counted", "reckoned", "clear")
X = np.random.default_rng(5).normal(size=(MANY, DIMS)).astype(np.float32)
ALL = {**dict.fromkeys(COLLECTIONS, RECORDS), "large": MANY, "wide": 300}
"""Collections and their points."""


@pytest.fixture(scope="module")
def inside(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A worker before the shared engine, with the collections of `ALL`."""
    ports = {"listen": f"127.0.0.1:{free_port()}", "rest": f"127.0.0.1:{free_port()}"}
    folder = tmp_path_factory.mktemp("detection")
    with worker_inside(folder, POLICY, upstream=f"qdrant://{engine.target}", **ports) as running:
        client = clients(running)["grpc"]("alice")
        for name, records in ALL.items():
            client.create_collection(
                name, vectors_config=models.VectorParams(size=DIMS, distance=models.Distance.COSINE)
            )
            points = [models.PointStruct(id=i, vector=X[i].tolist(), payload={"a": i}) for i in range(records)]
            client.upsert(name, points, wait=True)
        yield running
        for name in ALL:
            client.delete_collection(name)
        client.close()


pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]


def clients(inside: Inside) -> dict[str, Callable[[str], QdrantClient]]:
    """How a client of each protocol is made for a principal."""
    grpc_port = int(inside.settings.listen.rpartition(":")[2])
    return {
        "grpc": lambda name: QdrantClient(
            host="127.0.0.1",
            grpc_port=grpc_port,
            prefer_grpc=True,
            check_compatibility=False,
            api_key=KEYS[name],
            https=False,
            timeout=120,
        ),
        "rest": lambda name: QdrantClient(url=f"http://{inside.settings.rest}", api_key=KEYS[name], timeout=120),
    }


@pytest.fixture(params=["grpc", "rest"])
def ask(request: pytest.FixtureRequest, inside: Inside) -> Iterator[Callable[[str], QdrantClient]]:
    """A client of either protocol, by principal; mallory has no risk at first, and alice is trusted."""
    for name in ALL:
        inside.do(Pardon(), "mallory", name)
        inside.do(Pin(0.0), "alice", name)
    made: list[QdrantClient] = []

    def client(principal: str) -> QdrantClient:
        made.append(clients(inside)[request.param](principal))
        return made[-1]

    yield client
    for one in made:
        one.close()


def refusal(call: Callable[[], object]) -> tuple[str, str | None, str]:
    """Status, `retry-after` and text of a call that is refused; the status in gRPC's names."""
    try:
        call()
    except grpc.RpcError as error:
        retry = dict(error.trailing_metadata()).get("retry-after")  # type: ignore[attr-defined]
        return error.code().name, retry, error.details()  # type: ignore[attr-defined]
    except UnexpectedResponse as error:
        names = {429: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED"}
        return names[error.status_code or 0], error.headers.get("retry-after"), error.content.decode()
    except ResourceExhaustedResponse as error:
        return "RESOURCE_EXHAUSTED", str(error.retry_after_s), error.message
    raise AssertionError("it was served")


def last_call(inside: Inside) -> dict[str, Any]:
    """The trail of the last call on a collection (clients also ask for the version, when they like)."""
    return [call for call in inside.events("call") if call["collections"]][-1]


def search(client: QdrantClient, collection: str = "notes", limit: int = 3, **more: bool) -> list[models.ScoredPoint]:
    return client.query_points(collection, query=X[0].tolist(), limit=limit, **more).points


# -- the ladder --------------------------------------------------------------------------------------------------------


def test_below_the_ladder_nothing_is_changed(inside, ask):
    inside.do(Pin(0.4))
    (first, *_) = search(ask("mallory"), with_vectors=True)
    assert first.vector is not None
    assert first.score == pytest.approx(1.0, abs=1e-5)
    assert "rung" not in last_call(inside)


@pytest.mark.parametrize("risk", [0.6, 0.85])
def test_on_log_and_alert_callers_notice_nothing(inside, ask, risk):
    inside.do(Pin(risk))
    assert len(search(ask("mallory"), limit=10, with_vectors=True)) == 10


def test_on_slow_calls_wait_and_others_do_not(inside, ask):
    inside.do(Pin(0.95))
    mallory, alice = ask("mallory"), ask("alice")
    search(alice)
    assert "rung" not in last_call(inside)
    began = time.monotonic()
    assert len(search(mallory, limit=10, with_vectors=True)) == 10
    assert time.monotonic() - began >= 0.4
    assert last_call(inside)["rung"] == "slow"


def test_on_degrade_answers_lose_vectors_exact_scores_and_length(inside, ask):
    inside.do(Pin(1.05))
    mallory, alice = ask("mallory"), ask("alice")
    scores = [point.score for point in search(mallory)]
    assert scores == pytest.approx([round(score, 1) for score in scores], abs=1e-6)
    status, _, text = refusal(lambda: search(mallory, with_vectors=True))
    assert (status, "vectors are not given" in text) == ("PERMISSION_DENIED", True)
    status, _, text = refusal(lambda: search(mallory, limit=6))
    assert (status, "the policy allows 5" in text) == ("RESOURCE_EXHAUSTED", True)
    assert len(search(alice, limit=6, with_vectors=True)) == 6
    assert len(mallory.retrieve("notes", [1, 2])) == 2
    assert refusal(lambda: mallory.retrieve("notes", [1], with_vectors=True))[0] == "PERMISSION_DENIED"
    assert refusal(lambda: mallory.scroll("notes", limit=6))[0] == "RESOURCE_EXHAUSTED"


def test_on_block_calls_are_refused_for_a_time_without_a_reason(inside, ask):
    inside.do(Pin(5.0))
    mallory, alice = ask("mallory"), ask("alice")
    for call in (lambda: search(mallory), lambda: mallory.scroll("notes"), lambda: mallory.delete("notes", [1])):
        status, retry, text = refusal(call)
        assert (status, int(retry or 0) in range(30, 91)) == ("RESOURCE_EXHAUSTED", True)
        assert f"calls of this caller are refused for now: try again in {retry} s" in text
        assert "risk" not in text
    assert len(search(mallory, "watched")) == 3  # another collection is another matter
    assert len(search(alice)) == 3
    inside.do(Pardon())
    assert len(search(mallory)) == 3


def test_a_block_may_be_a_denial(inside, ask):
    inside.do(Pin(5.0), collection="denied")
    status, retry, _ = refusal(lambda: search(ask("mallory"), "denied"))
    assert (status, int(retry or 0) in range(600, 901)) == ("PERMISSION_DENIED", True)
    assert len(search(ask("alice"), "denied")) == 3


@pytest.mark.parametrize("collection", ["notes", "clear"])
def test_a_block_holds_for_snapshots_too(inside, ask, collection):
    alice, mallory = ask("alice"), ask("mallory")
    own, whole = mallory.create_snapshot(collection), mallory.create_full_snapshot()
    paths = [f"/collections/{collection}/snapshots/{own.name}", f"/snapshots/{whole.name}"]

    def fetched(who: str) -> list[int]:
        rest, key = f"http://{inside.settings.rest}", {"api-key": KEYS[who]}
        return [httpx.get(rest + path, headers=key, timeout=120).status_code for path in paths]

    assert fetched("mallory") == [200, 200]
    inside.do(Pin(5.0), collection=collection)
    assert fetched("mallory") == [429, 429]
    assert fetched("alice") == [200, 200]
    for call in (
        lambda: mallory.create_snapshot(collection),
        lambda: mallory.list_snapshots(collection),
        lambda: mallory.delete_snapshot(collection, own.name),
        mallory.create_full_snapshot,
        lambda: mallory.delete_full_snapshot(whole.name),
    ):
        assert refusal(call)[0] == "RESOURCE_EXHAUSTED"
    assert mallory.create_snapshot("watched") is not None  # another collection is another matter
    inside.do(Pardon(), collection=collection)
    assert fetched("mallory") == [200, 200]
    alice.delete_snapshot(collection, own.name)
    alice.delete_full_snapshot(whole.name)


def test_degrade_holds_for_a_collection_in_clear(inside, ask):
    inside.do(Pin(1.05), collection="clear")
    mallory = ask("mallory")
    scores = [point.score for point in search(mallory, "clear")]
    assert scores == pytest.approx([round(score, 2) for score in scores], abs=1e-6)
    assert refusal(lambda: search(mallory, "clear", with_vectors=True))[0] == "PERMISSION_DENIED"
    assert len(search(mallory, "clear", limit=10)) == 10
    with pytest.raises((grpc.RpcError, UnexpectedResponse), match="the policy allows 10 in one call"):
        search(mallory, "clear", limit=11)
    inside.do(Pin(5.0), collection="clear")
    assert refusal(lambda: search(mallory, "clear"))[0] == "RESOURCE_EXHAUSTED"


def test_a_block_on_a_collection_in_clear_holds_under_its_aliases(inside, ask):
    alice, mallory = ask("alice"), ask("mallory")
    alias = models.CreateAlias(collection_name="clear", alias_name="also-clear")
    alice.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    try:
        assert len(search(mallory, "also-clear")) == 3
        inside.do(Pin(5.0), collection="clear")
        assert refusal(lambda: search(mallory, "also-clear"))[0] == "RESOURCE_EXHAUSTED"
        assert len(search(alice, "also-clear")) == 3
    finally:
        gone = models.DeleteAlias(alias_name="also-clear")
        alice.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])


def test_observing_changes_nothing_and_says_what_would_have_been(inside, ask):
    inside.do(Pin(5.0), collection="watched")
    assert len(search(ask("mallory"), "watched", limit=10, with_vectors=True)) == 10
    call = last_call(inside)
    assert (call["rung"], call["enforced"], call["status"]) == ("block", False, "OK")


def test_the_trail_tells_the_rung_of_each_call(inside, ask):
    inside.do(Pin(1.05))
    search(ask("mallory"))
    call = last_call(inside)
    assert (call["rung"], call["enforced"], call["principal"]) == ("degrade", True, "mallory")
    inside.do(Pin(5.0))
    refusal(lambda: search(ask("mallory")))
    assert last_call(inside)["cause"] == "detection"
    search(ask("alice"))
    assert "rung" not in last_call(inside)


def test_what_an_operator_does_is_told(inside, ask):
    inside.do(Acknowledge(2e9))
    event = inside.events("operator")[-1]
    assert (event["act"], event["operator"], event["principal"], event["until"]) == (
        "acknowledge",
        "test",
        "mallory",
        2e9,
    )


# -- what is seen ------------------------------------------------------------------------------------------------------


def test_calls_are_seen_but_of_collections_that_are_not_watched(inside, ask):
    mallory = ask("mallory")
    before = inside.profile("mallory", "watched").at
    search(mallory, "watched")
    search(mallory, "unwatched")
    deadline = time.monotonic() + 60
    while inside.profile("mallory", "watched").at == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.time() - inside.profile("mallory", "watched").at < 75
    assert inside.profile("mallory", "unwatched").at == 0.0


def test_a_search_is_seen_with_its_vector_points_and_scores(inside, ask):
    mallory = ask("mallory")
    with inside.observed() as seen:
        points = search(mallory, limit=3, with_vectors=True)
        mallory.retrieve("notes", [points[0].id, 10**6])
    (searched, retrieved) = (one for one in seen if one.principal == "mallory")
    assert (searched.operation, searched.limit, searched.records) == ("search", 3, RECORDS)
    assert searched.scores.tolist() == pytest.approx([point.score for point in points])
    assert np.allclose(searched.queries[0], searched.vectors[0], atol=1e-3)
    assert (searched.left, len(searched.request_id)) == ({"scores", "vectors", "payload"}, 24)
    assert (retrieved.operation, retrieved.limit) == ("retrieve", 2)
    assert retrieved.ids.tolist() == searched.ids[:1].tolist()


def test_a_dump_by_scroll_is_found_out_and_blocked(inside, ask):
    """The whole way, with the real detectors: seen, judged, told with reasons, answered; and nobody else notices."""
    mallory, told = ask("mallory"), len(inside.events("detection"))
    deadline, page = time.monotonic() + 120, None
    while time.monotonic() < deadline:
        try:
            _, page = mallory.scroll("large", limit=20, offset=page, with_payload=True)
        except (grpc.RpcError, ResourceExhaustedResponse):
            break
        time.sleep(0.1)
    status, retry, _ = refusal(lambda: mallory.scroll("large", limit=1))
    assert (status, 30 < int(retry or 0) <= 90) == ("RESOURCE_EXHAUSTED", True)
    event = [event for event in inside.events("detection")[told:] if event["principal"] == "mallory"][-1]
    assert (event["rung"], event["enforced"], event["collection"]) == ("block", True, "large")
    assert event["blocked_s"] == 90
    assert any("enumeration" in name for name in event["detectors"])
    assert event["reasons"]
    assert len(ask("alice").scroll("large", limit=5)[0]) == 5


def test_an_answer_that_is_much_of_a_collection_is_refused(inside, ask):
    mallory = ask("mallory")
    status, retry, text = refusal(lambda: mallory.scroll("wide", limit=300, with_payload=True))
    assert (status, retry) == ("RESOURCE_EXHAUSTED", None)
    assert "300 records of `wide` in one answer: the policy's `detection.largest_answer` allows 250" in text
    assert refusal(lambda: mallory.retrieve("wide", list(range(251)), with_vectors=True))[0] == status
    assert last_call(inside)["status"] == status
    # Of ids and scores there may be any number; a page of 250 is never too large; whom an operator trusts is not held.
    assert len(search(mallory, "wide", limit=300, with_payload=False)) == 300
    assert len(mallory.scroll("wide", limit=250, with_payload=True)[0]) == 250
    assert len(ask("alice").scroll("wide", limit=300, with_payload=True)[0]) == 300


def test_who_looks_at_all_of_a_small_collection_is_not_held_up(inside, ask):
    """The real detectors: searches with vectors, a retrieval and all of 40 records are no extraction."""
    mallory, told = ask("mallory"), len(inside.events("detection"))
    for row in X[:10]:
        assert len(mallory.query_points("notes", query=row.tolist(), limit=3, with_vectors=True).points) == 3
    assert len(mallory.retrieve("notes", [1, 2], with_vectors=True)) == 2
    assert len(mallory.scroll("notes", limit=RECORDS, with_vectors=True)[0]) == RECORDS
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        evidence = inside.profile("mallory", "notes").evidence
        if "enumeration" in evidence and evidence["enumeration"].level > 0.3:
            break
        time.sleep(0.02)
    assert inside.profile("mallory", "notes").evidence["enumeration"].level > 0.3
    assert len(search(mallory, with_vectors=True)) == 3
    mine = [event for event in inside.events("detection")[told:] if event["principal"] == "mallory"]
    assert {event["rung"] for event in mine} <= {"", "log"}


# -- budgets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(inside: Inside) -> None:
    """Nobody has spent anything."""
    store = inside.worker._detection.store
    store._buckets.clear()
    store._distinct.clear()


@pytest.mark.usefixtures("fresh")
def test_a_budget_of_records_holds_to_the_record(inside, ask):
    mallory, alice = ask("mallory"), ask("alice")
    assert len(search(mallory, "spent", limit=10)) == 10
    status, retry, text = refusal(lambda: search(mallory, "spent", limit=3))
    assert (status, int(retry or 0) in range(240, 301)) == ("RESOURCE_EXHAUSTED", True)  # one record in 300 s
    assert "budget records_per_hour" in text
    assert len(search(mallory, "spent", limit=2)) == 2
    assert refusal(lambda: mallory.retrieve("spent", [1]))[0] == "RESOURCE_EXHAUSTED"
    assert len(search(alice, "spent", limit=10)) == 10
    assert inside.events("budget")[-1]["enforced"] is True


@pytest.mark.usefixtures("fresh")
def test_a_budget_of_vectors_counts_vectors_alone(inside, ask):
    mallory = ask("mallory")
    assert len(search(mallory, "spent", limit=3, with_vectors=True)) == 3
    status, _, text = refusal(lambda: search(mallory, "spent", limit=1, with_vectors=True))
    assert (status, "budget vectors_per_day" in text) == ("RESOURCE_EXHAUSTED", True)
    assert len(search(mallory, "spent", limit=3)) == 3


@pytest.mark.usefixtures("fresh")
def test_a_budget_of_distinct_ids_lets_the_same_records_be_read_again(inside, ask):
    mallory = ask("mallory")
    for _ in range(3):
        assert len(mallory.retrieve("counted", [1, 2, 3, 4, 5, 6])) == 6
    status, _, text = refusal(lambda: mallory.retrieve("counted", [6, 7]))
    assert (status, "budget distinct_ids_per_day" in text) == ("RESOURCE_EXHAUSTED", True)
    assert len(mallory.retrieve("counted", [6])) == 1  # what was refused did not count


@pytest.mark.usefixtures("fresh")
def test_an_observed_budget_is_told_of_and_holds_nobody_back(inside, ask):
    mallory = ask("mallory")
    told = len(inside.events("budget"))
    assert len(search(mallory, "reckoned", limit=5)) == 5
    assert len(search(mallory, "reckoned", limit=5)) == 5
    (event,) = inside.events("budget")[told:]
    assert (event["budget"], event["enforced"], event["principal"]) == ("records_per_hour", False, "mallory")
