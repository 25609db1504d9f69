"""Jobs of a running server: a rotation that is followed, cancelled and taken up; an audit, and what it needs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from admin_plane import Plane
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from serving import free_port, serving_proxy

from vecguard.admin import jobs
from vecguard.admin.job_service import JobService
from vecguard.admin.jobs import NICENESS, Job
from vecguard.config import Settings
from vecguard.errors import FailedPrecondition, InvalidArgument, NotFound
from vecguard.policy.credentials import hash_key, new_key
from vecguard.policy.load import PolicyHolder
from vecguard.v1 import admin_pb2 as v1

POLICY = """
version: 1
access: {anonymous: [read, write]}
collections: [{match: 'notes*', integrity: {rollback: detect}}]
"""
POINTS = 200


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder, port, key = tmp_path_factory.mktemp("plane"), free_port(), new_key()
    settings = folder / "settings.yaml"
    settings.write_text(f"admin: {{listen: '127.0.0.1:{port}', key: '{hash_key(key)}'}}\nrollback_memory: newest.db\n")
    with serving_proxy(folder / "proxy", POLICY, arguments=("--config", str(settings))) as proxy:
        face = Face(proxy.target)
        with face.channel:
            config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
            face.collections.Create(q.CreateCollection(collection_name="notes", vectors_config=config))
            points = [
                q.PointStruct(id=q.PointId(num=number), vectors=unnamed([1.0 + number] * DIMS))
                for number in range(POINTS)
            ]
            face.points.Upsert(q.UpsertPoints(collection_name="notes", points=points, wait=True))
        yield Plane(proxy, f"127.0.0.1:{port}", key)


def stream(plane: Plane, name: str, ask: object) -> Iterator[v1.Job]:
    with grpc.insecure_channel(plane.address) as channel:
        method = channel.unary_stream(f"/vecguard.v1.Admin/{name}", type(ask).SerializeToString, v1.Job.FromString)
        yield from method(ask, metadata=(("authorization", f"Bearer {plane.key}"),), timeout=120)


def count(plane: Plane) -> int:
    """How many records a read finds, none of which looks put back."""
    face = Face(plane.proxy.target)
    with face.channel:
        return len(face.points.Scroll(q.ScrollPoints(collection_name="notes", limit=2 * POINTS), timeout=30).result)


@pytest.mark.slow
def test_a_rotation_is_cancelled_and_taken_up(plane: Plane) -> None:
    ask = v1.RotateKeyRequest(collection="notes")
    states = stream(plane, "RotateKey", ask)
    first = next(state for state in states if state.stage)
    assert (first.kind, first.state, first.front, first.epoch) == (v1.Job.KEY_ROTATION, v1.Job.RUNNING, "qdrant", 2)
    states.close()  # whoever asked goes away; the job does not
    with pytest.raises(grpc.RpcError) as refused:
        next(stream(plane, "RotateKey", ask))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert first.id in refused.value.details()
    assert first.id in plane.cli("admin", "jobs")
    assert plane.cli("admin", "cancel", first.id) == f"0 ok: job {first.id} is cancelled\n"
    (last,) = stream(plane, "WatchJob", v1.WatchJobRequest(id=first.id))
    assert last.state == v1.Job.CANCELLED
    assert count(plane) == POINTS
    shown = plane.cli("admin", "rotate-key", "notes")
    assert f"is done: key epoch 2 alone, {POINTS} records protected anew" in shown
    assert count(plane) == POINTS
    jobs = plane.call("ListJobs", v1.ListJobsRequest(), v1.ListJobsResponse).jobs
    assert [job.state for job in jobs] == [v1.Job.DONE, v1.Job.CANCELLED]
    assert '"act":"begin key_rotation"' in plane.proxy.logs.replace(": ", ":")


@pytest.mark.slow
def test_a_rotation_that_cannot_be_says_why(plane: Plane) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(stream(plane, "RotateKey", v1.RotateKeyRequest(collection="")))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    *_, last = stream(plane, "RotateKey", v1.RotateKeyRequest(collection="nothing"))
    assert last.state == v1.Job.FAILED
    assert "nothing" in last.problem
    assert "1 job" in plane.cli("admin", "rotate-key", "nothing")


@pytest.mark.slow
def test_an_audit_runs_beside_with_low_priority_and_one_at_a_time(plane: Plane) -> None:
    ask = v1.StartAuditRequest(collection="notes", quick=True, attacks=["linkage"])
    job = plane.call("StartAudit", ask, v1.Job)
    assert (job.kind, job.state) == (v1.Job.AUDIT, v1.Job.RUNNING)
    with pytest.raises(grpc.RpcError) as refused:
        plane.call("StartAudit", ask, v1.Job)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    until(lambda: len(children(plane.proxy.process.pid, "audit")) == 1)
    (pid,) = children(plane.proxy.process.pid, "audit")
    until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == NICENESS)
    with pytest.raises(grpc.RpcError) as refused:
        plane.call("GetAuditReport", v1.GetAuditReportRequest(id=job.id), v1.GetAuditReportResponse)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert plane.cli("admin", "cancel", job.id) == f"0 ok: job {job.id} is cancelled\n"
    assert children(plane.proxy.process.pid, "audit") == []
    assert "torch" not in Path(f"/proc/{plane.proxy.process.pid}/maps").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_audit_runs_to_its_end_and_its_report_is_fetched(plane: Plane, tmp_path: Path) -> None:
    before, own = count(plane), tmp_path / "own.json"
    asked = ("--quick", "--attacks", "linkage", "--seed", "3", "--out", str(own))
    shown = plane.cli("admin", "audit", "notes", *asked)
    assert shown.startswith("0 "), shown + plane.proxy.logs[-2_000:]
    job, *_ = plane.call("ListJobs", v1.ListJobsRequest(), v1.ListJobsResponse).jobs
    assert (job.kind, job.state, job.collection, job.done) == (v1.Job.AUDIT, v1.Job.DONE, "notes", job.total)
    assert f"job {job.id} is done" in shown
    answer = plane.call("GetAuditReport", v1.GetAuditReportRequest(id=job.id), v1.GetAuditReportResponse)
    report = json.loads(answer.report_json)
    assert report == json.loads(own.read_text())
    plane.cli("admin", "report", job.id, "--out", str(tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text()) == report
    assert children(plane.proxy.process.pid, "audit") == []
    assert count(plane) == before  # what is attacked are notes of its own: the collection is as it was


def children(parent: int, word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if int(status[1]) == parent and word in command:
                found.append(int(entry.name))
    return found


class TestService:
    """What is refused before a process is started."""

    @pytest.fixture
    def service(self, tmp_path: Path) -> JobService:
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY)
        return JobService(Settings(policy=policy), PolicyHolder(policy), [], tmp_path, lambda event, **fields: None)

    def test_an_audit_needs_its_extra(self, service: JobService, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
        with pytest.raises(FailedPrecondition, match=r"needs torch: pip install 'vecguard\[audit\]'"):
            asyncio.run(service.start_audit(v1.StartAuditRequest(collection="notes")))

    def test_an_audit_is_of_the_policy_in_force(self, service: JobService, tmp_path: Path) -> None:
        (tmp_path / "policy.yaml").write_text(POLICY.replace("notes*", "other*"))
        with pytest.raises(FailedPrecondition, match="reload it first"):
            asyncio.run(service.start_audit(v1.StartAuditRequest(collection="notes")))

    @pytest.mark.parametrize("name", ["", "--out=/etc", "a\nb", "x" * 2_000])
    def test_a_name_is_no_option(self, service: JobService, name: str) -> None:
        with pytest.raises(InvalidArgument):
            asyncio.run(service.start_audit(v1.StartAuditRequest(collection=name)))
        with pytest.raises(InvalidArgument):
            asyncio.run(service.start_audit(v1.StartAuditRequest(collection="a", attacks=[name])))


def test_a_report_is_that_of_an_audit_that_was_done(tmp_path: Path) -> None:
    async def run() -> str:
        service = JobService(Settings(), PolicyHolder(None), [], tmp_path, lambda event, **fields: None)
        job = service.jobs.begin(v1.Job(kind=v1.Job.AUDIT, collection="a"), ["policy", "schema"], tmp_path)
        (tmp_path / "report.json").write_text("{}")
        with pytest.raises(FailedPrecondition):
            await service.get_audit_report(v1.GetAuditReportRequest(id=job.told.id))
        await job.running
        return (await service.get_audit_report(v1.GetAuditReportRequest(id=job.told.id))).report_json

    assert asyncio.run(run()) == "{}"


def test_the_last_jobs_are_kept_and_older_ones_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_KEPT", 2)

    async def run() -> list[str]:
        held = jobs.Jobs()
        begun = []
        for number in range(4):
            folder = tmp_path / f"job-{number}"
            folder.mkdir()
            (folder / "report.json").write_text("{}")
            begun.append(held.begin(v1.Job(kind=v1.Job.AUDIT, collection="a"), ["policy", "schema"], folder))
            refused = tmp_path / f"refused-{number}"
            refused.mkdir()
            with pytest.raises(FailedPrecondition, match="runs already"):
                held.begin(v1.Job(kind=v1.Job.AUDIT, collection="b"), ["policy", "schema"], refused)
            await begun[-1].running
        with pytest.raises(NotFound):
            held.get(begun[1].told.id)
        assert held.all() == [begun[3], begun[2]]
        return sorted(path.name for path in tmp_path.iterdir())

    assert asyncio.run(run()) == ["job-2", "job-3"]


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    async def run() -> v1.Job:
        job = Job(v1.Job(kind=v1.Job.AUDIT), ["policy", "check", str(tmp_path / "none.yaml")], tmp_path)
        return [state async for state in job.watch()][-1]

    told = asyncio.run(run())
    assert told.state == v1.Job.FAILED
    assert "none.yaml" in told.problem
    assert told.ended.seconds >= told.started.seconds > 0


def test_a_job_that_is_cancelled_while_it_starts_does_not_run(tmp_path: Path) -> None:
    async def run(cancel: bool) -> v1.Job.State:
        job = Job(v1.Job(kind=v1.Job.AUDIT), ["policy", "schema"], tmp_path)
        if cancel:
            await asyncio.sleep(0)  # it is about to start its process
            await job.cancel()
        await job.running
        return job.told.state

    assert asyncio.run(run(False)) == v1.Job.DONE
    assert asyncio.run(run(True)) == v1.Job.CANCELLED
