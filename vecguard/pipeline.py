"""The life of a call, as named steps: route, read, identify, serve under the policy, confirm, write, trail.

A front is a table of `Route`s. What a route's `serve` may do, it does through the `Session`: open collections (which
asks the policy) and call the database. There is no other way from a client's message to the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from vecguard.access.headers import CREDENTIAL_HEADERS
from vecguard.access.rates import LocalRates, Rates
from vecguard.call_record import CallRecord, Trail
from vecguard.catalog import Catalog, Entry, StaleEntry
from vecguard.detect.watch import Watch
from vecguard.errors import (
    Denied,
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    Refused,
    TenantShredded,
    UnknownField,
    Unreadable,
    UpstreamFailure,
    VecGuardError,
)
from vecguard.hidden import PlantedMet, PlantedNamed
from vecguard.hiding import tell_of_named, without_planted
from vecguard.load import Load
from vecguard.model import ANONYMOUS, EXACT, UNKNOWN_PEER, Action, Allowance, Asked, Peer, Principal, Restraint, Shape
from vecguard.policy.model import Policy
from vecguard.request_id import request_id
from vecguard.session import Damaged, Restrict, Session
from vecguard.stages import Clock, begin, stage
from vecguard.upstream import Upstream

__all__ = (
    "AnyRoute",
    "AskedOf",
    "Damaged",
    "Failed",
    "Handling",
    "Identify",
    "Pipeline",
    "Records",
    "Restrict",
    "Route",
    "Session",
    "Shaped",
    "Trail",
    "by_status",
    "no_records",
    "parse",
)

Ask = TypeVar("Ask", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Sent = TypeVar("Sent")
Handling = Literal["protected", "passed", "admin", "refused"]

# How often a call is run again after its collection turned out to have been made anew meanwhile.
_ATTEMPTS: Final = 3
# How often it is run again without the records that turned out not to open: each run may meet others.
_MOST_DROPS: Final = 8
_SHOWN: Final = 20
_TRACE_PARENT: Final = "traceparent"
_UNBOUNDED_MIB: Final = 1 << 40


class Identify(Protocol):
    """Finds out who calls, from the call's metadata and what the transport knows."""

    async def __call__(self, metadata: Mapping[str, str], peer: Peer) -> Principal:
        """The principal.

        Raises:
            Unauthenticated: the credential is not valid, or there is none where one is needed.
            Unavailable: it cannot be checked now.
        """


@dataclass(frozen=True, slots=True)
class Route(Generic[Ask, Reply]):
    """How one RPC is handled. `about` says in a few words why so, for the tables in docs/; `is_open`: whether anybody
    may ask, without a credential, as the probes of an orchestrator do."""

    rpc: str
    ask: type[Ask]
    reply: type[Reply]
    handling: Handling
    action: Action
    about: str
    serve: Callable[[Ask, Session], Awaitable[Reply]]
    is_open: bool = False


AnyRoute = Route[Any, Any]
Failed = Callable[[AnyRoute, VecGuardError], Message | None]
Records = Callable[[Message, Message], int]
AskedOf = Callable[[Message], Asked]
Shaped = Callable[[Message, Message, Shape], None]


def no_records(ask: Message, reply: Message) -> int:
    """The records of calls that carry none."""
    del ask, reply
    return 0


def by_status(route: AnyRoute, error: VecGuardError) -> None:
    """How a protocol fails whose errors are gRPC statuses: there is no reply."""
    del route, error


def parse(route: AnyRoute, body: bytes) -> Message:
    """The request, if every byte of it was understood.

    Raises:
        InvalidArgument: not a message of that type.
        UnknownField: it carries fields, at any depth, that the generated code here does not know.
    """
    try:
        message: Message = route.ask.FromString(body)
    except DecodeError:
        raise InvalidArgument(f"the request is not a valid {route.ask.DESCRIPTOR.full_name} message") from None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise UnknownField(
            f"{route.rpc}: the request carries protobuf fields that this version of VecGuard does not know; "
            "they could hold data in clear, so nothing was forwarded. Upgrade VecGuard, or use an older client"
        )
    return message


class Pipeline:
    """Handles calls of every front."""

    def __init__(
        self,
        routes: Mapping[str, AnyRoute],
        catalog: Catalog,
        upstream: Upstream,
        policy: Callable[[], Policy],
        identify: Identify,
        trail: Trail,
        *,
        failed: Failed = by_status,
        passed_metadata: frozenset[str] = frozenset(),
        restrict: Restrict | None = None,
        shaped: Shaped | None = None,
        whole: bool = False,
        damaged: Damaged | None = None,
        records: Records = no_records,
        rates: Rates | None = None,
        require_free: Callable[[str], None] = lambda principal: None,
        load: Load | None = None,
        watch: Watch | None = None,
        asked: AskedOf | None = None,
    ) -> None:
        """Take the front's table and ways, and what is asked of the process.

        `failed` makes the reply by which the protocol tells of an error, or None where a gRPC status does.
        `passed_metadata` are the keys of a client's metadata that go on to the database; a credential does so only
        where the policy knows none. `restrict` sends messages under conditions on records; `records` counts the records
        of a call for its principal's rate; `require_free` raises where an operator blocked the principal of that name;
        `load` is what all pipelines of the worker are busy with; `watch` looks for extraction.
        """
        self._watch, self._asked = watch, asked
        self._load = Load(_UNBOUNDED_MIB) if load is None else load
        self._require_free = require_free
        self._records = records
        self._restrict, self._shaped = restrict, shaped
        self._whole, self._damaged = whole, damaged
        self._rates: Rates = LocalRates() if rates is None else rates
        self._failed, self._passed_metadata, self._routes = failed, passed_metadata, routes
        self._passed_beside_ours = passed_metadata - CREDENTIAL_HEADERS
        self._catalog, self._upstream = catalog, upstream
        self._policy = policy
        self._identify, self._trail = identify, trail

    @property
    def rpcs(self) -> Iterable[str]:
        """Full names of the RPCs in the table."""
        return self._routes.keys()

    async def handle(
        self,
        rpc: str,
        body: bytes,
        metadata: Mapping[str, str],
        time_left: float | None,
        *,
        protocol: str = "grpc",
        peer: Peer = UNKNOWN_PEER,
    ) -> bytes:
        """Answer one call; `time_left` in seconds, `protocol` for the trail.

        Raises:
            VecGuardError: with the status that the client gets.
        """
        with self._record(rpc, protocol, metadata) as told:
            route = self._route(rpc)
            deadline = None if time_left is None else told.clock.started + time_left
            try:
                principal = ANONYMOUS if route.is_open else await self._who(told, metadata, peer)
                session = told.session = self._session(rpc, principal, metadata, deadline, len(body))
                with self._load.admitted(len(body)):
                    answer = await self._run(route, body, session)
                # A newer database's answer may hold what nobody here knows how to open or to hide.
                answer.DiscardUnknownFields()
                reply = answer.SerializeToString()
                if self._watch is not None:
                    size, ask = len(body) + len(reply), partial(route.ask.FromString, body)  # every byte is known
                    await self._watch.served(session, ask, answer, size, told.request)
                return reply
            except VecGuardError as error:
                failure = self._failed(route, error)
                if failure is None:
                    raise
                told.failed(error)
                return failure.SerializeToString()

    async def transfer(
        self,
        name: str,
        action: Action,
        collection: str | None,
        metadata: Mapping[str, str],
        serve: Callable[[Session], Awaitable[Sent]],
        *,
        protocol: str,
        peer: Peer = UNKNOWN_PEER,
    ) -> Sent:
        """Serve a call whose content is a file and no message: identify, ask the policy, serve, trail.

        `name` is what the trail calls it. `serve` runs after the policy's yes, and to the end of the file.

        Raises:
            VecGuardError: with the status that the client gets.
        """
        with self._record(name, protocol, metadata) as told:
            principal = await self._who(told, metadata, peer)
            session = told.session = self._session(name, principal, metadata, None, 0)
            await self._rates.admit(principal, session.require(action))
            if collection is None:
                session.grant(action, None)
            else:
                await session.grant_named(action, collection)
            return await serve(session)

    async def _who(self, told: CallRecord, metadata: Mapping[str, str], peer: Peer) -> Principal:
        """Who calls. Raises Unauthenticated, Unavailable, Blocked."""
        with stage("auth"):
            principal = told.principal = await self._identify(metadata, peer)
            self._require_free(principal.name)
        return principal

    def _record(self, rpc: str, protocol: str, metadata: Mapping[str, str]) -> CallRecord:
        """What times its block as one call, and writes to the trail how that ended."""
        return CallRecord(self._trail, rpc, protocol, request_id(metadata), begin(metadata.get(_TRACE_PARENT)))

    def turned_away(self, rpc: str, status: str, *, protocol: str, request: str) -> None:
        """Write to the trail a call that its listener refused before there was a message to handle.

        `request` is its id.
        """
        told = CallRecord(self._trail, rpc, protocol, request, Clock())
        told.status, told.cause = status, "request"
        told.tell()

    def _session(
        self, rpc: str, principal: Principal, metadata: Mapping[str, str], deadline: float | None, size: int
    ) -> Session:
        rules = self._policy()
        # A credential for VecGuard is nobody else's to see; where it knows none, a client's may be the database's.
        keys = self._passed_beside_ours if rules.access.authenticates else self._passed_metadata
        passed = tuple([(key, metadata[key]) for key in keys if key in metadata])
        return Session(
            principal,
            rules,
            self._catalog,
            self._upstream,
            deadline=deadline,
            size=size,
            metadata=passed,
            operation=rpc.removeprefix("/"),
            restrict=self._restrict,
            whole=self._whole,
            admit=None if self._watch is None else partial(self._admit, self._watch, size),
        )

    async def _admit(self, watch: Watch, size: int, principal: Principal, entry: Entry) -> Restraint:
        """Detection's word; a call that waits for it, or is slowed, leaves its room to others meanwhile."""
        with self._load.aside(size):
            return await watch.admit(principal, entry)

    def _route(self, rpc: str) -> AnyRoute:
        route = self._routes.get(rpc)
        if route is None:
            raise Refused(f"{rpc} is not known to VecGuard, so it is refused rather than forwarded")
        return route

    async def _run(self, route: AnyRoute, body: bytes, session: Session) -> Message:
        """Serve the call; again, from the client's own bytes, where a collection was made anew under it."""
        held: Sequence[Allowance] = ()
        if not route.is_open:
            held = session.require(route.action)  # before anything is looked up: a refused caller learns nothing
        if self._asked is not None:
            session.asked = partial(self._asked_by, route, body)
        if held:
            await self._rates.admit(session.principal, held)
        answer = await self._without_damage(route, body, session)
        if session.most is not None and self._records(parse(route, body), answer) > session.most:
            raise LimitExceeded(f"more results than the policy allows ({session.most} in one call): give a limit")
        if session.shape is not EXACT:
            self._shape(parse(route, body), answer, session)
        if held:
            await self._rates.charge(session.principal, held, self._records(parse(route, body), answer))
        return answer

    def _asked_by(self, route: AnyRoute, body: bytes) -> Asked:
        return Asked(0, 0) if self._asked is None else self._asked(parse(route, body))

    async def _without_damage(self, route: AnyRoute, body: bytes, session: Session) -> Message:
        """Serve the call; where the policy says so, again without the records that do not open.

        Records whose tenant's keys were destroyed are left out, too, of answers that did not name them.

        Raises:
            TenantShredded: such a record was asked for.
            Unreadable: there are such, and the policy says that the call fails, or nobody can say which they are.
        """
        for _ in range(_MOST_DROPS):
            try:
                return await self._served(route, body, session)
            except TenantShredded:
                if session.written or session.leaves_out:
                    raise
                session.leaves_out = True  # of what reads by filter: by its id, a record is asked for
            except PlantedMet as met:
                without_planted(session, met, parse(route, body), self._trail)
            except PlantedNamed as refused:
                tell_of_named(session, refused.collection, refused.count, self._trail)
                raise
            except Unreadable:
                if not await self._dropped(session):
                    raise
        raise Unreadable

    async def _dropped(self, session: Session) -> bool:
        """Find the records that do not open, tell the trail of them, and leave them out if the policy says so."""
        try:
            found = {} if self._damaged is None or session.written else await self._damaged(session)
        except (UpstreamFailure, Unreadable):  # what the client gets is the first error
            return False
        dropped = bool(found)
        for name, ids in found.items():
            known = session.excluded.get(name, [])
            fresh = [one for one in ids if one not in known]
            outcome = session.entries[name].policy.checks.damaged
            shown: dict[str, object] = {"ids": fresh[:_SHOWN], "outcome": outcome, "principal": session.principal.name}
            shown["rolled_back"] = sum(one in session.rolled_back.get(name, ()) for one in fresh)
            self._trail("integrity", collection=session.entries[name].name, records=len(fresh), **shown)
            dropped = dropped and bool(fresh) and outcome == "drop"
            session.excluded[name] = known + fresh
        return dropped

    async def _served(self, route: AnyRoute, body: bytes, session: Session) -> Message:
        """Serve the call; again where a collection was made anew under it."""
        for _ in range(_ATTEMPTS):
            session.begin()
            try:
                answer: Message = await route.serve(parse(route, body), session)
            except DecodeError:
                # Parts are copied in wire form: wrapping them may take them past protobuf's depth.
                raise InvalidArgument("the request is nested too deeply") from None
            except StaleEntry:
                self._catalog.forget()
                continue
            except Unreadable:
                if await self._current(session.opened, session):
                    raise
                continue
            if await self._current(self._to_confirm(route, session), session, exactly=False):
                return answer
        if self._to_confirm(route, session):
            raise FailedPrecondition("the collection kept being made anew during the call: try again")
        raise Unreadable

    def _to_confirm(self, route: AnyRoute, session: Session) -> list[Entry]:
        """What must be seen to be under the newest manifest: what was written, and what a read took long for."""
        outlived = self._catalog.outlived if route.action == "read" else lambda entry: False
        written = [entry for entry in session.written if not session.vouched(entry)]
        return [entry for entry in session.opened if entry in written or outlived(entry)]

    def _shape(self, ask: Message, answer: Message, session: Session) -> None:
        """Give an answer the form that the caller's role may have.

        Raises:
            Denied: what was asked cannot be answered in that form.
        """
        if self._shaped is None:
            raise Denied(f"the role of `{session.principal.name}` has a form of answers that is not known here")
        self._shaped(ask, answer, session.shape)

    async def _current(self, entries: list[Entry], session: Session, *, exactly: bool = True) -> bool:
        """Whether the database still has what these entries say; see `Catalog.confirm`."""
        for entry in entries:
            if not await self._catalog.confirm(entry, session.caller, exactly=exactly):
                return False
        return True
