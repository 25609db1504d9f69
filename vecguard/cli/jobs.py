"""`vecguard admin rotate-key | audit | jobs | watch | cancel`: what runs for long in a running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from vecguard.cli.progress import stages
from vecguard.cli.remote import Address, Ca, Remote, connected, time_of
from vecguard.config import DEFAULT_ADMIN, FrontName
from vecguard.v1 import admin_pb2 as v1

jobs_app = typer.Typer()

JobId: TypeAlias = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `vecguard admin jobs` tells it.")]


def _followed(states: Iterator[v1.Job]) -> None:
    """Show how a job goes, until it ends; exit status 1 unless it was done."""
    told = v1.Job()
    with stages() as advance:
        for told in states:
            advance(told.stage or "starting", told.done, max(told.total, 1))
    if told.state != v1.Job.DONE:
        problem = f": {told.problem}" if told.problem else ""
        typer.echo(f"job {told.id}: {v1.Job.State.Name(told.state).lower()}{problem}", err=True)
        raise typer.Exit(1)
    more = f": key epoch {told.epoch} alone, {told.moved} records protected anew"
    typer.echo(f"ok: job {told.id} is done{more if told.kind == v1.Job.KEY_ROTATION else ''}")


@jobs_app.command("rotate-key")
def rotate_command(
    collection: Annotated[str, typer.Argument(help="Name or alias; Milvus: also DATABASE/NAME.")],
    database: Annotated[FrontName | None, typer.Option(help="Which of two databases is meant.")] = None,
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Give a collection a new data key in the running server, and show how far that is.

    It goes on where this command is ended; `vecguard admin cancel` ends it, and beginning again takes it up.
    """
    ask = v1.RotateKeyRequest(collection=collection, front=database or "")
    with connected(address, ca) as remote:
        _followed(remote.stream("RotateKey", ask, v1.Job))


@jobs_app.command("audit")
def audit_command(
    collection: Annotated[str, typer.Argument(help="Whose entry of the policy in force is attacked.")],
    quick: Annotated[bool, typer.Option("--quick", help="Small samples: minutes instead of an hour.")] = False,
    attacks: Annotated[str, typer.Option(help="Comma-separated; all without.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides samples and keys.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for report.json. [default: it stays on the server]")] = None,
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Audit what the policy in force stores, on the server, in a process of low priority; show how far it is."""
    names = [name.strip() for name in attacks.split(",") if name.strip()]
    ask = v1.StartAuditRequest(collection=collection, quick=quick, attacks=names, seed=seed)
    with connected(address, ca) as remote:
        job = remote.call("StartAudit", ask, v1.Job)
        _followed(remote.stream("WatchJob", v1.WatchJobRequest(id=job.id), v1.Job))
        if out is not None:
            _fetch(remote, job.id, out)


@jobs_app.command("report")
def report_command(
    job: JobId,
    out: Annotated[Path, typer.Option(help="File for report.json.")] = Path("report.json"),
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Fetch what an audit found."""
    with connected(address, ca) as remote:
        _fetch(remote, job, out)


def _fetch(remote: Remote, job: str, out: Path) -> None:
    told = remote.call("GetAuditReport", v1.GetAuditReportRequest(id=job), v1.GetAuditReportResponse)
    out.write_text(told.report_json, encoding="utf-8")
    typer.echo(f"written: {out}")


@jobs_app.command("jobs")
def jobs_command(address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """List jobs, the latest first."""
    with connected(address, ca) as remote:
        told = remote.call("ListJobs", v1.ListJobsRequest(), v1.ListJobsResponse)
    table = Table("job", "kind", "collection", "state", "since", "stage", box=None)
    for job in told.jobs:
        kind, state = v1.Job.Kind.Name(job.kind).lower(), v1.Job.State.Name(job.state).lower()
        where = job.problem or f"{job.stage} {job.done}/{job.total}"
        table.add_row(job.id, kind, job.collection, state, time_of(job.started), where)
    Console().print(table)


@jobs_app.command("watch")
def watch_command(job: JobId, address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """Show how a job goes, until it ends."""
    with connected(address, ca) as remote:
        _followed(remote.stream("WatchJob", v1.WatchJobRequest(id=job), v1.Job))


@jobs_app.command("cancel")
def cancel_command(job: JobId, address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """End a job. A rotation that was ended is taken up by beginning it again."""
    with connected(address, ca) as remote:
        told = remote.call("CancelJob", v1.CancelJobRequest(id=job), v1.Job)
    typer.echo(f"ok: job {job} is {v1.Job.State.Name(told.state).lower()}")
