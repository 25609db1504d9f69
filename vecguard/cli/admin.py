"""`vecguard status`, and `vecguard admin`: an operator's view of a running server, and what may be changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vecguard.cli.remote import KEY, Address, Ca, connected, time_of
from vecguard.config import DEFAULT_ADMIN
from vecguard.v1 import admin_pb2 as v1

_HEALTH_S: Final = 5.0
_STATES: Final[Mapping[int, tuple[str, str]]] = {
    v1.Collection.PROTECTED: ("protected", "green"),
    v1.Collection.CLEAR: ("IN CLEAR", "red"),
    v1.Collection.REFUSED: ("refused", "yellow"),
}

admin_app = typer.Typer(
    help=f"Change what a running server does. The admin key is read from {KEY}.", no_args_is_help=True
)


def status(address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """Show what a running server does: workers, databases, collections and how each is protected, who is blocked."""
    with connected(address, ca) as remote:
        told = remote.call("GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse)
        collections = remote.call("ListCollections", v1.ListCollectionsRequest(), v1.ListCollectionsResponse)
        blocks = remote.call("ListBlocks", v1.ListBlocksRequest(), v1.ListBlocksResponse)
    console = Console()
    _print_server(console, told)
    _print_collections(console, collections.collections)
    for block in blocks.blocks:
        until = time_of(block.until) if block.HasField("until") else "it is pardoned"
        console.print(Text.assemble(("blocked", "red"), f": {block.principal} until {until} {block.reason}"))


def _print_server(console: Console, told: v1.GetStatusResponse) -> None:
    policy = told.policy_file or "the built-in policy"
    console.print(
        f"VecGuard {told.version} since {time_of(told.started)}; policy {policy} ({told.policy_digest}); "
        f"key {told.key_provider} {told.key_id}",
        highlight=False,
    )
    table = Table("database", "serves at", "connected", box=None)
    for upstream in told.upstreams:
        connected = Text("yes", "green") if upstream.connected else Text("NO", "red")
        table.add_row(f"{upstream.kind} {upstream.target}", ", ".join(upstream.listens), connected)
    console.print(table)
    table = Table("worker", "process", "restarts", "policy", box=None)
    for worker in told.workers:
        current = worker.policy_digest == told.policy_digest
        serves = Text("current", "green") if current else Text(worker.policy_digest or "not told yet", "yellow")
        table.add_row(str(worker.number), str(worker.pid or "starting"), str(worker.restarts), serves)
    console.print(table)


def _print_collections(console: Console, collections: Any) -> None:
    table = Table("collection", "state", "vectors", "payload", "policy", box=None)
    for collection in collections:
        name, colour = _STATES.get(collection.state, ("?", "red"))
        vectors = "\n".join(_vector(vector) for vector in collection.vectors) or collection.problem
        payload = collection.payload_default
        if collection.payload_fields:
            payload += "; " + ", ".join(f"{field} {mode}" for field, mode in sorted(collection.payload_fields.items()))
        label = f"{collection.front}: {collection.name}"
        table.add_row(Text(label), Text(name, colour), Text(vectors), Text(payload), Text(collection.policy_entry))
    console.print(table)


def _vector(vector: v1.Vector) -> str:
    name = f"{vector.name}: " if vector.name else ""
    noise = f", noise {vector.noise_ratio:g}" if vector.noise_ratio else ""
    transforms = " + ".join(vector.transforms) or "keyed indices"
    size = f" {vector.dimensions}" if vector.dimensions else ""
    return f"{name}{vector.kind}{size} {vector.distance}, {transforms}{noise}, recover {vector.recover}"


@admin_app.command("health")
def health_command(
    service: Annotated[str, typer.Option(help="`vecguard.v1.Admin`, `qdrant` or `milvus`. [default: all of it]")] = "",
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Exit status 0 where the server serves, 1 where it does not. Needs no key."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with connected(address, ca) as remote:
        stub = health_pb2_grpc.HealthStub(remote.channel)
        told = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_HEALTH_S)
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(told.status)
    typer.echo(state)
    if told.status != health_pb2.HealthCheckResponse.SERVING:
        raise typer.Exit(1)


@admin_app.command("reload")
def reload_command(address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """Read the policy file again in every worker; exit status 1 where it has errors, or a worker did not confirm."""
    with connected(address, ca) as remote:
        told = remote.call("ReloadPolicy", v1.ReloadPolicyRequest(), v1.ReloadPolicyResponse)
    for problem in told.problems:
        typer.echo(f"line {problem.line}: {problem.entry}: {problem.text}", err=True)
    if not told.accepted or told.silent:
        typer.echo(f"not in force in workers {list(told.silent)}" if told.accepted else "not in force", err=True)
        raise typer.Exit(1)
    typer.echo(f"ok: policy {told.policy_digest} is in force in {len(told.confirmed)} worker(s)")


@admin_app.command("block")
def block_command(
    principal: Annotated[
        str, typer.Argument(help="As the trail names it; `<anonymous>` for all without a credential.")
    ],
    seconds: Annotated[int | None, typer.Option(min=1, help="How long. [default: until it is pardoned]")] = None,
    reason: Annotated[str, typer.Option(help="For the list; the principal is not told.")] = "",
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Refuse all calls of a principal from now on."""
    ask = v1.BlockRequest(principal=principal, reason=reason)
    if seconds is not None:
        ask.duration.FromSeconds(seconds)
    with connected(address, ca) as remote:
        remote.call("Block", ask, v1.BlockResponse)
    typer.echo(f"ok: {principal} is blocked")


@admin_app.command("unblock")
def unblock_command(
    principal: Annotated[str, typer.Argument(help="As it was blocked.")],
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Pardon a principal."""
    with connected(address, ca) as remote:
        remote.call("Unblock", v1.UnblockRequest(principal=principal), v1.UnblockResponse)
    typer.echo(f"ok: {principal} is not blocked any more")


@admin_app.command("principals")
def principals_command(address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """List the principals that the policy knows by name."""
    with connected(address, ca) as remote:
        told = remote.call("ListPrincipals", v1.ListPrincipalsRequest(), v1.ListPrincipalsResponse)
    table = Table("principal", "by", "roles", "", box=None)
    for principal in told.principals:
        blocked = Text("blocked", "red") if principal.blocked else Text("")
        table.add_row(Text(principal.name), principal.kind, Text(", ".join(principal.roles)), blocked)
    Console().print(table)
