"""The life of a call, as named steps: route, read, identify, serve under the policy, confirm, write, trail.

A front is a table of `Route`s. What a route's `serve` may do, it does through the `Session`: open collections (which
asks the policy) and call the database. There is no other way from a client's message to the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from vecguard.catalog import Catalog, Entry, StaleEntry
from vecguard.errors import (
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    Refused,
    UnknownField,
    Unreadable,
    VecGuardError,
)
from vecguard.model import Action, Caller, Grant, Principal
from vecguard.policy.decide import decide
from vecguard.policy.model import Policy
from vecguard.upstream import Answer, Exchange, Stream, Upstream

Ask = TypeVar("Ask", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Sent = TypeVar("Sent")
Handling = Literal["protected", "passed", "admin", "refused"]

# How often a call is run again after its collection turned out to have been made anew meanwhile.
_ATTEMPTS: Final = 3
_MIB: Final = 1024 * 1024


class Identify(Protocol):
    """Finds out who calls, from the call's metadata."""

    def __call__(self, metadata: Mapping[str, str]) -> Principal:
        """The principal. Raises Denied."""


class Trail(Protocol):
    """Takes one structured event a call: no vectors, no payload, no keys."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Session:
    """One attempt at one call: who calls, under which rules, with how much time; and the way to the database."""

    def __init__(
        self,
        principal: Principal,
        rules: Policy,
        catalog: Catalog,
        upstream: Upstream,
        *,
        deadline: float | None,
        size: int,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`deadline` in monotonic seconds; `size` of the client's message in bytes; `metadata`: see `Caller`."""
        self.principal = principal
        self.catalog = catalog
        self.opened: list[Entry] = []
        self.written: list[Entry] = []
        self.collections: set[str] = set()
        self.candidates = 0  # records read for re-ranking
        self.uncertified = 0  # searches that reached the cap on candidates before their certificate settled
        self._rules = rules
        self._upstream = upstream
        self._deadline = deadline
        self._size = size
        self.metadata = metadata

    @property
    def caller(self) -> Caller:
        """Whom the database is asked for, with the time that is left now."""
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        return Caller(left, self.metadata)

    @property
    def reranking(self) -> dict[str, int]:
        """What re-ranking read, for the trail; empty where nothing was re-ranked."""
        return {"candidates": self.candidates, "uncertified": self.uncertified} if self.candidates else {}

    @property
    def rules(self) -> Policy:
        """The policy in force."""
        return self._rules

    def grant(self, action: Action, collection: str | None) -> Grant:
        """The policy's yes to `action` on a collection, by name (one that may not exist yet).

        Raises:
            Denied: the policy says no.
        """
        if collection is not None:
            self.collections.add(collection)
        return decide(self._rules, self.principal, action, collection)

    async def open(self, name: str, action: Action) -> Entry:
        """The collection or alias `name`, if the policy lets the principal do `action` on it.

        Raises:
            Denied, FailedPrecondition, Unreadable: see `Catalog.get`.
            LimitExceeded: the message is larger than the policy allows for this collection.
            UpstreamFailure: the database does not know it, or cannot be reached.
        """
        granted = self.grant(action, name)
        entry = await self.catalog.get(name, self.caller)
        if entry.name != name:  # an alias: what it stands for must be granted, too
            granted = self.grant(action, entry.name)
        limit = granted.limits.max_message_mib
        if self._size > limit * _MIB:
            raise LimitExceeded(f"a message of {self._size} bytes: the policy allows {limit} MiB")
        self.opened.append(entry)
        if action != "read":
            self.written.append(entry)
        return entry

    async def call(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message, already protected, to the database."""
        return await self._upstream.call(rpc, message, answer, self.caller)

    def stream(self, rpc: str, ask: bytes) -> Stream:
        """Ask for an answer in many messages, which clients may see as they are."""
        return self._upstream.stream(rpc, ask, self.caller)

    def exchange(self, rpc: str) -> Exchange:
        """Begin a call in many messages, of which none may carry what a client means to be protected."""
        return self._upstream.exchange(rpc, self.caller)


@dataclass(frozen=True, slots=True)
class Route(Generic[Ask, Reply]):
    """How one RPC is handled. `about` says in a few words why so, for the tables in docs/."""

    rpc: str
    ask: type[Ask]
    reply: type[Reply]
    handling: Handling
    action: Action
    about: str
    serve: Callable[[Ask, Session], Awaitable[Reply]]


AnyRoute = Route[Any, Any]
Failed = Callable[[AnyRoute, VecGuardError], Message | None]


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
    ) -> None:
        """Take the front's table and ways, and what is asked of the process.

        `failed` makes the reply by which the protocol tells of an error, or None where a gRPC status does.
        `passed_metadata` are the keys of a client's metadata that go on to the database.
        """
        self._failed = failed
        self._passed_metadata = passed_metadata
        self._routes = routes
        self._catalog = catalog
        self._upstream = upstream
        self._policy = policy
        self._identify = identify
        self._trail = trail

    @property
    def rpcs(self) -> Iterable[str]:
        """Full names of the RPCs in the table."""
        return self._routes.keys()

    async def handle(
        self, rpc: str, body: bytes, metadata: Mapping[str, str], time_left: float | None, *, protocol: str = "grpc"
    ) -> bytes:
        """Answer one call; `time_left` in seconds, `protocol` for the trail.

        Raises:
            VecGuardError: with the status that the client gets.
        """
        started = time.monotonic()
        deadline = None if time_left is None else started + time_left
        status, route, principal, session = "INTERNAL", None, None, None
        try:
            route = self._route(rpc)
            principal = self._identify(metadata)
            session = self._session(principal, metadata, deadline, len(body))
            answer = await self._run(route, body, session)
            # A newer database's answer may hold what nobody here knows how to open or to hide.
            answer.DiscardUnknownFields()
            sent = answer.SerializeToString()
            status = "OK"
            return sent
        except VecGuardError as error:
            status = error.status
            reply = self._failed(route, error) if route is not None else None
            if reply is None:
                raise
            return reply.SerializeToString()
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        finally:
            names, more = (session.collections, session.reranking) if session else (set(), {})
            self._tell(rpc, protocol, principal, names, status, started, more)

    async def transfer(
        self,
        name: str,
        action: Action,
        collection: str | None,
        metadata: Mapping[str, str],
        serve: Callable[[Session], Awaitable[Sent]],
        *,
        protocol: str,
    ) -> Sent:
        """Serve a call whose content is a file and no message: identify, ask the policy, serve, trail.

        `name` is what the trail calls it. `serve` runs after the policy's yes, and to the end of the file.

        Raises:
            VecGuardError: with the status that the client gets.
        """
        started = time.monotonic()
        status, principal = "INTERNAL", None
        try:
            principal = self._identify(metadata)
            session = self._session(principal, metadata, None, 0)
            session.grant(action, None)
            session.grant(action, collection)
            sent = await serve(session)
            status = "OK"
            return sent
        except Exception as error:
            status = getattr(error, "status", status)  # a listener's own refusals have one too
            raise
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        finally:
            self._tell(name, protocol, principal, set() if collection is None else {collection}, status, started)

    def _tell(
        self,
        rpc: str,
        protocol: str,
        principal: Principal | None,
        collections: set[str],
        status: str,
        started: float,
        more: Mapping[str, int] | None = None,
    ) -> None:
        """Write a call to the trail; `started` in monotonic seconds."""
        self._trail(
            "call",
            rpc=rpc,
            protocol=protocol,
            principal=principal.name if principal else None,
            collections=sorted(collections),
            status=status,
            ms=round((time.monotonic() - started) * 1e3, 3),
            **(more or {}),
        )

    def turned_away(self, rpc: str, status: str, *, protocol: str) -> None:
        """Write to the trail a call that its listener refused before there was a message to handle."""
        self._trail("call", rpc=rpc, protocol=protocol, principal=None, collections=[], status=status, ms=0.0)

    def _session(self, principal: Principal, metadata: Mapping[str, str], deadline: float | None, size: int) -> Session:
        passed = tuple((key, metadata[key]) for key in self._passed_metadata if key in metadata)
        rules = self._policy()
        return Session(principal, rules, self._catalog, self._upstream, deadline=deadline, size=size, metadata=passed)

    def _route(self, rpc: str) -> AnyRoute:
        route = self._routes.get(rpc)
        if route is None:
            raise Refused(f"{rpc} is not known to VecGuard, so it is refused rather than forwarded")
        return route

    async def _run(self, route: AnyRoute, body: bytes, session: Session) -> Message:
        """Serve the call; again, from the client's own bytes, where a collection was made anew under it."""
        session.grant(route.action, None)  # before anything is looked up: a refused caller learns nothing
        for _ in range(_ATTEMPTS):
            session.opened.clear()
            session.written.clear()
            try:
                answer: Message = await route.serve(parse(route, body), session)
            except DecodeError:
                # Parts of a message are copied in wire form, and wrapping them may take them past protobuf's depth.
                raise InvalidArgument("the request is nested too deeply") from None
            except StaleEntry:
                self._catalog.forget()
                continue
            except Unreadable:
                if await self._current(session.opened, session):
                    raise
                continue
            # What was written must have gone under the manifest that the collection really has.
            if await self._current(session.written, session):
                return answer
        if session.written:
            raise FailedPrecondition("the collection kept being made anew during the call: try again")
        raise Unreadable

    async def _current(self, entries: list[Entry], session: Session) -> bool:
        """Whether the database still has what these entries say."""
        for entry in entries:
            if not await self._catalog.confirm(entry, session.caller):
                return False
        return True
