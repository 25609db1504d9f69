"""What is counted, under which labels, and that clients cannot make labels without end."""

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from vecguard.telemetry.metrics import FOLD_S, Metrics

QUERY, UPSERT = "/qdrant.Points/Query", "/qdrant.Points/Upsert"
KNOWN = {"notes": "notes", "mail": "mail", "alias": "notes"}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    made = Metrics(KNOWN.get, collections=2, registry=registry)
    made.rpcs.update((QUERY, UPSERT))
    return made


def call(metrics, rpc=QUERY, collections=("notes",), status="OK", ms=3.0, **more):
    more = {"protocol": "grpc", **more}
    metrics("call", rpc=rpc, collections=list(collections), status=status, ms=ms, principal="ada", **more)


def calls(registry, rpc=QUERY, collection="notes", status="OK", protocol="grpc"):
    labels = {"rpc": rpc, "collection": collection, "status": status, "protocol": protocol}
    return registry.get_sample_value("vecguard_calls_total", labels)


def test_calls_are_counted_and_timed(metrics, registry):
    call(metrics)
    call(metrics, ms=700.0)
    call(metrics, rpc=UPSERT, status="PERMISSION_DENIED", cause="policy", protocol="rest")
    assert calls(registry) == 2
    assert calls(registry, UPSERT, status="PERMISSION_DENIED", protocol="rest") == 1
    labels = {"rpc": QUERY, "collection": "notes"}
    assert registry.get_sample_value("vecguard_call_seconds_sum", labels) == pytest.approx(0.703)
    assert registry.get_sample_value("vecguard_call_seconds_bucket", {**labels, "le": "0.005"}) == 1


def test_stages_candidates_and_failures(metrics, registry):
    call(metrics, stages={"auth": 0.02, "upstream": 2.0}, candidates=120, uncertified=2)
    call(metrics, status="DATA_LOSS", cause="integrity")
    call(metrics, status="UNAVAILABLE", cause="upstream")
    call(metrics, status="DATA_LOSS", cause="upstream")  # the database's own, which is no record of ours
    metrics.key_provider_failed()
    metrics.upstream_connected("qdrant", True)
    metrics.policy_reloaded(False)
    value = registry.get_sample_value
    assert value("vecguard_stage_seconds_sum", {"stage": "upstream"}) == pytest.approx(0.002)
    assert value("vecguard_stage_seconds_count", {"stage": "rerank"}) == 0
    assert value("vecguard_stage_seconds_count", {"stage": "detect"}) == 0
    assert value("vecguard_candidates_sum") == 120
    assert value("vecguard_uncertified_searches_total", {"collection": "notes"}) == 2
    assert value("vecguard_integrity_failures_total", {"collection": "notes"}) == 1
    assert value("vecguard_upstream_failures_total", {"protocol": "grpc", "status": "UNAVAILABLE"}) == 1
    assert value("vecguard_key_provider_failures_total") == 1
    assert value("vecguard_upstream_connected", {"front": "qdrant"}) == 1
    assert value("vecguard_policy_reloads_total", {"outcome": "refused"}) == 1


def test_detection(metrics, registry):
    metrics("detection", rung="block", enforced=True, principal="mallory")
    metrics("detection", rung="", enforced=True, principal="mallory")  # came down again
    metrics("budget", budget="records_per_hour", enforced=False, principal="mallory")
    metrics("detection_failed", observations=3, why="away")
    metrics("integrity", records=1, collection="notes", rolled_back=0)
    metrics("integrity", records=3, collection="notes", rolled_back=2)
    metrics.detection_waited()
    metrics.detection_missed(2)
    value = registry.get_sample_value
    assert value("vecguard_rolled_back_records_total", {"collection": "notes"}) == 2
    assert value("vecguard_detections_total", {"rung": "block", "enforced": "true"}) == 1
    assert value("vecguard_detections_total", {"rung": "", "enforced": "true"}) is None
    assert value("vecguard_budgets_used_up_total", {"budget": "records_per_hour", "enforced": "false"}) == 1
    assert value("vecguard_detection_waits_total") == 1
    assert value("vecguard_detection_unseen_calls_total") == 5


def test_only_collections_that_exist_have_names_and_only_so_many(metrics, registry):
    for number in range(50):
        call(metrics, collections=[f"made-up-{number}"], status="NOT_FOUND")
    assert calls(registry, collection="other", status="NOT_FOUND") == 50
    call(metrics, collections=[])
    call(metrics, collections=["alias"])
    call(metrics, collections=["alias", "notes"])
    call(metrics, collections=["mail"])
    call(metrics, collections=["mail", "notes"])
    assert calls(registry, collection="") == 1
    assert calls(registry) == 2
    assert calls(registry, collection="mail") == 1
    assert calls(registry, collection="other") == 1
    KNOWN["third"] = "third"
    call(metrics, collections=["third"])
    assert calls(registry, collection="other") == 2


def test_methods_that_a_client_made_up_are_one(metrics, registry):
    for number in range(50):
        call(metrics, rpc=f"/made.Up/{number}", collections=[], status="UNIMPLEMENTED")
    assert calls(registry, rpc="unknown", collection="", status="UNIMPLEMENTED") == 50
    call(metrics, rpc="GET /metrics", collections=[], status="UNIMPLEMENTED", protocol="rest")  # a row of REST's table
    assert calls(registry, "GET /metrics", "", "UNIMPLEMENTED", "rest") == 1


def test_other_events_are_no_calls(metrics, registry):
    metrics("policy reloaded", rpc=QUERY)
    assert calls(registry) is None


def test_calls_are_counted_after_a_moment_while_a_loop_runs(metrics, registry):
    async def some():
        call(metrics)
        assert calls(registry) is None
        await asyncio.sleep(3 * FOLD_S)
        assert calls(registry) == 1
        call(metrics)
        metrics.fold()
        assert calls(registry) == 2

    asyncio.run(some())


WORKER = """
import sys
from pathlib import Path
from vecguard.observing import share_metrics
share_metrics(Path(sys.argv[1]))
from vecguard.telemetry.metrics import Metrics
metrics = Metrics({"notes": "notes"}.get, collections=9)
metrics.rpcs.add("/a/B")
for _ in range(3):
    metrics("call", rpc="/a/B", protocol="grpc", collections=["notes"], status="OK", ms=1.0)
metrics.upstream_connected("qdrant", sys.argv[2] == "up")
import os; print(os.getpid())
"""


def test_workers_are_added_up_and_an_ended_one_keeps_its_counts(tmp_path):
    from vecguard.observing import worker_ended
    from vecguard.telemetry.exposition import shared_registry

    commands = [[sys.executable, "-c", WORKER, str(tmp_path), state] for state in ("up", "down")]
    pids = [int(subprocess.run(command, capture_output=True, check=True).stdout) for command in commands]
    registry = shared_registry(tmp_path)
    assert calls(registry, rpc="/a/B") == 6
    assert registry.get_sample_value("vecguard_upstream_connected", {"front": "qdrant"}) == 0
    worker_ended(tmp_path, pids[1])
    assert calls(registry, rpc="/a/B") == 6
    assert registry.get_sample_value("vecguard_upstream_connected", {"front": "qdrant"}) == 1


def test_alarms_queues_store_and_webhook(metrics, registry):
    value = registry.get_sample_value
    found = {"rung": "slow", "enforced": True, "detectors": {"walk": 1.5, "scroll": 0.4}}
    metrics("detection", principal="ada", collection="notes", **found)
    metrics.detection.waiting(7)
    for _ in range(2):  # totals, as they are read again and again
        metrics.detection.state(False, 2)
        metrics.detection.webhook(4, {"delivered": 5, "failed": 1, "dropped": 0})
    assert value("vecguard_detections_total", {"rung": "slow", "enforced": "true"}) == 1
    assert value("vecguard_detection_alarms_total", {"detector": "walk"}) == 1
    assert value("vecguard_detection_alarms_total", {"detector": "scroll"}) is None
    assert value("vecguard_detection_waiting") == 7
    assert value("vecguard_state_connected", {"store": "redis"}) == 0
    assert value("vecguard_state_failures_total") == 2
    assert value("vecguard_webhook_waiting") == 4
    assert value("vecguard_webhook_alerts_total", {"outcome": "delivered"}) == 5
