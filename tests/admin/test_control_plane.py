"""The control plane of a running server: what it tells, what it changes in every worker, and to whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from admin_plane import Plane
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from proxy import processes
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from serving import free_port, serving_proxy

from vecguard.policy.credentials import hash_key, new_key
from vecguard.v1 import admin_pb2 as v1

ROOT = Path(__file__).parents[2]
POLICY = (
    "version: 1\naccess: {anonymous: [read, write]}\ncollections: [{match: 'notes*'}, {match: 'open', protect: none}]\n"
)


def test_the_generated_module_is_that_of_the_definition(tmp_path: Path) -> None:
    """`make protos` was run after the last change. Comments and how it is packed may differ."""
    target = tmp_path / "set"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={target}"]
    subprocess.run([*command, "vecguard/v1/admin.proto"], check=True, cwd=ROOT / "proto")
    (written,) = FileDescriptorSet.FromString(target.read_bytes()).file
    generated = FileDescriptorProto()
    v1.DESCRIPTOR.CopyToProto(generated)
    for message in written.message_type:  # protoc alone writes these
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            for field in nested.field:
                field.ClearField("json_name")
    assert generated == written


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder, port, key = tmp_path_factory.mktemp("plane"), free_port(), new_key()
    settings = folder / "settings.yaml"
    settings.write_text(f"workers: 2\nadmin: {{listen: '127.0.0.1:{port}', key: '{hash_key(key)}'}}\n")
    with serving_proxy(folder / "proxy", POLICY, arguments=("--config", str(settings))) as proxy:
        until(lambda: len(processes.workers(proxy.process.pid)) == 2)
        face = Face(proxy.target)
        with face.channel:
            params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
            config = q.VectorsConfig(params=params)
            for name in ("notes", "open"):
                face.collections.Create(q.CreateCollection(collection_name=name, vectors_config=config))
            point = q.PointStruct(id=q.PointId(num=1), vectors=unnamed([1.0] * DIMS))
            face.points.Upsert(q.UpsertPoints(collection_name="notes", points=[point], wait=True))
        yield Plane(proxy, f"127.0.0.1:{port}", key)


@pytest.mark.slow
def test_status(plane: Plane) -> None:
    def status() -> v1.GetStatusResponse:
        return plane.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse)

    until(lambda: all(worker.policy_digest == status().policy_digest for worker in status().workers))
    told = status()
    assert {worker.pid for worker in told.workers} == set(processes.workers(plane.proxy.process.pid))
    (upstream,) = told.upstreams
    assert (upstream.front, upstream.connected) == ("qdrant", True)
    assert upstream.listens[0] == plane.proxy.target
    assert (told.key_provider, len(told.key_id)) == ("file", 16)


@pytest.mark.slow
def test_collections_and_how_each_is_protected(plane: Plane) -> None:
    told = plane.call("ListCollections", v1.ListCollectionsRequest(), v1.ListCollectionsResponse)
    notes, clear = told.collections
    assert (notes.name, notes.state, notes.policy_entry) == ("notes", v1.Collection.PROTECTED, "collections[0]")
    (vector,) = notes.vectors
    assert (vector.kind, vector.dimensions, list(vector.transforms)) == ("dense", DIMS, ["rotation", "gaussian"])
    assert (vector.noise_ratio, vector.recover, notes.payload_default) == (1.0, "derived", "sealed")
    assert (clear.name, clear.state) == ("open", v1.Collection.CLEAR)
    shown = plane.cli("status")
    assert shown.startswith("0 ")
    assert all(text in shown for text in ("qdrant: notes", "protected", "IN CLEAR", "rotation + gaussian, noise 1"))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "x", new_key()], ids=["none", "short", "another"])
def test_nobody_else_is_let_in(plane: Plane, key: str) -> None:
    for method in v1.DESCRIPTOR.services_by_name["Admin"].methods:
        with grpc.insecure_channel(plane.address) as channel:
            call = channel.unary_unary(f"/vecguard.v1.Admin/{method.name}", None, None)
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=30, metadata=(("authorization", f"Bearer {key}"),))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(plane.address) as channel:
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]), timeout=30)
        with pytest.raises(grpc.RpcError) as refused:
            next(answers)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.slow
def test_health_needs_no_key_and_reflection_names_the_services(plane: Plane) -> None:
    with grpc.insecure_channel(plane.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "qdrant", "vecguard.v1.Admin"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        metadata = (("authorization", f"Bearer {plane.key}"),)
        found = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]), metadata=metadata)
        names = {service.name for service in next(found).list_services_response.service}
    assert {"vecguard.v1.Admin", "grpc.health.v1.Health"} <= names
    assert plane.cli("admin", "health") == "0 SERVING\n"
    assert "NOT_FOUND" in plane.cli("admin", "health", "--service", "milvus")


@pytest.mark.slow
def test_a_principal_is_blocked_in_every_worker_and_pardoned(plane: Plane) -> None:
    def called() -> str:
        """How a call ends, of a connection of its own, which either worker may take."""
        face = Face(plane.proxy.target)
        with face.channel:
            try:
                face.points.Count(q.CountPoints(collection_name="notes"), timeout=30)
            except grpc.RpcError as error:
                return str(error.details())
        return "served"

    assert plane.cli("admin", "block", "<anonymous>", "--reason", "crawls").startswith("0 ")
    assert {called() for _ in range(12)} == {"this caller is blocked by the operator"}
    assert "blocked: <anonymous>" in plane.cli("status")
    told = plane.call("ListPrincipals", v1.ListPrincipalsRequest(), v1.ListPrincipalsResponse)
    assert [(one.name, one.blocked) for one in told.principals] == [("<anonymous>", True)]
    with grpc.insecure_channel(plane.address) as channel:
        watch = channel.unary_stream(
            "/vecguard.v1.Admin/WatchAlerts", v1.WatchAlertsRequest.SerializeToString, v1.Alert.FromString
        )
        alerts = watch(
            v1.WatchAlertsRequest(latest=5), metadata=(("authorization", f"Bearer {plane.key}"),), timeout=30
        )
        # Of each kind some are kept, so that others may be told before it.
        alert = next(one for one in alerts if one.kind == v1.Alert.BLOCKED_CALL)
        assert (alert.principal, alert.rpc) == ("<anonymous>", "/qdrant.Points/Count")
        alerts.cancel()
    assert plane.cli("admin", "unblock", "<anonymous>").startswith("0 ")
    assert {called() for _ in range(4)} == {"served"}
    assert "NOT_FOUND" in plane.cli("admin", "unblock", "<anonymous>")


@pytest.mark.slow
def test_the_policy_is_reloaded_everywhere_or_nowhere(plane: Plane) -> None:
    assert plane.proxy.policy is not None
    before = plane.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse).policy_digest
    plane.proxy.policy.write_text(POLICY + "nonsense: 1\n")
    assert "nonsense" in plane.cli("admin", "reload")
    assert plane.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse).policy_digest == before
    plane.proxy.policy.write_text(POLICY.replace("{match: 'open', protect: none}", "{match: 'more'}"))
    told = plane.call("ReloadPolicy", v1.ReloadPolicyRequest(), v1.ReloadPolicyResponse)
    assert (told.accepted, list(told.confirmed), list(told.silent)) == (True, [0, 1], [])
    assert told.policy_digest != before
    collections = plane.call("ListCollections", v1.ListCollectionsRequest(), v1.ListCollectionsResponse).collections
    assert [(one.name, one.state) for one in collections][1] == ("open", v1.Collection.REFUSED)
    assert "no entry of the policy covers" in collections[1].problem
    explained = plane.call("ExplainPolicy", v1.ExplainPolicyRequest(collection="open"), v1.ExplainPolicyResponse)
    assert explained.sections[0].lines[0].subject == "refused"
    checked = plane.call("CheckPolicy", v1.CheckPolicyRequest(text="version: 2\n"), v1.CheckPolicyResponse)
    assert (checked.usable, checked.problems[0].line, checked.problems[0].error) == (False, 1, True)


@pytest.mark.slow
def test_a_worker_that_ends_is_told(plane: Plane) -> None:
    os.kill(processes.workers(plane.proxy.process.pid)[0], signal.SIGKILL)

    def restarted() -> bool:
        told = plane.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse)
        return sorted(worker.restarts for worker in told.workers) == [0, 1] and all(
            worker.policy_digest == told.policy_digest for worker in told.workers
        )

    until(restarted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("ExplainPolicy", v1.ExplainPolicyRequest()),
        ("Block", v1.BlockRequest()),
        ("Block", v1.BlockRequest(principal="a", reason="two\nlines")),
        ("Unblock", v1.UnblockRequest(principal="x" * 2_000)),
    ],
)
def test_what_is_not_understood_is_refused(plane: Plane, name: str, ask: object) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plane.call(name, ask, v1.BlockResponse)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
