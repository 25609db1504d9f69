"""What an operator sees and says of principals, over what each worker remembers, and over a shared store."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator

import grpc
import pytest
from admin_plane import Plane
from proxy import processes
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from redis_server import RedisServer
from serving import free_port, serving_proxy

from vecguard.policy.credentials import hash_key, new_key
from vecguard.registry import DETECTORS
from vecguard.v1 import admin_pb2 as v1

pytestmark = pytest.mark.slow
WHO = "<anonymous>"
# Nothing is found here: a scroll of the one record that there is would be.
OFF = json.dumps(dict.fromkeys(DETECTORS.kinds, False))
POLICY = f"""
version: 1
access: {{anonymous: [read, write]}}
collections:
  - {{match: 'guarded*', detection: {{mode: enforce, detectors: {OFF}, ladder: {{slow: 'off', degrade: 'off'}}}}}}
  - {{match: 'counted', detection: {{mode: observe, detectors: {OFF}, budgets: {{records_per_day: 1}}}}}}
"""


@pytest.fixture(scope="module", params=["workers", "store"])
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder, port, key = tmp_path_factory.mktemp("plane"), free_port(), new_key()
    text = f"workers: 2\nadmin: {{listen: '127.0.0.1:{port}', key: '{hash_key(key)}'}}\n"
    if request.param == "store":
        redis: RedisServer = request.getfixturevalue("redis")
        text += f"state: {{url: '{redis.url}', prefix: 'risks{port}', timeout_s: 5}}\n"
    settings = folder / "settings.yaml"
    settings.write_text(text)
    with serving_proxy(folder / "proxy", POLICY, arguments=("--config", str(settings))) as proxy:
        face = Face(proxy.target)
        with face.channel:
            config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
            for name in ("guarded", "counted"):
                face.collections.Create(q.CreateCollection(collection_name=name, vectors_config=config))
                point = q.PointStruct(id=q.PointId(num=1), vectors=unnamed([1.0] * DIMS))
                face.points.Upsert(q.UpsertPoints(collection_name=name, points=[point], wait=True))
        yield Plane(proxy, f"127.0.0.1:{port}", key)


def calls(plane: Plane, collection: str = "guarded") -> set[str]:
    """How calls end, of connections of their own, which either worker may take."""
    ended = set()
    for _ in range(8):
        face = Face(plane.proxy.target)
        with face.channel:
            try:
                face.points.Scroll(q.ScrollPoints(collection_name=collection, limit=3), timeout=30)
                ended.add("OK")
            except grpc.RpcError as error:
                ended.add(error.code().name)
    return ended


def serving(plane: Plane) -> bool:
    """Whether all workers say that they serve."""
    status = plane.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse)
    return all(worker.pid and worker.policy_digest == status.policy_digest for worker in status.workers)


def risks(plane: Plane, **ask: object) -> list[v1.Risk]:
    return list(plane.call("ListRisks", v1.ListRisksRequest(**ask), v1.ListRisksResponse).risks)


def told(plane: Plane, kind: int) -> list[v1.Alert]:
    """The alerts of a kind among those that were told until now."""
    found = []
    with grpc.insecure_channel(plane.address) as channel:
        watch = channel.unary_stream(
            "/vecguard.v1.Admin/WatchAlerts", v1.WatchAlertsRequest.SerializeToString, v1.Alert.FromString
        )
        held = (("authorization", f"Bearer {plane.key}"),)
        with contextlib.suppress(grpc.RpcError):  # the deadline, by which all that was told is here
            for alert in watch(v1.WatchAlertsRequest(latest=100), metadata=held, timeout=1):
                found.append(alert)
    return [alert for alert in found if alert.kind == kind]


def test_a_pinned_principal_is_answered_so_in_every_worker_until_it_is_pardoned(plane: Plane) -> None:
    assert calls(plane) == {"OK"}
    until(lambda: [(one.principal, one.collection) for one in risks(plane, collection="guarded")] == [(WHO, "guarded")])
    assert plane.cli("principals", "pin", WHO, "9").startswith(f"0 ok: {WHO} is pinned on")
    until(lambda: calls(plane) == {"RESOURCE_EXHAUSTED"})
    (found,) = risks(plane, principal=WHO, collection="guarded")
    assert (found.risk, found.pinned) == (9.0, 9.0)
    shown = plane.cli("principals", "--collection", "guarded")
    assert "pinned at 9" in shown
    assert "9.00" in shown
    assert plane.cli("principals", "pardon", WHO).startswith("0 ok")
    until(lambda: calls(plane) == {"OK"})
    assert not risks(plane, principal=WHO, collection="guarded")[0].HasField("pinned")


def test_a_rung_that_is_reached_is_an_alert_until_it_is_acknowledged(plane: Plane) -> None:
    assert plane.cli("principals", "pin", WHO, "1.05", "--collection", "guarded").startswith("0 ok")
    # Workers take it within some 2 s; the next call after that brings the principal to the rung.
    # What was seen before may be told of meanwhile, on the rung of the test before.
    found: list[v1.Alert] = []

    def reached() -> bool:
        found[:] = [one for one in told(plane, v1.Alert.DETECTION) if one.rung == "alert"]
        return bool(found) and calls(plane) == {"OK"}

    until(lambda: calls(plane) == {"OK"} and reached())
    alert = found[-1]
    assert (alert.principal, list(alert.collections), alert.enforced) == (WHO, ["guarded"], True)
    assert round(alert.risk, 3) == 1.05
    assert plane.cli("principals", "ack", WHO, "--collection", "guarded", "--hours", "2").startswith("0 ok")
    until(lambda: risks(plane, collection="guarded")[0].HasField("acknowledged_until"))
    (risk,) = risks(plane, collection="guarded")
    assert risk.acknowledged_until.ToSeconds() - risk.time.ToSeconds() > 7_000
    assert plane.cli("principals", "unpin", WHO, "--collection", "guarded").startswith("0 ok")
    (line,) = plane.cli("principals", "--collection", "guarded", "--format", "json").splitlines()
    assert json.loads(line.removeprefix("0 "))["principal"] == WHO


def test_a_budget_that_is_used_up_is_an_alert(plane: Plane) -> None:
    assert calls(plane, "counted") == {"OK"}  # it only observes
    alerts: list[v1.Alert] = []
    until(lambda: bool(alerts.extend(told(plane, v1.Alert.BUDGET_USED_UP)) or alerts))
    alert = alerts[0]
    assert (alert.budget, alert.enforced, list(alert.collections)) == ("records_per_day", False, ["counted"])


@pytest.mark.parametrize(
    ("name", "ask", "code"),
    [
        ("ListRisks", v1.ListRisksRequest(limit=1_001), grpc.StatusCode.INVALID_ARGUMENT),
        ("ListRisks", v1.ListRisksRequest(least=float("nan")), grpc.StatusCode.INVALID_ARGUMENT),
        ("Pardon", v1.PardonRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ("Pardon", v1.PardonRequest(principal="nobody"), grpc.StatusCode.NOT_FOUND),
        ("Pin", v1.PinRequest(principal="a", collection="b", risk=-1.0), grpc.StatusCode.INVALID_ARGUMENT),
        ("Pin", v1.PinRequest(principal="a", collection="b", risk=float("nan")), grpc.StatusCode.INVALID_ARGUMENT),
        ("Acknowledge", v1.AcknowledgeRequest(principal="a" * 2_000), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_is_not_understood_is_refused(plane: Plane, name: str, ask: object, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plane.call(name, ask, v1.ActResponse)
    assert refused.value.code() is code


def test_acts_are_told(plane: Plane) -> None:
    logs = plane.proxy.logs
    assert '"act":"pin"' in logs.replace(": ", ":")
    assert '"act":"pardon"' in logs.replace(": ", ":")


def test_a_restarted_worker_keeps_what_an_operator_said(plane: Plane) -> None:

    assert plane.cli("principals", "pin", WHO, "9", "--collection", "guarded").startswith("0 ok")
    until(lambda: calls(plane) == {"RESOURCE_EXHAUSTED"})
    before = processes.workers(plane.proxy.process.pid)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(processes.workers(plane.proxy.process.pid)) - set(before)) == 1)
    until(lambda: serving(plane))
    assert calls(plane) == {"RESOURCE_EXHAUSTED"}
    assert plane.cli("principals", "pardon", WHO, "--collection", "guarded").startswith("0 ok")
    until(lambda: calls(plane) == {"OK"})
