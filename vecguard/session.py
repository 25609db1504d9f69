"""One attempt at one call: who calls, under which rules, with how much time; and the only way to the database."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final, Protocol, Self, TypeVar

from google.protobuf.message import Message

from vecguard.catalog import Catalog, Entry
from vecguard.errors import Denied, LimitExceeded
from vecguard.model import EXACT, Action, Caller, Condition, Grant, Principal
from vecguard.policy.decide import decide, may, may_see_database, require_any
from vecguard.policy.model import Policy
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.upstream import Answer, Exchange, Stream, Upstream

Sent = TypeVar("Sent", bound=Message)

_MIB: Final = 1024 * 1024


class Restrict(Protocol):
    """A front's way of sending a message so that it sees and touches only records that satisfy `session.mandatory`."""

    async def __call__(self, session: Session, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """The database's answer.

        Raises:
            Denied: the call cannot be held to the conditions, or a write breaks them.
        """


class Damaged(Protocol):
    """A front's way of finding which of the records that a call has read do not open."""

    async def __call__(self, session: Session) -> dict[str, list[str]]:
        """Their ids, by collection as it is called, looked at once more and whole."""


class Translation(Protocol):
    """What a front changes in every message on its way to the database, and back."""

    def stored(self, message: Sent, shield: Shield) -> Sent:
        """What is sent for a message about a protected collection; the message itself stays as it is."""

    def show(self, message: Message, shield: Shield) -> None:
        """Change an answer about a protected collection, in place."""


class Session:
    """One attempt at one call: who calls, under which rules, with how much time; and the way to the database."""

    _translation: Translation | None = None

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
        operation: str = "",
        restrict: Restrict | None = None,
        whole: bool = False,
    ) -> None:
        """`deadline` in monotonic seconds; `size` of the client's message in bytes; `metadata`: see `Caller`.

        `operation` is the RPC's full name, `package.Service/Method`; `restrict` is the front's way of sending messages
        under conditions; `whole`: records that are too old to be kept are seen as well.
        """
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
        self.operation = operation
        self.mandatory: dict[str, tuple[Condition, ...]] = {}
        """Conditions that every record must satisfy which this call sees or touches, by collection as it is called."""
        self.entries: dict[str, Entry] = {}
        self.read: list[tuple[Message, Message]] = []  # requests of this attempt, and their answers
        self.excluded: dict[str, list[str]] = {}  # ids of records left out as they do not open, by collection as called
        self.shape = EXACT  # the form of this call's answer: the strictest of the roles that granted a part of it
        self.retains = False  # whether records of a collection in this call have an end
        self.vetted: set[str] = set()  # collections whose rows in this call's write were found to satisfy them
        self._restrict, self._whole = restrict, whole
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

    def require(self, action: Action) -> None:
        """Go on only if the principal may do this kind of call somewhere; asked before anything is looked up.

        Raises:
            Denied: it may not.
        """
        require_any(self._rules, self.principal, action, self.operation)

    def grant(self, action: Action, collection: str | None) -> Grant:
        """The policy's yes to `action` on a collection, by name (one that may not exist yet), or on none.

        Raises:
            Denied: the policy says no.
        """
        if collection is not None:
            self.collections.add(collection)
        granted = decide(self._rules, self.principal, action, collection, self.operation)
        if granted.role.shape is not EXACT:
            self.shape = self.shape.and_also(granted.role.shape)
        if collection is not None:
            self._demand(collection, granted.rows)
        return granted

    def _demand(self, collection: str, rows: tuple[Condition, ...]) -> None:
        """Hold this call to conditions on a collection, beside those that hold already."""
        held = self.mandatory.get(collection, ())
        more = tuple(condition for condition in rows if condition not in held)
        if more:
            self.mandatory[collection] = held + more

    async def grant_named(self, action: Action, name: str) -> None:
        """`grant` for a call that goes on as it is: for the name, and for the collection that it is an alias of.

        Raises:
            Denied: the policy says no to one of them.
            UpstreamFailure: the database cannot say what the name means.
        """
        self.grant(action, name)
        if self._rules.tells_names_apart(self.principal):
            real = await self.catalog.real_name(name, self.caller)
            if real != name:
                self.grant(action, real)

    def may_see(self, *names: str) -> bool:
        """Whether lists may show collections (or aliases) of all these names to the principal."""
        return all(may(self._rules, self.principal, "read", name, self.operation) for name in names)

    def may_see_database(self, name: str) -> bool:
        """Whether lists may show a database of this name to the principal."""
        return may_see_database(self._rules, self.principal, name, self.operation)

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
            self._demand(name, granted.rows)
        limits = granted.limits
        if self._size > limits.max_message_mib * _MIB:
            raise LimitExceeded(f"a message of {self._size} bytes: the policy allows {limits.max_message_mib} MiB")
        if entry.shield is not None and (limits != entry.shield.limits or self.shape.vectors != "exact"):
            entry = replace(entry, shield=entry.shield.within(limits, opens=self.shape.vectors == "exact"))
        self.entries[name] = entry
        self.retains = self.retains or self.retention(entry) is not None
        self.opened.append(entry)
        if action != "read":
            self.written.append(entry)
        return entry

    def retention(self, entry: Entry) -> RetentionRule | None:
        """How long records of a collection are kept, as far as this call is concerned; None: for good."""
        return None if self._whole else entry.policy.kept

    async def call(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message, already protected, to the database; where there are mandatory conditions, under these.

        Row filters are such conditions, and so is a collection's retention.

        Raises:
            Denied: the call sees or touches more than the records that satisfy them.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        if not self.mandatory and not self.retains and not self.excluded:
            return await self.send(rpc, message, answer)
        if self._restrict is None:
            raise self.beyond_rows()
        return await self._restrict(self, rpc, message, answer)

    async def send(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message as it is, but translated: for a front's `restrict`, which has put the conditions into it."""
        shield = self._shield_of(message) if self._translation is not None else None
        if self._translation is None or shield is None:
            found = await self._upstream.call(rpc, message, answer, self.caller)
        else:
            found = await self._upstream.call(rpc, self._translation.stored(message, shield), answer, self.caller)
            self._translation.show(found, shield)
        self.read.append((message, found))
        return found

    def translated(self, translation: Translation) -> Self:
        """This session, which from now on has its messages about protected collections translated."""
        self._translation = translation
        return self

    def _shield_of(self, message: Message) -> Shield | None:
        """The protection of the opened collection that a message names."""
        name = getattr(message, "collection_name", None)
        return next((entry.shield for entry in self.opened if name in (entry.asked, entry.name)), None)

    def beyond_rows(self) -> Denied:
        """The refusal of a call that concerns a whole collection, of which the principal has some rows only."""
        return Denied(
            f"{self.operation.rpartition('/')[2]} concerns rows that `{self.principal.name}` may not touch: "
            "it needs a grant with `rows: all`"
        )

    def stream(self, rpc: str, ask: bytes) -> Stream:
        """Ask for an answer in many messages, which clients may see as they are.

        Raises:
            Denied: there are mandatory conditions, which no stream can be held to.
        """
        if self.mandatory:
            raise self.beyond_rows()
        return self._upstream.stream(rpc, ask, self.caller)

    def exchange(self, rpc: str) -> Exchange:
        """Begin a call in many messages, of which none may carry what a client means to be protected.

        Raises:
            Denied: there are mandatory conditions, which no stream can be held to.
        """
        if self.mandatory:
            raise self.beyond_rows()
        return self._upstream.exchange(rpc, self.caller)
