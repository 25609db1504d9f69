"""The RPCs on jobs: rotations of data keys, and audits of the policy in force."""

from __future__ import annotations

import importlib.util
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vecguard.admin.jobs import Job, Jobs
from vecguard.config import Settings
from vecguard.errors import FailedPrecondition, InvalidArgument
from vecguard.model import Caller
from vecguard.policy.load import PolicyHolder, load
from vecguard.v1 import admin_pb2 as v1

if TYPE_CHECKING:
    from vecguard.admin.service import Database

_CALLER: Final = Caller(timeout=10.0)
# What goes on a command line: no option.
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]{0,999}")
_ATTACK: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
# Looked for without being imported: they are the audit's process' own.
_AUDIT_NEEDS: Final = ("torch", "scipy", "zstandard", "onnxruntime", "tokenizers", "matplotlib")


class JobService:
    """Begins jobs and tells of them. `folder` is this user's alone."""

    def __init__(
        self,
        settings: Settings,
        policy: PolicyHolder,
        databases: Sequence[Database],
        folder: Path,
        tell: Callable[..., object],
    ) -> None:
        """`tell` takes the event `operator`, which says what was begun and cancelled."""
        self._settings, self._policy, self._databases = settings, policy, databases
        self._folder, self._tell = folder, tell
        self.jobs = Jobs()

    async def rotate_key(self, ask: v1.RotateKeyRequest) -> AsyncIterator[v1.Job]:
        """`RotateKey`. Raises InvalidArgument, FailedPrecondition, UpstreamFailure."""
        database = self._database(ask.front)
        if not _NAME.fullmatch(ask.collection):
            raise InvalidArgument("`collection` is missing, or no name of one")
        name = await database.front.real_name(database.upstream, ask.collection, _CALLER)
        told = v1.Job(kind=v1.Job.KEY_ROTATION, front=database.front.name, collection=name)
        folder = self._own_folder()
        config = folder / "settings.json"
        config.touch(0o600)
        config.write_text(self._settings.model_dump_json(), encoding="utf-8")
        command = ["keys", "rotate", "--database", database.front.name, "--config", str(config), "--progress", "json"]
        # The name is the database's: it may look like an option.
        job = self._begun(told, [*command, "--", name], folder)
        async for state in job.watch():
            yield state

    def _database(self, front: str) -> Database:
        found = [database for database in self._databases if front in ("", database.front.name)]
        if len(found) != 1:
            raise InvalidArgument("say in `front` which database is meant: `qdrant` or `milvus`")
        return found[0]

    async def start_audit(self, ask: v1.StartAuditRequest) -> v1.Job:
        """`StartAudit`. Raises InvalidArgument, FailedPrecondition."""
        if not _NAME.fullmatch(ask.collection) or not all(map(_ATTACK.fullmatch, ask.attacks)):
            raise InvalidArgument("`collection` is missing, or no name of one; or an attack's name is none")
        missing = [name for name in _AUDIT_NEEDS if importlib.util.find_spec(name) is None]
        if missing:
            raise FailedPrecondition(
                f"an audit needs {', '.join(missing)}: pip install 'vecguard[audit]' on the server"
            )
        told = v1.Job(kind=v1.Job.AUDIT, collection=ask.collection)
        folder = self._own_folder()
        command = ["audit", "run", "--collection", ask.collection, "--seed", str(ask.seed), "--out", str(folder)]
        command += self._in_force()
        command += ["--quick"] if ask.quick else []
        command += ["--attacks", ",".join(ask.attacks)] if ask.attacks else []
        return self._begun(told, [*command, "--progress", "json"], folder).told

    def _in_force(self) -> list[str]:
        """The option that names the policy in force. Raises FailedPrecondition, ConfigError: its file changed since."""
        file = self._settings.policy
        if file is None:
            return []
        if load(file) != self._policy.current:
            raise FailedPrecondition(f"{file} is not the policy in force: reload it first")
        return ["--policy", str(file)]

    async def list_jobs(self, _: v1.ListJobsRequest) -> v1.ListJobsResponse:
        """`ListJobs`."""
        return v1.ListJobsResponse(jobs=[job.told for job in self.jobs.all()])

    async def watch_job(self, ask: v1.WatchJobRequest) -> AsyncIterator[v1.Job]:
        """`WatchJob`. Raises NotFound."""
        async for state in self.jobs.get(ask.id).watch():
            yield state

    async def cancel_job(self, ask: v1.CancelJobRequest) -> v1.Job:
        """`CancelJob`. Raises NotFound, FailedPrecondition where it has ended."""
        job = self.jobs.get(ask.id)
        if job.over:
            raise FailedPrecondition("the job has ended")
        self._told_of(job, "cancel")
        await job.cancel()
        return job.told

    async def get_audit_report(self, ask: v1.GetAuditReportRequest) -> v1.GetAuditReportResponse:
        """`GetAuditReport`. Raises NotFound, FailedPrecondition where there is none."""
        job = self.jobs.get(ask.id)
        report = job.folder / "report.json"
        if job.told.kind != v1.Job.AUDIT or job.told.state != v1.Job.DONE or not report.is_file():
            raise FailedPrecondition("the job is no audit that was done")
        return v1.GetAuditReportResponse(report_json=report.read_text(encoding="utf-8"))

    def _begun(self, told: v1.Job, command: Sequence[str], folder: Path) -> Job:
        job = self.jobs.begin(told, command, folder)
        self._told_of(job, "begin")
        return job

    def _told_of(self, job: Job, act: str) -> None:
        kind = v1.Job.Kind.Name(job.told.kind).lower()
        self._tell("operator", act=f"{act} {kind}", collection=job.told.collection, job=job.told.id)

    def _own_folder(self) -> Path:
        folder = self._folder / f"job-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        return folder
