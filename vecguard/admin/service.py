"""The RPCs of `vecguard.v1.Admin`. What they change, every worker learns of: by signal, and by the list of blocks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from vecguard.admin.alerts import KEPT, Alerts
from vecguard.admin.describe import described
from vecguard.blocks import Block, Blocks
from vecguard.catalog import Catalog
from vecguard.config import Embedded, Remote, Settings
from vecguard.errors import FailedPrecondition, InvalidArgument, LimitExceeded, NotFound
from vecguard.model import ANONYMOUS, Caller
from vecguard.policy.explain import explain
from vecguard.policy.load import PolicyHolder, check_text
from vecguard.policy.source import Problem
from vecguard.upstream import Upstream
from vecguard.v1 import admin_pb2 as v1

if TYPE_CHECKING:  # fronts are reached through the registry
    from vecguard.front.base import Front

RELOAD_S: Final = 5.0
_TICK_S: Final = 0.02
_LISTING: Final = Caller(timeout=10.0)
_MOST_TEXT: Final = 1_000
_REASON: Final = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")


class Fleet(Protocol):
    """The workers, as the process that runs them sees them."""

    def states(self) -> Iterable[tuple[int, int, int]]:
        """Number, process id (0 while it starts) and restarts of each."""

    def reload(self) -> None:
        """Let each read the policy file again."""


@dataclass
class Database:
    """One database behind, and what the control plane knows of its collections."""

    address: Embedded | Remote
    front: Front
    upstream: Upstream
    catalog: Catalog


@dataclass
class Told:
    """What workers told: the policy that each serves under, by worker and process id."""

    policies: dict[tuple[int, int], str] = field(default_factory=dict)


class AdminService:
    """Answers as the process that runs the workers."""

    def __init__(
        self,
        settings: Settings,
        policy: PolicyHolder,
        databases: list[Database],
        fleet: Fleet,
        blocks: Blocks,
        alerts: Alerts,
        told: Told,
        key_id: str,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._databases = databases
        self._fleet = fleet
        self._blocks = blocks
        self._alerts = alerts
        self._told = told
        self._key_id = key_id
        self._started = Timestamp()
        self._started.GetCurrentTime()
        self._reloading = asyncio.Lock()

    async def get_status(self, _: v1.GetStatusRequest) -> v1.GetStatusResponse:
        """`GetStatus`."""
        told = v1.GetStatusResponse(
            version=version("vecguard"),
            started=self._started,
            policy_file=str(self._settings.policy or ""),
            policy_digest=self._policy.digest,
            key_provider=self._settings.key.partition(":")[0],
            key_id=self._key_id,
            blocked=len(self._blocks.held()),
        )
        for number, pid, restarts in self._fleet.states():
            digest = self._told.policies.get((number, pid), "")
            told.workers.add(number=number, pid=pid, restarts=restarts, policy_digest=digest)
        for database in self._databases:
            front, address = database.address.front, database.address
            told.upstreams.add(
                front=front,
                kind=address.kind,
                target=address.target if isinstance(address, Remote) else str(address.data),
                listens=_listens(self._settings, front),
                connected=database.upstream.reachable(),
            )
        return told

    async def list_collections(self, _: v1.ListCollectionsRequest) -> v1.ListCollectionsResponse:
        """`ListCollections`. Raises UpstreamFailure."""
        told = v1.ListCollectionsResponse()
        for database in self._databases:
            for name in await database.front.names(database.upstream, _LISTING):
                rules = self._policy.current
                told.collections.append(await described(database.front.name, name, database.catalog, rules))
        return told

    async def explain_policy(self, ask: v1.ExplainPolicyRequest) -> v1.ExplainPolicyResponse:
        """`ExplainPolicy`. Raises InvalidArgument."""
        told = v1.ExplainPolicyResponse()
        for section in explain(self._policy.current, _given(ask.collection, "collection")):
            lines = [v1.Line(subject=line.subject, text=line.text) for line in section.lines]
            told.sections.add(title=section.title, lines=lines)
        return told

    async def check_policy(self, ask: v1.CheckPolicyRequest) -> v1.CheckPolicyResponse:
        """`CheckPolicy`."""
        checked = await asyncio.to_thread(check_text, ask.text, "policy")
        problems = [_problem(problem) for problem in (*checked.errors, *checked.warnings)]
        return v1.CheckPolicyResponse(usable=checked.policy is not None, problems=problems)

    async def reload_policy(self, _: v1.ReloadPolicyRequest) -> v1.ReloadPolicyResponse:
        """`ReloadPolicy`. Raises FailedPrecondition where there is no file."""
        if self._settings.policy is None:
            raise FailedPrecondition("the built-in policy is in force: there is no file to read (`--policy FILE`)")
        async with self._reloading:
            errors = self._policy.reload()
            told = v1.ReloadPolicyResponse(accepted=not errors, policy_digest=self._policy.digest)
            if errors:
                told.problems.extend(_problem(error) for error in errors)
                return told
            self._fleet.reload()
            confirmed, silent = await self._confirmed(self._policy.digest)
            told.confirmed.extend(confirmed)
            told.silent.extend(silent)
            return told

    async def list_principals(self, _: v1.ListPrincipalsRequest) -> v1.ListPrincipalsResponse:
        """`ListPrincipals`."""
        access, held = self._policy.current.access, self._blocks.held()
        told = v1.ListPrincipalsResponse()
        kinds = (("api-key", access.api_keys), ("password", access.accounts), ("certificate", access.certificates))
        for kind, entries in kinds:
            for entry in entries:
                told.principals.add(name=entry.name, kind=kind, roles=entry.roles, blocked=entry.name in held)
        if access.anonymous:
            blocked = ANONYMOUS.name in held
            told.principals.add(name=ANONYMOUS.name, kind="anonymous", roles=access.anonymous, blocked=blocked)
        return told

    async def block(self, ask: v1.BlockRequest) -> v1.BlockResponse:
        """`Block`. Raises InvalidArgument."""
        principal = _given(ask.principal, "principal")
        if not _REASON.fullmatch(ask.reason):
            raise InvalidArgument(f"`reason` must be one line of at most {_MOST_TEXT} characters")
        seconds = ask.duration.ToNanoseconds() / 1e9 if ask.HasField("duration") else None
        if seconds is not None and seconds <= 0:
            raise InvalidArgument("`duration` must be longer than nothing; leave it out to block for good")
        return v1.BlockResponse(block=_blocked(principal, self._blocks.block(principal, seconds, ask.reason)))

    async def unblock(self, ask: v1.UnblockRequest) -> v1.UnblockResponse:
        """`Unblock`. Raises InvalidArgument, NotFound."""
        if not self._blocks.pardon(_given(ask.principal, "principal")):
            raise NotFound("that principal is not blocked")
        return v1.UnblockResponse()

    async def list_blocks(self, _: v1.ListBlocksRequest) -> v1.ListBlocksResponse:
        """`ListBlocks`."""
        held = sorted(self._blocks.held().items())
        return v1.ListBlocksResponse(blocks=[_blocked(principal, block) for principal, block in held])

    async def watch_alerts(self, ask: v1.WatchAlertsRequest) -> AsyncIterator[v1.Alert]:
        """`WatchAlerts`. Raises InvalidArgument, LimitExceeded."""
        if ask.latest > KEPT:
            raise InvalidArgument(f"`latest` is at most {KEPT}")
        try:
            async for alert in self._alerts.watch(ask.latest):
                yield alert
        except OverflowError:
            raise LimitExceeded("too many watch alerts already") from None

    async def _confirmed(self, digest: str) -> tuple[list[int], list[int]]:
        """The workers that say they serve under the policy, and those that did not say so in time."""
        deadline = asyncio.get_running_loop().time() + RELOAD_S
        while True:
            workers = list(self._fleet.states())
            silent = [number for number, pid, _ in workers if self._told.policies.get((number, pid)) != digest]
            if not silent or asyncio.get_running_loop().time() > deadline:
                return sorted({number for number, _, _ in workers} - set(silent)), silent
            await asyncio.sleep(_TICK_S)


def _listens(settings: Settings, front: str) -> list[str]:
    rest = settings.rest_listen if front == "qdrant" else None
    listeners: Mapping[Any, str] = settings.listeners
    return [listeners[front], *(() if rest is None else (rest,))]


def _given(text: str, name: str) -> str:
    if not text or len(text) > _MOST_TEXT:
        raise InvalidArgument(f"`{name}` is missing, or longer than {_MOST_TEXT} characters")
    return text


def _problem(problem: Problem) -> v1.Problem:
    return v1.Problem(
        error=problem.severity == "error",
        line=problem.place.line,
        column=problem.place.column,
        entry=problem.path,
        text=problem.text,
    )


def _blocked(principal: str, block: Block) -> v1.BlockedPrincipal:
    told = v1.BlockedPrincipal(principal=principal, reason=block.reason)
    told.since.FromNanoseconds(int(block.since * 1e9))
    if block.until is not None:
        told.until.FromNanoseconds(int(block.until * 1e9))
    return told
